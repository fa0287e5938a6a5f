package cluster

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"weir/cluster/config"
	"weir/log"
	"weir/partition"
)

// cleaner is what the compaction of all partitions here has in common.
type cleaner struct {
	slots    slots     // log.cleaner.threads
	throttle *throttle // log.cleaner.io.max.bytes.per.second

	done cleanerTotals

	mu      sync.Mutex // guards the rest; a leaf lock
	running map[*partition.Partition]*pass
	looked  map[*partition.Partition]looked // at the last look
}

// looked is what a pass has found of a partition.
type looked struct {
	folder       *folder
	clean, dirty int64 // bytes: of the segments that were compacted before, and that may be now
	failed       bool  // the last pass
}

func newCleaner() *cleaner {
	return &cleaner{
		slots:    slots{freed: make(chan struct{})},
		throttle: &throttle{now: time.Now}, running: make(map[*partition.Partition]*pass), looked: make(map[*partition.Partition]looked),
	}
}

func (c *cleaner) configure(cfg config.Cleaner) {
	c.slots.setMost(cfg.Threads)
	c.throttle.setRate(cfg.Rate)
}

// compactFolder looks again and again for partitions in a folder that are to be compacted.
func (n *Node) compactFolder(f *folder) {
	for {
		timer := time.NewTimer(n.Config().Cleaner.Backoff)
		select {
		case <-timer.C:
		case <-n.ctx.Done():
			timer.Stop()
			return
		}
		if f.failed() == nil {
			n.compactAll(f)
		}
	}
}

// compactAll begins a pass over each partition in a folder that is compacted, but for those that have one. It ends
// when the folder's disk hangs.
func (n *Node) compactAll(f *folder) {
	topics := n.topics.Load()
	n.cleaner.forget(f, topics)
	for t, p := range topics.in(f) {
		if !t.settings.Compact || n.cleaner.isRunning(p) {
			continue
		}
		if err := n.cleaner.slots.take(n.ctx); err != nil {
			return
		}
		if n.cleaner.hangs(f) {
			n.cleaner.slots.give()
			return
		}
		x := n.beginPass(p, f)
		n.running.Go(func() { n.compact(t, p, x) })
	}
}

// beginPass notes a pass that has a slot.
func (n *Node) beginPass(p *partition.Partition, f *folder) *pass {
	x := &pass{cleaner: n.cleaner, partition: p, folder: f, began: time.Now(), giveSlot: sync.OnceFunc(n.cleaner.slots.give)}
	n.watchdog.Watch(&x.disk, func() {
		n.logger.Error("the disk hangs", "folder", f.root, "topic", p.Topic(), "partition", p.Index(),
			"err", &partition.HungError{Op: "a compaction", Limit: n.watchdog.Limit()})
		x.giveSlot() // it may be for long, and others are to go on
	})
	x.disk.Begin()
	n.cleaner.note(p, x)
	return x
}

// compact makes a pass, if there is enough to do for one.
func (n *Node) compact(t *Topic, p *partition.Partition, x *pass) {
	done, err := p.Compact(n.ctx, time.Now(), x)
	x.disk.End()
	n.watchdog.Forget(&x.disk)
	failed := err != nil && !errors.Is(err, partition.ErrClosed) && n.ctx.Err() == nil
	n.cleaner.count(x, done, failed)
	n.cleaner.note(p, nil)
	x.giveSlot()
	if failed {
		n.logger.Error("compaction failed", "topic", t.Name, "partition", p.Index(), "err", err)
	} else if done.Segments > 0 {
		n.logger.Info("compaction removed records", "topic", t.Name, "partition", p.Index(), "records", done.Records,
			"segments", done.Segments, "bytes_before", done.BytesBefore, "bytes_after", done.BytesAfter, "took", time.Since(x.began))
	}
}

// note says which pass over a partition runs, nil for none.
func (c *cleaner) note(p *partition.Partition, x *pass) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[p] = x; x == nil {
		delete(c.running, p)
	}
}

func (c *cleaner) isRunning(p *partition.Partition) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running[p] != nil
}

// hangs says whether a pass in a folder does.
func (c *cleaner) hangs(f *folder) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.running {
		if x.folder == f && x.disk.Hangs() {
			return true
		}
	}
	return false
}

// pass is one compaction of a partition, as it goes.
type pass struct {
	cleaner   *cleaner
	partition *partition.Partition
	folder    *folder
	began     time.Time
	disk      partition.Watched // each piece between two calls of Moved
	giveSlot  func()            // more than once does nothing

	planned, read atomic.Int64 // bytes
}

var _ log.Meter = (*pass)(nil)

// Found implements log.Meter.
func (x *pass) Found(clean, dirty int64) {
	x.cleaner.look(x.partition, func(l *looked) { l.folder, l.clean, l.dirty = x.folder, clean, dirty })
}

// Plan implements log.Meter.
func (x *pass) Plan(bytes int64) { x.planned.Add(bytes) }

// Moved implements log.Meter.
func (x *pass) Moved(ctx context.Context, read, written int64) error {
	x.disk.End()
	defer x.disk.Begin()
	x.read.Add(read)
	x.cleaner.done.read.Add(read)
	x.cleaner.done.written.Add(written)
	began := time.Now()
	defer func() { x.cleaner.done.throttledNanos.Add(int64(time.Since(began))) }()
	return x.cleaner.throttle.await(ctx, int(read+written))
}

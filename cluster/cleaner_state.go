package cluster

import (
	"maps"
	"sync/atomic"
	"time"

	"weir/log"
	"weir/partition"
)

// cleanerTotals count since the node was opened.
type cleanerTotals struct {
	passes, failures, removed, read, written, nanos, throttledNanos atomic.Int64
}

// count notes how a pass has ended. One that had nothing to do is none.
func (c *cleaner) count(x *pass, done log.Compacted, failed bool) {
	c.look(x.partition, func(l *looked) { l.folder, l.failed = x.folder, failed })
	if failed {
		c.done.failures.Add(1)
	}
	if x.planned.Load() > 0 {
		c.done.passes.Add(1)
		c.done.nanos.Add(int64(time.Since(x.began)))
	}
	c.done.removed.Add(done.Records)
}

func (c *cleaner) look(p *partition.Partition, change func(*looked)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.looked[p]
	change(&l)
	c.looked[p] = l
}

// forget drops what is known of partitions that were in a folder.
func (c *cleaner) forget(f *folder, topics *topicSet) {
	here := make(map[*partition.Partition]bool)
	for t, p := range topics.in(f) {
		here[p] = t.settings.Compact
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.looked, func(p *partition.Partition, l looked) bool { return l.folder == f && !here[p] })
}

// Compaction is what the compaction of all partitions here has done since the node was opened.
type Compaction struct {
	Passes    int64 // that had something to do and have ended
	Failures  int64
	Removed   int64         // records
	Read      int64         // bytes
	Written   int64         // bytes
	Time      time.Duration // of all passes together
	Throttled time.Duration // of it, that they waited
	Of        map[*partition.Partition]PartitionCompaction
}

// PartitionCompaction is how it stands with one partition of a compacted topic.
type PartitionCompaction struct {
	Clean, Dirty  int64 // bytes at the last look: compacted before, and such as may be now
	Failed        bool  // the last pass
	Running       bool
	Planned, Read int64 // bytes that the pass which runs will have read, and has
}

// Compaction returns what it is now.
func (n *Node) Compaction() Compaction {
	c, done := n.cleaner, &n.cleaner.done
	s := Compaction{
		Passes: done.passes.Load(), Failures: done.failures.Load(), Removed: done.removed.Load(), Read: done.read.Load(), Written: done.written.Load(),
		Time: time.Duration(done.nanos.Load()), Throttled: time.Duration(done.throttledNanos.Load()),
		Of: make(map[*partition.Partition]PartitionCompaction),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, l := range c.looked {
		s.Of[p] = PartitionCompaction{Clean: l.clean, Dirty: l.dirty, Failed: l.failed}
	}
	for p, x := range c.running {
		if planned := x.planned.Load(); planned > 0 {
			of := s.Of[p]
			of.Running, of.Planned, of.Read = true, planned, x.read.Load()
			s.Of[p] = of
		}
	}
	return s
}

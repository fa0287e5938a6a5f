package partition

import (
	"context"
	"slices"
	"time"

	"weir/log"
)

// A leader whose disk has no room refuses batches, and hands over to a follower that has
// everything: there the producers go on. A replica that has just found its disk full asks
// for no votes; later it may, for nobody else may be able to lead. What is written next
// finds out whether there is room again.

// standAsideTime is for how long after that it leaves leading to others.
const standAsideTime = 10 * time.Second

// foundFull is called by the library's goroutines when something has found no room. It
// does not wait.
func (p *Partition) foundFull(err error) {
	now := time.Now()
	if last := p.full.Swap(&now); last == nil || now.Sub(*last) > standAsideTime {
		p.logger.Error("the disk is full: nothing is written until there is room, and others are to lead", "err", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.yield(now)
}

// yield has a leader hand over. It is called with mu held.
func (p *Partition) yield(now time.Time) {
	_, leading := p.Leading()
	if !leading || p.closed.Load() || now.Sub(p.yielded) < standAsideTime {
		return // not again and again: all may be full
	}
	p.yielded = now
	p.background.Go(p.handOver)
}

// mayTake asks for a leader whether a batch is to be taken. It is called with mu held.
func (p *Partition) mayTake(sizeBytes int) error {
	if p.cfg.Room == nil {
		return nil
	}
	elsewhere, err := p.cfg.Room(sizeBytes)
	if err == nil {
		return nil
	}
	if elsewhere {
		p.yield(time.Now())
	}
	return p.storageError(err)
}

// mayStore asks for a follower whether entries are to be stored: what is left of its disk may be for others. The end of
// the log is not left as it is when it has just been cut off.
func (p *Partition) mayStore() error {
	if p.cfg.Full == nil || !p.w.stamped || p.w.cut {
		return nil
	}
	size := 0
	for _, e := range p.w.entries {
		if e.Kind == log.KindBatch {
			size += len(e.Data)
		}
	}
	if size == 0 {
		return nil
	}
	return p.cfg.Full(size)
}

// hasRoom is called when entries have been written. One without a batch may fit where
// nothing else does.
func (p *Partition) hasRoom(entries []log.Entry) {
	if p.full.Load() == nil || !slices.ContainsFunc(entries, func(e log.Entry) bool { return e.Kind == log.KindBatch }) {
		return
	}
	p.full.Store(nil)
	p.logger.Info("there is room on the disk again")
}

// standsAside says that this replica is not to be elected.
func (p *Partition) standsAside() bool {
	full := p.full.Load()
	return p.damaged.Load() || full != nil && time.Since(*full) < standAsideTime
}

// handOverTimeout bounds the wait of a leader that may not go on for another one.
const handOverTimeout = 5 * time.Second

// handOver gives the leadership to a follower that had everything a moment ago, if there is one.
func (p *Partition) handOver() {
	id := p.successor()
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handOverTimeout)
	defer cancel()
	if err := p.Transfer(ctx, id); err != nil {
		p.logger.Warn("the leadership is not handed over", "to", id, "err", err)
	}
}

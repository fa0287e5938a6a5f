package partition

import (
	"errors"
	"time"

	"weir/log"
)

// The log start is the same on all replicas: the leader decides by its clock and its segments where
// retention wants it, and has it moved by an entry, as DeleteRecords does. The segments below go on each replica for
// itself.

// Maintain does what time asks for: retention, and forgetting producers.
func (p *Partition) Maintain(now time.Time) error {
	if p.left.Load() != nil {
		return nil // its log may be held by what hangs
	}
	p.mu.Lock()
	if p.closed.Load() {
		p.mu.Unlock()
		return ErrClosed
	}
	p.state.producers.expire(now.Add(-p.settings.ProducerExpiry))
	p.state.configurations.keepFrom(p.log.FirstRaftIndex())
	owed := p.checkpointOwed
	p.mu.Unlock()
	if owed {
		p.saveCheckpoint()
	}
	p.retryStart()
	p.setRetainFloor()
	err := p.retain(now)
	p.checkLog()
	p.forgetAborted(p.log.LogStartOffset())
	return err
}

func (p *Partition) retain(now time.Time) error {
	if full := p.full.Load(); full != nil && now.Sub(*full) < standAsideTime {
		return p.retainAlone(now)
	}
	to, err := p.log.RetentionStart(now, p.highWatermark.Load())
	if err != nil {
		return err
	}
	p.orderStart(to)
	deleted, err := p.log.Tidy()
	p.tellDeleted(deleted)
	return err
}

// retainAlone is for a replica whose disk was found full a moment ago: there may be no room for the entry, and what retention gives back is
// the room that is missing. The others come to the same by the leader's order.
func (p *Partition) retainAlone(now time.Time) error {
	start := p.log.LogStartOffset()
	deleted, err := p.log.Retain(now, p.highWatermark.Load())
	p.tellDeleted(deleted)
	if p.log.LogStartOffset() > start { // perhaps without a segment to delete: the last entry stays
		p.waiters.wakeAll() // parked reads below the new start must hear of it
	}
	return err
}

// orderStart has all replicas move the log start to an offset, if this one leads them. Its own start, which they may not
// know, is an order, too. What is not taken is found due again the next time.
func (p *Partition) orderStart(to int64) {
	p.mu.Lock()
	_, leading := p.Leading()
	due := to > p.startOrdered && (to > p.log.LogStartOffset() || !p.sole)
	free := p.starting == nil || p.starting.Settled()
	p.mu.Unlock()
	if !leading || !due || !free || p.ordering.Swap(true) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return
	}
	p.background.Go(func() { // the group may be stuck, and Maintain has others to look after
		defer p.ordering.Store(false)
		a := p.propose(advanceStartTo(to))
		p.mu.Lock()
		p.starting = a
		p.mu.Unlock()
	})
}

// rollForStart seals the active segment when the entries to be stored begin with an order to delete all of it, so that it
// can go when that is applied. It is called by the main goroutine of the group.
func (p *Partition) rollForStart(first log.Entry) {
	start, ok := startIn(first.Data)
	if first.Kind != log.KindBarrier || !ok || start != p.log.LogEndOffset() {
		return
	}
	if err := p.log.Roll(); err != nil {
		p.logger.Warn("what is deleted keeps its last segment for now", "err", err)
	}
}

// advanceStart moves the log start and lets go of what lies below. The start comes first: a checkpoint above the order
// that does not have it would have a start forget it. Of what is deleted only a checkpoint tells, so that comes before
// (setRetainFloor). What the disk refuses is tried again by Maintain.
func (p *Partition) advanceStart(offset int64) error {
	// A checkpoint above what a power loss leaves of the log would count for nothing.
	err := p.log.Sync()
	if err == nil {
		err = p.log.AdvanceStart(min(offset, p.log.LogEndOffset()))
	}
	if err == nil {
		p.saveCheckpoint()
		p.setRetainFloor()
		p.mu.Lock()
		if p.startAsked <= offset {
			p.startAsked = 0
		}
		p.mu.Unlock()
		p.waiters.wakeAll()
		p.deleteSegmentsLater()
	}
	p.tellDeleting(err)
	return err
}

// setRetainFloor has no segment deleted that the newest checkpoint does not tell of. Without one none is: the library
// applies all of them at the next open.
func (p *Partition) setRetainFloor() { p.log.SetRetainFloor(max(1, p.checkpointOnDisk.Load())) }

// moveStartLater carries out the orders that are applied. Nothing that is applied after them waits for the half a dozen
// syncs that it takes. It is called with mu held.
func (p *Partition) moveStartLater() {
	if p.startMoving || p.startAsked <= max(p.startTried, p.log.LogStartOffset()) || p.closed.Load() {
		return
	}
	p.startMoving = true
	p.background.Go(p.moveStart)
}

func (p *Partition) moveStart() {
	for {
		p.mu.Lock()
		asked := p.startAsked
		if asked <= max(p.startTried, p.log.LogStartOffset()) || p.closed.Load() {
			p.startMoving = false
			if then := p.servesThen; then > 0 {
				p.servesThen = 0
				p.serve(then)
			}
			p.mu.Unlock()
			return
		}
		p.startTried = asked
		p.mu.Unlock()
		p.disk.start.Begin()
		err := p.advanceStart(asked)
		p.disk.start.End()
		p.noteStartFailed(asked, err)
		p.alarm.ring()
	}
}

// noteStartFailed tells those whose order it was, unless a later one has the same tried again.
func (p *Partition) noteStartFailed(asked int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && p.startTried == asked {
		failed := p.storageError(err)
		p.startFailed.Store(&failed)
	}
}

// retryStart is for Maintain.
func (p *Partition) retryStart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.startTried = 0
	p.moveStartLater()
}

// deleteSegmentsLater deletes the segments below the log start; nobody waits for it, since large files take long.
func (p *Partition) deleteSegmentsLater() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return // they are deleted after the next open
	}
	p.background.Go(p.deleteSegments)
}

// deleteSegments ends at an open what a crash has cut short, too.
func (p *Partition) deleteSegments() {
	deleted, err := p.log.DeleteSegments()
	p.tellDeleted(deleted)
	p.tellDeleting(err)
}

func (p *Partition) tellDeleted(segments int) {
	if segments > 0 {
		p.logger.Info("segments are deleted", "segments", segments, "start", p.log.LogStartOffset())
	}
}

func (p *Partition) tellDeleting(err error) {
	if err != nil && !errors.Is(err, log.ErrClosed) {
		p.logger.Error("records are not deleted yet", "start", p.log.LogStartOffset(), "err", err)
	}
}

package partition

import (
	"errors"
	"io"
	"time"

	"github.com/hashicorp/raft"

	"weir/log"
)

// machine is the state machine of the group: what is applied is committed. The
// library drives it on one goroutine.
type machine struct{ p *Partition }

var _ raft.BatchingFSM = machine{}

var errNoSnapshots = errors.New("partition: the log is the data, and no snapshot is taken of it")

// Snapshot refuses: the library's own snapshots would cut the log behind them.
func (machine) Snapshot() (raft.FSMSnapshot, error) { return nil, errNoSnapshots }

func (m machine) Restore(r io.ReadCloser) error {
	m.p.disk.apply.Begin()
	defer m.p.disk.apply.End()
	return errors.Join(m.p.install(r), r.Close())
}

func (m machine) Apply(entry *raft.Log) any { return m.ApplyBatch([]*raft.Log{entry})[0] }

// ApplyBatch is the third event: entries are committed, in order. Whoever waits for
// it hears by the proposal, so the answers are empty.
func (m machine) ApplyBatch(entries []*raft.Log) []any {
	p := m.p
	now := p.cfg.Now()
	p.mu.Lock()
	own := p.stored
	var failed error
	for _, e := range entries {
		for len(own) > 0 && own[0].raftIndex < e.Index {
			own = own[1:]
		}
		if e.Index <= p.state.at.raftIndex {
			continue // a snapshot was installed over what is known already
		}
		if failed = p.apply(e, own, now); failed != nil {
			break
		}
	}
	p.nowApplied()
	p.moveStartLater()
	p.settleApplied()
	p.mu.Unlock()
	p.alarm.ring()
	if failed != nil {
		p.fail(failed) // what is committed has to be readable
	}
	return make([]any, len(entries))
}

// nowApplied is called with mu held.
func (p *Partition) nowApplied() {
	p.log.SetAppliedFloor(p.state.at.raftIndex)
	p.advanceHighWatermark()
}

// apply takes one committed entry into the state. Of one that was proposed here,
// which is own[0] then, everything is still known.
func (p *Partition) apply(e *raft.Log, own []*proposal, now time.Time) error {
	switch {
	case e.Type == raft.LogConfiguration:
		p.state.configurations.add(e.Index, raft.DecodeConfiguration(e.Data))
	case e.Type != raft.LogCommand:
	case len(own) > 0 && own[0].raftIndex == e.Index:
		if x := own[0]; x.kind == log.KindBatch {
			p.applyOwn(x, now)
		} else if err := p.applyCommand(x.command); err != nil {
			return err
		}
	default:
		head, err := p.log.EntryHead(e.Index)
		switch {
		case err != nil:
			return err
		case head.Kind == log.KindBarrier:
			if err := p.applyCommand(head.Data); err != nil {
				return err
			}
		case head.NextOffset > 0: // not one of those that compaction has removed without a trace
			if err := p.applyStored(head, e.Index, now); err != nil {
				return err
			}
		}
	}
	p.state.at.raftIndex, p.state.at.epoch = e.Index, int32(e.Term)
	return nil
}

// applyOwn notes a batch that was proposed here.
func (p *Partition) applyOwn(x *proposal, now time.Time) {
	if x.marker != nil {
		p.applyMarker(*x.marker, x.baseOffset, now)
	} else {
		p.state.producers.add(x.header, x.baseOffset, now)
	}
	p.state.at.nextOffset = max(p.state.at.nextOffset, x.nextOffset)
	p.notAhead(x) // what is remembered of a producer counts each batch once
}

// applyStored notes a batch that is known by the log only. One that compaction has emptied
// has no records, and counts for its producer all the same.
func (p *Partition) applyStored(head log.EntryHead, raftIndex uint64, now time.Time) error {
	if head.Batch.IsControl() {
		m, err := p.readMarker(raftIndex, head.Batch)
		if err != nil {
			return err
		}
		p.applyMarker(m, head.Offset, now)
	} else {
		p.state.producers.add(head.Batch, head.Offset, now)
	}
	p.state.at.nextOffset = max(p.state.at.nextOffset, head.NextOffset)
	return nil
}

// applyRetold has a state that tells of more than its entry know what the log has up to there: of how far that
// has been retold no checkpoint tells. It is called with mu held, or before the library runs.
func (p *Partition) applyRetold() error {
	at, now := p.state.at, p.cfg.Now()
	if p.state.producers.next <= at.nextOffset {
		return nil
	}
	for raftIndex := p.log.FirstRaftIndex(); raftIndex <= at.raftIndex; raftIndex++ {
		head, err := p.log.EntryHead(raftIndex)
		if err == nil && head.Kind == log.KindBatch {
			err = p.applyStored(head, raftIndex, now)
		}
		if err != nil && !errors.Is(err, log.ErrEntryNotFound) { // which retention has taken meanwhile
			return err
		}
	}
	return nil
}

// advanceHighWatermark moves it to what is applied, and with it the last stable offset,
// unless the replica has left: what it says then counts for nothing. It is called with mu held.
func (p *Partition) advanceHighWatermark() {
	if next := p.state.at.nextOffset; next > p.highWatermark.Load() && p.left.Load() == nil {
		p.setHighWatermark(next)
		p.waiters.wakeAll()
	}
}

// setHighWatermark is called with mu held. Who reads the last stable offset first sees the two
// in order.
func (p *Partition) setHighWatermark(offset int64) {
	p.highWatermark.Store(offset)
	p.lastStable.Store(p.state.producers.stable(offset))
}

// settleApplied ends what was proposed here and is applied. A leadership begins with its
// first entry: who sees it sees all of what earlier leaders have committed. It is called
// with mu held, so that appends are settled in their order.
func (p *Partition) settleApplied() {
	n := 0
	for n < len(p.stored) && p.stored[n].raftIndex <= p.state.at.raftIndex {
		x := p.stored[n]
		p.forget(x)
		if x.kind == log.KindBarrier && x.command == nil {
			p.serve(x.epoch)
		}
		x.settle(nil)
		n++
	}
	if n > 0 {
		clear(p.stored[:n])
		if p.stored = p.stored[n:]; len(p.stored) == 0 {
			p.stored = nil // give the drained array back
		}
		p.room.Broadcast()
	}
	if p.checkpointDue() {
		p.saveCheckpointLater()
	}
}

// serve begins a leadership, now that everything before it has been applied, and carried out: who deleted records
// finds them deleted here. It is called with mu held.
func (p *Partition) serve(epoch int32) {
	if p.startMoving {
		p.servesThen = epoch
		return
	}
	r := p.raft.Load()
	if r == nil || p.left.Load() != nil || r.State() != raft.Leader || r.CurrentTerm() != uint64(epoch) {
		return // lost meanwhile; deposed has run, or waits for mu
	}
	if p.epoch.Load() == epoch {
		return // a transfer has failed (keepLeading)
	}
	now := p.cfg.Now()
	p.since.Store(&now)
	p.epoch.Store(epoch)
	p.changed()
}

// checkpointEvery bounds how many entries a start has to apply again.
const checkpointEvery = 1 << 16

// checkpointDue says that a segment has begun since the last checkpoint, and has
// been reached, or that the last one is long ago.
func (p *Partition) checkpointDue() bool {
	at, rolledAt := p.state.at, p.rolledAt.Load()
	return p.checkpointOffset < rolledAt && at.nextOffset >= rolledAt || at.raftIndex-p.checkpoint >= checkpointEvery
}

package log

import (
	"errors"
	"fmt"

	"weir/segment"
)

// TruncateSuffix removes the entries from raft index from on: log, indexes and
// epochs together, durable on return. Nothing at or below the floor set by
// SetAppliedFloor goes, nor anything below the log start. Readers keep ranges
// that were handed out, and may find them cut short.
//
// Errors: *TruncateError, with nothing changed; others leave the log failed
// when it may have been changed in part. Then only opening it again helps.
func (l *Log) TruncateSuffix(from uint64) error {
	l.layoutMu.Lock()
	defer l.layoutMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if from >= l.nextRaft.Load() {
		return nil
	}
	if floor := l.appliedFloor.Load(); from <= floor {
		return &TruncateError{From: from, Reason: fmt.Sprintf("entries up to %d have been applied", floor)}
	}
	s, err := l.segmentOfEntry(from)
	if errors.Is(err, ErrEntryNotFound) {
		return &TruncateError{From: from, Reason: "it lies below the first entry kept"}
	}
	if err != nil {
		return err
	}
	to, err := s.Before(from)
	if errors.Is(err, segment.ErrCompacted) {
		return &TruncateError{From: from, Reason: "compaction has removed it"}
	}
	if err != nil {
		return err
	}
	if start := l.logStart.Load(); to.NextOffset < start {
		return &TruncateError{From: from, Reason: fmt.Sprintf("offset %d lies below the log start %d", to.NextOffset, start)}
	}
	return l.truncate(s, to)
}

// truncate makes to the end of the log; it lies in s.
//
// The order matters: first the recovery point goes below the cut, or an open
// after a crash would miss synced data; then segments go, newest first and each
// for good before the next, so that what is left is always a log.
func (l *Log) truncate(s *segment.Segment, to segment.State) error {
	if err := l.cutCleaned(to.NextOffset); err != nil {
		return l.failIfSync(err)
	}
	l.w.cuts++
	l.cuts.Add(1)
	defer l.cuts.Add(1)
	l.lowerSynced(s, to)
	defer l.cutEnds()
	epochs := l.epochs.Load().below(to.NextRaftIndex).endingIn(to.Epoch, l.logStart.Load(), to.NextRaftIndex)
	if err := l.writeCheckpoint(unmoved, twice); err != nil {
		return l.failIfSync(err)
	}
	list := l.list()
	keep := 0
	for list[keep] != s {
		keep++
	}
	rest := append([]*segment.Segment(nil), list[:keep+1]...)
	l.epochs.Store(&epochs)
	l.logEnd.Store(to.NextOffset)
	l.nextRaft.Store(to.NextRaftIndex)
	l.segments.Store(&rest)
	l.w.changed = true
	for i := len(list) - 1; i > keep; i-- {
		unlink, err := list[i].Drop()
		if err == nil {
			err = l.syncDir()
		}
		if err == nil {
			err = l.unlink(unlink)
		}
		if err != nil {
			return l.fail(err)
		}
	}
	err := s.TruncateSuffix(to)
	l.forgetTrail()
	if err != nil {
		return l.fail(err)
	}

	l.w.firstTimestamp, err = s.FirstTimestamp(s.BaseOffset())
	return l.fail(err)
}

// lowerSynced takes the synced point down to a state that is about to be the
// end of the log, and holds it there until cutEnds. Without it a later,
// shorter log would count as synced. A sync under way ends before.
func (l *Log) lowerSynced(s *segment.Segment, to segment.State) {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.cutting = to.NextRaftIndex
	if l.synced.state.NextRaftIndex >= to.NextRaftIndex { // the same state may lie in a segment that goes
		l.synced = durablePoint{segment: s, state: to, bytes: l.synced.bytes}
		l.durable.Store(to.NextOffset)
	}
}

func (l *Log) cutEnds() {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.cutting = 0
}

package log

import (
	"errors"

	"weir/segment"
)

// checkpointEveryBytes is after how many synced bytes the recovery point moves,
// which bounds what an unclean open reads.
const checkpointEveryBytes = 32 << 20

// Sync makes everything appended before the call durable. Calls that come
// while a sync is under way wait together for the next one. A failed sync is
// final: the log takes no more writes, and the Syncer's fatal callback hears of
// it. Errors: *FailedError, ErrClosed.
func (l *Log) Sync() error {
	if l.readOnly {
		return ErrReadOnly
	}
	due, err := l.syncOnce()
	if err != nil || !due {
		return err
	}
	return l.failIfSync(l.advanceRecoveryPoint())
}

// syncOnce is Sync without what may come after it; due says that it is time for
// a checkpoint.
func (l *Log) syncOnce() (due bool, err error) {
	target := l.nextRaft.Load()
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	for {
		if f := l.failure.Load(); f != nil {
			return false, f
		}
		if l.synced.state.NextRaftIndex >= target {
			return false, nil // somebody's sync covered it
		}
		if l.closed.Load() {
			return false, ErrClosed
		}
		active := l.active()
		end, err := active.End()
		if err == nil {
			err = active.Sync()
		}
		switch {
		case errors.Is(err, segment.ErrDropped):
			continue // rolled, sealed and deleted meanwhile
		case err != nil:
			return false, l.failIfSync(err)
		}
		l.noteSyncedLocked(active, end)
		return l.synced.bytes >= checkpointEveryBytes, nil
	}
}

// syncBy has a segment's end made durable by something else than its Sync. No other sync of the file may run beside
// it: the system tells of a write that has failed once, and whoever does not hear of it would take it for a good one.
func (l *Log) syncBy(s *segment.Segment, sync func() error) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if f := l.failure.Load(); f != nil {
		return f
	}
	if err := sync(); err != nil {
		return l.failIfSync(err)
	}
	end, err := s.End()
	if err != nil {
		return err
	}
	l.noteSyncedLocked(s, end)
	return nil
}

// syncedRaft is the raft index below which all is on disk.
func (l *Log) syncedRaft() uint64 {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	return l.synced.state.NextRaftIndex
}

// setSynced notes that everything up to a state is on disk.
func (l *Log) setSynced(s *segment.Segment, end segment.State) {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.noteSyncedLocked(s, end)
}

// noteSyncedLocked moves the durable point forward; a sync that began before a
// roll may end after it.
func (l *Log) noteSyncedLocked(s *segment.Segment, end segment.State) {
	old := l.synced
	if old.segment != nil && (end.NextRaftIndex < old.state.NextRaftIndex || s.BaseOffset() < old.segment.BaseOffset()) {
		return
	}
	if l.cutting != 0 && end.NextRaftIndex > l.cutting {
		return // it is on disk, and about to go
	}
	n := end.Position - segment.HeaderBytes
	if s == old.segment {
		n = end.Position - old.state.Position
	}
	l.synced = durablePoint{segment: s, state: end, bytes: old.bytes + n}
	l.durable.Store(end.NextOffset)
}

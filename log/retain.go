package log

import (
	"errors"
	"slices"
	"time"

	"weir/segment"
)

// AdvanceStart moves the log start offset up, within [LogStartOffset,
// LogEndOffset]; a smaller one changes nothing. It is durable on return, and
// so is everything below it. Segments that lie wholly below go with
// DeleteSegments or Retain.
//
// Errors: *OffsetOutOfRangeError, ErrClosed, ErrReadOnly, *FailedError, those
// of the file system, after which the start is as before.
func (l *Log) AdvanceStart(to int64) error {
	l.layoutMu.Lock()
	defer l.layoutMu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	return l.failIfSync(l.advanceStart(to))
}

// advanceStart is called with layoutMu held, which keeps the end from falling: the writer does not wait for the disk.
func (l *Log) advanceStart(to int64) error {
	start, end := l.logStart.Load(), l.logEnd.Load()
	if to > end {
		return &OffsetOutOfRangeError{Offset: to, Start: start, End: end}
	}
	if to <= start {
		return nil
	}
	if to > l.durable.Load() {
		// A start above the end would refuse to open after a power loss.
		if _, err := l.syncOnce(); err != nil {
			return err
		}
	}
	if err := l.writeCheckpoint(to, twice); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	epochs := l.epochs.Load().from(to)
	l.epochs.Store(&epochs)
	l.logStart.Store(to)
	return nil
}

// DeleteSegments removes the segments that lie wholly below the log start and
// says how many. The active one stays, so does the one that holds the last entry
// while the active one is empty, and all that SetRetainFloor keeps. Readers that
// hold a range go on. A power loss meanwhile may leave holes below the log start: it is to
// be called again after the open.
func (l *Log) DeleteSegments() (deleted int, err error) {
	l.layoutMu.Lock()
	if err := l.writable(); err != nil {
		l.layoutMu.Unlock()
		return 0, err
	}
	deleted, unlink, err := l.dropBelowStart()
	err = l.failIfSync(err)
	l.layoutMu.Unlock()
	// Unlinking takes long for large files, and needs no lock.
	return deleted, errors.Join(err, l.unlink(unlink))
}

// dropBelowStart renames the files of segments below the log start, oldest first. It is called with layoutMu held: the
// writer only adds to the list meanwhile.
func (l *Log) dropBelowStart() (deleted int, unlink []string, err error) {
	list := l.list()
	deleted, h, err := l.belowStart(list)
	if err == nil && deleted > 0 {
		err = l.recoverFrom(h.BaseOffset)
	}
	if err != nil || deleted == 0 {
		return 0, nil, err
	}
	l.beginWith(h.BaseRaftIndex, nil, deleted)
	for i, s := range list[:deleted] {
		names, err := s.Drop()
		unlink = append(unlink, names...)
		if err != nil {
			if s.Dropped() {
				i++
			}
			return i, unlink, errors.Join(err, l.putBack(list[i:deleted]), l.failIfSync(l.syncDir()))
		}
	}
	return deleted, unlink, l.failIfSync(l.syncDir())
}

// putBack has segments in the list again that could not be dropped: the next call tries once more.
func (l *Log) putBack(dropped []*segment.Segment) error {
	if len(dropped) == 0 {
		return nil
	}
	h, err := dropped[0].Header()
	if err != nil {
		return err
	}
	l.beginWith(h.BaseRaftIndex, dropped, 0)
	return nil
}

// beginWith replaces so many segments at the list's beginning; the first entry then is that of a raft index. It is called
// with layoutMu held.
func (l *Log) beginWith(firstRaft uint64, first []*segment.Segment, replaces int) {
	l.firstRaft.Store(firstRaft)
	l.changeList(func(list []*segment.Segment) []*segment.Segment { return slices.Concat(first, list[replaces:]) })
}

// belowStart counts the segments that may go and gives the header of the first
// that stays. What follows them holds an entry that is on disk, so that no power
// loss leaves a log that has forgotten its last one.
func (l *Log) belowStart(list []*segment.Segment) (n int, first segment.Header, err error) {
	floor := l.retainFloor.Load()
	for n < len(list)-1 && list[n+1].BaseOffset() <= l.logStart.Load() {
		h, err := list[n+1].Header()
		if err != nil {
			return 0, first, err
		}
		if floor != 0 && h.BaseRaftIndex > floor || h.BaseRaftIndex >= l.nextRaft.Load() {
			break
		}
		if h.BaseRaftIndex >= l.syncedRaft() {
			if _, err := l.syncOnce(); err != nil {
				return 0, first, err
			}
		}
		n, first = n+1, h
	}
	return n, first, nil
}

// recoverFrom sees to it that recovery needs no segment below base.
func (l *Log) recoverFrom(base int64) error {
	l.checkpointMu.Lock()
	done := l.checkpoint.durable && l.checkpoint.last.point.Base >= base
	l.checkpointMu.Unlock()
	if done {
		return nil
	}
	return l.writeCheckpoint(unmoved, durably)
}

func (l *Log) unlink(names []string) error {
	var err error
	for _, name := range names {
		err = errors.Join(err, segment.Remove(l.fs, name))
	}
	return err
}

// Retain moves the log start to RetentionStart, and is Tidy then; it says how many segments it deleted.
// When all of the active segment goes it is sealed first, and goes after the next append; until then
// it holds the last entry.
func (l *Log) Retain(now time.Time, highWatermark int64) (deleted int, err error) {
	l.layoutMu.Lock()
	to, err := l.retentionStartSealed(now, highWatermark)
	if err == nil {
		err = l.advanceStart(to)
	}
	return l.tidyAndUnlock(err)
}

// retentionStartSealed is RetentionStart, for which it rolls the active segment where all of that goes.
func (l *Log) retentionStartSealed(now time.Time, highWatermark int64) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to, err := l.retentionStart(now, highWatermark)
	if err == nil && to == l.logEnd.Load() && to > l.active().BaseOffset() {
		to, err = l.replaceExpired(to)
	}
	return to, err
}

// replaceExpired rolls the active segment, so that the log start may move to its end, and gives
// where else it may.
func (l *Log) replaceExpired(to int64) (int64, error) {
	active := l.active()
	err := l.roll()
	if sync := (*segment.SyncError)(nil); err == nil || errors.As(err, &sync) {
		return to, err
	}
	// Perhaps for want of the room that the older ones take.
	l.logger.Warn("expired segment not replaced by an empty one; it stays", "path", active.Path(), "err", err)
	return max(active.BaseOffset(), l.logStart.Load()), nil
}

// Tidy is to be called from time to time: it removes what DeleteSegments removes, says how many those
// are, moves the recovery point and closes idle files.
func (l *Log) Tidy() (deleted int, err error) {
	l.layoutMu.Lock()
	return l.tidyAndUnlock(l.writable())
}

// tidyAndUnlock is Tidy, unless err is an error already. It gives layoutMu back.
func (l *Log) tidyAndUnlock(err error) (deleted int, _ error) {
	var unlink []string
	if err == nil {
		deleted, unlink, err = l.dropBelowStart()
	}
	if err == nil {
		err = l.tidy()
	}
	err = l.failIfSync(err)
	l.layoutMu.Unlock()
	return deleted, errors.Join(err, l.unlink(unlink))
}

// tidy moves the recovery point if something has been synced since, and closes
// idle files.
func (l *Log) tidy() error {
	l.syncMu.Lock()
	stale := l.synced.bytes > 0
	l.syncMu.Unlock()
	if stale {
		if err := l.advanceRecoveryPoint(); err != nil {
			return err
		}
	}
	return l.CloseIdle()
}

// RetentionStart is where age and size want the log start, as in Kafka: after the oldest segments that
// are too old or too much, whole ones, none of which reaches past highWatermark, and the active one only when it is
// too old. It is the log start as it is when nothing has to go, or DeleteByRetention is not set. Nothing changes.
// Errors: ErrClosed, ErrReadOnly, *FailedError, those of reading.
func (l *Log) RetentionStart(now time.Time, highWatermark int64) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retentionStart(now, highWatermark)
}

func (l *Log) retentionStart(now time.Time, highWatermark int64) (int64, error) {
	start := l.logStart.Load()
	s := l.settings.Load()
	if err := l.writable(); err != nil || !s.DeleteByRetention {
		return start, err
	}
	excess := int64(0)
	if s.RetentionBytes > 0 {
		excess = l.SizeBytes() - s.RetentionBytes
	}
	list := l.list()
	for i, seg := range list {
		active, next := i == len(list)-1, l.logEnd.Load()
		if !active {
			next = list[i+1].BaseOffset()
		}
		if next > highWatermark || active && seg.BaseOffset() == next {
			break
		}
		expired, err := l.expired(seg, s.RetentionAge, now)
		if err != nil {
			return start, err
		}
		size := seg.SizeBytes()
		tooMuch := s.RetentionBytes > 0 && excess >= size && !active
		if !expired && !tooMuch {
			break
		}
		excess -= size
		start = max(start, next)
	}
	return start, nil
}

// expired tells a segment's age by its largest timestamp, by its creation when
// it has none.
func (l *Log) expired(s *segment.Segment, age time.Duration, now time.Time) (bool, error) {
	if age <= 0 {
		return false, nil
	}
	end, err := s.End()
	if err != nil {
		return false, err
	}
	ts := end.MaxTimestamp
	if ts < 0 {
		h, err := s.Header()
		if err != nil {
			return false, err
		}
		ts = h.CreatedMillis
	}
	return now.UnixMilli()-ts > age.Milliseconds(), nil
}

package log

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"weir/protocol/recordbatch"
	"weir/segment"
)

// EntryKind says what an entry is.
type EntryKind = segment.Kind

// The kinds of entries. Only a batch takes offsets.
const (
	KindBatch         = segment.KindBatch
	KindNoop          = segment.KindNoop
	KindConfiguration = segment.KindConfiguration
	KindBarrier       = segment.KindBarrier
	KindRemoved       = segment.KindRemoved // by compaction; AppendStamped takes it, Append does not
)

// Entry is one Raft entry.
type Entry struct {
	Kind  EntryKind
	Epoch int32 // leader epoch (Raft term); never below that of the entry before
	// Data of a batch is one whole record batch of magic 2, into which Append
	// stamps base offset and epoch, and AppendStamped does not. Otherwise it is
	// Raft's, and may be empty.
	Data []byte
	// NextOffset is for KindRemoved: where the run of removed entries ends, in the last
	// of them; 0 in the others.
	NextOffset int64
	// Ahead is for KindRemoved, where the entries given end amid a run: how many more are
	// in that. The last one given has NextOffset then, too.
	Ahead uint64
}

// AppendResult says where entries went.
type AppendResult struct {
	BaseOffset     int64 // of the first batch; the log end when there is none
	NextOffset     int64 // the log end after them
	FirstRaftIndex uint64
	LastRaftIndex  uint64
}

// Append adds entries at the end, all or none. On return readers see them and
// they are in the page cache; they are durable after the next Sync. Data is not
// kept. After an error (a full disk, for example) the log is as before and
// takes further appends, unless it is a *FailedError.
//
// Errors: *EntryError, *segment.TooLargeError, ErrClosed, ErrReadOnly,
// *FailedError, and those of the file system.
func (l *Log) Append(entries []Entry) (AppendResult, error) {
	return l.append(entries, false)
}

// AppendStamped is Append for entries that another replica's log has stamped: the
// batches' base offsets and epochs are compared with what this log would stamp,
// their CRCs are checked, and Data is not changed. Entries that the other log's
// compaction has removed come as KindRemoved: each takes a raft index, and a run of
// them all offsets up to its NextOffset, so that both logs count alike. A run is stored
// as one stand-in, whole: also what of it is Ahead of the last entry, so that the log
// may go on after that. Half of a run could not be stored, since nobody knows at which
// offset it would end. Only what is committed is ever removed: what has a stand-in is
// not cut off by TruncateSuffix.
//
// Errors: those of Append, an *EntryError for a CRC that does not match, or a run whose
// end is not told; and *DivergedError. Nothing is written then.
func (l *Log) AppendStamped(entries []Entry) (AppendResult, error) {
	return l.append(entries, true)
}

func (l *Log) append(entries []Entry, stamped bool) (AppendResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writable(); err != nil {
		return AppendResult{}, err
	}
	offset, raft := l.logEnd.Load(), l.nextRaft.Load()
	res := AppendResult{BaseOffset: offset, FirstRaftIndex: raft, LastRaftIndex: raft + uint64(len(entries)) - 1}
	total, next, err := l.plan(entries, stamped, offset, raft)
	if err != nil {
		return AppendResult{}, err
	}
	res.NextOffset = next
	if len(entries) == 0 {
		return res, nil
	}
	if last := l.w.frames[len(l.w.frames)-1]; last.Removed > 0 {
		res.LastRaftIndex = last.RaftIndex + uint64(last.Removed) - 1
	}
	if err := l.rollFor(total, next, res.LastRaftIndex+1); err != nil {
		return AppendResult{}, l.failIfSync(err)
	}
	// Epochs first: a checkpoint written by somebody else must find those of all
	// frames that are in the segment.
	epochs := l.epochs.Load()
	l.publishEpochs()
	if err := l.write(entries, stamped); err != nil {
		l.epochs.Store(epochs)
		return AppendResult{}, err
	}
	l.publish(next, res.LastRaftIndex+1)
	return res, nil
}

// plan checks the entries and counts them into the writer's frames, positions
// left out.
func (l *Log) plan(entries []Entry, stamped bool, offset int64, raft uint64) (total, next int64, err error) {
	l.w.frames = l.w.frames[:0]
	epoch := l.LastEpoch()
	next = offset
	for i, n := 0, 1; i < len(entries); i += n {
		e := entries[i]
		f := segment.Frame{Kind: e.Kind, Offset: next, NextOffset: next, RaftIndex: raft + uint64(i), Epoch: e.Epoch, MaxTimestamp: -1}
		n = 1
		reason := ""
		switch {
		case e.Epoch < max(epoch, 0):
			reason = fmt.Sprintf("epoch %d after %d", e.Epoch, epoch)
		case e.Kind == KindBatch:
			if reason, err = planBatch(&f, e, stamped); err != nil {
				return 0, 0, err
			}
		case e.Kind.Raft():
			f.Bytes = segment.RaftFrameBytes + int64(len(e.Data))
		case e.Kind == KindRemoved && stamped:
			if n, reason, err = planRemoved(&f, entries[i:]); err != nil {
				return 0, 0, err
			}
		default:
			reason = "kind " + e.Kind.String()
		}
		if reason != "" {
			return 0, 0, &EntryError{Index: i, Reason: reason}
		}
		epoch, next = e.Epoch, f.NextOffset
		total += f.Bytes
		l.w.frames = append(l.w.frames, f)
	}
	if total > maxAppendBytes {
		return 0, 0, &segment.TooLargeError{Bytes: total, Max: maxAppendBytes}
	}
	return total, next, nil
}

// planBatch has the frame be that of a batch. reason says why it is none.
func planBatch(f *segment.Frame, e Entry, stamped bool) (reason string, err error) {
	h, err := recordbatch.ParseHeader(e.Data)
	if err != nil {
		return err.Error(), nil
	}
	if stamped && segment.IsEmptied(h) {
		f.Removed, f.Emptied = 1, true
	}
	if h.Magic != recordbatch.Magic || h.SizeBytes() != len(e.Data) || h.LastOffsetDelta < 0 || h.RecordCount < 1 && !f.Emptied {
		return fmt.Sprintf("not one whole batch: magic %d, %d bytes of %d, last offset delta %d, %d records",
			h.Magic, len(e.Data), h.SizeBytes(), h.LastOffsetDelta, h.RecordCount), nil
	}
	if stamped {
		if h.BaseOffset != f.Offset || h.PartitionLeaderEpoch != e.Epoch {
			return "", &DivergedError{RaftIndex: f.RaftIndex, GotOffset: h.BaseOffset, WantOffset: f.Offset,
				GotEpoch: h.PartitionLeaderEpoch, WantEpoch: e.Epoch}
		}
		if err := recordbatch.VerifyChecksum(e.Data); err != nil {
			return err.Error(), nil
		}
	}
	f.Bytes, f.MaxTimestamp = int64(len(e.Data)), h.MaxTimestamp
	f.NextOffset = f.Offset + int64(h.LastOffsetDelta) + 1
	return "", nil
}

// planRemoved has the frame be the stand-in of a run of removed entries, of which n are
// given. reason says what is wrong.
func planRemoved(f *segment.Frame, entries []Entry) (n int, reason string, err error) {
	for n < len(entries) && entries[n].Kind == KindRemoved && entries[n].Epoch == f.Epoch {
		e := entries[n]
		n++
		switch removed := uint64(n) + e.Ahead; {
		case e.NextOffset == 0:
			continue
		case e.NextOffset <= f.Offset:
			return n, "", &DivergedError{RaftIndex: f.RaftIndex + uint64(n-1), GotOffset: e.NextOffset, WantOffset: f.Offset + 1,
				GotEpoch: f.Epoch, WantEpoch: f.Epoch}
		case e.NextOffset-1-f.Offset > math.MaxInt32 || e.Ahead > math.MaxInt32 || removed > math.MaxInt32:
			return n, fmt.Sprintf("%d removed entries, and %d ahead, of offsets %d to %d", n, e.Ahead, f.Offset, e.NextOffset), nil
		case e.Ahead > 0 && n < len(entries):
			return n, "an entry follows amid a run of removed ones", nil
		default:
			f.Kind, f.Bytes, f.NextOffset, f.Removed = KindBatch, recordbatch.HeaderBytes, e.NextOffset, int32(removed)
			return n, "", nil
		}
	}
	return n, "a run of removed entries whose end is not told", nil
}

// write stamps the planned entries, unless they are, and hands them to the active segment.
func (l *Log) write(entries []Entry, stamped bool) error {
	active := l.active()
	position := active.SizeBytes()
	l.w.bufs, l.w.scratch = l.w.bufs[:0], l.w.scratch[:0]
	at := 0
	for i := range l.w.frames {
		f, e := &l.w.frames[i], entries[at]
		at += int(max(f.Removed, 1))
		if e.Kind == KindRemoved {
			e.Data = nil
		}
		f.Position = position
		position += f.Bytes
		if e.Kind == KindBatch {
			if !stamped {
				recordbatch.SetBaseOffset(e.Data, f.Offset)
				recordbatch.SetPartitionLeaderEpoch(e.Data, e.Epoch)
			}
			l.w.bufs = append(l.w.bufs, e.Data)
			continue
		}
		// scratch may move when it grows; what was cut from it stays valid.
		start := len(l.w.scratch)
		if f.Removed > 0 {
			l.w.scratch = segment.AppendStandIn(l.w.scratch, f.Offset, f.NextOffset, f.Epoch, f.Removed)
		} else {
			l.w.scratch = segment.AppendRaftFrame(l.w.scratch, f.Kind, f.Offset, f.Epoch, f.RaftIndex, e.Data)
		}
		l.w.bufs = append(l.w.bufs, l.w.scratch[start:])
	}
	l.w.changed = true
	err := active.Append(l.w.bufs, l.w.frames, l.settings.Load().SegmentBytes)
	clear(l.w.bufs) // the bytes are the caller's
	return err
}

// publishEpochs adds the epochs that begin in the planned frames.
func (l *Log) publishEpochs() {
	epochs := *l.epochs.Load()
	grown := epochs
	for _, f := range l.w.frames {
		grown = grown.add(epochStart{epoch: f.Epoch, offset: f.Offset, raftIndex: f.RaftIndex})
	}
	if len(grown) != len(epochs) || len(grown) > 0 && grown[len(grown)-1] != epochs[len(epochs)-1] {
		list := grown // a copy, or grown would be on the heap in every call
		l.epochs.Store(&list)
	}
}

// publish makes the written frames part of the log.
func (l *Log) publish(next int64, nextRaft uint64) {
	for _, f := range l.w.frames {
		if l.w.firstTimestamp < 0 && f.Kind == KindBatch {
			l.w.firstTimestamp = f.MaxTimestamp
		}
	}
	l.nextRaft.Store(nextRaft)
	l.logEnd.Store(next)
}

// rollFor begins a new segment if the planned entries are not to go into the
// active one.
func (l *Log) rollFor(total, next int64, nextRaft uint64) error {
	active := l.active()
	if active.Sealed() {
		return l.roll()
	}
	if l.logEnd.Load() == active.BaseOffset() {
		if !active.Room(total, next, nextRaft) {
			return &segment.TooLargeError{Bytes: total, Max: maxAppendBytes}
		}
		return nil // no batch yet: a new segment would have the same name
	}
	s := l.settings.Load()
	if active.SizeBytes()+total <= s.SegmentBytes && active.Room(total, next, nextRaft) && !l.aged(s) {
		return nil
	}
	return l.roll()
}

// aged tells, as Kafka does, whether the active segment is too old for the
// planned batch: by the batch's timestamp against that of the segment's first
// one, by the clock when there are no timestamps.
func (l *Log) aged(s *Settings) bool {
	if s.SegmentAge <= 0 {
		return false
	}
	age := s.SegmentAge - time.Duration(l.w.jitter*float64(max(min(s.SegmentJitter, s.SegmentAge), 0)))
	for _, f := range l.w.frames {
		if f.Kind == KindBatch && f.MaxTimestamp >= 0 && l.w.firstTimestamp >= 0 {
			return f.MaxTimestamp-l.w.firstTimestamp > age.Milliseconds()
		}
	}
	return l.cfg.Now().UnixMilli()-l.active().CreatedMillis() > age.Milliseconds()
}

// Roll seals the active segment, if it holds a batch, and begins a new one.
// Everything appended before is durable on return.
func (l *Log) Roll() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if active := l.active(); !active.Sealed() && l.logEnd.Load() == active.BaseOffset() {
		return nil
	}
	return l.failIfSync(l.roll())
}

// roll seals the active segment and begins the next. After an error the log is
// readable as before; the next append tries again.
func (l *Log) roll() error {
	active := l.active()
	l.w.changed = true
	if active.Sealed() {
		return l.addSegment() // an earlier roll got half way
	}
	if err := l.syncBy(active, active.Seal); err != nil {
		return err
	}
	return l.addSegment()
}

// addSegment begins a segment at the log end.
func (l *Log) addSegment() error {
	h := l.newHeader(l.logEnd.Load(), l.nextRaft.Load(), l.LastEpoch())
	s, err := segment.Create(l.segmentConfig(), h)
	if err != nil {
		return err
	}
	if err := l.syncDir(); err != nil {
		_ = s.Close() // the log has failed
		return err
	}
	l.changeList(func(list []*segment.Segment) []*segment.Segment {
		return slices.Concat(list, []*segment.Segment{s})
	})
	l.w.firstTimestamp, l.w.jitter = -1, rand.Float64()
	end, err := s.End()
	if err != nil {
		return err
	}
	l.setSynced(s, end)
	if l.cfg.OnRoll != nil {
		l.cfg.OnRoll(s.BaseOffset())
	}
	return l.advanceRecoveryPoint()
}

func (l *Log) newHeader(base int64, raft uint64, epoch int32) segment.Header {
	return segment.Header{
		BaseOffset: base, BaseRaftIndex: raft, EpochBefore: epoch,
		Partition: l.cfg.Partition, TopicID: l.cfg.TopicID,
		CreatedMillis:      l.cfg.Now().UnixMilli(),
		IndexIntervalBytes: l.settings.Load().IndexIntervalBytes,
		StandIns:           true, // a leader may send what it has removed
	}
}

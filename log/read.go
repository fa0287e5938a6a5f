package log

import (
	"errors"
	"fmt"
	"iter"
	"sort"

	"weir/protocol/recordbatch"
	"weir/segment"
)

// Range is a run of whole record batches in one file; see segment.Range.
type Range = segment.Range

// Read returns whole batches, from the one that holds offset on: at most
// maxBytes, but with minOne the first one however large; only batches that end
// at or below limit (exclusive, cut to the log end). A range ends before a
// Raft entry and at the end of a segment: read on at its NextOffset. It is
// empty when there is nothing to read, and is released by the caller otherwise.
// Its first batch lies past offset when compaction has removed all records of
// those before, from offset on.
//
// Errors: *OffsetOutOfRangeError, ErrClosed, *CorruptError, those of reading.
func (l *Log) Read(offset int64, maxBytes int, limit int64, minOne bool) (Range, error) {
	for {
		// The start is read first: it never passes the end.
		start, end := l.logStart.Load(), l.logEnd.Load()
		if l.closed.Load() {
			return Range{}, ErrClosed
		}
		if offset < start || offset > end {
			return Range{}, &OffsetOutOfRangeError{Offset: offset, Start: start, End: end}
		}
		limit := min(limit, end)
		if offset >= limit {
			return Range{FirstOffset: offset, NextOffset: offset}, nil
		}
		s := l.segmentOf(offset)
		if s == nil {
			continue // deleted since: the start has moved
		}
		r, err := s.Read(offset, limit, maxBytes, minOne)
		if err == nil && r.Bytes == 0 {
			if r.NextOffset > offset {
				offset = r.NextOffset // what lay between has been compacted away
				continue
			}
			err = l.lost(s, offset)
		}
		if !errors.Is(err, segment.ErrDropped) {
			return r, err
		}
	}
}

// lost says that s, where offset is looked for, ends before it: something has
// cut a sealed segment or taken one away. It is ErrDropped when s is not the
// place any more, and nil when there are other reasons to find nothing.
func (l *Log) lost(s *segment.Segment, offset int64) error {
	if !s.Sealed() {
		return nil
	}
	end, err := s.End()
	switch {
	case err != nil || end.NextOffset > offset:
		return err
	case l.segmentOf(offset) != s:
		return segment.ErrDropped
	}
	return &CorruptError{Path: s.Path(), Position: end.Position, Offset: end.NextOffset, Reason: "a sealed segment ends before the next one begins"}
}

// segmentOf is the segment whose range holds offset, nil when that is below the
// first.
func (l *Log) segmentOf(offset int64) *segment.Segment {
	list := l.list()
	i := sort.Search(len(list), func(i int) bool { return list[i].BaseOffset() > offset })
	if i == 0 {
		return nil
	}
	return list[i-1]
}

// from lists the segments from the one that holds offset on.
func (l *Log) from(offset int64) []*segment.Segment {
	list := l.list()
	i := sort.Search(len(list), func(i int) bool { return list[i].BaseOffset() > offset })
	return list[max(i-1, 0):]
}

// Batches walks the headers of the batches from the one that holds from on, as
// long as they end at or below limit. Those that compaction has emptied are
// among them. An error ends the walk: *OffsetOutOfRangeError when the log start
// passes it, ErrClosed.
func (l *Log) Batches(from, limit int64) iter.Seq2[recordbatch.Header, error] {
	return func(yield func(recordbatch.Header, error) bool) {
		for {
			limit := min(limit, l.logEnd.Load()) // ResetTo may have taken it down
			if start := l.logStart.Load(); from < start {
				yield(recordbatch.Header{}, &OffsetOutOfRangeError{Offset: from, Start: start, End: limit})
				return
			}
			err := l.batches(&from, limit, func(_ *segment.Segment, h recordbatch.Header) bool { return yield(h, nil) })
			if err == nil {
				return
			}
			if !errors.Is(err, segment.ErrDropped) || l.closed.Load() {
				yield(recordbatch.Header{}, l.explain(err, from))
				return
			}
		}
	}
}

// batches is Batches until a segment has gone away, and moves from along; yield is told the segment, too.
func (l *Log) batches(from *int64, limit int64, yield func(*segment.Segment, recordbatch.Header) bool) error {
	for _, s := range l.from(*from) {
		if *from >= limit {
			return nil
		}
		for h, err := range s.Batches(*from) {
			if err == nil && h.BaseOffset > *from {
				err = &CorruptError{Path: s.Path(), Offset: *from, Reason: fmt.Sprintf("the next batch is at offset %d", h.BaseOffset)}
			}
			if err != nil {
				return err
			}
			if h.NextOffset() > limit || !yield(s, h) {
				return nil
			}
			if *from = h.NextOffset(); *from >= limit {
				return nil // what follows may be cut off meanwhile
			}
		}
	}
	return nil
}

// explain turns the error of a segment that went away into one for callers.
func (l *Log) explain(err error, offset int64) error {
	switch {
	case l.closed.Load():
		return ErrClosed
	case errors.Is(err, segment.ErrDropped):
		return &OffsetOutOfRangeError{Offset: offset, Start: l.logStart.Load(), End: l.logEnd.Load()}
	}
	return err
}

// Entry returns the entry of a raft index. Its Data is valid until release,
// which is called once. What compaction has removed comes as KindRemoved, with the
// epoch it had and the empty batch that stands in for it. Errors: ErrEntryNotFound, ErrClosed, *CorruptError,
// those of reading.
func (l *Log) Entry(raftIndex uint64) (e Entry, release func(), err error) {
	for {
		cuts := l.cuts.Load()
		s, err := l.segmentOfEntry(raftIndex)
		if err == nil {
			var f segment.Frame
			var data []byte
			if f, data, release, err = s.Entry(raftIndex); err == nil {
				if f.Kind.Raft() {
					data = segment.RaftFrameData(data)
				}
				if f.Removed > 0 && !f.Emptied {
					f.Kind = KindRemoved
				}
				return Entry{Kind: f.Kind, Epoch: f.Epoch, Data: data}, release, nil
			}
		}
		if err := l.again(err, cuts, raftIndex); err != nil {
			return Entry{}, nil, err
		}
	}
}

// segmentOfEntry is the segment that holds a raft index.
func (l *Log) segmentOfEntry(raftIndex uint64) (*segment.Segment, error) {
	if raftIndex < l.firstRaft.Load() || raftIndex >= l.nextRaft.Load() {
		return nil, ErrEntryNotFound
	}
	list := l.list()
	var failed error
	i := sort.Search(len(list), func(i int) bool {
		h, err := list[i].Header()
		if err != nil {
			failed = err
		}
		return h.BaseRaftIndex > raftIndex
	})
	switch {
	case failed != nil:
		return nil, failed
	case i == 0:
		return nil, ErrEntryNotFound
	}
	return list[i-1], nil
}

// Frame is one frame of the log as `weir dump` shows it.
type Frame = segment.Frame

// Frames walks all entries from a raft index on, Raft's own included, up to the
// end as of the call. An error ends the walk.
func (l *Log) Frames(raftIndex uint64) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		for _, s := range l.list() {
			for f, err := range s.Frames(raftIndex) {
				if !yield(f, err) || err != nil {
					return
				}
			}
		}
	}
}

// maxOpenSealed is how many sealed segments of a log keep their files open.
const maxOpenSealed = 8

// evict closes the files of sealed segments that were read longest ago. It runs
// after one has been opened.
func (l *Log) evict(opened *segment.Segment) {
	list := l.list()
	if len(list) <= maxOpenSealed {
		return
	}
	var open int
	var oldest *segment.Segment
	var oldestUse int64
	for _, s := range list {
		use, ok := s.LastUse()
		if !ok || !s.Sealed() {
			continue
		}
		open++
		if s != opened && (oldest == nil || use < oldestUse) {
			oldest, oldestUse = s, use
		}
	}
	if open > maxOpenSealed {
		if err := oldest.Release(); err != nil {
			l.logger.Warn("closing an idle segment", "path", oldest.Path(), "err", err)
		}
	}
}

// CloseIdle closes the files of all sealed segments; the next read opens what
// it needs. Ranges handed out keep theirs.
func (l *Log) CloseIdle() error {
	var err error
	for _, s := range l.list() {
		err = errors.Join(err, s.Release())
	}
	l.forgetTrail()
	return err
}

// Verify checks every frame and every index entry against each other. It must
// not run beside a writer.
func (l *Log) Verify() error {
	var before *segment.State
	for _, s := range l.list() {
		end, err := s.Verify(before)
		if err != nil {
			return err
		}
		before = &end
	}
	if before.NextOffset != l.logEnd.Load() || before.NextRaftIndex != l.nextRaft.Load() {
		return &CorruptError{Path: l.cfg.Dir, Offset: before.NextOffset, Reason: "the segments do not end where the log does"}
	}
	return nil
}

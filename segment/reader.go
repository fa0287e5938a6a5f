package segment

import (
	"errors"
	"iter"
	"math"
	"slices"
	"sync"

	"weir/protocol/recordbatch"
)

// query is what Read asks for.
type query struct {
	offset   int64
	limit    int64 // exclusive: no batch that reaches it is returned
	maxBytes int
	minOne   bool
}

// Read returns whole batches from the one that holds offset on: at most
// maxBytes, with minOne the first one however large; only batches that end at
// or below limit; never a raft frame, which ends a range. The first batch has a
// record at or after offset, if that lies in what has been compacted: some clients
// make nothing of an answer without records for them, and ask for it again or for
// what is far behind it. The range is empty when there is nothing, up to its
// NextOffset, and is to be released otherwise. It returns ErrDropped when the
// segment has been deleted.
func (s *Segment) Read(offset, limit int64, maxBytes int, minOne bool) (Range, error) {
	f, err := s.acquire()
	if err != nil {
		return Range{}, err
	}
	q := query{offset, limit, maxBytes, minOne}
	r, known := s.tail.find(q)
	if !known {
		r, err = s.find(f, q)
	}
	if err != nil || r.Bytes == 0 {
		return Range{FirstOffset: offset, NextOffset: max(offset, r.NextOffset)}, errors.Join(err, f.release())
	}
	r.File, r.files = f.log, f
	return r, nil
}

// find answers a read by index and file.
func (s *Segment) find(f *files, q query) (Range, error) {
	end := s.tail.end()
	from, err := s.seek(f, keyOffset, q.offset-s.base)
	if err != nil {
		return Range{}, err
	}
	c := s.cursor(f, from, end.Position, lookupBytes)
	defer c.close()
	first, ok, err := c.seekOffset(q.offset)
	for err == nil && ok && first.NextOffset <= q.limit && c.spent(first, q.offset) {
		c.state.add(first)
		if first.NextOffset == q.limit {
			return Range{NextOffset: q.limit}, nil
		}
		first, ok, err = c.seekOffset(first.NextOffset)
	}
	if err != nil || !ok || first.NextOffset > q.limit {
		return Range{NextOffset: c.state.NextOffset}, err
	}
	if first.Bytes > int64(q.maxBytes) && !q.minOne {
		return Range{}, nil
	}
	r := Range{FirstOffset: first.Offset, Position: first.Position}
	c.state.add(first)
	stop, err := s.skip(f, &c, first, q, end)
	if err != nil {
		return Range{}, err
	}
	// What lies past the limit may be cut off meanwhile: no look at it.
	for !stop && c.state.NextOffset < q.limit {
		next, ok, err := c.peek()
		if err != nil {
			return Range{}, err
		}
		if !ok || next.Kind.Raft() || next.NextOffset > q.limit || next.End()-r.Position > int64(q.maxBytes) {
			break
		}
		c.state.add(next)
	}
	r.NextOffset, r.Bytes = c.state.NextOffset, int(c.state.Position-r.Position)
	return r, nil
}

// skip moves c, which stands right after first, to the last place that the
// index proves to be within q. stop is true when that is where the range ends.
// Entries that go meanwhile, as when the index is made again, prove nothing.
func (s *Segment) skip(f *files, c *cursor, first Frame, q query, end State) (stop bool, err error) {
	after, cuts := c.state, f.index.cuts.Load()
	defer func() {
		if cuts%2 == 1 || f.index.cuts.Load() != cuts {
			c.state, stop = after, false
		}
	}()
	reach := min(first.Position+int64(q.maxBytes), end.Position)
	if reach <= c.state.Position {
		return true, nil
	}
	to, i, err := f.index.lookup(keyPosition, reach)
	if err == nil && s.base+int64(to.relativeOffset) > q.limit {
		to, i, err = f.index.lookup(keyOffset, q.limit-s.base)
	}
	if errors.Is(err, errBadIndex) {
		return false, nil // the walk is longer, and as good
	}
	if err != nil || i < 0 || int64(to.position) <= c.state.Position {
		return false, err
	}
	_, from, err := f.index.lookup(keyPosition, c.state.Position-1)
	var raft offsetEntry
	var found bool
	if err == nil {
		raft, found, err = f.index.firstRaft(from+1, int64(to.position)+1)
	}
	if errors.Is(err, errBadIndex) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if found {
		to = raft
	}
	c.state = s.entryState(f, to)
	return found, nil
}

// seek gives the state from which a walk finds the first frame whose k is
// target: that of the last index entry at or below it.
func (s *Segment) seek(f *files, k key, target int64) (State, error) {
	o, i, err := f.index.lookup(k, target)
	if errors.Is(err, errBadIndex) {
		return f.header.start(), nil
	}
	if err != nil || i < 0 {
		return f.header.start(), err
	}
	return s.entryState(f, o), nil
}

// entryState is the state before the frame of an index entry. Epoch and
// timestamp are not known there, and so not checked.
func (s *Segment) entryState(f *files, o offsetEntry) State {
	return State{
		Position:      int64(o.position),
		NextOffset:    f.header.BaseOffset + int64(o.relativeOffset),
		NextRaftIndex: f.header.BaseRaftIndex + uint64(o.relativeRaftIndex),
		Epoch:         -1,
		MaxTimestamp:  noTimestamp,
	}
}

// Batches walks the batches from the one that holds offset on, up to the end as
// of the call. An error ends the walk.
func (s *Segment) Batches(offset int64) iter.Seq2[recordbatch.Header, error] {
	return func(yield func(recordbatch.Header, error) bool) {
		s.walk(keyOffset, offset-s.base, func(c *cursor, f Frame, err error) bool {
			if err == nil && (f.Kind.Raft() || f.NextOffset <= offset) {
				return true
			}
			var h recordbatch.Header
			if err == nil {
				h, err = c.batchHeader()
			}
			return yield(h, err) && err == nil
		})
	}
}

// Frames walks all frames from the one with raftIndex on, up to the end as of the call. An
// error ends the walk.
func (s *Segment) Frames(raftIndex uint64) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		h, err := s.Header()
		if err != nil {
			yield(Frame{}, err)
			return
		}
		relative := int64(max(raftIndex, h.BaseRaftIndex) - h.BaseRaftIndex)
		s.walk(keyRaftIndex, relative, func(_ *cursor, f Frame, err error) bool {
			if err == nil && f.RaftIndex+f.entries() <= raftIndex {
				return true
			}
			return yield(f, err) && err == nil
		})
	}
}

// walk shows the frames from the last index entry whose k is at most target.
func (s *Segment) walk(k key, target int64, visit func(*cursor, Frame, error) bool) {
	f, err := s.acquire()
	if err != nil {
		visit(nil, Frame{}, err)
		return
	}
	defer func() { _ = f.release() }() // it was only read from
	end := s.tail.end()
	from, err := s.seek(f, k, target)
	if err != nil {
		visit(nil, Frame{}, err)
		return
	}
	c := s.cursor(f, from, end.Position, walkBytes)
	defer c.close()
	for {
		frame, ok, err := c.next()
		if err == nil && !ok {
			return
		}
		if !visit(&c, frame, err) || err != nil {
			return
		}
	}
}

// Before returns the state before the entry of a raft index that lies in the
// segment, for TruncateSuffix; ErrCompacted when its place is not known any
// more. It walks from the start of the segment, because no index knows the
// largest timestamp up to there.
func (s *Segment) Before(raftIndex uint64) (state State, err error) {
	f, err := s.acquire()
	if err != nil {
		return State{}, err
	}
	defer func() { err = errors.Join(err, f.release()) }()
	c := s.cursor(f, f.header.start(), s.tail.end().Position, walkBytes)
	defer c.close()
	for c.state.NextRaftIndex < raftIndex {
		if _, ok, err := c.next(); err != nil || !ok {
			return State{}, errors.Join(err, s.missing(raftIndex, c.state))
		}
	}
	if c.state.NextRaftIndex > raftIndex {
		return State{}, ErrCompacted
	}
	return c.state, nil
}

func (s *Segment) missing(raftIndex uint64, end State) error {
	if raftIndex < end.NextRaftIndex {
		return nil
	}
	return s.corrupt(end.Position, end.NextOffset, "segment ends before its raft index")
}

// frame finds the entry of a raft index.
func (s *Segment) frame(f *files, raftIndex uint64) (Frame, error) {
	relative := int64(min(raftIndex-f.header.BaseRaftIndex, math.MaxUint32))
	from, err := s.seek(f, keyRaftIndex, relative)
	if err != nil {
		return Frame{}, err
	}
	c := s.cursor(f, from, s.tail.end().Position, lookupBytes)
	defer c.close()
	for {
		frame, ok, err := c.next()
		if err != nil {
			return Frame{}, err
		}
		if !ok {
			return Frame{}, s.missing(raftIndex, c.state)
		}
		if raftIndex < frame.RaftIndex+frame.entries() {
			return frame, nil
		}
	}
}

// entryBuffer holds one entry read for Raft, with the function that gives it back.
type entryBuffer struct {
	b       []byte
	release func()
}

// maxPooledEntry is the largest entry whose buffer is kept, in bytes.
const maxPooledEntry = 1 << 20

var entryBuffers sync.Pool

func newEntryBuffer(size int64) *entryBuffer {
	e, ok := entryBuffers.Get().(*entryBuffer)
	if !ok {
		e = &entryBuffer{}
		e.release = func() {
			if cap(e.b) <= maxPooledEntry {
				entryBuffers.Put(e)
			}
		}
	}
	e.b = slices.Grow(e.b[:0], int(size))[:size]
	return e
}

// Entry reads the whole frame of a raft index that lies in the segment: its
// stand-in's, if compaction has removed the entry. data is valid until release,
// which is called once.
func (s *Segment) Entry(raftIndex uint64) (frame Frame, data []byte, release func(), err error) {
	f, err := s.acquire()
	if err != nil {
		return Frame{}, nil, nil, err
	}
	defer func() { err = errors.Join(err, f.release()) }()
	if frame, err = s.frame(f, raftIndex); err != nil {
		return Frame{}, nil, nil, err
	}
	e := newEntryBuffer(frame.Bytes)
	if err := readFull(f.log, e.b, frame.Position); err != nil {
		e.release()
		return Frame{}, nil, nil, err
	}
	return frame, e.b, e.release, nil
}

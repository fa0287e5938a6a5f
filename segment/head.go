package segment

import (
	"math"
	"slices"

	"weir/protocol/recordbatch"
)

// Head is one frame without a batch's records.
type Head struct {
	Frame
	Batch recordbatch.Header // of a batch or a stand-in
	Data  []byte             // of a raft frame: Raft's bytes, a copy; nil for none
}

// trailReach is how far ahead of its place a trail is walked on, in entries,
// before the index is the shorter way.
const trailReach = 16

// Trail remembers where lookups of heads have come to and what they have read
// ahead, so that the next raft index in order costs neither index nor, most of the
// time, file. The zero value has been nowhere. It holds no file, is used by one
// goroutine at a time, and is Reset by whoever cuts the end of a segment off.
type Trail struct {
	c    cursor // its state lies before the frame given last
	next uint64 // raft index after that frame
	buf  []byte
}

// Reset forgets the place and gives the memory back.
func (t *Trail) Reset() { *t = Trail{} }

// Head returns the head of the frame of a raft index that lies in the segment,
// which is its stand-in's if compaction has removed the entry. The last frames of
// an active segment are had from memory, others with one read of a few KiB, that
// skips what lies within large batches. Of a raft frame larger than that the data
// takes another one. It returns ErrDropped when the segment has been deleted.
func (s *Segment) Head(t *Trail, raftIndex uint64) (Head, error) {
	if b, at, ok := s.tail.head(raftIndex); ok {
		if h, whole, err := s.head(at, b[:]); whole || err != nil {
			return h, err
		}
	}
	f, err := s.acquire()
	if err != nil {
		return Head{}, err
	}
	defer func() { _ = f.release() }() // it was only read from
	h, err := s.follow(f, t, raftIndex)
	if err != nil {
		t.Reset()
	}
	return h, err
}

// follow walks the trail to the frame of a raft index.
func (s *Segment) follow(f *files, t *Trail, raftIndex uint64) (Head, error) {
	c := &t.c
	if c.segment != s || raftIndex < c.state.NextRaftIndex || raftIndex-t.next >= trailReach && raftIndex >= t.next {
		relative := int64(min(raftIndex-f.header.BaseRaftIndex, math.MaxUint32))
		from, err := s.seek(f, keyRaftIndex, relative)
		if err != nil {
			return Head{}, err
		}
		if t.buf == nil {
			t.buf = make([]byte, lookupBytes)
		}
		*c = cursor{segment: s, state: from, buf: &t.buf, chunk: lookupBytes}
	}
	c.log, c.end = f.log, s.tail.end().Position
	defer func() { c.log = nil }() // only held for now
	for {
		frame, ok, err := c.peek()
		if err != nil {
			return Head{}, err
		}
		if !ok {
			return Head{}, s.missing(raftIndex, c.state)
		}
		t.next = frame.RaftIndex + frame.entries()
		if raftIndex >= t.next {
			c.state.add(frame)
			continue
		}
		h, whole, err := s.head(frame, c.head)
		if err == nil && !whole {
			h.Data = make([]byte, frame.Bytes-RaftFrameBytes)
			err = readFull(f.log, h.Data, frame.Position+RaftFrameBytes)
		}
		return h, err
	}
}

// head reads the first bytes of a frame. whole is false when the data of a raft
// frame goes past them.
func (s *Segment) head(f Frame, b []byte) (h Head, whole bool, err error) {
	h.Frame = f
	if !f.Kind.Raft() {
		if h.Batch, err = recordbatch.ParseHeader(b); err != nil {
			err = s.corrupt(f.Position, f.Offset, err.Error())
		}
		return h, true, err
	}
	if f.Bytes > int64(len(b)) {
		return h, false, nil
	}
	if f.Bytes > RaftFrameBytes {
		h.Data = slices.Clone(b[RaftFrameBytes:f.Bytes])
	}
	return h, true, nil
}

package segment

import (
	"errors"
	"io"
	"math"
	"sync"

	"weir/protocol/recordbatch"
)

const (
	lookupBytes = 4 << 10  // read at once when the way is short
	walkBytes   = 64 << 10 // read at once when many frames are walked
)

var cursorBuffers = sync.Pool{New: func() any { b := make([]byte, walkBytes); return &b }}

// cursor walks the heads of frames that are known to be there, so it checks
// what counting can check and not the CRC. close gives its buffer back.
type cursor struct {
	segment *Segment
	log     io.ReaderAt
	state   State // before the next frame
	end     int64 // position; frames end there
	buf     *[]byte
	chunk   int   // bytes to read at once
	at      int64 // position of buf
	n       int   // valid bytes in buf
	head    []byte
}

func (s *Segment) cursor(f *files, from State, end int64, chunk int) cursor {
	return cursor{
		segment: s, log: f.log, state: from, end: end,
		buf: cursorBuffers.Get().(*[]byte), chunk: chunk,
	}
}

func (c *cursor) close() {
	cursorBuffers.Put(c.buf)
	c.buf, c.head = nil, nil
}

// peek reads the next frame without moving past it; ok is false at the end.
// The cursor's head is then the frame's first bytes, until the next call.
func (c *cursor) peek() (f Frame, ok bool, err error) {
	left := c.end - c.state.Position
	if left <= 0 { // below: the end has been cut off behind a trail
		return Frame{}, false, nil
	}
	if err := c.fill(int(min(left, minHeadBytes))); err != nil {
		return Frame{}, false, err
	}
	c.head = (*c.buf)[c.state.Position-c.at : c.n]
	f, reason := parseFrame(c.head, c.state.Position)
	if reason == "" && f.Bytes > left {
		reason = "frame goes past the end"
	}
	if reason == "" {
		reason = c.state.fits(f)
	}
	if reason != "" {
		return f, false, c.segment.corrupt(c.state.Position, c.state.NextOffset, reason)
	}
	f.RaftIndex = c.state.NextRaftIndex
	return f, true, nil
}

// fill has the buffer hold n bytes from the state's position on.
func (c *cursor) fill(n int) error {
	from := c.state.Position
	if from >= c.at && from+int64(n) <= c.at+int64(c.n) {
		return nil
	}
	want := c.chunk
	if c.n > 0 && from > c.at+int64(c.n)+int64(c.chunk) {
		want = minHeadBytes // frames are larger than the buffer: only heads are of use
	}
	want = int(min(int64(max(want, n)), c.end-from))
	got, err := c.log.ReadAt((*c.buf)[:want], from)
	c.at, c.n = from, got
	if got >= n {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return c.segment.corrupt(from, c.state.NextOffset, "file is shorter than the log")
	}
	return err
}

// next moves past the next frame.
func (c *cursor) next() (f Frame, ok bool, err error) {
	f, ok, err = c.peek()
	if ok {
		c.state.add(f)
	}
	return f, ok, err
}

// seekOffset moves to the batch that holds offset, or to the first one after
// it. ok is false when there is none before the end.
func (c *cursor) seekOffset(offset int64) (f Frame, ok bool, err error) {
	for {
		f, ok, err = c.peek()
		if err != nil || !ok || f.NextOffset > offset && !f.Kind.Raft() {
			return f, ok, err
		}
		c.state.add(f)
	}
}

// spent tells whether compaction has removed all records at or after offset from
// the batch that peek just gave.
func (c *cursor) spent(f Frame, offset int64) bool {
	if f.Removed > 0 || f.Offset >= offset {
		return f.Removed > 0
	}
	h, err := c.batchHeader()
	if err != nil || h.RecordCount > h.LastOffsetDelta {
		return false
	}
	var large []byte
	b, err := c.whole(f, &large)
	if err != nil {
		return false // for the reader to find out
	}
	for stamp, err := range recordbatch.Stamps(b, math.MaxInt) {
		if err != nil || stamp.Offset >= offset {
			return false
		}
	}
	return true
}

// batchHeader is the header of the batch that peek or next just gave.
func (c *cursor) batchHeader() (recordbatch.Header, error) { return recordbatch.ParseHeader(c.head) }

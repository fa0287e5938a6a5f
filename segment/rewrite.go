package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"math"
	"os"
	"slices"

	"weir/segment/vfs"
)

// Content is one whole frame.
type Content struct {
	Frame
	Before State  // of the segment, in front of the frame
	Data   []byte // the frame; valid until the next one
}

// Contents walks the whole frames, Raft's own included, and checks the CRC of
// each: all of them, or those about from offset on, when that lies past the
// segment's base; epoch and timestamp of Before are not known then. An error ends
// the walk. It may run beside readers and other walks.
func (s *Segment) Contents(offset int64) iter.Seq2[Content, error] {
	return func(yield func(Content, error) bool) {
		f, err := s.acquire()
		if err != nil {
			yield(Content{}, err)
			return
		}
		defer func() { _ = f.release() }() // it was only read from
		from := f.header.start()
		if offset > s.base {
			if from, err = s.seek(f, keyOffset, offset-s.base); err != nil {
				yield(Content{}, err)
				return
			}
		}
		c := s.cursor(f, from, s.tail.end().Position, walkBytes)
		defer c.close()
		var large []byte
		for {
			content := Content{Before: c.state}
			var ok bool
			if content.Frame, ok, err = c.peek(); err == nil && !ok {
				return
			}
			if err == nil {
				content.Data, err = c.whole(content.Frame, &large)
			}
			if !yield(content, err) || err != nil {
				return
			}
			c.state.add(content.Frame)
		}
	}
}

// whole returns the frame that peek just gave, its CRC checked. One that the
// buffer does not hold is read into large.
func (c *cursor) whole(f Frame, large *[]byte) ([]byte, error) {
	b := c.head
	if int64(len(b)) < f.Bytes {
		*large = slices.Grow((*large)[:0], int(f.Bytes))[:f.Bytes]
		b = *large
		if err := readFull(c.log, b, f.Position); err != nil {
			return nil, err
		}
	}
	b = b[:f.Bytes]
	if crc32.Checksum(b[prefixBytes:], castagnoli) != binary.BigEndian.Uint32(b[17:]) {
		return nil, c.segment.corrupt(f.Position, f.Offset, "CRC does not match")
	}
	return b, nil
}

// rewriteBytes is how much of a copy is written at once.
const rewriteBytes = 256 << 10

// Rewrite is a copy of a sealed segment in the making, with fewer records and
// the same offsets and raft indexes. It ends with Swap or Discard.
type Rewrite struct {
	s      *Segment
	end    State // of the original
	file   vfs.File
	path   string
	header Header // of the copy
	state  State  // likewise, what waits in buf included
	buf    []byte // not written yet
	moved  func(read, written int64) error
}

// Rewrite begins a copy that is equal up to a state of the segment, which must be
// exact, and goes on with what is appended. It may run beside readers. A copy left
// by somebody else is replaced. moved is told of bytes read and written as they are, up
// to 256 KiB at a time, and may keep the copy waiting; its error ends the call.
func (s *Segment) Rewrite(same State, moved func(read, written int64) error) (*Rewrite, error) {
	f, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.release() }() // it was only read from
	r := &Rewrite{s: s, end: s.tail.end(), path: path(s.dir, s.base, cleanedSuffix), moved: moved}
	if r.file, err = s.fs.OpenFile(r.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, filePerm); err != nil {
		return nil, err
	}
	r.header = f.header
	r.header.StandIns = true
	r.state, r.buf = r.header.start(), AppendHeader(make([]byte, 0, rewriteBytes), r.header)
	if err := r.copy(f.log, same); err != nil {
		return nil, errors.Join(err, r.Discard())
	}
	return r, nil
}

// copy takes over what the original has up to a state.
func (r *Rewrite) copy(original io.ReaderAt, same State) error {
	for at := r.state.Position; at < same.Position; {
		if err := r.flush(at); err != nil {
			return err
		}
		n := int(min(rewriteBytes, same.Position-at))
		r.buf = r.buf[:n]
		if err := readFull(original, r.buf, at); err != nil {
			return err
		}
		at += int64(n)
		err := r.moved(int64(n), 0)
		if err == nil {
			err = r.flush(at)
		}
		if err != nil {
			return err
		}
	}
	r.state = same
	return nil
}

// flush writes what waits; end is the position that it ends at.
func (r *Rewrite) flush(end int64) error {
	if len(r.buf) == 0 {
		return nil
	}
	n, err := r.file.WriteAt(r.buf, end-int64(len(r.buf)))
	r.buf = r.buf[:0]
	if err != nil {
		return err
	}
	return r.moved(0, int64(n))
}

// Append adds one whole frame, which fits the one before as in any segment.
func (r *Rewrite) Append(frame []byte) error {
	f, reason := parseFrame(frame, r.state.Position)
	if reason == "" && f.Bytes != int64(len(frame)) {
		reason = "not one whole frame"
	}
	if reason == "" {
		reason = r.state.fits(f)
	}
	if reason != "" {
		return fmt.Errorf("copy of %s at offset %d: %s", r.s.Path(), r.state.NextOffset, reason)
	}
	if r.state.Position+f.Bytes > math.MaxUint32 {
		return &TooLargeError{Bytes: r.state.Position + f.Bytes, Max: math.MaxUint32}
	}
	r.buf = append(r.buf, frame...)
	r.state.add(f)
	if len(r.buf) < rewriteBytes {
		return nil
	}
	return r.flush(r.state.Position)
}

// Finish makes the copy durable under its temporary name. It is an error when it
// does not end at the offset and raft index where the original does.
func (r *Rewrite) Finish() error {
	if r.state.NextOffset != r.end.NextOffset || r.state.NextRaftIndex != r.end.NextRaftIndex {
		return fmt.Errorf("copy of %s ends at offset %d, raft index %d; the segment at %d, %d", r.s.Path(),
			r.state.NextOffset, r.state.NextRaftIndex, r.end.NextOffset, r.end.NextRaftIndex)
	}
	if err := r.flush(r.state.Position); err != nil {
		return err
	}
	return syncFile(r.file)
}

// SizeBytes is what the copy takes.
func (r *Rewrite) SizeBytes() int64 { return r.state.Position }

// Discard gives the copy up.
func (r *Rewrite) Discard() error { return errors.Join(r.file.Close(), Remove(r.s.fs, r.path)) }

// Swap puts the finished copy in the segment's place, durable on return, and
// returns it as a segment of its own, whose header and end are known without its
// files. Readers that hold the old one go on; those that come to it get ErrDropped.
// The caller keeps writers away and sees to it that no recovery point lies in the
// segment.
//
// An error with a nil segment: the old one is still there, and the copy is gone.
// With a segment: that one counts now, and is perhaps not durable.
func (r *Rewrite) Swap(cfg Config) (*Segment, error) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return nil, errors.Join(ErrDropped, r.Discard())
	}
	// An index of the old file must not meet the new one: where both are of the
	// same size it would pass for right.
	err := errors.Join(Remove(s.fs, path(s.dir, s.base, timeSuffix)), Remove(s.fs, path(s.dir, s.base, indexSuffix)))
	if err == nil {
		err = s.syncDir()
	}
	if err == nil {
		err = s.fs.Rename(r.path, s.Path())
	}
	if err != nil {
		return nil, errors.Join(err, r.Discard())
	}
	err = s.syncDir()
	s.dropped = true
	fresh, h := OpenSealed(cfg, s.base, r.state.Position), r.header
	fresh.header.Store(&h)
	fresh.tail.reset(r.state)
	return fresh, errors.Join(err, r.file.Close(), s.closeFilesLocked())
}

func (s *Segment) syncDir() error {
	if err := s.fs.SyncDir(s.dir); err != nil {
		return &SyncError{Path: s.dir, Err: err}
	}
	return nil
}

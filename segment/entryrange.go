package segment

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// EntryRange is consecutive entries as they lie in one file, Raft's own frames
// included. Unless Bytes is 0 it holds the file until Release, also when the
// segment is deleted meanwhile.
type EntryRange struct {
	Entries  []RangeEntry // the first has the raft index asked for
	Position int64        // of the first frame in File
	Bytes    int          // of all frames, back to back; 0 when all entries have been removed
	File     vfs.File     // nil when Bytes is 0

	files *files
	path  string
}

// RangeEntry is one entry of an EntryRange.
type RangeEntry struct {
	Kind       Kind
	Epoch      int32
	RaftIndex  uint64
	Offset     int64  // base offset; for Raft's own kinds the log end there; 0 for a removed entry
	NextOffset int64  // one past the last; of removed entries, the last one of a run, or of the range, says where the run ends, the others 0
	Ahead      uint64 // of a removed entry that is the last of the range: how many of its run come after it
	Start      int    // of the frame, within the range
	Bytes      int    // of the frame; 0 for a removed entry, which has none
}

// maxRangeBytes bounds a range, so that its size fits where int has 32 bits; one
// frame alone may be larger.
const maxRangeBytes = 1 << 30

// ReadEntries gives the entries from raft index first on, which lies in the
// segment: at most maxCount and maxBytes, but at least one, and none past the
// segment. Compaction's stand-ins may lie between the frames, and count as many
// entries as they stand for; a range may end amid one. Frames appended last are
// found in memory. It returns ErrDropped when the segment has been deleted.
func (s *Segment) ReadEntries(first uint64, maxCount int, maxBytes int64) (EntryRange, error) {
	f, err := s.acquire()
	if err != nil {
		return EntryRange{}, err
	}
	b := rangeBuilder{first: first, maxCount: max(maxCount, 1), maxBytes: min(maxBytes, maxRangeBytes)}
	if !s.tail.visit(first, b.add) {
		err = s.collect(f, &b)
	}
	if err != nil || b.r.Bytes == 0 {
		return b.r, errors.Join(err, f.release())
	}
	b.r.File, b.r.files, b.r.path = f.log, f, s.Path()
	return b.r, nil
}

// collect walks the frames in the file.
func (s *Segment) collect(f *files, b *rangeBuilder) error {
	relative := int64(min(b.first-f.header.BaseRaftIndex, math.MaxUint32))
	from, err := s.seek(f, keyRaftIndex, relative)
	if err != nil {
		return err
	}
	c := s.cursor(f, from, s.tail.end().Position, lookupBytes)
	defer c.close()
	for {
		frame, ok, err := c.next()
		if err != nil {
			return err
		}
		if !ok && len(b.r.Entries) == 0 {
			return s.missing(b.first, c.state)
		}
		if !ok || !b.add(frame) {
			return nil
		}
	}
}

// rangeBuilder takes frames in order.
type rangeBuilder struct {
	first    uint64
	maxCount int
	maxBytes int64
	r        EntryRange
}

// add takes the next frame and says whether there may be more.
func (b *rangeBuilder) add(f Frame) bool {
	next := f.RaftIndex + f.entries()
	if next <= b.first {
		return true
	}
	if f.gone() {
		return b.addRemoved(f, next)
	}
	r := &b.r
	start := int64(0)
	if r.Bytes > 0 {
		start = f.Position - r.Position
	}
	if len(r.Entries) > 0 && start+f.Bytes > b.maxBytes {
		return false
	}
	r.Position, r.Bytes = f.Position-start, int(start+f.Bytes)
	r.Entries = append(r.Entries, RangeEntry{
		Kind: f.Kind, Epoch: f.Epoch, RaftIndex: f.RaftIndex, Offset: f.Offset, NextOffset: f.NextOffset,
		Start: int(start), Bytes: int(f.Bytes),
	})
	return len(r.Entries) < b.maxCount
}

func (b *rangeBuilder) addRemoved(f Frame, next uint64) bool {
	for i := max(f.RaftIndex, b.first); i < next && len(b.r.Entries) < b.maxCount; i++ {
		b.r.Entries = append(b.r.Entries, RangeEntry{Kind: KindRemoved, Epoch: f.Epoch, RaftIndex: i})
	}
	last := &b.r.Entries[len(b.r.Entries)-1]
	last.NextOffset, last.Ahead = f.NextOffset, next-1-last.RaftIndex
	return len(b.r.Entries) < b.maxCount
}

// Release gives the file back. It is called once for each range; of one without
// bytes it does nothing.
func (r *EntryRange) Release() error {
	f := r.files
	r.files, r.File = nil, nil
	if f == nil {
		return nil
	}
	return f.release()
}

// AppendTo reads the bytes, appends them to dst, and checks that they are the
// frames of the entries, and their CRCs. io.ErrUnexpectedEOF says that the end of the
// log has been cut off below the range, and perhaps written anew: look again; in the
// middle of that it may be a *CorruptError, too.
func (r *EntryRange) AppendTo(dst []byte) ([]byte, error) {
	if r.Bytes == 0 {
		return dst, nil
	}
	n := len(dst)
	dst = slices.Grow(dst, r.Bytes)[:n+r.Bytes]
	err := readFull(r.File, dst[n:], r.Position)
	for i := 0; err == nil && i < len(r.Entries); i++ {
		err = r.check(r.Entries[i], dst[n:])
	}
	if err != nil {
		return dst[:n], err
	}
	return dst, nil
}

// check compares an entry with its frame.
func (r *EntryRange) check(e RangeEntry, b []byte) error {
	if e.Kind == KindRemoved {
		return nil
	}
	b = b[e.Start:][:e.Bytes]
	f, reason := parseFrame(b, r.Position+int64(e.Start))
	raft := e.Kind.Raft()
	if reason != "" || f.Kind != e.Kind || f.Epoch != e.Epoch || f.Bytes != int64(e.Bytes) || f.gone() ||
		f.Offset != e.Offset || f.NextOffset != e.NextOffset || raft && f.RaftIndex != e.RaftIndex {
		return io.ErrUnexpectedEOF
	}
	switch {
	case raft && crc32.Checksum(b[prefixBytes:], castagnoli) != binary.BigEndian.Uint32(b[17:]):
		reason = "CRC does not match"
	case !raft:
		if err := recordbatch.VerifyChecksum(b); err != nil {
			reason = err.Error()
		}
	}
	if reason != "" {
		return &CorruptError{Path: r.path, Position: f.Position, Offset: f.Offset, Reason: reason}
	}
	return nil
}

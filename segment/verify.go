package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"weir/segment/vfs"
)

// Verify checks every frame of the segment and that both indexes are what its
// frames give, and returns where it ends. before is what the segment before it
// ends with, nil for the first. It may run beside readers, not beside the writer.
func (s *Segment) Verify(before *State) (end State, err error) {
	f, err := s.acquire()
	if err != nil {
		return State{}, err
	}
	defer func() { err = errors.Join(err, f.release()) }()
	end, offsets, times, err := s.verifyFrames(f, before)
	if err != nil {
		return end, err
	}
	return end, errors.Join(f.index.offsets.equal(offsets), f.index.times.equal(times))
}

// verifyFrames is Verify for the log alone, and gives the bytes of both indexes.
func (s *Segment) verifyFrames(f *files, before *State) (end State, offsets, times []byte, err error) {
	if err := s.follows(f.header, before); err != nil {
		return State{}, nil, nil, err
	}
	stated := s.tail.end()
	r := newRule(f.header)
	sc := newScanner(f.log, stated.Position, f.header.start())
	for sc.state.Position < stated.Position {
		before := sc.state
		frame, reason, err := sc.next()
		if err != nil {
			return State{}, nil, nil, err
		}
		if reason != "" {
			return State{}, nil, nil, s.corrupt(before.Position, before.NextOffset, reason)
		}
		o, t, hasOffset, hasTime := r.observe(before, frame)
		if hasOffset {
			offsets = o.append(offsets)
		}
		if hasTime {
			times = t.append(times)
		}
	}
	end = sc.state
	if end.NextOffset != stated.NextOffset || end.NextRaftIndex != stated.NextRaftIndex || end.MaxTimestamp != stated.MaxTimestamp {
		return end, nil, nil, s.corrupt(end.Position, end.NextOffset, fmt.Sprintf("frames end in %+v, the segment says %+v", end, stated))
	}
	if s.Sealed() {
		o, t := r.sealing(end)
		offsets, times = o.append(offsets), t.append(times)
	}
	return end, offsets, times, nil
}

// CheckFiles is Verify for what is on disk of a segment that is open read-only: one whose index is missing or of no use
// has another one in memory. point is the recovery point if it is in the segment: of one that is not sealed, only the
// entries that it counts on are looked at, since the others are made again. index says what is wrong with the indexes, err
// with the log.
func (s *Segment) CheckFiles(before *State, point *RecoveryPoint) (end State, index, err error) {
	f, err := s.acquire()
	if err != nil {
		return State{}, nil, err
	}
	defer func() { err = errors.Join(err, f.release()) }()
	end, offsets, times, err := s.verifyFrames(f, before)
	if err != nil {
		return end, nil, err
	}
	if !s.Sealed() {
		if point == nil {
			return end, nil, nil
		}
		offsets = offsets[:min(len(offsets), point.OffsetEntries*entryBytes)]
		times = times[:min(len(times), point.TimeEntries*entryBytes)]
	}
	return end, errors.Join(s.checkIndexFile(indexSuffix, offsets), s.checkIndexFile(timeSuffix, times)), nil
}

// checkIndexFile compares an index file with want: all of it if the segment is sealed, else how it begins.
func (s *Segment) checkIndexFile(suffix string, want []byte) (err error) {
	corrupt := &CorruptError{Path: path(s.dir, s.base, suffix), Offset: -1}
	file, err := s.fs.OpenFile(corrupt.Path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if len(want) == 0 {
			return nil
		}
		corrupt.Reason = "the file is missing"
		return corrupt
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	size, err := file.Size()
	if err != nil {
		return err
	}
	if size < int64(len(want)) || s.Sealed() && size != int64(len(want)) {
		corrupt.Position = min(size, int64(len(want)))
		corrupt.Reason = fmt.Sprintf("%d bytes, the log gives %d", size, len(want))
		return corrupt
	}
	got := make([]byte, len(want))
	if _, err := file.ReadAt(got, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for i := 0; i < len(want); i += entryBytes {
		if !bytes.Equal(got[i:i+entryBytes], want[i:i+entryBytes]) {
			corrupt.Position, corrupt.Reason = int64(i), "entry differs from the one the log gives"
			return corrupt
		}
	}
	return nil
}

// RemoveIndexes removes the index files of a segment, which are made again when it is opened to be written to, or read.
func RemoveIndexes(fsys vfs.FS, dir string, base int64) error {
	return errors.Join(Remove(fsys, path(dir, base, indexSuffix)), Remove(fsys, path(dir, base, timeSuffix)))
}

// equal compares all entries with want.
func (e *entryFile) equal(want []byte) error {
	i := 0
	var err error
	walkErr := e.walk(0, func(b [entryBytes]byte) bool {
		at := i * entryBytes
		if at+entryBytes > len(want) || !bytes.Equal(b[:], want[at:at+entryBytes]) {
			err = &CorruptError{Path: e.path, Position: int64(at), Offset: -1, Reason: "entry differs from the one the log gives"}
			return false
		}
		i++
		return true
	})
	if err == nil && walkErr == nil && i*entryBytes != len(want) {
		err = &CorruptError{Path: e.path, Position: int64(i * entryBytes), Offset: -1,
			Reason: fmt.Sprintf("%d entries, the log gives %d", i, len(want)/entryBytes)}
	}
	return errors.Join(err, walkErr)
}

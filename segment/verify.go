package segment

import (
	"bytes"
	"errors"
	"fmt"
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
	if err := s.follows(f.header, before); err != nil {
		return State{}, err
	}
	stated := s.tail.end()
	r := newRule(f.header)
	var offsets, times []byte
	sc := newScanner(f.log, stated.Position, f.header.start())
	for sc.state.Position < stated.Position {
		before := sc.state
		frame, reason, err := sc.next()
		if err != nil {
			return State{}, err
		}
		if reason != "" {
			return State{}, s.corrupt(before.Position, before.NextOffset, reason)
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
		return end, s.corrupt(end.Position, end.NextOffset, fmt.Sprintf("frames end in %+v, the segment says %+v", end, stated))
	}
	if s.Sealed() {
		o, t := r.sealing(end)
		offsets, times = o.append(offsets), t.append(times)
	}
	return end, errors.Join(f.index.offsets.equal(offsets), f.index.times.equal(times))
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

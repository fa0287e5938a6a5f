package segment

import (
	"errors"
	"fmt"
)

// Mode says what ended the process that wrote the log last, and so what may be
// found past the recovery point.
type Mode uint8

const (
	// RecoverClean: the log was closed. Bytes past the recovery point are
	// treated as after RecoverProcessCrash.
	RecoverClean Mode = iota
	// RecoverProcessCrash: the process died and the machine did not, so every
	// write that was made is there, the last one perhaps in part.
	RecoverProcessCrash
	// RecoverPowerLoss: the machine went down; what was written since the last
	// sync comes back in any order, in part or not at all.
	RecoverPowerLoss
)

// RecoveryPoint is a place in a segment below which all is known to be on disk.
type RecoveryPoint struct {
	Base  int64 // of the segment
	State State
	// Index entries below the position, which are on disk too.
	OffsetEntries, TimeEntries int
}

// Report says what recovery did to the last segment.
type Report struct {
	ScannedBytes int64
	CutBytes     int64  // of data, preallocated zeros not counted
	Reason       string // why it was cut
	IndexRemade  bool
}

// ErrTorn is returned by OpenActive for a file whose creation was cut short: it
// has no header and no data.
var ErrTorn = errors.New("segment: creation cut short")

// OpenActive opens the last segment of a log and finds its end by scanning from
// the recovery point, or from its start when from is nil. before is what the
// segment before it ended with, nil for the first. What is not valid is cut
// off, durably, unless the segment is read-only. visit sees the frames scanned.
//
// Errors: ErrTorn, *CorruptError, *VersionError; nothing has been changed then.
func OpenActive(cfg Config, base int64, from *RecoveryPoint, before *State, mode Mode, visit func(Frame)) (*Segment, Report, error) {
	s := newSegment(cfg, base)
	r := recovery{s: s, mode: mode, visit: visit}
	log, size, head, err := s.openLog()
	if err != nil {
		return nil, Report{}, err
	}
	f := &files{log: log}
	end, err := r.open(f, size, head, from, before)
	if err != nil {
		if f.index != nil {
			err = errors.Join(err, f.index.close())
		}
		return nil, Report{}, errors.Join(err, log.Close())
	}
	s.activate(f, end, end.Position)
	return s, r.report, nil
}

type recovery struct {
	s      *Segment
	mode   Mode
	visit  func(Frame)
	report Report
}

func (r *recovery) open(f *files, size int64, head []byte, from *RecoveryPoint, before *State) (State, error) {
	h, err := r.s.checkHeader(head)
	if err != nil {
		return State{}, r.headerError(f, size, from, err)
	}
	f.header, f.index = h, newIndex(r.s.fs, r.s.dir, h, r.s.readOnly)
	if err := r.s.follows(h, before); err != nil {
		return State{}, err
	}
	known := int64(0) // to be on disk, up to this position
	if from == nil {
		from = &RecoveryPoint{Base: r.s.base, State: h.start()}
	} else {
		known = from.State.Position
	}
	if size < from.State.Position {
		return State{}, r.s.corrupt(size, -1, fmt.Sprintf("file ends here; everything below position %d had been synced", from.State.Position))
	}
	end, err := r.scan(f, size, from.State)
	if err != nil {
		return State{}, err
	}
	if err := r.fitIndex(f, from); err != nil {
		return State{}, err
	}
	if err := r.s.observeFrames(f, from.State, end.Position, r.visit); err != nil {
		return State{}, err
	}
	if r.s.readOnly || size == end.Position && end.Position == known {
		return end, nil
	}
	if r.mode == RecoverProcessCrash {
		if err := r.writeAgain(f, known, from.State, end); err != nil {
			return State{}, err
		}
	}
	if err := f.log.Truncate(end.Position); err != nil {
		return State{}, err
	}
	return end, syncFile(f.log)
}

// follows checks a header against the end of the segment before it.
func (s *Segment) follows(h Header, before *State) error {
	if before == nil || h.BaseOffset == before.NextOffset && h.BaseRaftIndex == before.NextRaftIndex &&
		(before.Epoch == -1 || h.EpochBefore == before.Epoch) {
		return nil
	}
	return s.corrupt(0, h.BaseOffset, fmt.Sprintf(
		"segment begins at offset %d, raft index %d, epoch %d; the one before ends at %d, %d, %d",
		h.BaseOffset, h.BaseRaftIndex, h.EpochBefore, before.NextOffset, before.NextRaftIndex, before.Epoch))
}

// headerError tells a file whose creation was cut short from one whose header
// is damaged.
func (r *recovery) headerError(f *files, size int64, from *RecoveryPoint, err error) error {
	var corrupt *CorruptError
	if from != nil || !errors.As(err, &corrupt) {
		return err
	}
	lastData, readErr := newScanner(f.log, size, State{}).lastData(0)
	if readErr != nil {
		return readErr
	}
	if lastData <= HeaderBytes {
		return ErrTorn
	}
	return err
}

// scan finds the end of the valid frames.
func (r *recovery) scan(f *files, size int64, from State) (State, error) {
	if size == from.Position {
		return from, nil
	}
	sc := newScanner(f.log, size, from)
	for {
		_, reason, err := sc.next()
		if err != nil {
			return State{}, err
		}
		if sc.state.Position < size && reason == "" {
			continue
		}
		r.report.ScannedBytes = sc.state.Position - from.Position
		if reason == "" {
			return sc.state, nil
		}
		return sc.state, r.judge(sc, reason)
	}
}

// writeAgain writes the file over itself from a position on, so that the sync that follows speaks of these bytes:
// after one that failed the page cache goes on showing them, as clean, and a process that comes later has nothing
// to sync. A page that was given up since the scan would bring old bytes in, so that they are scanned once more,
// as they are going to be.
func (r *recovery) writeAgain(f *files, position int64, from, end State) error {
	b := make([]byte, min(scanBytes, end.Position-position))
	for at := position; at < end.Position; at += int64(len(b)) {
		b = b[:min(int64(len(b)), end.Position-at)]
		if err := readFull(f.log, b, at); err != nil {
			return err
		}
		if _, err := f.log.WriteAt(b, at); err != nil {
			return err
		}
	}
	again, err := r.scan(f, end.Position, from)
	if err == nil && again != end {
		err = r.s.corrupt(again.Position, again.NextOffset, "the frame has changed since it was scanned")
	}
	return err
}

// judge decides about a bad frame at the scanner's position: nil cuts there.
func (r *recovery) judge(sc *scanner, reason string) error {
	lastData, err := sc.lastData(sc.state.Position)
	if err != nil || lastData == sc.state.Position {
		return err // zeros: the space that was reserved ahead
	}
	r.report.CutBytes, r.report.Reason = lastData-sc.state.Position, reason
	if r.mode == RecoverPowerLoss {
		return nil
	}
	found, ok, err := sc.later(lastData)
	if err != nil || !ok {
		return err
	}
	return r.s.corrupt(sc.state.Position, sc.state.NextOffset,
		fmt.Sprintf("%s, and valid frames follow at position %d", reason, found))
}

// fitIndex opens the index as of the recovery point, and makes it again from
// the frames when entries are missing.
func (r *recovery) fitIndex(f *files, from *RecoveryPoint) error {
	x := f.index
	if err := x.open(); err != nil {
		return err
	}
	offsets, err := x.offsets.countBelow(keyPosition, from.State.Position)
	if err != nil {
		return err
	}
	times, err := x.times.countBelow(keyTimePosition, from.State.Position)
	if err != nil {
		return err
	}
	if offsets == from.OffsetEntries && times == from.TimeEntries {
		if err = x.keep(offsets, times); !errors.Is(err, errBadIndex) {
			return err
		}
	}
	r.report.IndexRemade = true
	return r.s.refillIndex(f, from.State.Position)
}

// refillIndex empties the index and makes it again from the frames up to position.
func (s *Segment) refillIndex(f *files, position int64) error {
	if err := f.index.keep(0, 0); err != nil {
		return err
	}
	f.index.bad.Store(false)
	return s.observeFrames(f, f.header.start(), position, nil)
}

// ScanSealed checks every frame of a sealed segment from the recovery point on,
// or from its start, and that it ends where its file does. before is as for
// OpenActive. It returns where the segment ends.
func (s *Segment) ScanSealed(from *RecoveryPoint, before *State, visit func(Frame)) (end State, scanned int64, err error) {
	log, size, head, err := s.openLog()
	if err != nil {
		return State{}, 0, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	h, err := s.checkHeader(head)
	if err == nil {
		err = s.follows(h, before)
	}
	if err != nil {
		return State{}, 0, err
	}
	start := h.start()
	if from != nil {
		start = from.State
	}
	if size < start.Position {
		return State{}, 0, s.corrupt(size, -1, "sealed file is shorter than what had been synced")
	}
	sc := newScanner(log, size, start)
	for sc.state.Position < size {
		f, reason, err := sc.next()
		if err != nil {
			return State{}, 0, err
		}
		if reason != "" {
			return State{}, 0, s.corrupt(sc.state.Position, sc.state.NextOffset, reason+", in a sealed segment")
		}
		visit(f)
	}
	return sc.state, size - start.Position, nil
}

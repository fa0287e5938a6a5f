package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"weir/segment"
	"weir/segment/vfs"
)

// Kind is what a finding is, and so what helps.
type Kind string

const (
	Leftover      Kind = "leftover"       // a file that nothing needs: every open removes it
	Torn          Kind = "torn"           // an append, a roll or a reset cut short: an open after the death of a process ends it
	BadIndex      Kind = "bad-index"      // what is missing or wrong in it, the log gives again
	BadCheckpoint Kind = "bad-checkpoint" // no slot is valid: nothing opens; the log gives all but a start within its first segment
	Corrupt       Kind = "corrupt"        // records are missing or not what was written: no repair brings them back
)

// Finding is something in a log's folder that is not as a clean close leaves it.
type Finding struct {
	Kind     Kind
	Path     string
	Base     int64 // of the segment, for BadIndex
	Position int64 // in bytes within the file
	Offset   int64 // Kafka offset there, -1 when unknown
	Reason   string
}

// Checked is what Check has seen of a log, as far as it is whole.
type Checked struct {
	TopicID        [16]byte
	Partition      int32
	Segments       int
	Start, End     int64 // offsets, half-open
	FirstRaftIndex uint64
	Bytes          int64 // of whole frames
	TornBytes      int64 // behind them
	Findings       []Finding

	recovery RecoveryMode
}

// Sound says that nothing was found.
func (c *Checked) Sound() bool { return len(c.Findings) == 0 }

// Has says whether something of a kind was found.
func (c *Checked) Has(k Kind) bool {
	for _, f := range c.Findings {
		if f.Kind == k {
			return true
		}
	}
	return false
}

func (c *Checked) found(k Kind, path, reason string) {
	c.Findings = append(c.Findings, Finding{Kind: k, Path: path, Offset: -1, Reason: reason})
}

// note keeps err if it says what is wrong with the bytes, and returns any other.
func (c *Checked) note(k Kind, base int64, err error) error {
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) {
		return err
	}
	c.Findings = append(c.Findings, Finding{Kind: k, Path: corrupt.Path, Base: base, Position: corrupt.Position, Offset: corrupt.Offset, Reason: corrupt.Reason})
	if k == Corrupt && corrupt.Position >= segment.HeaderBytes {
		c.End = max(c.End, corrupt.Offset) // the frames before it are whole
	}
	return nil
}

// Check reads all of the log in dir that nobody has open, every frame and every index entry, and changes nothing. What is
// wrong is in the findings; the first that is Corrupt ends the look at segments. It holds the index of one segment in
// memory. recovery is what the process that had it open last may have left: after a power loss what lies behind the recovery
// point may be there in part only, and is Torn then; after a clean close it counts as after the death of a process. Errors
// are *VersionError and those of the file system.
func Check(dir string, fsys vfs.FS, recovery RecoveryMode) (*Checked, error) {
	if recovery == RecoverClean {
		recovery = RecoverProcessCrash
	}
	l, c := newLog(Config{Dir: dir, FS: fsys, Recovery: recovery}, true), &Checked{recovery: recovery}
	listing, err := segment.List(l.fs, dir)
	if err != nil {
		return nil, err
	}
	for _, path := range listing.Leftover {
		c.found(Leftover, path, "nothing needs it")
	}
	if _, err := l.fs.Stat(filepath.Join(dir, resetName)); err == nil {
		c.found(Torn, filepath.Join(dir, resetName), "a reset was decided and is not done")
		return c, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	file, known, err := loadCheckpoint(l.fs, dir)
	if err := c.note(BadCheckpoint, 0, err); err != nil {
		return nil, err
	}
	return c, l.checkSegments(c, listing.Bases, file.last, known)
}

func (l *Log) checkSegments(c *Checked, bases []int64, last checkpoint, known bool) error {
	switch {
	case len(bases) > 0:
		c.Start, c.End = bases[0], bases[0]
	case known || c.Has(BadCheckpoint):
		c.found(Corrupt, l.cfg.Dir, "a checkpoint and no segment")
	}
	if known {
		c.Start = last.logStart
	}
	if len(bases) > 0 && bases[0] > c.Start {
		c.found(Corrupt, segment.LogPath(l.cfg.Dir, bases[0]), fmt.Sprintf("the log starts at offset %d, and its first segment at %d", c.Start, bases[0]))
		return nil
	}
	var before *segment.State
	reached := !known
	for i, base := range bases {
		var point *segment.RecoveryPoint
		if known && last.point.Base == base {
			point, reached = &last.point, true
		}
		end, err := l.checkSegment(c, base, point, before, i == len(bases)-1)
		if err != nil || c.Has(Corrupt) {
			return err
		}
		before = &end
	}
	switch {
	case len(bases) == 0:
	case !reached:
		c.found(Corrupt, segment.LogPath(l.cfg.Dir, last.point.Base), "the segment of the recovery point is missing")
	case c.End < c.Start:
		c.found(Corrupt, l.cfg.Dir, fmt.Sprintf("the log ends at offset %d, below its start, %d", c.End, c.Start))
	}
	return nil
}

// checkSegment looks at one segment and returns where it ends.
func (l *Log) checkSegment(c *Checked, base int64, point *segment.RecoveryPoint, before *segment.State, last bool) (end segment.State, err error) {
	var s *segment.Segment
	if last {
		var report segment.Report
		s, report, err = segment.OpenActive(l.segmentConfig(), base, point, before, l.cfg.Recovery, nil)
		if errors.Is(err, segment.ErrTorn) {
			c.Segments++
			return l.checkTorn(c, base, before), nil
		}
		if err == nil && report.CutBytes > 0 {
			c.TornBytes = report.CutBytes
			c.found(Torn, s.Path(), fmt.Sprintf("%d bytes of an append cut short: %s", report.CutBytes, report.Reason))
		}
	} else {
		var info fs.FileInfo
		if info, err = l.fs.Stat(segment.LogPath(l.cfg.Dir, base)); err == nil {
			s = segment.OpenSealed(l.segmentConfig(), base, info.Size())
		}
	}
	if err != nil {
		return end, c.note(Corrupt, base, err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	c.Segments++
	end, index, err := s.CheckFiles(before, point)
	if err != nil {
		return end, c.note(Corrupt, base, err)
	}
	if err := c.note(BadIndex, base, index); err != nil {
		return end, err
	}
	if point != nil && (end.Position < point.State.Position || last && end.NextRaftIndex < point.State.NextRaftIndex) {
		c.found(Corrupt, s.Path(), fmt.Sprintf("it ends at position %d; everything below %d had been synced", end.Position, point.State.Position))
	}
	c.End = end.NextOffset
	c.Bytes += end.Position
	h, err := s.Header()
	if c.Segments == 1 {
		c.TopicID, c.Partition, c.FirstRaftIndex = h.TopicID, h.Partition, h.BaseRaftIndex
	}
	return end, err
}

// checkTorn looks at a last segment that has no header: it is a roll cut short if it goes on where the one before ends.
func (l *Log) checkTorn(c *Checked, base int64, before *segment.State) (end segment.State) {
	path := segment.LogPath(l.cfg.Dir, base)
	if before == nil && base == 0 {
		before = &segment.State{NextRaftIndex: 1, Epoch: -1}
	}
	if before == nil || before.NextOffset != base {
		c.found(Corrupt, path, "no header, and no segment before it that ends there")
		return end
	}
	c.found(Torn, path, "its creation was cut short, and nothing is in it")
	return *before
}

// Mend does what it can about what Check has found: it removes what nothing needs, cuts what is torn, makes indexes and
// the checkpoint again, and leaves the log as a clean close does. Records that are whole stay as they are. A crash leaves
// what can be mended again. c.TopicID and c.Partition are whose log it is. It refuses one with findings that are Corrupt,
// by *CorruptError.
func Mend(dir string, fsys vfs.FS, c *Checked) error {
	for _, f := range c.Findings {
		if f.Kind == Corrupt {
			return &CorruptError{Path: f.Path, Position: f.Position, Offset: f.Offset, Reason: f.Reason}
		}
	}
	for _, f := range c.Findings {
		var err error
		switch f.Kind {
		case BadIndex:
			err = segment.RemoveIndexes(fsys, dir, f.Base)
		case BadCheckpoint:
			err = segment.Remove(fsys, checkpointPath(dir))
		}
		if err != nil {
			return err
		}
	}
	if err := fsys.SyncDir(dir); err != nil {
		return err
	}
	l, err := Open(Config{Dir: dir, FS: fsys, TopicID: c.TopicID, Partition: c.Partition, Recovery: c.recovery})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.w.changed = true // an index, at least
	l.mu.Unlock()
	return errors.Join(l.Verify(), l.Close())
}

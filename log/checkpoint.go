package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"weir/segment"
	"weir/segment/vfs"
)

// The layout of segment/FORMAT.md, section 4.
const (
	checkpointName    = "checkpoint"
	checkpointMagic   = "WCKP"
	checkpointVersion = 1
	slotBytes         = 32 << 10
	slotFixedBytes    = 84
	slotEpochBytes    = 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkpoint is the content of a slot.
type checkpoint struct {
	sequence uint64
	logStart int64
	point    segment.RecoveryPoint
	epochs   epochList // those that began below the recovery point
}

func (c checkpoint) encode() []byte {
	b := make([]byte, 0, slotFixedBytes+len(c.epochs)*slotEpochBytes+4)
	b = append(b, checkpointMagic...)
	b = binary.BigEndian.AppendUint16(b, checkpointVersion)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(cap(b)))
	b = binary.BigEndian.AppendUint64(b, c.sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(c.logStart))
	b = binary.BigEndian.AppendUint64(b, uint64(c.point.Base))
	b = binary.BigEndian.AppendUint64(b, uint64(c.point.State.Position))
	b = binary.BigEndian.AppendUint64(b, uint64(c.point.State.NextOffset))
	b = binary.BigEndian.AppendUint64(b, c.point.State.NextRaftIndex)
	b = binary.BigEndian.AppendUint32(b, uint32(c.point.State.Epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(c.point.State.MaxTimestamp))
	b = binary.BigEndian.AppendUint32(b, uint32(c.point.OffsetEntries))
	b = binary.BigEndian.AppendUint32(b, uint32(c.point.TimeEntries))
	b = binary.BigEndian.AppendUint32(b, uint32(len(c.epochs)))
	for _, e := range c.epochs {
		b = binary.BigEndian.AppendUint32(b, uint32(e.epoch))
		b = binary.BigEndian.AppendUint64(b, uint64(e.offset))
		b = binary.BigEndian.AppendUint64(b, e.raftIndex)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeCheckpoint reads one slot. A whole one of another version gives a
// *VersionError; any other error means that the slot is not valid.
func decodeCheckpoint(b []byte) (c checkpoint, err error) {
	if len(b) < slotFixedBytes+4 || string(b[:4]) != checkpointMagic {
		return c, errors.New("no checkpoint")
	}
	length := int64(binary.BigEndian.Uint32(b[8:]))
	if length < slotFixedBytes+4 || length > int64(len(b)) {
		return c, fmt.Errorf("length %d in a slot of %d bytes", length, len(b))
	}
	body := b[:length-4]
	if got, want := crc32.Checksum(body, castagnoli), binary.BigEndian.Uint32(b[length-4:]); got != want {
		return c, fmt.Errorf("CRC %08x, states %08x", got, want)
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != checkpointVersion {
		return c, &VersionError{Version: int(v)}
	}
	c.sequence = binary.BigEndian.Uint64(b[12:])
	c.logStart = int64(binary.BigEndian.Uint64(b[20:]))
	c.point = segment.RecoveryPoint{
		Base: int64(binary.BigEndian.Uint64(b[28:])),
		State: segment.State{
			Position:      int64(binary.BigEndian.Uint64(b[36:])),
			NextOffset:    int64(binary.BigEndian.Uint64(b[44:])),
			NextRaftIndex: binary.BigEndian.Uint64(b[52:]),
			Epoch:         int32(binary.BigEndian.Uint32(b[60:])),
			MaxTimestamp:  int64(binary.BigEndian.Uint64(b[64:])),
		},
		OffsetEntries: int(binary.BigEndian.Uint32(b[72:])),
		TimeEntries:   int(binary.BigEndian.Uint32(b[76:])),
	}
	n := int64(binary.BigEndian.Uint32(b[80:]))
	if n > maxEpochs || int64(len(body)) != slotFixedBytes+n*slotEpochBytes {
		return c, fmt.Errorf("%d epochs in %d bytes", n, len(body))
	}
	for e := body[slotFixedBytes:]; len(e) > 0; e = e[slotEpochBytes:] {
		c.epochs = append(c.epochs, epochStart{
			epoch:     int32(binary.BigEndian.Uint32(e)),
			offset:    int64(binary.BigEndian.Uint64(e[4:])),
			raftIndex: binary.BigEndian.Uint64(e[12:]),
		})
	}
	return c, c.sane()
}

// sane catches what no writer writes, so that the rest need not.
func (c checkpoint) sane() error {
	p := c.point
	if c.logStart < 0 || p.Base < 0 || p.State.Position < segment.HeaderBytes || p.State.NextOffset < p.Base ||
		p.State.NextRaftIndex == 0 || p.State.Epoch < -1 || p.OffsetEntries < 0 || p.TimeEntries < 0 {
		return fmt.Errorf("impossible values: log start %d, recovery point %+v", c.logStart, p)
	}
	for i := 1; i < len(c.epochs); i++ {
		if c.epochs[i].epoch <= c.epochs[i-1].epoch || c.epochs[i].offset < c.epochs[i-1].offset {
			return errors.New("epochs out of order")
		}
	}
	return nil
}

// checkpointFile is the file with the two slots. It is opened to be read or written only: a
// broker may have ten thousand of them.
type checkpointFile struct {
	path    string     // empty until there is one
	last    checkpoint // newest slot, written or read
	slot    int        // it is in
	durable bool       // it is known to be on disk
	named   bool       // and so is the file's name
}

// unmoved, as a new log start, leaves that where it is.
const unmoved = -1

// care says how much a checkpoint write does.
type care uint8

const (
	lazily  care = iota // on disk some time
	durably             // on disk on return
	twice               // in both slots, so that one damaged later brings nothing back
)

func checkpointPath(dir string) string { return filepath.Join(dir, checkpointName) }

// loadCheckpoint reads the newest valid slot. ok is false when there is no
// checkpoint; a file with content and without a valid slot is a *CorruptError.
func loadCheckpoint(fsys vfs.FS, dir string) (c checkpointFile, ok bool, err error) {
	f, err := fsys.OpenFile(checkpointPath(dir), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return checkpointFile{}, false, nil
	}
	if err != nil {
		return checkpointFile{}, false, err
	}
	c.path = checkpointPath(dir)
	ok, err = c.read(f)
	return c, ok, errors.Join(err, f.Close())
}

func (c *checkpointFile) read(f vfs.File) (ok bool, err error) {
	var reason error
	for slot := range 2 {
		b, err := readSlot(f, slot)
		if err != nil {
			return false, err
		}
		s, err := decodeCheckpoint(b)
		var version *VersionError
		switch {
		case errors.As(err, &version):
			return false, &VersionError{Path: c.path, Version: version.Version}
		case err != nil:
			if reason == nil {
				reason = err
			}
		case !ok || s.sequence > c.last.sequence:
			c.last, c.slot, ok = s, slot, true
		}
	}
	if ok {
		return true, nil
	}
	return false, &CorruptError{Path: c.path, Offset: -1, Reason: "no slot is valid: " + reason.Error()}
}

// readSlot reads one slot, of which most have little.
func readSlot(f vfs.File, slot int) ([]byte, error) {
	const little = 1 << 10
	for want := little; ; want = slotBytes {
		b := make([]byte, want)
		n, err := f.ReadAt(b, int64(slot)*slotBytes)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if n < little || want == slotBytes || binary.BigEndian.Uint32(b[8:]) <= little {
			return b[:n], nil
		}
	}
}

// write puts a new checkpoint over the older slot, which is safe because the
// newer one is on disk.
func (c *checkpointFile) write(fsys vfs.FS, dir string, next checkpoint, how care) error {
	if c.path == "" {
		if err := c.create(fsys, dir, next); err != nil {
			return err
		}
	}
	if err := c.within(fsys, func(f vfs.File) error { return c.writeWith(f, next, how) }); err != nil || how == lazily {
		return err
	}
	if !c.named {
		if err := fsys.SyncDir(dir); err != nil {
			return &segment.SyncError{Path: dir, Err: err}
		}
		c.named = true
	}
	return nil
}

func (c *checkpointFile) writeWith(f vfs.File, next checkpoint, how care) error {
	if how == twice {
		if err := c.writeSlot(f, next); err != nil {
			return err
		}
	}
	if err := c.writeSlot(f, next); err != nil || how == lazily {
		return err
	}
	return c.sync(f)
}

func (c *checkpointFile) within(fsys vfs.FS, do func(vfs.File) error) error {
	f, err := fsys.OpenFile(c.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(do(f), f.Close())
}

// create makes the file with both slots written, which takes the room for both
// while there is some, and gives it its name when it is on disk: a checkpoint
// without a valid slot is always damage.
func (c *checkpointFile) create(fsys vfs.FS, dir string, next checkpoint) error {
	tmp := checkpointPath(dir) + ".tmp"
	f, err := fsys.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	fresh := checkpointFile{path: checkpointPath(dir)}
	if err := errors.Join(fresh.writeWith(f, next, twice), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, fresh.path); err != nil {
		return err
	}
	*c = fresh
	return nil
}

func (c *checkpointFile) writeSlot(f vfs.File, next checkpoint) error {
	if !c.durable && c.last.sequence != 0 {
		if err := c.writeNewest(f); err != nil {
			return err
		}
	}
	next.sequence = c.last.sequence + 1
	slot := 1 - c.slot
	if _, err := f.WriteAt(next.encode(), int64(slot)*slotBytes); err != nil {
		return err
	}
	c.last, c.slot, c.durable = next, slot, false
	return nil
}

// writeAgain makes what was read durable. A process that died may have seen its sync fail, after
// which the slot is in the cache only, where it says nothing to a sync of today.
func (c *checkpointFile) writeAgain(fsys vfs.FS) error { return c.within(fsys, c.writeNewest) }

// writeNewest writes the newest slot over itself and syncs it: the disk may have failed it while
// the file was not open, of which a sync of today need not hear.
func (c *checkpointFile) writeNewest(f vfs.File) error {
	if _, err := f.WriteAt(c.last.encode(), int64(c.slot)*slotBytes); err != nil {
		return err
	}
	return c.sync(f)
}

func (c *checkpointFile) sync(f vfs.File) error {
	if err := f.Sync(); err != nil {
		return &segment.SyncError{Path: c.path, Err: err}
	}
	c.durable = true
	return nil
}

// writeCheckpoint writes log start, recovery point and epochs. The recovery point is what has been synced; where the
// disk has no room for the index entries below it, one before it in the same segment serves. to is a new log start,
// or unmoved.
func (l *Log) writeCheckpoint(to int64, how care) error {
	l.checkpointMu.Lock()
	defer l.checkpointMu.Unlock()
	if l.closed.Load() {
		return nil // a worker that comes late; Close has written the last one
	}
	point, err := l.recoveryPointLocked()
	if err != nil {
		var syncErr *segment.SyncError
		if errors.As(err, &syncErr) {
			return err
		}
		if point, err = l.olderPointLocked(point); err != nil {
			return err
		}
	}
	// While AdvanceStart is about to publish a new start, others know the old one.
	logStart := max(to, l.logStart.Load(), l.checkpoint.last.logStart)
	epochs := l.epochs.Load().from(logStart).below(point.State.NextRaftIndex)
	return l.checkpoint.write(l.fs, l.cfg.Dir, checkpoint{logStart: logStart, point: point, epochs: epochs}, how)
}

// olderPointLocked stands in for a point whose index entries are not on disk:
// the last one, or where the segment begins. It is never in an older segment,
// which may be about to be deleted.
func (l *Log) olderPointLocked(point segment.RecoveryPoint) (segment.RecoveryPoint, error) {
	last := l.checkpoint.last
	if last.sequence != 0 && last.point.Base == point.Base && last.point.State.NextRaftIndex <= point.State.NextRaftIndex {
		return last.point, nil
	}
	l.syncMu.Lock()
	s := l.synced.segment
	l.syncMu.Unlock()
	start, err := s.Start()
	return segment.RecoveryPoint{Base: s.BaseOffset(), State: start}, err
}

// recoveryPointLocked is the synced point, with its index entries on disk. With
// an error the place in it is right, and the entries are not.
func (l *Log) recoveryPointLocked() (segment.RecoveryPoint, error) {
	l.syncMu.Lock()
	synced := l.synced
	l.synced.bytes = 0
	l.syncMu.Unlock()
	offsets, times, err := synced.segment.SyncIndex(synced.state)
	return segment.RecoveryPoint{
		Base: synced.segment.BaseOffset(), State: synced.state,
		OffsetEntries: offsets, TimeEntries: times,
	}, err
}

// advanceRecoveryPoint writes a checkpoint where an older one would only be
// more work at recovery, so that only a failed sync counts.
func (l *Log) advanceRecoveryPoint() error {
	err := l.writeCheckpoint(unmoved, lazily)
	var syncErr *segment.SyncError
	if err == nil || errors.As(err, &syncErr) {
		return err
	}
	l.logger.Warn("checkpoint not written; recovery will have more to do", "dir", l.cfg.Dir, "err", err)
	return nil
}

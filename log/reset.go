package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"

	"weir/segment"
	"weir/segment/vfs"
)

// The layout of segment/FORMAT.md, section 4.
const (
	resetName    = "reset"
	resetMagic   = "WRST"
	resetVersion = 1
	resetBytes   = 32
)

// reset is a decision to begin anew: the state of the empty log.
type reset struct {
	offset      int64
	raftIndex   uint64
	epochBefore int32
}

func (r reset) encode() []byte {
	b := append(make([]byte, 0, resetBytes), resetMagic...)
	b = binary.BigEndian.AppendUint16(b, resetVersion)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(r.offset))
	b = binary.BigEndian.AppendUint64(b, r.raftIndex)
	b = binary.BigEndian.AppendUint32(b, uint32(r.epochBefore))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeReset reads the file. A whole one of another version gives a *VersionError.
func decodeReset(b []byte) (reset, error) {
	const sum = resetBytes - 4
	if len(b) != resetBytes || string(b[:4]) != resetMagic {
		return reset{}, errors.New("not a reset")
	}
	if got, want := crc32.Checksum(b[:sum], castagnoli), binary.BigEndian.Uint32(b[sum:]); got != want {
		return reset{}, fmt.Errorf("CRC %08x, states %08x", got, want)
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != resetVersion {
		return reset{}, &VersionError{Version: int(v)}
	}
	r := reset{
		offset:      int64(binary.BigEndian.Uint64(b[8:])),
		raftIndex:   binary.BigEndian.Uint64(b[16:]),
		epochBefore: int32(binary.BigEndian.Uint32(b[24:])),
	}
	return r, r.sane()
}

func (r reset) sane() error {
	if r.offset < 0 || r.raftIndex == 0 || r.epochBefore < -1 {
		return fmt.Errorf("reset to offset %d, raft index %d after epoch %d is impossible", r.offset, r.raftIndex, r.epochBefore)
	}
	return nil
}

// epochs are those of the empty log.
func (r reset) epochs() *epochList {
	if r.epochBefore < 0 {
		return new(epochList)
	}
	return &epochList{{epoch: r.epochBefore, offset: r.offset, raftIndex: r.raftIndex - 1}}
}

// ResetTo drops all that the log holds and begins anew: an empty log that starts at
// offset, below or above the log end as it is, whose next entry gets raftIndex, and
// whose entry before that was of epochBefore, -1 for none. It is durable on return;
// after a crash before that the log is the old one whole, or the new one. The floors
// of SetAppliedFloor and SetRetainFloor do not refuse it, and are gone after it.
// Readers keep ranges that were handed out; until it returns the log appears empty.
//
// Errors: ErrClosed, ErrReadOnly, *FailedError, what is wrong with the arguments,
// and those of the file system. Either nothing has been changed, or the log has
// failed, and opening it again finishes the reset.
func (l *Log) ResetTo(offset int64, raftIndex uint64, epochBefore int32) error {
	r := reset{offset: offset, raftIndex: raftIndex, epochBefore: epochBefore}
	if err := r.sane(); err != nil {
		return err
	}
	l.layoutMu.Lock()
	defer l.layoutMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if err := l.decideReset(r); err != nil {
		return err
	}
	l.w.cuts++
	l.cuts.Add(1)
	defer l.cuts.Add(1)
	l.publishReset(r)
	err := l.finishReset(r, func() error {
		for _, s := range l.list() {
			unlink, err := s.Drop()
			if err := errors.Join(err, l.unlink(unlink)); err != nil {
				return err
			}
		}
		return nil
	})
	l.forgetTrail()
	return l.fail(err)
}

func (l *Log) resetPath() string { return filepath.Join(l.cfg.Dir, resetName) }

// decideReset writes the decision down, durably. With an error the log is as
// before, or has failed.
func (l *Log) decideReset(r reset) error {
	err := vfs.ReplaceFile(l.fs, l.resetPath(), r.encode())
	if err == nil {
		return nil
	}
	if _, stat := l.fs.Stat(l.resetPath()); errors.Is(stat, fs.ErrNotExist) {
		return err
	}
	return l.fail(err) // it has its name, and whether that stays is not known
}

// publishReset has readers find nothing in the log.
func (l *Log) publishReset(r reset) {
	l.appliedFloor.Store(0)
	l.retainFloor.Store(0)
	l.firstRaft.Store(r.raftIndex)
	l.nextRaft.Store(r.raftIndex)
	l.epochs.Store(r.epochs())
	l.logStart.Store(r.offset)
	l.logEnd.Store(r.offset)
	l.w.firstTimestamp, l.w.changed = -1, true
}

// finishReset does what has been decided: drop removes the old segments. The log
// fails if it does not get through, and the next open does it again.
func (l *Log) finishReset(r reset, drop func() error) error {
	l.checkpointMu.Lock()
	defer l.checkpointMu.Unlock()
	start, err := l.replaceSegments(r, drop)
	if err != nil {
		return err
	}
	next := checkpoint{logStart: r.offset, point: segment.RecoveryPoint{Base: r.offset, State: start}, epochs: *r.epochs()}
	if err := l.checkpoint.write(l.fs, l.cfg.Dir, next, twice); err != nil {
		return err
	}
	if err := segment.Remove(l.fs, l.resetPath()); err != nil {
		return err
	}
	return l.syncDir()
}

// replaceSegments puts an empty segment in the place of all others. No sync runs
// beside it, which would find neither the old nor the new one.
func (l *Log) replaceSegments(r reset, drop func() error) (start segment.State, err error) {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if err := drop(); err != nil {
		return start, err
	}
	if err := segment.Remove(l.fs, filepath.Join(l.cfg.Dir, cleanedName)); err != nil {
		return start, err
	}
	s, err := segment.Create(l.segmentConfig(), l.newHeader(r.offset, r.raftIndex, r.epochBefore))
	if err != nil {
		return start, err
	}
	if start, err = s.End(); err == nil {
		err = l.syncDir()
	}
	if err != nil {
		return start, errors.Join(err, s.Close())
	}
	l.segments.Store(&[]*segment.Segment{s})
	l.synced = durablePoint{segment: s, state: start}
	l.durable.Store(r.offset)
	return start, nil
}

// resumeReset finishes a reset that was decided and cut short; done is false when
// there is none.
func (l *Log) resumeReset(listing segment.Listing) (done bool, err error) {
	b, err := vfs.ReadFile(l.fs, l.resetPath())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r, err := decodeReset(b)
	if version := (*VersionError)(nil); errors.As(err, &version) {
		return false, &VersionError{Path: l.resetPath(), Version: version.Version}
	}
	if err != nil { // it was on disk before it got its name
		return false, &CorruptError{Path: l.resetPath(), Offset: -1, Reason: err.Error()}
	}
	if l.readOnly {
		return false, fmt.Errorf("%s: a reset to offset %d was cut short, and is finished when the log is opened for writing", l.cfg.Dir, r.offset)
	}
	l.publishReset(r)
	err = l.finishReset(r, func() error {
		for _, base := range listing.Bases {
			if err := segment.RemoveFiles(l.fs, l.cfg.Dir, base); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		l.logger.Warn("reset finished that was cut short", "dir", l.cfg.Dir, "offset", r.offset)
	}
	return true, err
}

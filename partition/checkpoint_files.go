package partition

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"weir/segment/vfs"
)

const (
	checkpointSuffix = ".checkpoint"
	tmpSuffix        = ".tmp"
	checkpointsKept  = 2
)

func checkpointName(dir string, raftIndex uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", raftIndex, checkpointSuffix))
}

// saveCheckpoint writes the state as it is now, durable on return. That it cannot is no
// reason to stop: a full disk has to let go of old records, too.
func (p *Partition) saveCheckpoint() {
	p.mu.Lock()
	write := p.nextCheckpoint()
	p.mu.Unlock() // the disk may hang
	if write != nil {
		write()
	}
}

// saveCheckpointLater is saveCheckpoint whose writing nobody waits for. It is called with
// mu held.
func (p *Partition) saveCheckpointLater() {
	if write := p.nextCheckpoint(); write != nil {
		p.background.Go(write)
	}
}

// nextCheckpoint is what writes the state as it is now, nil when that has been done. It is
// called with mu held.
func (p *Partition) nextCheckpoint() (write func()) {
	at := p.state.at
	if at.raftIndex <= p.checkpoint || p.startAsked > p.log.LogStartOffset() {
		return nil // with the second a start would take the order for carried out
	}
	p.checkpoint, p.checkpointOffset, p.checkpointOwed = at.raftIndex, at.nextOffset, false
	p.checkpointing++
	encoded := p.state.encode()
	return func() {
		// A checkpoint above what a power loss leaves would be of no use, and drive out one that is.
		written := p.log.Sync() == nil && p.writeCheckpoint(at.raftIndex, encoded)
		p.mu.Lock()
		if !written {
			p.checkpoint, p.checkpointOwed = min(p.checkpoint, p.checkpointOnDisk.Load()), true
		}
		p.checkpointing--
		p.room.Broadcast()
		p.mu.Unlock()
	}
}

func (p *Partition) writeCheckpoint(raftIndex uint64, b []byte) (written bool) {
	if err := writeCheckpoint(p.cfg.FS, p.cfg.Dir, raftIndex, b); err != nil {
		p.logger.Warn("checkpoint not written; recovery will read more of the log", "err", err)
		return false
	}
	for {
		old := p.checkpointOnDisk.Load()
		if old >= raftIndex || p.checkpointOnDisk.CompareAndSwap(old, raftIndex) {
			return true
		}
	}
}

// writeCheckpoint stores b as the checkpoint at an entry, durable on return, and
// then drops the oldest ones.
func writeCheckpoint(fsys vfs.FS, dir string, raftIndex uint64, b []byte) error {
	name := checkpointName(dir, raftIndex)
	err := vfs.ReplaceFile(fsys, name, b)
	if vfs.IsNoSpace(err) {
		// The older of two makes room: a full disk lets go of records only when it is
		// known what they were.
		err = errors.Join(dropCheckpoints(fsys, dir, 1), vfs.ReplaceFile(fsys, name, b))
	}
	if err != nil {
		return errors.Join(err, removed(fsys.Remove(name+tmpSuffix)))
	}
	return dropCheckpoints(fsys, dir, checkpointsKept)
}

// dropCheckpoints removes all but the newest ones.
func dropCheckpoints(fsys vfs.FS, dir string, keep int) error {
	have, err := checkpoints(fsys, dir)
	if err != nil {
		return err
	}
	for _, old := range have[:max(0, len(have)-keep)] {
		if err := removed(fsys.Remove(checkpointName(dir, old))); err != nil {
			return err
		}
	}
	return nil
}

// removed leaves out that there was nothing to remove.
func removed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// checkpoints lists the raft indexes of the checkpoints in dir, rising.
func checkpoints(fsys vfs.FS, dir string) ([]uint64, error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []uint64
	for _, e := range entries { // sorted, and the names have a fixed width
		if raftIndex, ok := checkpointIndex(e.Name()); ok {
			found = append(found, raftIndex)
		}
	}
	return found, nil
}

func checkpointIndex(name string) (raftIndex uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, checkpointSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	raftIndex, err := strconv.ParseUint(digits, 10, 64)
	return raftIndex, err == nil
}

// loadState returns the newest good checkpoint that the log bears out, or the
// empty state when the log goes back to its first entry.
func (p *Partition) loadState() (*state, error) {
	fsys, dir := p.cfg.FS, p.cfg.Dir
	if err := sweepCheckpoints(fsys, dir, p.log.LastRaftIndex()); err != nil {
		return nil, err
	}
	have, err := checkpoints(fsys, dir)
	if err != nil {
		return nil, err
	}
	for i := len(have) - 1; i >= 0; i-- {
		b, err := readSmallFile(fsys, checkpointName(dir, have[i]))
		if err != nil {
			return nil, err
		}
		s, err := decodeState(b, p.settings.MaxProducers)
		if err != nil || s.at.raftIndex != have[i] || !p.bearsOut(s.at) {
			continue
		}
		return s, nil
	}
	if first := p.log.FirstRaftIndex(); first > 1 {
		return nil, &LostError{Topic: p.cfg.Topic, Partition: p.cfg.Partition,
			Reason: fmt.Sprintf("the log begins at entry %d and no checkpoint tells what came before", first)}
	}
	return &state{at: applied{epoch: -1}, producers: newProducers(p.settings.MaxProducers)}, nil
}

// bearsOut tells whether the log goes on from a place: it has the entry there, of
// that epoch, and with it everything that comes after.
func (p *Partition) bearsOut(at applied) bool {
	e, err := p.log.EntryHead(at.raftIndex)
	return err == nil && e.Epoch == at.epoch
}

// sweepCheckpoints removes what a crash left: checkpoints half written, and those
// past the last entry, which describe batches that are gone. The latter for good
// before the log can grow past them again.
func sweepCheckpoints(fsys vfs.FS, dir string, last uint64) error {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	swept := false
	for _, e := range entries {
		half := strings.HasSuffix(e.Name(), checkpointSuffix+tmpSuffix)
		raftIndex, ok := checkpointIndex(e.Name())
		if !half && (!ok || raftIndex <= last) {
			continue
		}
		if err := fsys.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
		swept = true
	}
	if !swept {
		return nil
	}
	return fsys.SyncDir(dir)
}

func readSmallFile(fsys vfs.FS, name string) (b []byte, err error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxCheckpointBytes {
		return nil, nil // not one of ours: decodes as bad
	}
	b = make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

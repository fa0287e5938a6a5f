package partition

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	"weir/log"
	"weir/segment/vfs"
)

// installName is the file of a snapshot that the log is about to begin anew with. What a crash leaves from then on may be
// a log that is empty, or begins with an entry of which no checkpoint tells: the next open ends what was begun.
const installName = "install"

func (p *Partition) installPath() string { return filepath.Join(p.cfg.Dir, installName) }

// install takes over what a leader sent in place of entries it has not any more: the
// log begins anew with the first entry that the leader kept. Where this log holds that
// entry already, it keeps what it has.
func (p *Partition) install(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s, err := p.decodeSnapshot(b)
	if err != nil {
		return p.fail(err)
	}
	p.mu.Lock()
	late := s.at.raftIndex < p.state.at.raftIndex
	p.mu.Unlock()
	if late {
		return nil
	}
	anew := !p.bearsOut(s.at)
	first, last := p.log.FirstRaftIndex(), p.log.LastRaftIndex()
	ahead := anew && last >= s.at.raftIndex // what the library takes for the last entry goes
	if anew {
		err = vfs.ReplaceFile(p.cfg.FS, p.installPath(), b)
	}
	if err == nil {
		err = p.beginWith(s)
	}
	if err != nil {
		return p.notInstalled(err, first == p.log.FirstRaftIndex() && last == p.log.LastRaftIndex())
	}
	p.mu.Lock()
	p.state = s.state
	p.state.producers.limit = p.settings.MaxProducers // which may be another by now
	p.setAborted(s.state.aborted)
	err = p.applyRetold()
	p.log.SetAppliedFloor(s.at.raftIndex)
	p.checkpoint = 0
	p.mu.Unlock()
	if err != nil {
		return p.fail(err)
	}
	p.saveCheckpoint()
	p.setRetainFloor()
	if p.checkpointOnDisk.Load() >= s.at.raftIndex {
		p.forgetInstall()
	}
	p.mu.Lock()
	p.setHighWatermark(max(s.at.nextOffset, p.highWatermark.Load()))
	p.mu.Unlock()
	p.waiters.wakeAll()
	if ahead {
		p.retire(errAhead)
	}
	return nil
}

// notInstalled says what becomes of a snapshot that could not be taken over. Where that is for want of room, the leader
// sends it again if the log is the same as before; else what has begun is ended by opening the replica again.
func (p *Partition) notInstalled(err error, same bool) error {
	if !log.OutOfRoom(err) {
		return p.fail(err)
	}
	p.foundFull(err)
	if same && p.log.Failed() == nil {
		p.forgetInstall()
	} else {
		p.retire(err)
	}
	return err
}

// errAhead: the library does not look at the log's end again after a snapshot (its issue
// 697), and refuses what follows for as long as it believes in its own.
var errAhead = errors.New("partition: the log went on past the place, or differed there, where the leader's snapshot begins it anew")

// beginWith makes the log one that holds the snapshot's entry, and starts where orders up to it have moved the start.
func (p *Partition) beginWith(s *peerState) error {
	if !p.bearsOut(s.at) {
		if err := p.log.ResetTo(s.baseOffset, s.at.raftIndex, s.epochBefore); err != nil {
			return err
		}
		if _, err := p.log.AppendStamped([]log.Entry{s.entry}); err != nil {
			return err
		}
		if err := p.log.Sync(); err != nil {
			return err
		}
	}
	return p.log.AdvanceStart(min(s.logStart, s.at.nextOffset))
}

// forgetInstall removes the file once a checkpoint tells what it told, or nothing has come of it. One that stays changes
// nothing.
func (p *Partition) forgetInstall() {
	fsys, name := p.cfg.FS, p.installPath()
	if err := errors.Join(removed(fsys.Remove(name+tmpSuffix)), removed(fsys.Remove(name))); err != nil {
		p.logger.Warn("a snapshot that is of no use any more stays on the disk", "err", err)
	}
}

// endInstall does what is left to do when the process has died amid install. It is given what loadState gave, and
// returns the state to go on with.
func (p *Partition) endInstall(loaded *state, failed error) (*state, error) {
	var lost *LostError
	if failed != nil && !errors.As(failed, &lost) {
		return nil, failed
	}
	b, err := vfs.ReadFile(p.cfg.FS, p.installPath())
	if errors.Is(err, fs.ErrNotExist) {
		p.forgetInstall() // half of one
		return loaded, failed
	}
	if err != nil {
		return nil, err
	}
	s, err := p.decodeSnapshot(b)
	if err != nil || p.log.FirstRaftIndex() > s.at.raftIndex || failed == nil && loaded.at.raftIndex >= s.at.raftIndex {
		p.forgetInstall() // of no use any more
		return loaded, failed
	}
	if err := p.beginWith(s); err != nil {
		return nil, err
	}
	if err := writeCheckpoint(p.cfg.FS, p.cfg.Dir, s.at.raftIndex, s.state.encode()); err != nil {
		return nil, err
	}
	p.forgetInstall()
	return s.state, nil
}

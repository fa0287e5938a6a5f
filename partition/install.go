package partition

import (
	"errors"
	"io"

	"weir/log"
	"weir/segment/vfs"
)

// installingName is a file with the snapshot that takes the place of the log. It is there from before the log
// begins anew until a checkpoint says what came before its first entry: without either the replica would be lost.
const installingName = "installing"

// install takes over what a leader sent in place of entries it has not any more: the
// log begins anew with the first entry that the leader kept. Where this log holds that
// entry already, nothing in it changes.
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
	ahead := false // what the library takes for the last entry is gone
	if !p.bearsOut(s.at) {
		if err := vfs.ReplaceFile(p.cfg.FS, p.file(installingName), b); err != nil {
			return p.storageError(err) // the library tells the leader, who sends it again
		}
		ahead = p.log.LastRaftIndex() > s.at.raftIndex
		if err := p.beginWith(s); err != nil {
			return p.fail(err)
		}
	}
	p.mu.Lock()
	s.state.at = s.at
	p.state = s.state
	p.setAborted(s.state.aborted)
	p.log.SetAppliedFloor(s.at.raftIndex)
	p.checkpoint = 0
	p.mu.Unlock()
	p.saveCheckpoint()
	if p.checkpointOnDisk.Load() >= s.at.raftIndex {
		if err := p.unmark(installingName); err != nil {
			p.logger.Warn("an installed snapshot stays until the next start", "err", err)
		}
	}
	p.setRetainFloor()
	p.mu.Lock()
	p.setHighWatermark(max(s.at.nextOffset, p.highWatermark.Load()))
	p.mu.Unlock()
	p.waiters.wakeAll()
	if ahead {
		p.retire(errAhead)
	}
	return nil
}

// errAhead: the library does not look at the log's end again after a snapshot (its issue
// 697), and refuses what follows for as long as it believes in its own.
var errAhead = errors.New("partition: the log was longer than the one that the leader's snapshot begins anew")

// beginWith makes the log one that begins with the snapshot's entry.
func (p *Partition) beginWith(s *peerState) error {
	if err := p.log.ResetTo(s.baseOffset, s.at.raftIndex, s.epochBefore); err != nil {
		return err
	}
	if _, err := p.log.AppendStamped([]log.Entry{s.entry}); err != nil {
		return err
	}
	if err := p.log.Sync(); err != nil {
		return err
	}
	return p.startAsIn(s)
}

// startAsIn moves the log start to that of the leader.
func (p *Partition) startAsIn(s *peerState) error {
	if start := min(s.logStart, p.log.LogEndOffset()); start > p.log.LogStartOffset() {
		return p.log.AdvanceStart(start)
	}
	return nil
}

// finishInstall goes on, at an open, with what a crash has interrupted.
func (p *Partition) finishInstall() error {
	begun, err := p.marked(installingName)
	if err != nil || !begun {
		return err
	}
	b, err := readSmallFile(p.cfg.FS, p.file(installingName), maxSnapshotBytes)
	if err != nil {
		return err
	}
	s, err := p.decodeSnapshot(b)
	if err != nil {
		return err
	}
	if s.at.raftIndex >= p.log.FirstRaftIndex() { // otherwise the log has gone on since
		if err := p.finishInstalling(s); err != nil {
			return err
		}
	}
	return p.unmark(installingName)
}

func (p *Partition) finishInstalling(s *peerState) error {
	again := p.beginWith
	if p.bearsOut(s.at) {
		again = p.startAsIn
	}
	if err := again(s); err != nil {
		return err
	}
	s.state.at = s.at
	return writeCheckpoint(p.cfg.FS, p.cfg.Dir, s.at.raftIndex, s.state.encode())
}

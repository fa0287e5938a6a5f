package partition

import (
	"fmt"
	"time"

	"weir/log"
)

// A replica leaves its group when what it does may not count any more: its disk hangs or
// fails, or the library's picture of the log is not the log's. It cannot wait then for
// what it has begun. It stands at no election until it has been opened again.

// HungError says that the disk has not come back from an operation.
type HungError struct {
	Op    string
	Limit time.Duration
}

func (e *HungError) Error() string {
	return fmt.Sprintf("partition: the disk has not come back from %s within %v", e.Op, e.Limit)
}

// RetiredError says that the replica is opened again, and that its disk is not why: to clients it is one that does not
// lead any more.
type RetiredError struct{ Err error }

func (e *RetiredError) Error() string {
	return "partition: the replica is opened again: " + e.Err.Error()
}
func (e *RetiredError) Unwrap() error { return e.Err }

// activities are what a replica has the disk do, side by side.
type activities struct {
	write Watched // StoreLogs, suffix deletes
	flush Watched // a sync that nobody waits for
	start Watched // the log start moves
	apply Watched // a snapshot is installed
	close Watched
}

func (p *Partition) watch() {
	dog, d := p.cfg.Watchdog, &p.disk
	d.write.progress = func() int64 {
		if p.w.inLine.Load() {
			return p.cfg.Syncer.Progress(p.log)
		}
		return -1
	}
	d.flush.progress = func() int64 { return p.cfg.Syncer.Progress(p.log) }
	dog.Watch(&d.write, func() { p.hang("a write to the log") })
	dog.Watch(&d.flush, func() { p.hang("a sync of the log") })
	dog.Watch(&d.start, func() { p.hang("moving the log start") })
	dog.Watch(&d.apply, func() { p.hang("taking over a snapshot") })
	dog.Watch(&d.close, func() { p.hang("closing the log") })
}

func (p *Partition) unwatch() {
	for _, x := range []*Watched{&p.disk.write, &p.disk.flush, &p.disk.start, &p.disk.apply, &p.disk.close} {
		p.cfg.Watchdog.Forget(x)
	}
}

// hang runs when the disk hangs. What waits for Close need not wait any more.
func (p *Partition) hang(op string) {
	p.hungOnce.Do(func() { close(p.hung) })
	p.retire(&HungError{Op: op, Limit: p.cfg.Watchdog.Limit()})
}

// fail has the process end, for a reason after which opening the log again would tell
// nothing for certain.
func (p *Partition) fail(err error) error {
	err = p.storageError(err)
	if p.cfg.Fatal != nil {
		p.cfg.Fatal(err)
	}
	p.leave(err)
	return err
}

// checkLog has the process end when the log has failed. One that only lacked the room for what it had begun is whole when
// it has been opened again.
func (p *Partition) checkLog() {
	switch failed := p.log.Failed(); {
	case failed == nil:
	case log.OutOfRoom(failed):
		p.retire(failed)
	default:
		_ = p.fail(failed)
	}
}

// retire has the replica closed and opened again.
func (p *Partition) retire(err error) {
	if p.leave(err) && p.cfg.Reopen != nil {
		p.cfg.Reopen(err)
	}
}

// leave ends this replica's part in the group, and answers who waits for it. The
// transport goes first: heartbeats are sent by other goroutines than the one that may
// hang in the disk, and followers would wait for ever. It waits for nothing; it is false
// when the replica had left before. It is called without mu.
func (p *Partition) leave(err error) bool {
	if !p.left.CompareAndSwap(nil, &err) {
		return false
	}
	if t := p.cfg.Replication.Transport; t != nil {
		if err := t.Close(); err != nil {
			p.logger.Error("leaving the group", "err", err)
		}
	}
	p.logger.Error("the replica has left its group; it comes back when it has been opened again", "err", err)
	p.mu.Lock()
	p.epoch.Store(-1)
	shutdown := p.shutdown
	given := p.handOut()
	p.mu.Unlock()
	for _, x := range given {
		x.settle(p.storageError(err))
	}
	if shutdown != nil {
		shutdown() // who waits for the library to take an entry need not any more
	}
	p.changed()
	return true
}

// pauseLeft slows down the library's goroutines for followers, which try again and again: only its
// main goroutine can end them, when that comes back from the disk.
func pauseLeft() { time.Sleep(time.Second) }

// broken says why the replica takes nothing, nil when it does. The node hears of a log that
// has failed before anybody else does.
func (p *Partition) broken() error {
	if err := p.left.Load(); err != nil {
		return *err
	}
	failed := p.log.Failed()
	if failed != nil && !log.OutOfRoom(failed) && p.cfg.Fatal != nil {
		p.cfg.Fatal(p.storageError(failed))
	}
	return failed
}

// handOut ends everything that is under way, what the log is writing too: its bytes may
// still be read, until the write returns (writeEnded). It is called with mu held, and
// returns what is to be settled.
func (p *Partition) handOut() []*proposal {
	given := append(p.queue, p.stored...)
	p.queue, p.stored = nil, nil
	for _, x := range p.claimed {
		if x.is != writing {
			continue
		}
		if p.held == nil {
			p.held = make(chan struct{})
		}
		x.held = p.held
		given = append(given, x)
	}
	for _, x := range given {
		x.data = nil
		p.forget(x)
	}
	p.room.Broadcast()
	return given
}

// writeEnded is called by the main goroutine when a write has come back after the replica
// has left. It is why the replica has.
func (p *Partition) writeEnded() error {
	p.w.reset()
	p.letGo()
	return p.storageError(*p.left.Load())
}

// letGo gives back the bytes that a write was reading. Nothing writes any more, or leave has handed them out just after
// the write had come back.
func (p *Partition) letGo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

// Held is nil when the batch's Data may be used again, once Wait has returned. Otherwise a
// write that hangs may still read it until the channel is closed.
func (a *Append) Held() <-chan struct{} {
	if a.proposal == nil {
		return nil
	}
	a.partition.mu.Lock()
	defer a.partition.mu.Unlock()
	return a.proposal.held
}

package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"weir/cluster/space"
	"weir/log"
	"weir/partition"
)

// The steps of a move, and what a crash leaves of each, are in DESIGN.md.

// moveRest is how many bytes of a log may be missing in the copy when the replica is closed.
const moveRest = 8 << 20

// errMoves is why a replica is offline at the end of its move.
var errMoves error = &partition.RetiredError{Err: errors.New("cluster: it moves to another data folder")}

// errNothingToCopy: files of the log are not where they should be.
var errNothingToCopy = errors.New("cluster: what is missing in the copy cannot be found in the log's folder")

// errNotWanted ends a move whose replica has gone, or is where it is to be.
var errNotWanted = errors.New("cluster: the replica is not to be moved any more")

// runMove carries a move out when there is a slot for it, and logs what becomes of it.
func (n *Node) runMove(m *move) {
	if n.moves.slots.take(m.ctx) != nil {
		return
	}
	giveSlot := sync.OnceFunc(n.moves.slots.give)
	defer giveSlot()
	logger := n.logger.With("topic", n.topicName(m.key), "partition", m.key.partition, "to", m.to.root)
	n.watchdog.Watch(&m.disk, func() {
		logger.Error("the disk hangs", "err", &partition.HungError{Op: "a move between data folders", Limit: n.watchdog.Limit()})
		giveSlot() // it may be for long, and others are to go on
		m.hungOnce.Do(func() { close(m.hung) })
	})
	defer n.watchdog.Forget(&m.disk)
	m.disk.Begin()
	defer m.disk.End()
	began := time.Now()
	switch err := n.move(m); {
	case err == nil:
		logger.Info("a replica has moved to another data folder", "took", time.Since(began))
	case m.ctx.Err() != nil || errors.Is(err, errNotWanted):
		logger.Info("a replica's move to another data folder was called off")
	default:
		logger.Error("a replica stays where it is; its move to another data folder has failed", "err", err)
	}
}

// move carries a move out. With an error the replica is where it was.
func (n *Node) move(m *move) error {
	t, p := n.movable(m)
	if p == nil {
		return errNotWanted
	}
	err := m.to.beginMove(m.key)
	if err == nil {
		err = n.copyOpen(m, p)
	}
	if err == nil {
		m.disk.End()
		n.handOver(m.ctx, t, p)
		err = n.moveClosed(m, p)
		m.disk.Begin()
	}
	if err == nil || m.noted {
		return err
	}
	return errors.Join(err, m.to.forgetMove(m.key))
}

// movable returns the replica that is to be moved, nil when there is none any more.
func (n *Node) movable(m *move) (*Topic, *partition.Partition) {
	t := n.topics.Load().byID[m.key.topic]
	if t == nil || t.folders[m.key.partition] == m.to {
		return nil, nil
	}
	return t, t.partitions[m.key.partition]
}

// copyOpen copies while the replica goes on, until little is missing.
func (n *Node) copyOpen(m *move, p *partition.Partition) error {
	copied := 0
	c := p.Copy(m.to.moving(m.key)+partName, func(ctx context.Context, bytes int) error {
		copied += bytes
		return n.pace(ctx, m, bytes)
	})
	m.copy.Store(c)
	for {
		before := copied
		err := c.Advance(m.ctx)
		if errors.Is(err, log.ErrClosed) {
			return errNotWanted // the replica has gone, or left its group: whoever wants it to move asks again
		}
		if err != nil || c.Missing() <= moveRest {
			return err
		}
		if copied == before {
			return errNothingToCopy
		}
	}
}

// pace holds a move up before it reads and writes so many bytes.
func (n *Node) pace(ctx context.Context, m *move, bytes int) error {
	if space.Level(m.to.room.Load()) > space.Ample {
		return noRoom(n.ID(), n.Room())
	}
	m.disk.End()
	defer m.disk.Begin()
	if m.closed {
		return ctx.Err()
	}
	return n.moves.throttle.await(ctx, bytes)
}

// moveClosed closes the replica, copies the rest and has it opened again, in the target if all goes well.
func (n *Node) moveClosed(m *move, p *partition.Partition) error {
	taken, err := n.closeToMove(m.key, p)
	if !taken {
		return errNotWanted
	}
	m.closed = true
	m.disk.Begin()
	if !n.awaitGone(p) {
		return n.ctx.Err() // the process ends, with or without the disk
	}
	m.disk.End()
	n.retired.opened.Store(m.key, p.Damaged())
	if err == nil {
		var ended <-chan struct{}
		ended, err = n.finishCopy(m)
		defer func() { <-ended }()
		if n.TopicByID(m.key.topic) == nil {
			err = errNotWanted // and its files are in the trash
		}
	}
	var old []string
	if err == nil {
		old, err = n.decide(m)
	}
	n.release(m.key)
	if removed := n.removePaths(old); removed != nil {
		n.logger.Error("what a replica has left in another data folder is not removed", "err", removed)
	}
	return err
}

// finishCopy copies the rest. A disk that hangs meanwhile is *partition.HungError, so that the replica comes back where it
// was; ended closes when nothing writes to the copy any more.
func (n *Node) finishCopy(m *move) (ended <-chan struct{}, err error) {
	done := make(chan struct{})
	var result error
	go func() {
		defer close(done)
		m.disk.Begin()
		defer m.disk.End()
		result = m.copy.Load().Finish(m.ctx)
	}()
	select {
	case <-done:
		return done, result
	case <-m.hung:
		return done, &partition.HungError{Op: "the end of a move", Limit: n.watchdog.Limit()}
	}
}

// closeToMove takes a replica offline and closes it, unless another one is there by now. It holds reconciling, so that
// the topic's folder does not go meanwhile: a close that finds it gone would take the disk for failed.
func (n *Node) closeToMove(k partitionKey, p *partition.Partition) (taken bool, err error) {
	n.reconciling.Lock()
	defer n.reconciling.Unlock()
	if t := n.topics.Load().byID[k.topic]; t == nil || t.partitions[k.partition] != p {
		return false, nil
	}
	if n.takeOfflineLocked(retiredReplica{k, errMoves}) == nil {
		return false, nil
	}
	return true, p.Close()
}

package controller

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/metadata"
)

const (
	// maxPending bounds the proposals under way.
	maxPending = 1024
	// enqueueTimeout bounds the wait for the group to take a proposal.
	enqueueTimeout = 10 * time.Second
	// retryInterval is how long a proposal waits for news of a leader before it looks again.
	retryInterval = 50 * time.Millisecond
)

// Propose has the command written to disk by a majority of the voters and applied here, and
// returns its result (see the command). It may be called on any broker; one that does not lead
// forwards the command. While nobody is known to lead and nothing has happened, it tries again
// until ctx ends.
//
// Errors of package metadata are refusals by the machine; ErrClosed, ErrBusy and NotLeaderError say
// that nothing happened; UnknownOutcomeError, also for a context that ends while waiting, that it
// may yet, or did without this broker seeing how.
func (c *Controller) Propose(ctx context.Context, command metadata.Command) (any, error) {
	data, err := metadata.EncodeCommand(command)
	if err != nil {
		return nil, err
	}
	t, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer t.release()
	id := c.nextID()
	result := c.waiting.add(id)
	defer c.waiting.remove(id)
	entry := encodeEntry(id, data)
	for {
		changed := c.leaderChanged.wait()
		done, err := c.submit(ctx, t, entry)
		var notLeader *NotLeaderError
		var unknown *UnknownOutcomeError
		switch {
		case err == nil:
			return c.awaitApplied(ctx, result, done.index)
		case errors.As(err, &unknown):
			return c.awaitWhetherApplied(ctx, result, err)
		case !errors.As(err, &notLeader):
			return nil, err
		}
		if err := c.pause(ctx, changed, retryInterval, err); err != nil {
			return nil, err
		}
	}
}

func (c *Controller) nextID() proposalID {
	return proposalID{node: c.config.NodeID, incarnation: c.incarnation, counter: c.counter.Add(1)}
}

// pause waits until there may be another leader. It returns the last error with that of the
// context when that ends first.
func (c *Controller) pause(ctx context.Context, changed <-chan struct{}, interval time.Duration, last error) error {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-timer.C:
		return nil
	case <-c.stop:
		return ErrClosed
	case <-c.fault.raised:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", last, ctx.Err())
	}
}

// awaitApplied waits for the result of an entry that is committed.
func (c *Controller) awaitApplied(ctx context.Context, result <-chan applied, index uint64) (any, error) {
	for {
		moved, skipped := c.waiting.skipped.wait(), c.waiting.skippedTo() >= index
		select {
		case a := <-result:
			return a.result, a.err
		default:
		}
		if skipped {
			return nil, &UnknownOutcomeError{Err: ErrSkipped}
		}
		select {
		case a := <-result:
			return a.result, a.err
		case <-moved:
		case <-c.fault.raised:
			return nil, &UnknownOutcomeError{Err: c.fault.get()}
		case <-c.calls.Done():
			return nil, &UnknownOutcomeError{Err: ErrClosed}
		case <-ctx.Done():
			return nil, &UnknownOutcomeError{Err: ctx.Err()}
		}
	}
}

// awaitWhetherApplied gives an entry whose outcome is unknown the time in which another leader
// would have committed it. Most often that turns the error into a result.
func (c *Controller) awaitWhetherApplied(ctx context.Context, result <-chan applied, err error) (any, error) {
	if errors.Is(err, ErrClosed) {
		return nil, err
	}
	timer := time.NewTimer(c.config.HeartbeatTimeout + 2*c.config.ElectionTimeout)
	defer timer.Stop()
	select {
	case a := <-result:
		return a.result, a.err
	case <-timer.C:
	case <-c.fault.raised:
	case <-c.calls.Done():
	case <-ctx.Done():
	}
	return nil, err
}

// committed is what a leader says of an entry that it has applied.
type committed struct {
	index   uint64
	refusal error // of its machine
}

// submit has the group take the entry, by the leader wherever it is. Errors are those of Propose
// that are not the machine's.
func (c *Controller) submit(ctx context.Context, t *ticket, entry []byte) (committed, error) {
	if c.raft.State() == raft.Leader {
		return c.apply(ctx, t, entry)
	}
	leader, known := c.Leader()
	if !known || leader == c.config.NodeID || c.config.Forward == nil {
		return committed{}, &NotLeaderError{Leader: leader, Known: known}
	}
	return c.forward(ctx, func(ctx context.Context, request []byte) ([]byte, error) {
		return c.config.Forward(ctx, leader, request)
	}, entry, false)
}

// apply has the library take the entry, as the leader.
func (c *Controller) apply(ctx context.Context, t *ticket, entry []byte) (committed, error) {
	type answer struct {
		committed
		err error
	}
	answers := make(chan answer, 1)
	t.hold()
	go func() {
		defer t.release()
		future := c.raft.Apply(entry, enqueueTimeout)
		if err := future.Error(); err != nil {
			answers <- answer{err: c.mapError(err)}
			return
		}
		a := answer{committed: committed{index: future.Index(), refusal: future.Response().(applied).err}}
		var unknown *UnknownOutcomeError
		if errors.As(a.refusal, &unknown) {
			a.err = unknown
		}
		answers <- a
	}()
	select {
	case a := <-answers:
		return a.committed, a.err
	case <-ctx.Done():
		return committed{}, &UnknownOutcomeError{Err: ctx.Err()}
	}
}

// Barrier waits until everything that was committed before the call has been applied here. Only
// the leader can tell. Errors are those of Propose.
func (c *Controller) Barrier(ctx context.Context) error {
	return c.await(ctx, func() raft.Future { return c.raft.Barrier(enqueueTimeout) })
}

// await waits for something that the library does. It may do so after ctx has ended, and is then
// waited for by Close for a while.
func (c *Controller) await(ctx context.Context, begin func() raft.Future) error {
	t, err := c.begin(ctx)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer t.release()
		err := begin().Error()
		if err != nil {
			err = c.mapError(err)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return &UnknownOutcomeError{Err: ctx.Err()}
	}
}

// ticket is a place among the proposals under way. It is given back when nobody holds it.
type ticket struct {
	c       *Controller
	holders atomic.Int32
}

// begin takes a place, which the caller holds.
func (c *Controller) begin(ctx context.Context) (*ticket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.stop:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		<-c.slots
		return nil, ErrClosed
	}
	c.pending.Add(1)
	t := &ticket{c: c}
	t.hold()
	return t, nil
}

func (t *ticket) hold() { t.holders.Add(1) }

func (t *ticket) release() {
	if t.holders.Add(-1) == 0 {
		<-t.c.slots
		t.c.pending.Done()
	}
}

package controller

import (
	"context"
	"time"

	"weir/cluster/metadata"
)

const (
	// maxPending bounds the proposals under way.
	maxPending = 1024
	// enqueueTimeout bounds the wait for the group to take a proposal.
	enqueueTimeout = 10 * time.Second
)

// Propose has the command written to disk by a majority of the voters and applied here, and
// returns its result (see the command). Errors of package metadata are refusals by the machine;
// ErrClosed, ErrBusy and NotLeaderError say that nothing happened; UnknownOutcomeError, also for a
// context that ends while waiting, that it may yet.
func (c *Controller) Propose(ctx context.Context, command metadata.Command) (any, error) {
	data, err := metadata.EncodeCommand(command)
	if err != nil {
		return nil, err
	}
	if err := c.begin(ctx); err != nil {
		return nil, err
	}
	done := make(chan applied, 1)
	go func() {
		defer c.end()
		done <- c.apply(data)
	}()
	select {
	case a := <-done:
		return a.result, a.err
	case <-ctx.Done():
		return nil, &UnknownOutcomeError{Err: ctx.Err()}
	}
}

func (c *Controller) apply(data []byte) applied {
	future := c.raft.Apply(data, enqueueTimeout)
	if err := future.Error(); err != nil {
		return applied{err: c.mapError(err)}
	}
	return future.Response().(applied)
}

// Barrier waits until everything that was committed before the call has been applied here.
// Errors are those of Propose.
func (c *Controller) Barrier(ctx context.Context) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer c.end()
		err := c.raft.Barrier(enqueueTimeout).Error()
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

// begin takes a place among the proposals under way; end gives it back.
func (c *Controller) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		<-c.slots
		return ErrClosed
	}
	c.pending.Add(1)
	return nil
}

func (c *Controller) end() {
	<-c.slots
	c.pending.Done()
}

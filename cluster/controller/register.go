package controller

import (
	"cmp"
	"context"
	"errors"
	"time"

	"weir/cluster/metadata"
)

// registerInterval is between two rounds of Register.
const registerInterval = 200 * time.Millisecond

// Seed reaches HandleForward of one broker that may be a member of the cluster, under the terms of
// Call.
type Seed func(ctx context.Context, request []byte) ([]byte, error)

// Register tells the cluster who and where this broker is: the leader if one is known, else the
// seeds in turn, which pass it on to the leader. On return the registration is committed; a broker
// that is new to the group has not seen it, and is added by the leader: see AwaitReady.
//
// It tries until ctx ends. Errors are JoinRefusedError, ErrClosed, MalformedError, and at the end
// of ctx the last one wrapped with the context's. That the id is taken is no reason to give up:
// the directory that held it may have been lost, and is fenced after the session timeout.
func (c *Controller) Register(ctx context.Context, command metadata.RegisterBroker, seeds ...Seed) error {
	data, err := metadata.EncodeCommand(command)
	if err != nil {
		return err
	}
	t, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer t.release()
	var taken error // says more than the tries after it
	for {
		changed := c.leaderChanged.wait()
		done, err := c.registerOnce(ctx, t, data, seeds)
		if err == nil {
			err = done.refusal
		}
		var refused *JoinRefusedError
		var malformed *MalformedError
		switch {
		case err == nil:
			c.registered.Store(done.index)
			return nil
		case errors.As(err, &refused) && !refused.Taken, errors.As(err, &malformed):
			return err
		case refused != nil && taken == nil:
			taken = err
			c.logger.Warn("controller: registration waits for the holder of the id to be fenced", "err", err)
		}
		if err := c.pause(ctx, changed, registerInterval, cmp.Or(taken, err)); err != nil {
			return err
		}
	}
}

// registerOnce asks the leader and then the seeds until one has an answer. Each try is a proposal
// of its own: a registration may be made twice.
func (c *Controller) registerOnce(ctx context.Context, t *ticket, command []byte, seeds []Seed) (committed, error) {
	done, err := c.submit(ctx, t, encodeEntry(c.nextID(), command))
	if err == nil && done.refusal != nil {
		done.refusal = joinRefused(done.refusal)
	}
	for _, seed := range seeds {
		if err == nil || ctx.Err() != nil {
			break
		}
		done, err = c.forward(ctx, seed, encodeEntry(c.nextID(), command), true)
	}
	return done, err
}

// joinRefused is what the machine says, here or on the broker that was asked.
func joinRefused(err error) *JoinRefusedError {
	var refused *JoinRefusedError
	if errors.As(err, &refused) {
		return refused
	}
	var taken *metadata.BrokerIDTakenError
	return &JoinRefusedError{Taken: errors.As(err, &taken), Reason: err.Error()}
}

// AwaitReady waits until this broker's image shows it registered: by the newest registration that
// Register has made, if it has made one. From then on the image is at least as new as that.
func (c *Controller) AwaitReady(ctx context.Context) error {
	for {
		advanced := c.imageAdvanced.wait()
		b, ok := c.Image().Broker(c.config.NodeID)
		if ok && b.Directory == c.config.Directory && b.Epoch >= c.registered.Load() {
			return nil
		}
		if err := c.awaitSignal(ctx, advanced); err != nil {
			return err
		}
	}
}

// AwaitLeader waits until a leader is known; when that is this broker, until all of history has
// been applied.
func (c *Controller) AwaitLeader(ctx context.Context) error {
	for {
		changed := c.leaderChanged.wait()
		if leader, known := c.Leader(); known && (leader != c.config.NodeID || c.leads()) {
			return nil
		}
		if err := c.awaitSignal(ctx, changed); err != nil {
			return err
		}
	}
}

func (c *Controller) awaitSignal(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-c.fault.raised:
		return c.fault.get()
	case <-c.stop:
		return ErrClosed
	case <-ctx.Done():
		return errors.Join(&NotLeaderError{}, ctx.Err())
	}
}

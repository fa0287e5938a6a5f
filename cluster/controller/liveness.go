package controller

import (
	"sync"
	"time"

	"weir/cluster/metadata"
)

// caughtUpEntries is how far a broker may be behind the leader when it gives a sign of life to
// become a voter: a new voter counts at once, so it must not hold up the others.
const caughtUpEntries = 64

// contact is what the leader knows of one broker from its signs of life.
type contact struct {
	epoch   uint64    // of the registration it speaks for
	since   time.Time // of the newest sign, or when the leader began to wait for one
	heard   bool      // there was one
	last    uint64    // index of its newest log entry
	applied uint64    // of them, how many its machine has
	near    bool      // it had nearly all that this broker had at that time
	nearAt  time.Time // when that was last so
}

// liveness is whom this broker has heard since it leads. It is given the time.
type liveness struct {
	mu    sync.Mutex // guards nodes
	nodes map[int32]contact
}

func newLiveness() *liveness { return &liveness{nodes: make(map[int32]contact)} }

// reset forgets everything: every broker gets a whole session timeout from a new leader.
func (l *liveness) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.nodes)
}

// hear notes a sign of life; last is the index of this broker's own newest log entry.
func (l *liveness) hear(node int32, b beat, last uint64, now time.Time) {
	near := min(b.last, b.applied)+caughtUpEntries >= last
	l.mu.Lock()
	defer l.mu.Unlock()
	nearAt := l.nodes[node].nearAt
	if near {
		nearAt = now
	}
	l.nodes[node] = contact{epoch: b.epoch, since: now, heard: true, last: b.last, applied: b.applied, near: near, nearAt: nearAt}
}

func (l *liveness) contact(node int32) contact {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nodes[node]
}

// judge returns who is to be fenced, and who no more. A registration that it has not met counts as
// a sign of life, and self is alive.
func (l *liveness) judge(image *metadata.Image, self int32, now time.Time, timeout time.Duration) (fence, unfence []metadata.BrokerEpoch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range image.Brokers() {
		e := metadata.BrokerEpoch{ID: b.ID, Epoch: b.Epoch}
		seen, ok := l.nodes[b.ID]
		if !ok || seen.epoch != b.Epoch {
			seen = contact{epoch: b.Epoch, since: now}
			l.nodes[b.ID] = seen
		}
		silent := now.Sub(seen.since) >= timeout
		switch {
		case b.ID == self && b.Fenced, b.Fenced && seen.heard && !silent:
			unfence = append(unfence, e)
		case b.ID != self && !b.Fenced && silent:
			fence = append(fence, e)
		}
	}
	return fence, unfence
}

// caughtUp says whether the broker was heard within timeout and had nearly all entries then.
func (l *liveness) caughtUp(node int32, now time.Time, timeout time.Duration) bool {
	seen := l.contact(node)
	return seen.heard && now.Sub(seen.since) < timeout && seen.near
}

// alignFences fences those that have been silent, all in one command, and unfences those that are
// heard again. It makes sure before that this broker still leads: one that was cut off hears nobody.
func (c *Controller) alignFences(image *metadata.Image, now time.Time) error {
	fence, unfence := c.liveness.judge(image, c.config.NodeID, now, c.config.SessionTimeout)
	if len(fence)+len(unfence) == 0 {
		return nil
	}
	if err := c.verifyLeader(); err != nil {
		return err
	}
	if len(fence) > 0 {
		c.logger.Warn("controller: brokers are fenced: not heard from", "brokers", ids(fence), "timeout", c.config.SessionTimeout)
		if _, err := c.Propose(c.ctx, metadata.FenceBrokers{Brokers: fence}); err != nil {
			return err
		}
	}
	for _, b := range unfence {
		c.logger.Info("controller: broker is heard again", "broker", b.ID)
		if _, err := c.Propose(c.ctx, metadata.UnfenceBroker(b)); err != nil {
			return err
		}
	}
	return nil
}

func ids(brokers []metadata.BrokerEpoch) []int32 {
	out := make([]int32, len(brokers))
	for i, b := range brokers {
		out[i] = b.ID
	}
	return out
}

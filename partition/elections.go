package partition

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Elections bounds how many of a node's replicas stand for election at the same time: beyond that each one
// more only makes the others too slow to be elected before their time is over, and begin anew.
type Elections struct{ turns chan struct{} }

// NewElections returns one for all partitions of a node.
func NewElections(atOnce int) *Elections { return &Elections{turns: make(chan struct{}, atOnce)} }

// candidacy is one replica's part in its node's elections.
type candidacy struct {
	all *Elections // nil: nothing is bounded

	asking sync.Mutex // held while a turn is waited for
	mu     sync.Mutex // guards the rest
	hold   *time.Timer
	round  *raft.RequestPreVoteRequest // which all other voters are asked with
	no     int                         // of them, who have refused or cannot be reached
}

// begin waits for a turn, unless the replica has one, which it has then until end or for some time. It
// says false when there was none.
func (c *candidacy) begin(wait, hold time.Duration, closing <-chan struct{}) bool {
	if c.all == nil {
		return true
	}
	c.asking.Lock() // all peers are asked at the same time
	defer c.asking.Unlock()
	if c.holds() {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case c.all.turns <- struct{}{}:
	case <-timer.C:
		return false
	case <-closing:
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var own *time.Timer
	own = time.AfterFunc(hold, func() { c.endIf(func() bool { return c.hold == own }) })
	c.hold = own
	return true
}

func (c *candidacy) holds() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hold != nil
}

// refused ends a turn in which a majority can no longer be had of all voters: others voters, and this one.
func (c *candidacy) refused(round *raft.RequestPreVoteRequest, others int) {
	c.mu.Lock()
	if c.round != round {
		c.round, c.no = round, 0
	}
	c.no++
	lost := others-c.no+1 < (others+1)/2+1
	c.mu.Unlock()
	if lost {
		c.end()
	}
}

// end is for a replica that leads, and may serve, or does not stand any more.
func (c *candidacy) end() { c.endIf(func() bool { return c.hold != nil }) }

func (c *candidacy) endIf(is func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if is() {
		c.hold.Stop()
		c.hold = nil
		<-c.all.turns
	}
}

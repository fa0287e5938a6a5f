package broker

import (
	"container/heap"
	"sync"
	"time"
)

// groupClock says when groups are due. A group's time may be too early, since heartbeats move
// deadlines back all the time: then the group is asked, and gets another.
type groupClock struct {
	kick chan struct{} // one token when another group is due first, or it is earlier

	mu    sync.Mutex // guards queue and what groups have of it; a leaf
	queue dueQueue
}

func newGroupClock() *groupClock { return &groupClock{kick: make(chan struct{}, 1)} }

// set has a group be due at a time at the latest; zero: it need not be.
func (c *groupClock) set(g *liveGroup, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case at.IsZero():
		return
	case g.queued == 0:
		g.due = at
		heap.Push(&c.queue, g)
	case at.Before(g.due):
		g.due = at
		heap.Fix(&c.queue, g.queued-1)
	default:
		return
	}
	if c.queue[0] == g {
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
}

// forget has a group never be due.
func (c *groupClock) forget(g *liveGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.queued != 0 {
		heap.Remove(&c.queue, g.queued-1)
	}
}

// next is how long it is until a group is due; false when none is.
func (c *groupClock) next(now time.Time) (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return 0, false
	}
	return c.queue[0].due.Sub(now), true
}

// pop takes a group that is due, nil when there is none.
func (c *groupClock) pop(now time.Time) *liveGroup {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 || now.Before(c.queue[0].due) {
		return nil
	}
	return heap.Pop(&c.queue).(*liveGroup)
}

// dueQueue is a heap, the earliest first. Groups know their places in it, from 1.
type dueQueue []*liveGroup

func (q dueQueue) Len() int           { return len(q) }
func (q dueQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

func (q dueQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].queued, q[j].queued = i+1, j+1
}

func (q *dueQueue) Push(x any) {
	g := x.(*liveGroup)
	*q = append(*q, g)
	g.queued = len(*q)
}

func (q *dueQueue) Pop() any {
	last := len(*q) - 1
	g := (*q)[last]
	(*q)[last], g.queued = nil, 0
	*q = (*q)[:last]
	return g
}

// keepTime is the goroutine that lets groups expire what is due.
func (c *coordinator) keepTime() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if wait, any := c.clock.next(c.now()); any {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-timer.C:
		case <-c.clock.kick:
		case <-c.ctx.Done():
			return
		}
		for g := c.clock.pop(c.now()); g != nil; g = c.clock.pop(c.now()) {
			c.expireGroup(g)
		}
	}
}

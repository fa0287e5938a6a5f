package partition

import "sync"

// Waiter is woken when a partition it is attached to changes in a way that
// readers can see: the high watermark or the log start moved, or the
// partition closed. One waiter may be attached to many partitions; it costs
// no goroutine.
type Waiter struct {
	c chan struct{}
}

// NewWaiter returns a waiter that is attached to nothing.
func NewWaiter() *Waiter { return &Waiter{c: make(chan struct{}, 1)} }

// C receives one value after one or more wake-ups. Look at the partitions
// again after each: a wake-up says that something changed, not what.
func (w *Waiter) C() <-chan struct{} { return w.c }

func (w *Waiter) wake() {
	select {
	case w.c <- struct{}{}:
	default: // a wake-up is already due, one is enough
	}
}

// waiters is the set of those attached to one partition.
type waiters struct {
	mu  sync.Mutex // guards set; a leaf lock
	set map[*Waiter]struct{}
}

func (s *waiters) add(w *Waiter) {
	s.mu.Lock()
	if s.set == nil {
		s.set = make(map[*Waiter]struct{})
	}
	s.set[w] = struct{}{}
	s.mu.Unlock()
}

func (s *waiters) remove(w *Waiter) {
	s.mu.Lock()
	delete(s.set, w)
	s.mu.Unlock()
}

func (s *waiters) wakeAll() {
	s.mu.Lock()
	for w := range s.set {
		w.wake()
	}
	s.mu.Unlock()
}

// Attach has w woken at every change from now on. Attach first, then look at
// the partition, then wait: in that order no change is missed.
func (p *Partition) Attach(w *Waiter) { p.waiters.add(w) }

// Detach ends what Attach began. A wake-up that is already due stays due.
func (p *Partition) Detach(w *Waiter) { p.waiters.remove(w) }

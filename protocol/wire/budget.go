package wire

import (
	"container/list"
	"sync"
)

// budget bounds the memory of request frames over all connections.
//
// A frame takes its memory in steps, as its bytes arrive. Frames that have
// begun go before frames that have not, and one of them may overdraw until it
// is released: otherwise frames that are all half read could wait for each
// other for ever. So the bound is limit plus the largest frame.
type budget struct {
	limit int64
	stats *Stats

	mu        sync.Mutex // guards the rest and lease fields; a leaf
	used      int64
	overdrawn bool      // a lease holds the right to overdraw
	growing   list.List // of *waiter: frames in the middle
	starting  list.List // of *waiter: frames not begun
}

// lease is what one frame holds of the budget.
type lease struct {
	bytes     int64
	overdraft bool
}

type waiter struct {
	lease   *lease
	bytes   int64
	granted chan struct{}
}

// take adds n bytes to l, waiting for room until one of the channels closes,
// and reports whether it was granted.
func (b *budget) take(l *lease, n int64, gone, draining <-chan struct{}) bool {
	b.mu.Lock()
	queue := &b.starting
	if l.bytes > 0 {
		queue = &b.growing
	}
	if (queue.Len() == 0 || l.overdraft) && b.grantable(l, n) {
		b.grant(l, n)
		b.mu.Unlock()
		return true
	}
	w := &waiter{lease: l, bytes: n, granted: make(chan struct{})}
	place := queue.PushBack(w)
	b.mu.Unlock()

	select {
	case <-w.granted:
		return true
	case <-gone:
	case <-draining:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.granted: // granted in the same moment: the caller releases it
	default:
		queue.Remove(place)
		b.wake()
	}
	return false
}

func (b *budget) grantable(l *lease, n int64) bool {
	if l.bytes > 0 {
		return b.used+n <= b.limit || l.overdraft || !b.overdrawn
	}
	return b.growing.Len() == 0 && (b.used+n <= b.limit || b.used == 0)
}

func (b *budget) grant(l *lease, n int64) {
	if l.bytes > 0 && b.used+n > b.limit {
		l.overdraft, b.overdrawn = true, true
	}
	l.bytes += n
	b.use(n)
}

func (b *budget) use(n int64) {
	b.used += n
	b.stats.InFlightBytes.Store(b.used)
}

// give returns n bytes of l. With the last of them goes the right to overdraw:
// were it passed on as soon as the frame is read, frames in the middle would
// overdraw one after the other, and the bound would be theirs together.
func (b *budget) give(l *lease, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.bytes -= n
	b.use(-n)
	if l.bytes == 0 && l.overdraft {
		l.overdraft, b.overdrawn = false, false
	}
	b.wake()
}

// wake grants what fits now, in order of arrival.
func (b *budget) wake() {
	for _, queue := range [...]*list.List{&b.growing, &b.starting} {
		for queue.Len() > 0 {
			w := queue.Front().Value.(*waiter)
			if !b.grantable(w.lease, w.bytes) {
				return
			}
			queue.Remove(queue.Front())
			b.grant(w.lease, w.bytes)
			close(w.granted)
		}
	}
}

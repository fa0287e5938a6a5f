package transport

import (
	"slices"
	"sync"
)

// budget bounds bytes. Takers are served first come, first served, so that a large one is not passed by
// small ones for ever.
type budget struct {
	mu      sync.Mutex // guards all
	limit   int64
	used    int64
	waiting []*taker
}

type taker struct {
	n     int64
	ready chan struct{}
}

// take waits for n bytes of room. More than the whole limit is let in alone. The error is of w.
func (b *budget) take(n int64, w *patience) error {
	b.mu.Lock()
	if len(b.waiting) == 0 && b.fits(n) {
		b.used += n
		b.mu.Unlock()
		return nil
	}
	t := &taker{n: n, ready: make(chan struct{})}
	b.waiting = append(b.waiting, t)
	b.mu.Unlock()
	err := w.on(t.ready, "room")
	if err == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiting, t)
	if i < 0 { // served in the meantime
		b.used -= n
	} else {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	}
	b.serve()
	return err
}

// give returns what was taken.
func (b *budget) give(n int64) {
	b.mu.Lock()
	b.used -= n
	b.serve()
	b.mu.Unlock()
}

func (b *budget) fits(n int64) bool { return b.used == 0 || b.used+n <= b.limit }

func (b *budget) serve() {
	for len(b.waiting) > 0 && b.fits(b.waiting[0].n) {
		t := b.waiting[0]
		b.waiting = slices.Delete(b.waiting, 0, 1)
		b.used += t.n
		close(t.ready)
	}
}

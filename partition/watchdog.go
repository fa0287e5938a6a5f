package partition

import (
	"sync"
	"sync/atomic"
	"time"
)

// Watchdog finds out what a disk does not come back from. A node has one for all its
// partitions: it looks ten times within its limit while something is under way, and
// rests otherwise. It counts its own looks and no clock, so that a process that was
// halted does not take its own absence for the disk's. A nil one watches nothing.
type Watchdog struct {
	limit time.Duration
	looks atomic.Int64 // from 1 on
	awake atomic.Bool  // the timer runs; written under mu

	mu     sync.Mutex // guards the rest
	timer  *time.Timer
	all    map[*Watched]struct{}
	closed bool
}

// looksPerLimit is how often the watchdog looks before it calls something hung.
const looksPerLimit = 10

// NewWatchdog returns one that calls hung what takes longer than limit.
func NewWatchdog(limit time.Duration) *Watchdog {
	w := &Watchdog{limit: limit, all: make(map[*Watched]struct{})}
	w.looks.Store(1)
	return w
}

// Watched is one activity: its operations come one after the other. The zero one is not
// watched.
type Watched struct {
	dog   *Watchdog
	began atomic.Int64 // at which look; 0: nothing is under way
	hung  func()       // hears of an operation that hangs, on a goroutine of its own
	told  bool         // of the one under way; guarded by the watchdog's mu

	// progress, if set before Watch, changes while the operation waits for others, of which the disk comes back. It takes
	// no locks.
	progress func() int64
	seen     int64 // progress at the last look; guarded likewise
}

// Watch has hung called once for each operation of x that hangs. x is watched until Forget.
func (w *Watchdog) Watch(x *Watched, hung func()) {
	if w == nil {
		return
	}
	x.dog, x.hung = w, hung
	w.mu.Lock()
	w.all[x] = struct{}{}
	w.mu.Unlock()
}

// Forget ends Watch.
func (w *Watchdog) Forget(x *Watched) {
	if w == nil {
		return
	}
	w.mu.Lock()
	delete(w.all, x)
	w.mu.Unlock()
}

// Begin notes that an operation begins. It costs a few atomic loads and stores.
func (x *Watched) Begin() {
	if x.dog == nil {
		return
	}
	x.began.Store(x.dog.looks.Load())
	if !x.dog.awake.Load() {
		x.dog.wake()
	}
}

// End notes that it has come back.
func (x *Watched) End() { x.began.Store(0) }

// Hangs says whether the operation under way, if any, does.
func (x *Watched) Hangs() bool {
	return x.dog != nil && overdue(x.began.Load(), x.dog.looks.Load())
}

func (w *Watchdog) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.awake.Load() {
		return
	}
	w.awake.Store(true)
	if w.timer == nil {
		w.timer = time.AfterFunc(w.limit/looksPerLimit, w.look)
		return
	}
	w.timer.Reset(w.limit / looksPerLimit)
}

// look is what the timer runs.
func (w *Watchdog) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	now := w.looks.Add(1)
	busy := false
	for x := range w.all {
		began := x.began.Load()
		if began != 0 && x.progress != nil {
			if at := x.progress(); at != x.seen && x.began.CompareAndSwap(began, now) {
				x.seen, began = at, now
			}
		}
		busy = busy || began != 0
		late := overdue(began, now)
		if late && !x.told {
			go x.hung()
		}
		x.told = late
	}
	if !busy {
		w.awake.Store(false)
		for x := range w.all { // what has begun since may have found it awake
			busy = busy || x.began.Load() != 0
		}
		w.awake.Store(busy)
	}
	if busy {
		w.timer.Reset(w.limit / looksPerLimit)
	}
}

func overdue(began, now int64) bool { return began != 0 && now-began > looksPerLimit }

// Limit is how long an operation may take.
func (w *Watchdog) Limit() time.Duration { return w.limit }

// Hangs says whether something hangs now.
func (w *Watchdog) Hangs() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.looks.Load()
	for x := range w.all {
		if overdue(x.began.Load(), now) {
			return true
		}
	}
	return false
}

// Close ends the looking.
func (w *Watchdog) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

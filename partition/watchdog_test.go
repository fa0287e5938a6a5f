package partition

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatchdog: what takes longer than the limit is told once, in time; what does not is not; and
// nothing runs while nothing is under way.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWatchdog(time.Second)
		defer w.Close()
		var x, y Watched
		told := make(chan time.Time, 2)
		w.Watch(&x, func() { told <- time.Now() })
		w.Watch(&y, func() { t.Error("of another activity") })
		for range 50 {
			x.Begin()
			y.Begin()
			time.Sleep(900 * time.Millisecond)
			y.End()
			x.End()
			time.Sleep(50 * time.Millisecond)
		}
		if len(told) > 0 || w.Hangs() {
			t.Fatal("called hung what came back")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if w.awake.Load() {
			t.Error("it looks although nothing is under way")
		}
		began := time.Now()
		x.Begin()
		if after := (<-told).Sub(began); after < time.Second || after > 1200*time.Millisecond {
			t.Errorf("told after %v", after)
		}
		if !w.Hangs() {
			t.Error("it hangs, and nothing is said to")
		}
		if !x.Hangs() || y.Hangs() {
			t.Error("not the one that hangs")
		}
		time.Sleep(5 * time.Second)
		if len(told) > 0 {
			t.Error("told twice")
		}
		x.End()
		if w.Hangs() || x.Hangs() {
			t.Error("it has come back")
		}
		time.Sleep(5 * time.Second)
		x.Begin()
		time.Sleep(5 * time.Second)
		if len(told) != 1 {
			t.Errorf("told %d times of another one that hangs", len(told))
		}
		w.Forget(&x)
		if w.Hangs() {
			t.Error("what is forgotten hangs")
		}
	})
}

// BenchmarkWatched is what watching adds to each write.
func BenchmarkWatched(b *testing.B) {
	w := NewWatchdog(10 * time.Second)
	defer w.Close()
	var x Watched
	w.Watch(&x, func() {})
	for b.Loop() {
		x.Begin()
		x.End()
	}
}

// TestWatchdogInLine: what waits for others does not hang as long as they come back, and does from when they do not, or
// its own turn takes too long.
func TestWatchdogInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWatchdog(time.Second)
		defer w.Close()
		var others atomic.Int64
		told := make(chan time.Time, 1)
		x := Watched{progress: others.Load}
		w.Watch(&x, func() { told <- time.Now() })
		for _, itsTurn := range []bool{false, true} {
			x.Begin()
			for range 50 {
				time.Sleep(500 * time.Millisecond)
				others.Add(1)
			}
			if len(told) > 0 || x.Hangs() || w.Hangs() {
				t.Fatal("called hung what waits for others")
			}
			if itsTurn {
				others.Store(-1)
			}
			began := time.Now()
			if after := (<-told).Sub(began); after < time.Second || after > 1300*time.Millisecond {
				t.Errorf("told after %v", after)
			}
			if !x.Hangs() {
				t.Error("it hangs, and nothing is said to")
			}
			x.End()
			time.Sleep(time.Second)
		}
	})
}

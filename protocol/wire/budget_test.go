package wire

import (
	"testing"
	"testing/synctest"
)

// taker takes from a budget beside the test and notes what came of it.
type taker struct {
	lease
	gone          chan struct{}
	done, granted bool
}

func (w *taker) take(b *budget, n int64) *taker {
	if w.gone == nil {
		w.gone = make(chan struct{})
	}
	w.done = false
	go func() {
		w.granted = b.take(&w.lease, n, w.gone, nil)
		w.done = true
	}()
	synctest.Wait()
	return w
}

func TestBudgetGrantsToTheLastByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{limit: 100, stats: new(Stats)}
		first := new(taker).take(b, 60)
		fits := new(taker).take(b, 40)
		over := new(taker).take(b, 1)
		behind := new(taker).take(b, 1)
		if !first.granted || !fits.granted || over.done || behind.done {
			t.Fatal("want exactly 100 bytes granted")
		}
		b.give(&fits.lease, 1)
		synctest.Wait()
		if !over.granted || behind.done {
			t.Fatal("want the first waiter, and only it, to get the free byte")
		}
		close(behind.gone)
		synctest.Wait()
		if !behind.done || behind.granted {
			t.Error("a waiter that gave up was granted or still waits")
		}
		for _, w := range []*taker{first, fits, over} {
			b.give(&w.lease, w.bytes)
		}
		if got := b.stats.InFlightBytes.Load(); got != 0 {
			t.Errorf("left %d bytes", got)
		}
	})
}

// More than the whole budget is granted to one that is alone.
func TestBudgetLetsOneLargeFramePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{limit: 100, stats: new(Stats)}
		large := new(taker).take(b, 500)
		small := new(taker).take(b, 1)
		if !large.granted || small.done {
			t.Fatal("want the large one granted and the small one waiting")
		}
		b.give(&large.lease, 500)
		synctest.Wait()
		if !small.granted {
			t.Error("the small one was not woken")
		}
	})
}

// Frames that are all half read and fill the budget finish one after the
// other, and new frames wait for them.
func TestBudgetGrowthCannotDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{limit: 100, stats: new(Stats)}
		one, two := new(taker).take(b, 50), new(taker).take(b, 50)
		one.take(b, 50)
		two.take(b, 50)
		fresh := new(taker).take(b, 1)
		if !one.granted || !one.done || two.done || fresh.done {
			t.Fatal("want one half-read frame to overdraw, the other and the new one to wait")
		}
		one.take(b, 100) // the one that overdraws is never stopped
		if !one.done {
			t.Fatal("the overdrawing frame waits")
		}
		b.give(&one.lease, 90) // shrinks, as after a growth: 160 in use
		synctest.Wait()
		if two.done {
			t.Fatal("the right to overdraw passed on before the frame was released")
		}
		b.give(&one.lease, one.bytes) // 50 in use
		synctest.Wait()
		if !two.done || fresh.done {
			t.Fatal("want the half-read frame to go on, to the last byte, and the new one to wait")
		}
		two.take(b, 1) // overdraws in its turn
		if !two.done || fresh.done {
			t.Fatal("the right to overdraw did not pass on")
		}
		b.give(&two.lease, two.bytes)
		synctest.Wait()
		if !fresh.granted {
			t.Error("the new frame was not woken")
		}
	})
}

// A half-read frame that gives up lets new frames pass.
func TestBudgetForgetsWhoGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{limit: 100, stats: new(Stats)}
		one, two := new(taker).take(b, 50), new(taker).take(b, 40)
		one.take(b, 50) // overdraws
		two.take(b, 40)
		b.give(&one.lease, 95) // 45 used: two would fit, and is granted
		synctest.Wait()
		if !two.granted {
			t.Fatal("growing waiter not woken by room")
		}
		three := new(taker).take(b, 10)
		three.take(b, 200) // no room, no right to overdraw
		fresh := new(taker).take(b, 1)
		if three.done || fresh.done {
			t.Fatal("want both to wait")
		}
		close(three.gone)
		synctest.Wait()
		if three.granted || !fresh.granted {
			t.Error("want the new frame to pass once the half-read one has given up")
		}
	})
}

package histogram

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestIndex: a duration lies within its bucket, in (bound below, bound].
func TestIndex(t *testing.T) {
	bound := func(i int) float64 { return math.Exp2(float64(i) / (1 << Schema)) }
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(300*time.Second)).Draw(t, "d"))
		i := index(d.Seconds())
		const slack = 1e-12 // Exp2 is not exact
		if i > minIndex && d.Seconds() <= bound(i-1)*(1-slack) || i < maxIndex && d.Seconds() > bound(i)*(1+slack) {
			t.Fatalf("%v is in bucket %d, of (%v, %v]", d, i, bound(i-1), bound(i))
		}
	})
	for d, want := range map[time.Duration]int{
		-time.Second: minIndex, 0: minIndex, 1: minIndex, time.Second: 0, 500 * time.Millisecond: -4, 2 * time.Second: 4,
		time.Second + 1: 1, time.Hour: maxIndex, math.MaxInt64: maxIndex, math.MinInt64: minIndex,
	} {
		if got := index(d.Seconds()); got != want {
			t.Errorf("%v is in bucket %d, want %d", d, got, want)
		}
	}
}

func TestSnapshot(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{time.Millisecond, 3 * time.Millisecond, time.Second, 2 * time.Second, time.Hour} {
		h.Observe(d)
	}
	s := h.Snapshot()
	if s.Count != 5 || s.Sum != time.Hour+3*time.Second+4*time.Millisecond {
		t.Errorf("%+v", s)
	}
	for exponent, want := range map[int]uint64{-30: 0, -9: 1, -8: 2, -1: 2, 0: 3, 1: 4, 6: 4} {
		if got := s.AtMost(exponent); got != want {
			t.Errorf("%d took at most 2^%d s, want %d", got, exponent, want)
		}
	}
}

func TestObserveDoesNotAllocate(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(137 * time.Microsecond)
	}
}

// Package histogram counts durations in buckets, with atomics only: no lock, no allocation, nothing that
// waits. It knows nothing of how its counts are published.
package histogram

import (
	"math"
	"sync/atomic"
	"time"
)

// Schema says how fine the buckets are, as Prometheus' native histograms count: each is 2^(2^-Schema)
// times as wide as the one before, so there are 2^Schema to a doubling.
const Schema = 2

// Bounds of what is told apart, in buckets; shorter and longer durations count in the first and the last.
const (
	minIndex = -20<<Schema + 1 // up to 1.13 µs
	maxIndex = 7 << Schema     // up to 128 s
	buckets  = maxIndex - minIndex + 1
)

// within are the bounds of the buckets within one doubling, of a fraction in [0.5, 1).
var within = [1<<Schema - 1]float64{
	0.5 * math.Sqrt2 / 1.1892071150027210667, // 2^-3/4
	0.5 * math.Sqrt2,                         // 2^-2/4
	0.5 * math.Sqrt2 * 1.1892071150027210667, // 2^-1/4
}

// Histogram is ready when zero. Its methods may be called side by side.
type Histogram struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

// Observe counts one duration.
func (h *Histogram) Observe(d time.Duration) {
	h.counts[index(d.Seconds())-minIndex].Add(1)
	h.sum.Add(int64(d))
}

// index is the bucket of a duration: the smallest whose bound, 2^(index / 2^Schema) seconds, is not below it.
func index(seconds float64) int {
	if seconds <= 0 {
		return minIndex
	}
	fraction, exponent := math.Frexp(seconds)
	i := (exponent - 1) << Schema
	if fraction > 0.5 { // 0.5 itself ends the doubling below
		i++
		for _, bound := range within {
			if fraction > bound {
				i++
			}
		}
	}
	return min(max(i, minIndex), maxIndex)
}

// Snapshot is what has been counted at about one moment.
type Snapshot struct {
	Count  uint64
	Sum    time.Duration
	Counts map[int]uint64 // by index, without the empty ones; each counts up to 2^(index / 2^Schema) seconds
}

// Snapshot reads the counts. Its Count is that of its buckets; its Sum may be of a moment later.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{Counts: make(map[int]uint64)}
	for i := range h.counts {
		if n := h.counts[i].Load(); n > 0 {
			s.Counts[i+minIndex] = n
			s.Count += n
		}
	}
	s.Sum = time.Duration(h.sum.Load())
	return s
}

// Add adds what another one has counted.
func (s *Snapshot) Add(o Snapshot) {
	if s.Counts == nil {
		s.Counts = make(map[int]uint64)
	}
	for i, n := range o.Counts {
		s.Counts[i] += n
	}
	s.Count += o.Count
	s.Sum += o.Sum
}

// AtMost counts what took at most 2^exponent seconds.
func (s Snapshot) AtMost(exponent int) (n uint64) {
	for i, count := range s.Counts {
		if i <= exponent<<Schema {
			n += count
		}
	}
	return n
}

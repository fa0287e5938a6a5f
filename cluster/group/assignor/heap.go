package assignor

import (
	"container/heap"
	"slices"
)

// leastFirst is shares, the one with the least at the top; the first by id among equals.
type leastFirst []*share

func newLeastFirst(shares []*share) leastFirst {
	h := leastFirst(slices.Clone(shares))
	heap.Init(h)
	return h
}

func (h leastFirst) Len() int      { return len(h) }
func (h leastFirst) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h leastFirst) Less(i, j int) bool {
	if h[i].count != h[j].count {
		return h[i].count < h[j].count
	}
	return h[i].ID < h[j].ID
}

// Push and Pop are never called: shares neither come nor go.
func (h leastFirst) Push(any) { panic("assignor: a heap of fixed size") }
func (h leastFirst) Pop() any { panic("assignor: a heap of fixed size") }

package mmap

import "sync/atomic"

// count is how many hold a map: its owner, until Close, and each view. At zero the map goes, and
// zero is final, so who comes later cannot bring it back.
type count struct{ holders atomic.Int64 }

// tryAcquire adds a holder, unless there is none left.
func (c *count) tryAcquire() bool {
	for {
		n := c.holders.Load()
		if n == 0 {
			return false
		}
		if c.holders.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release takes a holder away and reports whether it was the last.
func (c *count) release() (last bool) {
	n := c.holders.Add(-1)
	if n < 0 {
		panic("mmap: released more often than acquired")
	}
	return n == 0
}

//go:build !invariants

package mmap

import "testing"

// With the tag invariants views are private copies, so this holds without it only.
func TestViewAllocations(t *testing.T) {
	for _, mode := range []Mode{ModeMap, ModeCopy} {
		f := implementation{}.newFile(t)
		check(t, f.Truncate(10000))
		r, err := Open(f, 10000, mode)
		check(t, err)
		allocs := testing.AllocsPerRun(100, func() {
			_, release, err := r.View(100, 5000)
			check(t, err)
			release()
		})
		// The pool may be emptied by the collector now and then.
		if allocs > 0.5 {
			t.Errorf("%v: %v allocations for a view", mode, allocs)
		}
		check(t, r.Close())
	}
}

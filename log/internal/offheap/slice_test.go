package offheap

import "testing"

// TestSlice: all of it is zero, also where others had it before, and can be written.
func TestSlice(t *testing.T) {
	type pair struct {
		a uint64
		b uint32
	}
	for _, n := range []int{1, 1000, 1 << 18} {
		for range 3 {
			s, free, err := Slice[pair](n)
			if err != nil {
				t.Fatal(err)
			}
			if len(s) != n || cap(s) != n {
				t.Fatalf("%d of %d, want %d", len(s), cap(s), n)
			}
			for i := range s {
				if s[i] != (pair{}) {
					t.Fatalf("%d of %d: %v", i, n, s[i])
				}
				s[i] = pair{uint64(i), 1}
			}
			for i := range s {
				if s[i] != (pair{uint64(i), 1}) {
					t.Fatalf("%d of %d: %v", i, n, s[i])
				}
			}
			free()
		}
	}
}

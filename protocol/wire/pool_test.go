package wire

import "testing"

// Every size has a class that holds it, wastes at most a quarter, and is the
// class of its own capacity.
func TestBufferClasses(t *testing.T) {
	classes := map[int]int{}
	for n := 1; n <= largestClassBytes; n += 1 + n/997 {
		class, capacity := classOf(n)
		if capacity < n || n > smallestClassBytes && capacity > n+n/4 {
			t.Fatalf("%d bytes: capacity %d", n, capacity)
		}
		if again, same := classOf(capacity); again != class || same != capacity {
			t.Fatalf("capacity %d of class %d has class %d and capacity %d", capacity, class, again, same)
		}
		if other, ok := classes[class]; ok && other != capacity {
			t.Fatalf("class %d has capacities %d and %d", class, other, capacity)
		}
		classes[class] = capacity
	}
	if class, _ := classOf(largestClassBytes); class != len(bufferPools)-1 {
		t.Errorf("largest class: got %d, want %d", class, len(bufferPools)-1)
	}
	if class, capacity := classOf(largestClassBytes + 1); class != -1 || capacity < largestClassBytes+1 {
		t.Errorf("beyond the largest: class %d, capacity %d", class, capacity)
	}
}

func TestBuffersHaveRoom(t *testing.T) {
	for _, n := range []int{0, 1, 512, 513, 65_536, 70_000, largestClassBytes, largestClassBytes + 1} {
		b := getBuffer(n)
		if len(b.b) < n || len(b.b) != cap(b.b) {
			t.Errorf("%d bytes: length %d, capacity %d", n, len(b.b), cap(b.b))
		}
		putBuffer(b)
	}
}

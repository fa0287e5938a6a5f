package wire

import (
	"math/bits"
	"sync"
)

// Buffers come in size classes, four per doubling, so that the common "power
// of two and a bit" (a batch with its request header) wastes a fifth at most.
const (
	smallestClassBytes = 512
	largestClassBytes  = 4 << 20
	// Larger buffers are rare, made to size and left to the garbage collector.
	unpooledRoundBytes = 64 << 10
)

var (
	firstDoubling = bits.Len(smallestClassBytes)
	bufferPools   [1 + 4*13]sync.Pool
)

// buffer is a byte slice that returns to the pool of its class.
type buffer struct {
	b     []byte // length equals capacity
	class int    // -1: not pooled
}

// classOf returns the class that holds n bytes and its capacity in bytes.
func classOf(n int) (class, capacity int) {
	switch {
	case n <= smallestClassBytes:
		return 0, smallestClassBytes
	case n > largestClassBytes:
		return -1, (n + unpooledRoundBytes - 1) / unpooledRoundBytes * unpooledRoundBytes
	}
	doubling := bits.Len(uint(n - 1))
	shift := doubling - 3
	quarter := (n-1)>>shift + 1 // 5..8
	return 1 + 4*(doubling-firstDoubling) + quarter - 5, quarter << shift
}

// getBuffer returns a buffer of at least n bytes with undefined content.
func getBuffer(n int) *buffer {
	class, capacity := classOf(n)
	if class >= 0 {
		if b, ok := bufferPools[class].Get().(*buffer); ok {
			return b
		}
	}
	return &buffer{b: make([]byte, capacity), class: class}
}

// putBuffer gives b back. No slice of it may be in use any more.
func putBuffer(b *buffer) {
	poison(b.b)
	if b.class >= 0 {
		bufferPools[b.class].Put(b)
	}
}

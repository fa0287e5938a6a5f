package transport

import (
	"bufio"
	"io"
	"math/bits"
	"sync"
)

// stepBytes is how much memory a length field gets before so many bytes have come.
const stepBytes = 1 << 20

// Buffers are pooled by size, in powers of two from 4 KiB to 128 MiB.
const (
	smallestClass = 12
	largestClass  = 27
)

var bufferPools [largestClass - smallestClass + 1]sync.Pool

// buffer is a pooled byte slice.
type buffer struct {
	b     []byte
	class int // -1: not pooled
}

func sizeClass(n int) int {
	class := max(bits.Len(uint(max(n, 1)-1)), smallestClass) - smallestClass
	if class >= len(bufferPools) {
		return -1
	}
	return class
}

// pooled is a buffer of at least n bytes that is there already, or nil.
func pooled(n int) *buffer {
	class := sizeClass(n)
	if class < 0 {
		return nil
	}
	b, _ := bufferPools[class].Get().(*buffer)
	return b
}

// newBuffer is a buffer with room for n bytes.
func newBuffer(n int) *buffer {
	if b := pooled(n); b != nil {
		return b
	}
	class := sizeClass(n)
	if class < 0 {
		return &buffer{b: make([]byte, n), class: class}
	}
	return &buffer{b: make([]byte, 1<<(class+smallestClass)), class: class}
}

// release gives the buffer back. Nobody may hold a slice of it any more.
func (b *buffer) release() {
	if b != nil && b.class >= 0 {
		bufferPools[b.class].Put(b)
	}
}

// readBuffer reads n bytes. What is not there yet in the pool is got in steps, as the bytes come.
func readBuffer(r *bufio.Reader, n int) (*buffer, error) {
	b := pooled(n)
	if b == nil {
		b = newBuffer(min(n, stepBytes))
	}
	have := 0
	for {
		upTo := min(n, len(b.b))
		if _, err := io.ReadFull(r, b.b[have:upTo]); err != nil {
			b.release()
			return nil, err
		}
		if have = upTo; have == n {
			return b, nil
		}
		bigger := newBuffer(min(n, 2*len(b.b)))
		copy(bigger.b, b.b[:have])
		b.release()
		b = bigger
	}
}

// appendRead reads n bytes into memory of their own, in steps.
func appendRead(r *bufio.Reader, n int) ([]byte, error) {
	b := make([]byte, 0, min(n, stepBytes))
	for len(b) < n {
		have := len(b)
		b = append(b, make([]byte, min(n-have, stepBytes))...)
		if _, err := io.ReadFull(r, b[have:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

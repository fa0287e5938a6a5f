package transport

import (
	"encoding/binary"
	"fmt"
)

// decoder reads a message front to back. After the first error everything reads as zero, so that only
// finish need be asked. Slices it hands out are parts of the message.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
	d.rest = nil
}

func (d *decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > len(d.rest) {
		d.fail("%d bytes wanted, %d left", n, len(d.rest))
		return nil
	}
	taken := d.rest[:n:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *decoder) uint8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// bool accepts 0 and 1, so that a message has one spelling.
func (d *decoder) bool() bool {
	switch v := d.uint8(); v {
	case 0, 1:
		return v == 1
	default:
		d.fail("a bool of %d", v)
		return false
	}
}

// bytes reads a length of 32 bits and so many bytes; nil when there are none.
func (d *decoder) bytes() []byte {
	n := d.uint32()
	if uint64(n) > uint64(len(d.rest)) {
		d.fail("%d bytes wanted, %d left", n, len(d.rest))
	}
	if n == 0 || d.err != nil {
		return nil
	}
	return d.take(int(n))
}

// count reads a number of things of which each takes at least so many of the bytes left.
func (d *decoder) count(eachBytes int) int {
	n := d.uint32()
	if uint64(n)*uint64(eachBytes) > uint64(len(d.rest)) {
		d.fail("%d things of at least %d bytes in %d", n, eachBytes, len(d.rest))
		return 0
	}
	return int(n)
}

// finish is the first error; bytes left over are one.
func (d *decoder) finish() error {
	if len(d.rest) > 0 {
		d.fail("%d bytes left over", len(d.rest))
	}
	return d.err
}

func appendBytes(b, v []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
	return append(b, v...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

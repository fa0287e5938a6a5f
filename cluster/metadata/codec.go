package metadata

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// encoder appends; integers are varints, strings and lists have their length in front.
type encoder struct{ b []byte }

func (e *encoder) byte(v byte)      { e.b = append(e.b, v) }
func (e *encoder) uint(v uint64)    { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)      { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) bool(v bool)      { e.byte(map[bool]byte{true: 1}[v]) }
func (e *encoder) count(n int)      { e.uint(uint64(n)) }
func (e *encoder) uuid(v UUID)      { e.b = append(e.b, v[:]...) }
func (e *encoder) str(s string)     { e.count(len(s)); e.b = append(e.b, s...) }
func (e *encoder) int32s(v []int32) { list(e, v, func(n int32) { e.int(int64(n)) }) }

func (e *encoder) assignment(a [][]int32) { list(e, a, e.int32s) }

// configs writes a map in the order of its keys, so that equal maps give equal bytes.
func (e *encoder) configs(m map[string]string) {
	list(e, slices.Sorted(maps.Keys(m)), func(k string) { e.str(k); e.str(m[k]) })
}

// levels writes levels of features as configs writes values.
func (e *encoder) levels(m map[string]int16) {
	list(e, slices.Sorted(maps.Keys(m)), func(k string) { e.str(k); e.int(int64(m[k])) })
}

// quotas writes quotas as configs writes values, each as the bits of a float64.
func (e *encoder) quotas(m map[string]float64) {
	list(e, slices.Sorted(maps.Keys(m)), func(k string) {
		e.str(k)
		e.b = binary.BigEndian.AppendUint64(e.b, math.Float64bits(m[k]))
	})
}

func list[T any](e *encoder, items []T, item func(T)) {
	e.count(len(items))
	for _, v := range items {
		item(v)
	}
}

// decoder reads what encoder wrote. The first failure sticks and ends the input; a list is never
// made longer than the bytes that are left could fill.
type decoder struct {
	b   []byte
	err string // empty: none
}

func (d *decoder) fail(reason string) {
	if d.err == "" {
		d.err = reason
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	b := d.take(1)
	if b == nil {
		return 0
	}
	return b[0]
}

func (d *decoder) bool() bool {
	b := d.byte()
	if b > 1 {
		d.fail("neither true nor false")
	}
	return b == 1
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail("unexpected end")
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || (n > 1 && d.b[n-1] == 0) {
		d.fail("malformed varint")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v := d.uint()
	return int64(v>>1) ^ -int64(v&1)
}

func (d *decoder) int32() int32 {
	v := d.int()
	if v < math.MinInt32 || v > math.MaxInt32 {
		d.fail("number out of range")
		return 0
	}
	return int32(v)
}

func (d *decoder) int16() int16 {
	v := d.int()
	if v < math.MinInt16 || v > math.MaxInt16 {
		d.fail("number out of range")
		return 0
	}
	return int16(v)
}

func (d *decoder) uint16() uint16 {
	v := d.uint()
	if v > math.MaxUint16 {
		d.fail("number out of range")
		return 0
	}
	return uint16(v)
}

// count reads the length of a list whose elements take at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.fail("list longer than its bytes")
		return 0
	}
	return int(n)
}

func (d *decoder) uuid() (id UUID) {
	copy(id[:], d.take(len(id)))
	return id
}

func (d *decoder) str() string     { return string(d.take(d.count(1))) }
func (d *decoder) int32s() []int32 { return items(d, 1, d.int32) }

func (d *decoder) assignment() [][]int32 { return items(d, 1, d.int32s) }

// configs refuses keys out of order, so that there is one encoding for each map.
func (d *decoder) configs() map[string]string { return table(d, d.str) }

func (d *decoder) levels() map[string]int16 { return table(d, d.int16) }

func (d *decoder) quotas() map[string]float64 { return table(d, d.quota) }

// quota refuses what is no quota, such as the many that are not a number.
func (d *decoder) quota() float64 {
	b := d.take(8)
	if b == nil {
		return 0
	}
	v := math.Float64frombits(binary.BigEndian.Uint64(b))
	if !isQuota(v) {
		d.fail("a quota that is no number above 0")
	}
	return v
}

// table reads a map whose keys must be in order.
func table[V any](d *decoder, value func() V) map[string]V {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	m := make(map[string]V, n)
	last := ""
	for i := range n {
		key := d.str()
		if i > 0 && key <= last {
			d.fail("keys out of order")
		}
		if d.err != "" {
			return nil
		}
		last, m[key] = key, value()
	}
	return m
}

// items reads a list of elements that take at least size bytes each; an empty one is nil.
func items[T any](d *decoder, size int, item func() T) []T {
	n := d.count(size)
	if n == 0 {
		return nil
	}
	out := make([]T, 0, n)
	for range n {
		out = append(out, item())
		if d.err != "" {
			return nil
		}
	}
	return out
}

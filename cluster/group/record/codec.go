package record

import (
	"encoding/binary"
	"errors"
)

// errMalformed: the bytes are no record of the kind.
var errMalformed = errors.New("record: malformed")

// encoder appends fields in the flexible form: counts and lengths are varints, one more than they say.
type encoder struct{ b []byte }

func (e *encoder) int32(v int32) { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }
func (e *encoder) int64(v int64) { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }
func (e *encoder) count(n int)   { e.b = binary.AppendUvarint(e.b, uint64(n)+1) }
func (e *encoder) noTags()       { e.b = append(e.b, 0) }

func (e *encoder) string(s string) {
	e.count(len(s))
	e.b = append(e.b, s...)
}

// nullable is null for the empty string.
func (e *encoder) nullable(s string) {
	if s == "" {
		e.b = append(e.b, 0)
		return
	}
	e.string(s)
}

func (e *encoder) strings(list []string) {
	e.count(len(list))
	for _, s := range list {
		e.string(s)
	}
}

// tag is a tag section of one field, or of none.
func (e *encoder) tag(n uint64, is bool, field func(*encoder)) {
	if !is {
		e.noTags()
		return
	}
	var of encoder
	field(&of)
	e.b = append(e.b, 1)
	e.b = binary.AppendUvarint(e.b, n)
	e.b = binary.AppendUvarint(e.b, uint64(len(of.b)))
	e.b = append(e.b, of.b...)
}

// decoder reads them. Once it has failed everything is zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	d.b, d.err = nil, errMalformed
}

// end says how it went; nothing may be left.
func (d *decoder) end() error {
	if len(d.b) > 0 {
		d.fail()
	}
	return d.err
}

// bytes takes the next n.
func (d *decoder) bytes(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail()
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) int8() int8 {
	if b := d.bytes(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (d *decoder) int16() int16 {
	if b := d.bytes(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (d *decoder) int32() int32 {
	if b := d.bytes(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if b := d.bytes(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count is a count or length, which is never more than the bytes left; null is 0.
func (d *decoder) count() int {
	v := d.uvarint()
	if v > uint64(len(d.b))+1 {
		d.fail()
		return 0
	}
	return max(int(v)-1, 0)
}

func (d *decoder) string() string { return string(d.bytes(d.count())) }

func (d *decoder) string16() string { return string(d.bytes(int(d.int16()))) }

func (d *decoder) strings() []string {
	list := []string{}
	for range d.count() {
		if d.err != nil {
			break
		}
		list = append(list, d.string())
	}
	return list
}

// tags reads a tag section; field, if any, sees the fields one by one, and what it leaves is skipped.
func (d *decoder) tags(field func(n uint64, d *decoder)) {
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		number := d.uvarint()
		size := d.uvarint()
		if size > uint64(len(d.b)) {
			d.fail()
			return
		}
		of := decoder{b: d.bytes(int(size))}
		if field != nil {
			if field(number, &of); of.err != nil {
				d.fail()
			}
		}
	}
}

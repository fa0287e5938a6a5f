// Package fields encodes and decodes the fields of records that brokers keep in their own topics, in Kafka's
// flexible form: counts and lengths are varints, one more than they say.
package fields

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed says that the bytes are no record of the kind.
var ErrMalformed = errors.New("fields: malformed record")

// Encoder appends fields to B.
type Encoder struct{ B []byte }

func (e *Encoder) Int8(v int8)   { e.B = append(e.B, byte(v)) }
func (e *Encoder) Int16(v int16) { e.B = binary.BigEndian.AppendUint16(e.B, uint16(v)) }
func (e *Encoder) Int32(v int32) { e.B = binary.BigEndian.AppendUint32(e.B, uint32(v)) }
func (e *Encoder) Int64(v int64) { e.B = binary.BigEndian.AppendUint64(e.B, uint64(v)) }
func (e *Encoder) Count(n int)   { e.B = binary.AppendUvarint(e.B, uint64(n)+1) }

func (e *Encoder) Text(s string) {
	e.Count(len(s))
	e.B = append(e.B, s...)
}

// Nullable is null for the empty string.
func (e *Encoder) Nullable(s string) {
	if s == "" {
		e.B = append(e.B, 0)
		return
	}
	e.Text(s)
}

func (e *Encoder) Texts(list []string) {
	e.Count(len(list))
	for _, s := range list {
		e.Text(s)
	}
}

// Tag is one field of a tag section; Is says that it is there.
type Tag struct {
	Number uint64
	Is     bool
	Field  func(*Encoder)
}

// Tags appends a tag section. The tags are in the order of their numbers.
func (e *Encoder) Tags(tags ...Tag) {
	var all Encoder
	count := uint64(0)
	for _, t := range tags {
		if !t.Is {
			continue
		}
		var of Encoder
		t.Field(&of)
		all.B = binary.AppendUvarint(all.B, t.Number)
		all.B = binary.AppendUvarint(all.B, uint64(len(of.B)))
		all.B = append(all.B, of.B...)
		count++
	}
	e.B = append(binary.AppendUvarint(e.B, count), all.B...)
}

// Decoder reads fields of B. Once it has failed everything is zero.
type Decoder struct {
	B   []byte
	Err error
}

// Fail has the bytes be malformed.
func (d *Decoder) Fail() {
	d.B, d.Err = nil, ErrMalformed
}

// End says how it went; nothing may be left.
func (d *Decoder) End() error {
	if len(d.B) > 0 {
		d.Fail()
	}
	return d.Err
}

// Bytes takes the next n.
func (d *Decoder) Bytes(n int) []byte {
	if n < 0 || n > len(d.B) {
		d.Fail()
		return nil
	}
	b := d.B[:n]
	d.B = d.B[n:]
	return b
}

func (d *Decoder) Int8() int8 {
	if b := d.Bytes(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (d *Decoder) Int16() int16 {
	if b := d.Bytes(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (d *Decoder) Int32() int32 {
	if b := d.Bytes(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *Decoder) Int64() int64 {
	if b := d.Bytes(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *Decoder) Uvarint() uint64 {
	v, n := binary.Uvarint(d.B)
	if n <= 0 {
		d.Fail()
		return 0
	}
	d.B = d.B[n:]
	return v
}

// Count is a count or length, which is never more than the bytes left; null is 0.
func (d *Decoder) Count() int {
	v := d.Uvarint()
	if v > uint64(len(d.B))+1 {
		d.Fail()
		return 0
	}
	return max(int(v)-1, 0)
}

func (d *Decoder) Text() string { return string(d.Bytes(d.Count())) }

func (d *Decoder) Text16() string { return string(d.Bytes(int(d.Int16()))) }

func (d *Decoder) Texts() []string {
	list := []string{}
	for range d.Count() {
		if d.Err != nil {
			break
		}
		list = append(list, d.Text())
	}
	return list
}

// Tags reads a tag section; field, if any, sees the fields one by one, and what it leaves is skipped.
func (d *Decoder) Tags(field func(n uint64, d *Decoder)) {
	for n := d.Uvarint(); n > 0 && d.Err == nil; n-- {
		number := d.Uvarint()
		size := d.Uvarint()
		if size > uint64(len(d.B)) {
			d.Fail()
			return
		}
		of := Decoder{B: d.Bytes(int(size))}
		if field != nil {
			if field(number, &of); of.Err != nil {
				d.Fail()
			}
		}
	}
}

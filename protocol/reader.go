package protocol

import "encoding/binary"

// reader walks a frame; every method fails with a *MalformedError when the
// bytes run out.
type reader struct {
	src []byte
	pos int
}

func (r *reader) left() int { return len(r.src) - r.pos }

func (r *reader) skip(n int) error {
	if n < 0 || n > r.left() {
		return malformedf("%d bytes announced with %d left", n, r.left())
	}
	r.pos += n
	return nil
}

func (r *reader) take(n int) ([]byte, error) {
	start := r.pos
	if err := r.skip(n); err != nil {
		return nil, err
	}
	return r.src[start:r.pos], nil
}

func (r *reader) int8() (int8, error) {
	b, err := r.take(1)
	if err != nil {
		return 0, err
	}
	return int8(b[0]), nil
}

func (r *reader) int16() (int16, error) {
	b, err := r.take(2)
	if err != nil {
		return 0, err
	}
	return int16(binary.BigEndian.Uint16(b)), nil
}

func (r *reader) int32() (int32, error) {
	b, err := r.take(4)
	if err != nil {
		return 0, err
	}
	return int32(binary.BigEndian.Uint32(b)), nil
}

// uvarint reads an unsigned varint of at most 32 bits in at most 5 bytes.
func (r *reader) uvarint() (uint32, error) {
	v, n := binary.Uvarint(r.src[r.pos:min(len(r.src), r.pos+binary.MaxVarintLen32)])
	if n <= 0 || v > 1<<32-1 {
		return 0, malformedf("varint at byte %d is cut off or has more than 32 bits", r.pos)
	}
	r.pos += n
	return uint32(v), nil
}

// compactLength reads a compact length, -1 for null. It stays below 2^32, so
// int holds it where it is 64 bits; on 32 bits a length of that size has failed
// before, since no frame has as many bytes left.
func (r *reader) compactLength() (int64, error) {
	n, err := r.uvarint()
	return int64(n) - 1, err
}

// tag reads the head of one tagged field and returns its bytes.
func (r *reader) tag() (number uint32, value []byte, err error) {
	if number, err = r.uvarint(); err != nil {
		return 0, nil, err
	}
	n, err := r.uvarint()
	if err != nil {
		return 0, nil, err
	}
	if int64(n) > int64(r.left()) {
		return 0, nil, malformedf("tag %d announces %d bytes with %d left", number, n, r.left())
	}
	value, err = r.take(int(n))
	return number, value, err
}

// tagCount reads the number of tagged fields, each of which takes two bytes at least.
func (r *reader) tagCount() (int, error) {
	n, err := r.uvarint()
	if err != nil {
		return 0, err
	}
	if int64(n) > int64(r.left()/2) {
		return 0, malformedf("%d tagged fields announced with %d bytes left", n, r.left())
	}
	return int(n), nil
}

func (r *reader) skipTags() error {
	n, err := r.tagCount()
	for ; n > 0 && err == nil; n-- {
		_, _, err = r.tag()
	}
	return err
}

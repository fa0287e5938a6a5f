package recordbatch

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
)

// Recompress returns the batch b, which is whole and has passed Validate, with
// its records compressed in another way. The records' own bytes and all of the header
// but codec, length and CRC stay. They are decoded as a run of bytes, at most
// maxDecodedBytes (0 = DefaultMaxDecodedBytes), and never in memory as a whole; the result
// has at most maxBytes (0: as many as a batch can have). Errors: those of Records, and *TooLargeError
// for the result.
func Recompress(b []byte, to Compression, maxDecodedBytes, maxBytes int) ([]byte, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	if maxBytes <= 0 || maxBytes > math.MaxInt32 {
		maxBytes = math.MaxInt32
	}
	out := boundedBuffer{b: bytes.Clone(b[:HeaderBytes]), most: maxBytes}
	err = decompress(b[HeaderBytes:h.SizeBytes()], h.Codec(), maxDecodedBytes, func(records io.Reader) error {
		return compress(&out, to, records)
	})
	if out.full != nil {
		return nil, out.full
	}
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(out.b[positionLength:], uint32(len(out.b)-lengthFieldEnd))
	binary.BigEndian.PutUint16(out.b[positionAttributes:], uint16(h.Attributes&^attributeCodec|int16(to.Codec)))
	setChecksum(out.b)
	return out.b, nil
}

// boundedBuffer takes at most so many bytes.
type boundedBuffer struct {
	b    []byte
	most int
	full error // nil while all was taken
}

func (o *boundedBuffer) Write(p []byte) (int, error) {
	if size := len(o.b) + len(p); size > o.most {
		o.full = &TooLargeError{SizeBytes: size, MaxBytes: o.most}
		return 0, o.full
	}
	o.b = append(o.b, p...)
	return len(p), nil
}

// decompress has use read what src holds. Errors of decoding are those of Records.
func decompress(src []byte, c Codec, limit int, use func(io.Reader) error) error {
	if c == CodecNone {
		return use(bytes.NewReader(src))
	}
	var s scanner
	if err := s.open(src, c, limit, false); err != nil {
		return err
	}
	defer s.release(c)
	if err := use(&boundedReader{src: s.source, left: s.limit}); err != nil {
		return s.failure(err)
	}
	return nil
}

// boundedReader fails with errTooMuch after so many bytes.
type boundedReader struct {
	src  io.Reader
	left int
}

func (r *boundedReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	if r.left -= n; r.left < 0 {
		return 0, errTooMuch
	}
	return n, err
}

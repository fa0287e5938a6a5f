package recordbatch

import (
	"encoding/binary"
	"io"
	"math"
)

// Recompress returns the batch b, which is whole and has passed Validate, with
// its records compressed in another way. The records' own bytes and all of the header
// but codec, length and CRC stay. They are decoded as a run of bytes: what it
// takes in memory is bounded by maxDecodedBytes (0 = DefaultMaxDecodedBytes),
// however many records that holds. Errors: those of Records.
func Recompress(b []byte, to Compression, maxDecodedBytes int) ([]byte, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	records, err := decompress(b[HeaderBytes:h.SizeBytes()], h.Codec(), maxDecodedBytes)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, HeaderBytes+len(records)), b[:HeaderBytes]...)
	if to.Codec == CodecNone {
		out = append(out, records...)
	} else if out, err = appendCompressed(out, to, records); err != nil {
		return nil, err
	}
	if len(out) > math.MaxInt32 {
		return nil, &TooLargeError{SizeBytes: len(out), MaxBytes: math.MaxInt32}
	}
	binary.BigEndian.PutUint32(out[positionLength:], uint32(len(out)-lengthFieldEnd))
	binary.BigEndian.PutUint16(out[positionAttributes:], uint16(h.Attributes&^attributeCodec|int16(to.Codec)))
	setChecksum(out)
	return out, nil
}

// decompress returns what src holds; of no codec, src itself.
func decompress(src []byte, c Codec, limit int) ([]byte, error) {
	if c == CodecNone {
		return src, nil
	}
	var s scanner
	if err := s.open(src, c, limit, false); err != nil {
		return nil, err
	}
	defer s.release(c)
	out, err := io.ReadAll(io.LimitReader(s.source, int64(s.limit)+1))
	if err == nil && len(out) > s.limit {
		err = errTooMuch
	}
	if err != nil {
		return nil, s.failure(err)
	}
	return out, nil
}

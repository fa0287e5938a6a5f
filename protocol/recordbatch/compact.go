package recordbatch

import "math"

// attributeDeleteHorizon says that the base timestamp is a delete horizon (KIP-534).
const attributeDeleteHorizon = 0x40

// DeleteHorizon is when the batch's tombstones may go, unix milliseconds; false
// when compaction has not set it yet.
func (h Header) DeleteHorizon() (millis int64, ok bool) {
	return h.BaseTimestamp, h.Attributes&attributeDeleteHorizon != 0
}

// WithDeleteHorizon is h with a delete horizon.
func (h Header) WithDeleteHorizon(millis int64) Header {
	h.Attributes |= attributeDeleteHorizon
	h.BaseTimestamp = millis
	return h
}

// AppendRetained appends the batch b, which is whole and valid, with those of its
// records that keep picks by their place, at least one. Offsets, timestamps and
// codec stay. h is b's header, perhaps with a delete horizon set; of it everything
// but lengths, record count, CRC and, under create time, the max timestamp is
// taken as it is. b's records are decoded without a limit. Errors: those of Records.
func AppendRetained(dst, b []byte, h Header, keep func(place int) bool) ([]byte, error) {
	start := len(dst)
	dst = append(dst, make([]byte, HeaderBytes)...)
	var records, body []byte
	if h.Codec() == CodecNone {
		records = dst
	}
	place, kept, highest := 0, int32(0), int64(noTimestamp)
	for r, err := range Records(b, math.MaxInt) {
		if err != nil {
			return dst[:start], err
		}
		if keep(place) {
			body = appendRecord(body[:0], r.Timestamp-h.BaseTimestamp, r.Offset-h.BaseOffset, r)
			records = appendNullable(records, body)
			highest = max(highest, r.Timestamp)
			kept++
		}
		place++
	}
	if kept == 0 {
		return dst[:start], invalidf("a batch has at least one record")
	}
	var err error
	if h.Codec() == CodecNone {
		dst = records
	} else if dst, err = appendCompressed(dst, Compression{h.Codec(), DefaultLevel}, records); err != nil {
		return dst[:start], err
	}
	if len(dst)-start > math.MaxInt32 {
		return dst[:start], &TooLargeError{SizeBytes: len(dst) - start, MaxBytes: math.MaxInt32}
	}
	h.BatchLength, h.RecordCount = int32(len(dst)-start-lengthFieldEnd), kept
	if !h.LogAppendTime() {
		h.MaxTimestamp = highest
	}
	putHeader(dst[start:], h)
	setChecksum(dst[start:])
	return dst, nil
}

// AppendEmpty appends a batch of no records with the fields of h, lengths, codec
// and CRC aside: what compaction leaves of one.
func AppendEmpty(dst []byte, h Header) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, HeaderBytes)...)
	h.BatchLength, h.RecordCount, h.Magic = minBatchLength, 0, Magic
	h.Attributes &^= attributeCodec
	putHeader(dst[start:], h)
	setChecksum(dst[start:])
	return dst
}

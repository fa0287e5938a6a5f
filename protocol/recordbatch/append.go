package recordbatch

import (
	"encoding/binary"
	"math"
)

// Record is one record of a batch. A nil Key or Value is Kafka's null, which is
// not the same as an empty one.
type Record struct {
	Offset    int64
	Timestamp int64 // milliseconds; that of the whole batch under log append time
	Key       []byte
	Value     []byte
	Headers   []RecordHeader
}

// RecordHeader is one header of a record; a nil Value is null.
type RecordHeader struct {
	Key   string
	Value []byte
}

// AppendBatch appends one whole batch to dst. Records are numbered from
// h.BaseOffset without gaps, whatever their Offset says. Of h it takes the base
// offset, leader epoch, attributes (the codec bits are set from codec), producer
// id, epoch and base sequence; it works out lengths, counts, timestamps and CRC.
// Under log append time the max timestamp is h.MaxTimestamp. A header without a
// producer has ProducerID, ProducerEpoch and BaseSequence -1. It fails when there
// is no record, the codec is unknown or the batch would pass 2 GiB.
func AppendBatch(dst []byte, h Header, codec Codec, records []Record) ([]byte, error) {
	if len(records) == 0 {
		return dst, invalidf("a batch has at least one record")
	}
	start := len(dst)
	dst = append(dst, make([]byte, HeaderBytes)...)
	base, highest := records[0].Timestamp, int64(-1)
	for _, r := range records {
		highest = max(highest, r.Timestamp)
	}
	if h.LogAppendTime() {
		highest = h.MaxTimestamp
	}
	if codec == CodecNone {
		dst = appendRecords(dst, base, records)
	} else {
		var err error
		if dst, err = appendCompressed(dst, Compression{codec, DefaultLevel}, appendRecords(nil, base, records)); err != nil {
			return dst[:start], err
		}
	}
	b := dst[start:]
	if len(b) > math.MaxInt32 {
		return dst[:start], &TooLargeError{SizeBytes: len(b), MaxBytes: math.MaxInt32}
	}
	h.BatchLength = int32(len(b) - lengthFieldEnd)
	h.Magic = Magic
	h.Attributes = h.Attributes&^attributeCodec | int16(codec)
	h.LastOffsetDelta = int32(len(records) - 1)
	h.BaseTimestamp, h.MaxTimestamp = base, highest
	h.RecordCount = int32(len(records))
	putHeader(b, h)
	setChecksum(b)
	return dst, nil
}

func putHeader(b []byte, h Header) {
	be := binary.BigEndian
	be.PutUint64(b, uint64(h.BaseOffset))
	be.PutUint32(b[positionLength:], uint32(h.BatchLength))
	be.PutUint32(b[positionLeaderEpoch:], uint32(h.PartitionLeaderEpoch))
	b[positionMagic] = byte(h.Magic)
	be.PutUint32(b[positionCRC:], h.CRC)
	be.PutUint16(b[positionAttributes:], uint16(h.Attributes))
	be.PutUint32(b[positionLastDelta:], uint32(h.LastOffsetDelta))
	be.PutUint64(b[positionBaseTimestamp:], uint64(h.BaseTimestamp))
	be.PutUint64(b[positionMaxTimestamp:], uint64(h.MaxTimestamp))
	be.PutUint64(b[positionProducerID:], uint64(h.ProducerID))
	be.PutUint16(b[positionProducerEpoch:], uint16(h.ProducerEpoch))
	be.PutUint32(b[positionBaseSequence:], uint32(h.BaseSequence))
	be.PutUint32(b[positionRecordCount:], uint32(h.RecordCount))
}

func appendRecords(dst []byte, baseTimestamp int64, records []Record) []byte {
	var body []byte
	for i, r := range records {
		body = appendRecord(body[:0], r.Timestamp-baseTimestamp, int64(i), r)
		dst = appendNullable(dst, body)
	}
	return dst
}

// appendRecord appends a record without the length that goes before it.
func appendRecord(dst []byte, timestampDelta, offsetDelta int64, r Record) []byte {
	dst = append(dst, 0) // attributes: none are defined
	dst = binary.AppendVarint(dst, timestampDelta)
	dst = binary.AppendVarint(dst, offsetDelta)
	dst = appendNullable(dst, r.Key)
	dst = appendNullable(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(len(r.Headers)))
	for _, header := range r.Headers {
		dst = binary.AppendVarint(dst, int64(len(header.Key)))
		dst = append(dst, header.Key...)
		dst = appendNullable(dst, header.Value)
	}
	return dst
}

func appendNullable(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

// Package recordbatch reads, checks and stamps Kafka record batches of magic 2
// in place. It knows bytes only: no request, no file, no clock.
//
// Layout of a batch (big endian; KIP-98):
//
//	 0 base offset            int64   outside the CRC
//	 8 batch length           int32   bytes after this field
//	12 partition leader epoch int32   outside the CRC
//	16 magic                  int8    2
//	17 CRC                    uint32  CRC-32C of everything after this field
//	21 attributes             int16   0-2 codec, 3 log append time, 4 transactional, 5 control
//	23 last offset delta      int32
//	27 base timestamp         int64   milliseconds
//	35 max timestamp          int64   milliseconds
//	43 producer id            int64   -1 = none
//	51 producer epoch         int16
//	53 base sequence          int32
//	57 record count           int32
//	61 records, compressed as a whole when a codec is set
package recordbatch

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// HeaderBytes is the size of a batch without its records.
const HeaderBytes = 61

const (
	positionLength         = 8
	positionLeaderEpoch    = 12
	positionMagic          = 16
	positionCRC            = 17
	positionAttributes     = 21
	positionLastDelta      = 23
	positionBaseTimestamp  = 27
	positionMaxTimestamp   = 35
	positionProducerID     = 43
	positionProducerEpoch  = 51
	positionBaseSequence   = 53
	positionRecordCount    = 57
	lengthFieldEnd         = positionLength + 4 // bytes the length field does not count
	minBatchLength         = HeaderBytes - lengthFieldEnd
	maxBatchLength         = math.MaxInt32 - lengthFieldEnd // so that SizeBytes fits where int has 32 bits
	attributeCodec         = 0x07
	attributeLogAppendTime = 0x08
	attributeTransactional = 0x10
	attributeControl       = 0x20
)

// Magic is the only batch format that is stored.
const Magic = 2

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is the fixed part of a batch. Timestamps are milliseconds since 1970.
type Header struct {
	BaseOffset           int64
	BatchLength          int32 // bytes after the length field
	PartitionLeaderEpoch int32
	Magic                int8
	CRC                  uint32
	Attributes           int16
	LastOffsetDelta      int32
	BaseTimestamp        int64
	MaxTimestamp         int64
	ProducerID           int64
	ProducerEpoch        int16
	BaseSequence         int32
	RecordCount          int32
}

// ParseHeader reads the first HeaderBytes bytes of b; b may be longer or hold
// only the header. Nothing but the length field is judged: a *CorruptError is
// returned when b is too short, or the length cannot hold a header or is so
// large that SizeBytes would not fit 32 bits. Magic 0 and
// 1 share the first 17 bytes with magic 2, so Magic is to be looked at first.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderBytes {
		return Header{}, corruptf("batch header has %d bytes, want %d", len(b), HeaderBytes)
	}
	be := binary.BigEndian
	h := Header{
		BaseOffset:           int64(be.Uint64(b)),
		BatchLength:          int32(be.Uint32(b[positionLength:])),
		PartitionLeaderEpoch: int32(be.Uint32(b[positionLeaderEpoch:])),
		Magic:                int8(b[positionMagic]),
		CRC:                  be.Uint32(b[positionCRC:]),
		Attributes:           int16(be.Uint16(b[positionAttributes:])),
		LastOffsetDelta:      int32(be.Uint32(b[positionLastDelta:])),
		BaseTimestamp:        int64(be.Uint64(b[positionBaseTimestamp:])),
		MaxTimestamp:         int64(be.Uint64(b[positionMaxTimestamp:])),
		ProducerID:           int64(be.Uint64(b[positionProducerID:])),
		ProducerEpoch:        int16(be.Uint16(b[positionProducerEpoch:])),
		BaseSequence:         int32(be.Uint32(b[positionBaseSequence:])),
		RecordCount:          int32(be.Uint32(b[positionRecordCount:])),
	}
	if h.BatchLength < minBatchLength || h.BatchLength > maxBatchLength {
		return h, corruptf("batch length is %d, want %d to %d", h.BatchLength, minBatchLength, maxBatchLength)
	}
	return h, nil
}

// SizeBytes is the size of the whole batch, header and records.
func (h Header) SizeBytes() int { return lengthFieldEnd + int(h.BatchLength) }

// LastOffset is the offset of the last record the batch had when it was
// produced; compaction may have removed that record since.
func (h Header) LastOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) }

// NextOffset is one past LastOffset.
func (h Header) NextOffset() int64 { return h.LastOffset() + 1 }

// Codec is how the records are compressed.
func (h Header) Codec() Codec { return Codec(h.Attributes & attributeCodec) }

// LogAppendTime reports whether MaxTimestamp, set by the broker, is the time of every record.
func (h Header) LogAppendTime() bool { return h.Attributes&attributeLogAppendTime != 0 }

// IsTransactional reports whether the batch is part of a transaction.
func (h Header) IsTransactional() bool { return h.Attributes&attributeTransactional != 0 }

// InTransaction is the header of a batch that is part of its producer's transaction.
func (h Header) InTransaction() Header {
	h.Attributes |= attributeTransactional
	return h
}

// IsControl reports whether the batch holds a marker and no client's records.
func (h Header) IsControl() bool { return h.Attributes&attributeControl != 0 }

// LastSequence is the sequence number of the last record, which wraps from
// math.MaxInt32 to 0, or -1 when the batch carries none.
func (h Header) LastSequence() int32 {
	if h.BaseSequence < 0 {
		return -1
	}
	return int32((int64(h.BaseSequence) + int64(h.LastOffsetDelta)) & math.MaxInt32)
}

// SetBaseOffset stamps the base offset in place; it is outside the CRC.
func SetBaseOffset(b []byte, offset int64) {
	binary.BigEndian.PutUint64(b, uint64(offset))
}

// SetPartitionLeaderEpoch stamps the leader epoch in place; it is outside the CRC.
func SetPartitionLeaderEpoch(b []byte, epoch int32) {
	binary.BigEndian.PutUint32(b[positionLeaderEpoch:], uint32(epoch))
}

// SetLogAppendTime makes millis the time of every record and renews the CRC. b
// is one whole batch.
func SetLogAppendTime(b []byte, millis int64) {
	attributes := binary.BigEndian.Uint16(b[positionAttributes:])
	binary.BigEndian.PutUint16(b[positionAttributes:], attributes|attributeLogAppendTime)
	SetMaxTimestamp(b, millis)
}

// SetMaxTimestamp corrects the max timestamp and renews the CRC. b is one whole batch.
func SetMaxTimestamp(b []byte, millis int64) {
	binary.BigEndian.PutUint64(b[positionMaxTimestamp:], uint64(millis))
	setChecksum(b)
}

func setChecksum(b []byte) {
	binary.BigEndian.PutUint32(b[positionCRC:], crc32.Checksum(b[positionAttributes:], castagnoli))
}

// VerifyChecksum compares the CRC of b, which is one whole batch and nothing
// else, with the one it states; a *CorruptError says that they differ or that b
// is shorter than a header.
func VerifyChecksum(b []byte) error {
	if len(b) < HeaderBytes {
		return corruptf("batch has %d bytes, want at least %d", len(b), HeaderBytes)
	}
	want := binary.BigEndian.Uint32(b[positionCRC:])
	if got := crc32.Checksum(b[positionAttributes:], castagnoli); got != want {
		return corruptf("record batch checksum is %08x, want %08x", got, want)
	}
	return nil
}

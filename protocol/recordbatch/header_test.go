package recordbatch

import (
	"errors"
	"math"
	"testing"
)

// noProducer is a header of a batch without producer state.
func noProducer(baseOffset int64) Header {
	return Header{BaseOffset: baseOffset, PartitionLeaderEpoch: -1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
}

func mustAppend(t testing.TB, h Header, codec Codec, records ...Record) []byte {
	t.Helper()
	b, err := AppendBatch(nil, h, codec, records)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHeaderOfABuiltBatch(t *testing.T) {
	in := Header{
		BaseOffset: 7, PartitionLeaderEpoch: 3, Attributes: attributeTransactional,
		ProducerID: 9, ProducerEpoch: 2, BaseSequence: math.MaxInt32,
	}
	b := mustAppend(t, in, CodecNone, Record{Timestamp: 50, Value: []byte("a")}, Record{Timestamp: 40})
	h, err := ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	if h.SizeBytes() != len(b) || h.LastOffset() != 8 || h.NextOffset() != 9 || h.RecordCount != 2 {
		t.Errorf("sizes and offsets: %+v", h)
	}
	if h.BaseTimestamp != 50 || h.MaxTimestamp != 50 || !h.IsTransactional() || h.IsControl() || h.LogAppendTime() {
		t.Errorf("timestamps and attributes: %+v", h)
	}
	if h.LastSequence() != 0 {
		t.Errorf("last sequence is %d, want it wrapped to 0", h.LastSequence())
	}
	if err := VerifyChecksum(b); err != nil {
		t.Error(err)
	}
}

func TestStampsOutsideTheChecksum(t *testing.T) {
	b := mustAppend(t, noProducer(0), CodecNone, Record{Timestamp: 1, Value: []byte("a")})
	SetBaseOffset(b, 1<<40)
	SetPartitionLeaderEpoch(b, 12)
	if err := VerifyChecksum(b); err != nil {
		t.Fatal(err)
	}
	h, _ := ParseHeader(b)
	if h.BaseOffset != 1<<40 || h.PartitionLeaderEpoch != 12 || h.LastSequence() != -1 {
		t.Errorf("got %+v", h)
	}
}

func TestSetLogAppendTimeRenewsTheChecksum(t *testing.T) {
	b := mustAppend(t, noProducer(0), CodecNone, Record{Timestamp: 1, Value: []byte("a")})
	SetLogAppendTime(b, 99)
	if err := VerifyChecksum(b); err != nil {
		t.Fatal(err)
	}
	if h, _ := ParseHeader(b); !h.LogAppendTime() || h.MaxTimestamp != 99 {
		t.Errorf("got %+v", h)
	}
}

func TestEveryFlippedBitUnderTheChecksumIsFound(t *testing.T) {
	b := mustAppend(t, noProducer(0), CodecNone, Record{Timestamp: 1, Key: []byte("k"), Value: []byte("abc")})
	for i := positionCRC; i < len(b); i++ {
		b[i] ^= 0x10
		var corrupt *CorruptError
		if err := VerifyChecksum(b); !errors.As(err, &corrupt) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		b[i] ^= 0x10
	}
}

func TestParseHeaderRefusesLengthsThatCannotBe(t *testing.T) {
	good := mustAppend(t, noProducer(0), CodecNone, Record{})
	for _, length := range []uint32{0, 48, 1 << 31, math.MaxUint32, math.MaxInt32} {
		b := append([]byte(nil), good...)
		b[8], b[9], b[10], b[11] = byte(length>>24), byte(length>>16), byte(length>>8), byte(length)
		if _, err := ParseHeader(b); err == nil {
			t.Errorf("length %d was accepted", int32(length))
		}
	}
	for _, length := range []int32{minBatchLength, maxBatchLength} {
		b := append([]byte(nil), good...)
		b[8], b[9], b[10], b[11] = byte(length>>24), byte(length>>16), byte(length>>8), byte(length)
		h, err := ParseHeader(b)
		if err != nil {
			t.Errorf("length %d: %v", length, err)
		}
		if want := int64(length) + lengthFieldEnd; int64(h.SizeBytes()) != want {
			t.Errorf("length %d: size is %d bytes, want %d", length, h.SizeBytes(), want)
		}
	}
	for n := range HeaderBytes {
		if _, err := ParseHeader(good[:n]); err == nil {
			t.Errorf("%d bytes were accepted", n)
		}
	}
	if _, err := ParseHeader(good[:HeaderBytes]); err != nil {
		t.Errorf("a bare header: %v", err)
	}
}

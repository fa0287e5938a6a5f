package recordbatch

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
)

// TestAppendRetained thins out batches of every codec and both timestamp types:
// what stays is as it was, offsets, timestamps, nulls and headers included.
func TestAppendRetained(t *testing.T) {
	records := []Record{
		{Timestamp: 100, Key: []byte("a"), Value: []byte("first")},
		{Timestamp: 900, Key: []byte("b")},
		{Timestamp: 50, Key: []byte{}, Value: []byte{}, Headers: []RecordHeader{{Key: "h"}, {Key: "h", Value: []byte{}}, {Key: "", Value: []byte("x")}}},
		{Timestamp: 300, Value: bytes.Repeat([]byte("v"), 5000)},
	}
	h := Header{BaseOffset: 1000, PartitionLeaderEpoch: 7, ProducerID: 9, ProducerEpoch: 2, BaseSequence: 11}
	for codec := CodecNone; codec.Known(); codec++ {
		for _, appendTime := range []bool{false, true} {
			b, err := AppendBatch(nil, h, codec, records)
			if err != nil {
				t.Fatal(err)
			}
			if appendTime {
				SetLogAppendTime(b, 5_000)
			}
			for _, horizon := range []int64{-1, 1_000_000, math.MaxInt64} {
				for set := 1; set < 1<<len(records); set++ {
					checkRetained(t, b, horizon, set)
				}
			}
		}
	}
}

func checkRetained(t *testing.T, b []byte, horizon int64, set int) {
	t.Helper()
	before, err := ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	h := before
	if horizon >= 0 {
		h = h.WithDeleteHorizon(horizon)
	}
	keep := func(place int) bool { return set>>place&1 == 1 }
	out, err := AppendRetained([]byte("front"), b, h, keep)
	if err != nil {
		t.Fatal(err)
	}
	out = out[len("front"):]
	after, err := ParseHeader(out)
	if err != nil || after.SizeBytes() != len(out) || VerifyChecksum(out) != nil {
		t.Fatalf("header %+v of %d bytes, %v", after, len(out), err)
	}
	var want []Record
	highest, place := int64(-1), 0
	for _, r := range recordsOf(t, b) {
		if keep(place) {
			want = append(want, r)
			highest = max(highest, r.Timestamp)
		}
		place++
	}
	if before.LogAppendTime() {
		highest = before.MaxTimestamp
	}
	if got := recordsOf(t, out); !slices.EqualFunc(got, want, same) {
		t.Fatalf("set %b: got %v, want %v", set, got, want)
	}
	same := h
	same.BatchLength, same.RecordCount, same.CRC, same.MaxTimestamp = after.BatchLength, int32(len(want)), after.CRC, highest
	if after != same {
		t.Fatalf("header %+v, want %+v", after, same)
	}
	if at, ok := after.DeleteHorizon(); ok != (horizon >= 0) || ok && at != horizon {
		t.Fatalf("delete horizon %d %v, want %d", at, ok, horizon)
	}
}

func recordsOf(t *testing.T, b []byte) []Record {
	t.Helper()
	all, err := collect(b, 0)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAppendRetainedRefuses(t *testing.T) {
	b, err := AppendBatch(nil, Header{}, CodecGzip, []Record{{Key: []byte("k")}})
	if err != nil {
		t.Fatal(err)
	}
	h, err := ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := AppendRetained([]byte("front"), b, h, func(int) bool { return false }); err == nil || string(out) != "front" {
		t.Errorf("a batch of nothing: %q, %v", out, err)
	}
	b[len(b)-10] ^= 0xff
	if out, err := AppendRetained([]byte("front"), b, h, func(int) bool { return true }); err == nil || string(out) != "front" {
		t.Errorf("a damaged batch: %q, %v", out, err)
	}
}

func TestAppendEmpty(t *testing.T) {
	h := Header{
		BaseOffset: 77, PartitionLeaderEpoch: 3, Attributes: int16(CodecZstd), LastOffsetDelta: 1 << 20,
		BaseTimestamp: 12, MaxTimestamp: -1, ProducerID: 5, ProducerEpoch: 1, BaseSequence: 9,
	}
	b := AppendEmpty(nil, h)
	got, err := ParseHeader(b)
	if err != nil || len(b) != HeaderBytes || got.SizeBytes() != HeaderBytes || VerifyChecksum(b) != nil {
		t.Fatalf("%d bytes, %+v, %v", len(b), got, err)
	}
	want := h
	want.Attributes, want.Magic, want.BatchLength, want.CRC = 0, Magic, got.BatchLength, got.CRC
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if records := recordsOf(t, b); len(records) != 0 {
		t.Errorf("an empty batch has records %v", records)
	}
	var refused *InvalidRecordError
	SetBaseOffset(b, 0)
	if _, err := Validate(b, Rules{}); !errors.As(err, &refused) {
		t.Errorf("a client's batch without records is taken: %v", err)
	}
}

package recordbatch

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// collect copies the records of a batch out of the walk.
func collect(b []byte, limit int) (all []Record, err error) {
	for r, err := range Records(b, limit) {
		if err != nil {
			return all, err
		}
		r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
		headers := r.Headers
		r.Headers = nil
		for _, h := range headers {
			r.Headers = append(r.Headers, RecordHeader{h.Key, bytes.Clone(h.Value)})
		}
		all = append(all, r)
	}
	return all, nil
}

// same compares records by content; null and empty are different.
func same(a, b Record) bool {
	nullable := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	if a.Offset != b.Offset || a.Timestamp != b.Timestamp || !nullable(a.Key, b.Key) || !nullable(a.Value, b.Value) {
		return false
	}
	if len(a.Headers) != len(b.Headers) {
		return false
	}
	for i, h := range a.Headers {
		if h.Key != b.Headers[i].Key || !nullable(h.Value, b.Headers[i].Value) {
			return false
		}
	}
	return true
}

// content draws null, empty, small, and now and then more than a window.
func content(t *rapid.T, name string) []byte {
	switch rapid.IntRange(0, 9).Draw(t, name+" kind") {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return bytes.Repeat([]byte{'x'}, rapid.IntRange(windowBytes-20, 3*windowBytes).Draw(t, name))
	default:
		return rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, name)
	}
}

func drawRecord(t *rapid.T) Record {
	r := Record{
		Timestamp: rapid.Int64Range(-1, math.MaxInt64/4).Draw(t, "timestamp"),
		Key:       content(t, "key"),
		Value:     content(t, "value"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		r.Headers = append(r.Headers, RecordHeader{rapid.String().Draw(t, "header"), content(t, "header value")})
	}
	return r
}

// What is built validates, unchanged, and reads back as it was.
func TestBuildValidateReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := noProducer(0)
		if rapid.Bool().Draw(t, "producer") {
			h.ProducerID = rapid.Int64Range(0, math.MaxInt64).Draw(t, "id")
			h.ProducerEpoch = rapid.Int16Range(0, math.MaxInt16).Draw(t, "epoch")
			h.BaseSequence = rapid.Int32Range(0, math.MaxInt32).Draw(t, "sequence")
		}
		codec := rapid.SampledFrom(allCodecs).Draw(t, "codec")
		var records []Record
		for range rapid.IntRange(1, 20).Draw(t, "records") {
			records = append(records, drawRecord(t))
		}
		prefix := []byte("before")
		b, err := AppendBatch(prefix, h, codec, records)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(b, prefix) {
			t.Fatal("what stood before the batch is gone")
		}
		b = b[len(prefix):]
		before := bytes.Clone(b)
		got, err := Validate(b, Rules{})
		if err != nil || !bytes.Equal(b, before) {
			t.Fatalf("%v, changed %t", err, !bytes.Equal(b, before))
		}
		if got.ProducerID != h.ProducerID || got.ProducerEpoch != h.ProducerEpoch || got.BaseSequence != h.BaseSequence {
			t.Fatalf("producer %+v", got)
		}
		SetBaseOffset(b, 1<<33)
		all, err := collect(b, 0)
		if err != nil || len(all) != len(records) {
			t.Fatalf("%d of %d records, %v", len(all), len(records), err)
		}
		i := 0
		for s, err := range Stamps(b, 0) {
			want := records[i]
			want.Offset = 1<<33 + int64(i)
			if err != nil || !same(all[i], want) {
				t.Fatalf("record %d: %v", i, err)
			}
			if s.Offset != want.Offset || s.Timestamp != want.Timestamp || s.HasKey != (want.Key != nil) {
				t.Fatalf("stamp %d is %+v", i, s)
			}
			i++
		}
		if i != len(records) {
			t.Fatalf("%d stamps of %d", i, len(records))
		}
	})
}

// A walk may stop in the middle, and the next one starts afresh on the same decoder.
func TestRecordsStopsWhenAsked(t *testing.T) {
	for _, codec := range allCodecs {
		b := mustAppend(t, noProducer(5), codec, someRecords()...)
		for range 3 {
			n := 0
			for r, err := range Records(b, 0) {
				if err != nil || r.Offset != 5 {
					t.Fatalf("%s: %+v, %v", codec, r, err)
				}
				n++
				break
			}
			if n != 1 {
				t.Fatalf("%s: %d steps", codec, n)
			}
		}
	}
}

func TestRecordsOfABatchThatCompactionEmptied(t *testing.T) {
	b := rawBatch(t, CodecNone, 1, nil)
	b = changed(b, positionRecordCount, 0, 0, 0, 0)
	if all, err := collect(b, 0); len(all) != 0 || err != nil {
		t.Errorf("%d records, %v", len(all), err)
	}
}

// Offsets of a compacted batch have gaps, which readers keep.
func TestRecordsKeepGapsInOffsets(t *testing.T) {
	records := append(sizedRecord(0, 0, 2, 1, 1, 0), sizedRecord(0, 0, 8, 1, 1, 0)...)
	b := rawBatch(t, CodecLZ4, 2, records)
	SetBaseOffset(b, 100)
	all, err := collect(b, 0)
	if err != nil || len(all) != 2 || all[0].Offset != 101 || all[1].Offset != 104 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestRecordsErrors(t *testing.T) {
	good := mustAppend(t, noProducer(0), CodecGzip, someRecords()...)
	broken := append([]byte(nil), good...)
	broken[HeaderBytes] ^= 0xff
	var corrupt *CorruptError
	var invalid *InvalidRecordError
	var codec *UnsupportedCodecError
	for name, c := range map[string]struct {
		b    []byte
		want any
	}{
		"no header":      {good[:HeaderBytes-1], &corrupt},
		"cut off":        {good[:len(good)-1], &corrupt},
		"magic":          {changed(good, positionMagic, 1), &corrupt},
		"unknown codec":  {changed(good, positionAttributes+1, 7), &codec},
		"broken gzip":    {broken, &invalid},
		"too many asked": {changed(good, positionRecordCount+3, 4), &invalid},
	} {
		if _, err := collect(c.b, 0); !errors.As(err, c.want) {
			t.Errorf("%s: got %T %v", name, err, err)
		}
		failed := 0
		for _, err := range Stamps(c.b, 0) {
			if err != nil {
				failed++
			}
		}
		if failed != 1 {
			t.Errorf("%s: Stamps yields %d errors", name, failed)
		}
	}
}

func TestAppendBatchRefuses(t *testing.T) {
	if b, err := AppendBatch([]byte("x"), Header{}, CodecNone, nil); err == nil || string(b) != "x" {
		t.Errorf("no record: %q, %v", b, err)
	}
	var codec *UnsupportedCodecError
	if b, err := AppendBatch([]byte("x"), Header{}, 5, []Record{{}}); !errors.As(err, &codec) || string(b) != "x" {
		t.Errorf("unknown codec: %q, %v", b, err)
	}
}

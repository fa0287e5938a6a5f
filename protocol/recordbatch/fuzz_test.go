package recordbatch

import (
	"bytes"
	"testing"
)

const fuzzLimit = 1 << 20

func addSeeds(f *testing.F) {
	for _, codec := range allCodecs {
		f.Add(mustAppend(f, noProducer(0), codec, someRecords()...))
		f.Add(mustAppend(f, noProducer(0), codec, Record{Value: bytes.Repeat([]byte("a"), 100)}))
	}
	f.Add([]byte{})
}

// FuzzRecords feeds any bytes to the decoders, with lengths made to fit so that
// the records are reached.
func FuzzRecords(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if len(b) < HeaderBytes {
			if err == nil {
				t.Fatalf("a header of %d bytes was taken", len(b))
			}
			return
		}
		fits := h.BatchLength >= minBatchLength && h.BatchLength <= maxBatchLength
		if fits != (err == nil) {
			t.Fatalf("batch length %d: %v", h.BatchLength, err)
		}
		h.BatchLength, h.Magic = int32(len(b)-lengthFieldEnd), Magic
		h.RecordCount = min(h.RecordCount, 1<<16)
		putHeader(b, h)
		decoded := 0
		for r, err := range Records(b, fuzzLimit) {
			if err != nil {
				break
			}
			decoded += len(r.Key) + len(r.Value)
			for _, header := range r.Headers {
				decoded += len(header.Key) + len(header.Value)
			}
		}
		if limit := max(fuzzLimit, len(b)); decoded > limit {
			t.Fatalf("%d bytes came out, limit %d", decoded, limit)
		}
	})
}

// FuzzValidate renews the CRC, so that what the fuzzer changes is judged: what is
// accepted reads back in full and is accepted again, unchanged.
func FuzzValidate(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= HeaderBytes {
			setChecksum(b)
		}
		before := bytes.Clone(b)
		rules := Rules{MaxDecodedBytes: fuzzLimit, AllowControl: true}
		h, err := Validate(b, rules)
		if err != nil {
			if !bytes.Equal(b, before) {
				t.Fatal("a refused batch was changed")
			}
			return
		}
		if h.SizeBytes() != len(b) || VerifyChecksum(b) != nil {
			t.Fatalf("accepted with header %+v", h)
		}
		n, highest := int64(0), int64(noTimestamp)
		for r, err := range Records(b, fuzzLimit) {
			if err != nil || r.Offset != n {
				t.Fatalf("record %d of an accepted batch: %+v, %v", n, r, err)
			}
			highest = max(highest, r.Timestamp)
			n++
		}
		if n != int64(h.RecordCount) || n != h.NextOffset() || highest != h.MaxTimestamp {
			t.Fatalf("%d records, highest timestamp %d, header %+v", n, highest, h)
		}
		after := bytes.Clone(b)
		if _, err := Validate(b, rules); err != nil || !bytes.Equal(b, after) {
			t.Fatalf("accepted once only: %v", err)
		}
	})
}

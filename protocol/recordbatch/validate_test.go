package recordbatch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

var allCodecs = []Codec{CodecNone, CodecGzip, CodecSnappy, CodecLZ4, CodecZstd}

// changed is a copy of b with one field overwritten and the CRC renewed.
func changed(b []byte, position int, value ...byte) []byte {
	c := append([]byte(nil), b...)
	copy(c[position:], value)
	setChecksum(c)
	return c
}

func someRecords() []Record {
	return []Record{
		{Timestamp: 1000, Key: []byte("k0"), Value: []byte("v0")},
		{Timestamp: 1005, Key: []byte("k1"), Value: nil},
		{Timestamp: 1002, Key: []byte{}, Value: []byte{}, Headers: []RecordHeader{{"h", []byte("x")}, {"", nil}}},
	}
}

func TestValidBatchesOfEveryCodec(t *testing.T) {
	for _, codec := range allCodecs {
		b := mustAppend(t, noProducer(0), codec, someRecords()...)
		before := string(b)
		h, err := Validate(b, Rules{MaxBytes: len(b), RequireKeys: true})
		if err != nil {
			t.Errorf("%s: %v", codec, err)
		}
		if h.RecordCount != 3 || h.Codec() != codec || h.MaxTimestamp != 1005 {
			t.Errorf("%s: header %+v", codec, h)
		}
		if string(b) != before {
			t.Errorf("%s: a valid batch was changed", codec)
		}
	}
}

// Each case breaks one rule; the type of the error decides the code on the wire.
func TestHeaderRules(t *testing.T) {
	var invalid *InvalidRecordError
	var corrupt *CorruptError
	var large *TooLargeError
	var codec *UnsupportedCodecError
	good := mustAppend(t, noProducer(0), CodecNone, someRecords()...)
	zstd := mustAppend(t, noProducer(0), CodecZstd, someRecords()...)
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)-1] ^= 1
	small := changed(good, positionLength, 0, 0, 0, 20)
	cases := []struct {
		name  string
		b     []byte
		rules Rules
		want  any
	}{
		{"no bytes", nil, Rules{}, &invalid},
		{"less than a magic", good[:16], Rules{}, &invalid},
		{"magic 0", changed(good, positionMagic, 0), Rules{}, &invalid},
		{"magic 1", changed(good, positionMagic, 1), Rules{}, &invalid},
		{"magic 3", changed(good, positionMagic, 3), Rules{}, &corrupt},
		{"magic and no header", good[:30], Rules{}, &corrupt},
		{"length below a header", small, Rules{}, &corrupt},
		{"cut off", good[:len(good)-1], Rules{}, &invalid},
		{"trailing byte", append(append([]byte(nil), good...), 0), Rules{}, &invalid},
		{"two batches", append(append([]byte(nil), good...), good...), Rules{}, &invalid},
		{"unknown codec", changed(good, positionAttributes+1, 5), Rules{}, &codec},
		{"zstd where it is refused", zstd, Rules{RefuseZstd: true}, &codec},
		{"base offset", changed(good, 7, 1), Rules{}, &invalid},
		{"too large", good, Rules{MaxBytes: len(good) - 1}, &large},
		{"checksum", flipped, Rules{}, &corrupt},
		{"last offset delta below count", changed(good, positionLastDelta+3, 1), Rules{}, &invalid},
		{"negative last offset delta", changed(good, positionLastDelta, 255, 255, 255, 255), Rules{}, &invalid},
		{"record count above", changed(changed(good, positionLastDelta+3, 3), positionRecordCount+3, 4), Rules{}, &invalid},
		{"record count below", changed(changed(good, positionLastDelta+3, 1), positionRecordCount+3, 2), Rules{}, &invalid},
		{"control", changed(good, positionAttributes+1, attributeControl), Rules{}, &invalid},
		{"a transaction of nobody", changed(good, positionAttributes+1, attributeTransactional), Rules{}, &invalid},
		{"sequence", changed(good, positionProducerID, 0, 0, 0, 0, 0, 0, 0, 1), Rules{}, &invalid},
	}
	for _, c := range cases {
		before := string(c.b)
		_, err := Validate(c.b, c.rules)
		if !errors.As(err, c.want) {
			t.Errorf("%s: got %T %v", c.name, err, err)
		}
		if string(c.b) != before {
			t.Errorf("%s: a refused batch was changed", c.name)
		}
	}
	if _, err := Validate(changed(good, positionAttributes+1, attributeControl), Rules{AllowControl: true}); err != nil {
		t.Errorf("control where it is allowed: %v", err)
	}
}

// A batch with several faults is refused for the one that Kafka looks at first.
func TestOrderOfChecks(t *testing.T) {
	b := mustAppend(t, noProducer(0), CodecNone, someRecords()...)
	b = changed(b, positionAttributes+1, attributeControl)
	b[len(b)-1] ^= 1 // after the CRC was made
	SetBaseOffset(b, 1)
	rules := Rules{MaxBytes: 10}
	expect := func(name string, target any) {
		t.Helper()
		if _, err := Validate(b, rules); !errors.As(err, target) {
			t.Errorf("%s: got %T %v", name, err, err)
		}
	}
	var invalid *InvalidRecordError
	var large *TooLargeError
	var corrupt *CorruptError
	expect("base offset", &invalid)
	SetBaseOffset(b, 0)
	expect("size", &large)
	rules.MaxBytes = 0
	expect("checksum", &corrupt)
	setChecksum(b)
	expect("control bit", &invalid)
}

func TestKeysOnCompactedTopics(t *testing.T) {
	for _, codec := range allCodecs {
		b := mustAppend(t, noProducer(0), codec, Record{Key: []byte{}}, Record{}, Record{Key: []byte("k")}, Record{})
		_, err := Validate(b, Rules{RequireKeys: true})
		var invalid *InvalidRecordError
		if !errors.As(err, &invalid) || len(invalid.RecordErrors) != 2 ||
			invalid.RecordErrors[0].BatchIndex != 1 || invalid.RecordErrors[1].BatchIndex != 3 {
			t.Errorf("%s: %+v", codec, err)
		}
		if _, err := Validate(b, Rules{}); err != nil {
			t.Errorf("%s: no key is needed elsewhere: %v", codec, err)
		}
	}
}

func TestTimestampBounds(t *testing.T) {
	const now = 1_000_000
	bounded := Rules{NowMillis: now, TimestampBeforeMaxMillis: 100, TimestampAfterMaxMillis: 10}
	open := Rules{NowMillis: now, TimestampBeforeMaxMillis: math.MaxInt64, TimestampAfterMaxMillis: math.MaxInt64}
	cases := []struct {
		timestamp int64
		rules     Rules
		ok        bool
	}{
		{now, bounded, true}, {now - 100, bounded, true}, {now - 101, bounded, false},
		{now + 10, bounded, true}, {now + 11, bounded, false}, {noTimestamp, bounded, true},
		{math.MaxInt64, bounded, false}, {math.MinInt64, bounded, false},
		{0, open, true}, {math.MaxInt64, open, true},
		{math.MaxInt64, Rules{}, true},
		{math.MaxInt64, Rules{NowMillis: now, LogAppendTime: true}, true},
	}
	for _, c := range cases {
		b := mustAppend(t, noProducer(0), CodecNone, Record{Timestamp: c.timestamp})
		_, err := Validate(b, c.rules)
		var bad *TimestampError
		if c.ok && err != nil || !c.ok && (!errors.As(err, &bad) || len(bad.RecordErrors) != 1) {
			t.Errorf("timestamp %d, now %d: %v", c.timestamp, c.rules.NowMillis, err)
		}
	}
}

func TestAProducerMayNotSetLogAppendTime(t *testing.T) {
	h := noProducer(0)
	h.Attributes = attributeLogAppendTime
	b := mustAppend(t, h, CodecNone, Record{Timestamp: 1})
	var bad *TimestampError
	if _, err := Validate(b, Rules{}); !errors.As(err, &bad) {
		t.Errorf("got %v", err)
	}
}

func TestWrongMaxTimestampIsCorrected(t *testing.T) {
	for _, codec := range allCodecs {
		b := mustAppend(t, noProducer(0), codec, someRecords()...)
		SetMaxTimestamp(b, 77)
		h, err := Validate(b, Rules{})
		if err != nil || h.MaxTimestamp != 1005 || VerifyChecksum(b) != nil {
			t.Errorf("%s: %+v, %v", codec, h, err)
		}
		if again, _ := ParseHeader(b); again != h {
			t.Errorf("%s: the header returned is not that of the bytes", codec)
		}
	}
}

func TestLogAppendTimeIsStamped(t *testing.T) {
	b := mustAppend(t, noProducer(0), CodecGzip, someRecords()...)
	h, err := Validate(b, Rules{LogAppendTime: true, NowMillis: 42})
	if err != nil || !h.LogAppendTime() || h.MaxTimestamp != 42 || VerifyChecksum(b) != nil {
		t.Fatalf("%+v, %v", h, err)
	}
	for r, err := range Records(b, 0) {
		if err != nil || r.Timestamp != 42 {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

func TestRecordErrorsAreBounded(t *testing.T) {
	b := mustAppend(t, noProducer(0), CodecNone, make([]Record, 3*maxRecordErrors)...)
	var invalid *InvalidRecordError
	if _, err := Validate(b, Rules{RequireKeys: true}); !errors.As(err, &invalid) || len(invalid.RecordErrors) != maxRecordErrors {
		t.Errorf("%d errors, %v", len(invalid.RecordErrors), err)
	}
}

// rawBatch is a batch whose records are given as bytes.
func rawBatch(t testing.TB, codec Codec, count int32, records []byte) []byte {
	t.Helper()
	b := make([]byte, HeaderBytes)
	if codec == CodecNone {
		b = append(b, records...)
	} else {
		var err error
		if b, err = appendCompressed(b, Compression{codec, DefaultLevel}, records); err != nil {
			t.Fatal(err)
		}
	}
	h := noProducer(0)
	h.BatchLength, h.Magic, h.Attributes = int32(len(b)-lengthFieldEnd), Magic, int16(codec)
	h.LastOffsetDelta, h.RecordCount = count-1, count
	putHeader(b, h)
	setChecksum(b)
	return b
}

// sizedRecord is a record of these body bytes behind its length.
func sizedRecord(body ...byte) []byte {
	return append(binary.AppendVarint(nil, int64(len(body))), body...)
}

// Zigzag: 0 is 0, -1 is 1, 1 is 2, -2 is 3.
func TestBrokenRecordsOfEveryCodec(t *testing.T) {
	fine := sizedRecord(0, 0, 0, 1, 1, 0)
	tooManyHeaders := binary.AppendVarint([]byte{0, 0, 0, 1, 1}, MaxRecordHeaders+1)
	cases := map[string][]byte{
		"nothing":                      {},
		"negative length":              {1},
		"length without a record":      {20},
		"endless varint":               {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0},
		"length above 32 bits":         {255, 255, 255, 255, 255, 127},
		"length of nothing":            sizedRecord(),
		"fields longer than length":    append(binary.AppendVarint(nil, 5), 0, 0, 0, 1, 1, 0),
		"fields shorter than length":   sizedRecord(0, 0, 0, 1, 1, 0, 0),
		"offset delta 1":               sizedRecord(0, 0, 2, 1, 1, 0),
		"offset delta -1":              sizedRecord(0, 0, 1, 1, 1, 0),
		"key length -2":                sizedRecord(0, 0, 0, 3, 1, 0),
		"value longer than the record": sizedRecord(0, 0, 0, 1, 4, 0),
		"negative header count":        sizedRecord(0, 0, 0, 1, 1, 1),
		"header without bytes":         sizedRecord(0, 0, 0, 1, 1, 2),
		"null header key":              sizedRecord(0, 0, 0, 1, 1, 2, 1, 1),
		"more headers than allowed":    sizedRecord(tooManyHeaders...),
		"a record too many":            append(append([]byte(nil), fine...), fine...),
		"a byte too many":              append(append([]byte(nil), fine...), 0),
	}
	for _, codec := range allCodecs {
		if _, err := Validate(rawBatch(t, codec, 1, fine), Rules{}); err != nil {
			t.Errorf("%s: the record the cases are made of: %v", codec, err)
		}
		for name, records := range cases {
			_, err := Validate(rawBatch(t, codec, 1, records), Rules{})
			var invalid *InvalidRecordError
			if !errors.As(err, &invalid) {
				t.Errorf("%s: %s: got %v", codec, name, err)
			}
		}
	}
}

// The header count limit is inclusive.
func TestMaxRecordHeaders(t *testing.T) {
	b := mustAppend(t, noProducer(0), CodecZstd, Record{Headers: make([]RecordHeader, MaxRecordHeaders)})
	if _, err := Validate(b, Rules{}); err != nil {
		t.Error(err)
	}
}

func TestErrorTexts(t *testing.T) {
	for err, want := range map[error]string{
		&TooLargeError{SizeBytes: 9, MaxBytes: 5}:                "record batch has 9 bytes, more than 5",
		&TooLargeError{SizeBytes: 9, MaxBytes: 5, Decoded: true}: "records decompress to more than 5 bytes",
		&UnsupportedCodecError{Codec: 6}:                         "unknown(6)",
		&TimestampError{Reason: "r"}:                             "r",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	value := []byte(strings.Repeat("0123456789abcdef", 64))
	records := make([]Record, 64)
	for i := range records {
		records[i] = Record{Timestamp: int64(i), Key: []byte(fmt.Sprint("key", i)), Value: value}
	}
	for _, codec := range allCodecs {
		batch := mustAppend(b, noProducer(0), codec, records...)
		b.Run(codec.String(), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(64 << 10)
			for b.Loop() {
				if _, err := Validate(batch, Rules{RequireKeys: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	batch := mustAppend(b, noProducer(0), CodecNone, records...)
	b.Run("checksum", func(b *testing.B) {
		b.SetBytes(int64(len(batch)))
		for b.Loop() {
			if err := VerifyChecksum(batch); err != nil {
				b.Fatal(err)
			}
		}
	})
}

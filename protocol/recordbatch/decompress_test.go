package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// compressedBatch is a batch of codec whose compressed bytes are given.
func compressedBatch(t testing.TB, codec Codec, count int32, compressed []byte) []byte {
	t.Helper()
	b := rawBatch(t, CodecNone, count, compressed)
	return changed(b, positionAttributes+1, byte(codec))
}

// largeRecord is one record whose value has n zero bytes.
func largeRecord(n int) []byte { return appendRecords(nil, 0, []Record{{Value: make([]byte, n)}}) }

func mustEncode(t testing.TB, codec Codec, records []byte) []byte {
	t.Helper()
	b, err := appendCompressed(nil, Compression{codec, DefaultLevel}, records)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The framings that clients are known to send.
func TestForeignFramings(t *testing.T) {
	records := appendRecords(nil, 0, []Record{{Value: bytes.Repeat([]byte("ab"), 50_000)}, {Value: []byte("z")}})
	half := len(records) / 2
	var members bytes.Buffer
	for _, part := range [][]byte{records[:half], records[half:]} {
		w := gzip.NewWriter(&members)
		_, _ = w.Write(part)
		_ = w.Close()
	}
	var blocks4MiB bytes.Buffer
	w := lz4.NewWriter(&blocks4MiB)
	_ = w.Apply(lz4.BlockSizeOption(lz4.Block4Mb), lz4.ChecksumOption(true), lz4.BlockChecksumOption(true))
	_, _ = w.Write(records)
	_ = w.Close()
	enc, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	frames := enc.EncodeAll(records[half:], enc.EncodeAll(records[:half], nil))
	oneXerialBlock := append(bytes.Clone(xerialHeader), 0, 0, 0, 0)
	oneXerialBlock = append(oneXerialBlock, snappy.Encode(nil, records)...)
	binary.BigEndian.PutUint32(oneXerialBlock[len(xerialHeader):], uint32(len(oneXerialBlock)-len(xerialHeader)-4))
	for name, c := range map[string]struct {
		codec Codec
		bytes []byte
	}{
		"gzip members":             {CodecGzip, members.Bytes()},
		"bare snappy":              {CodecSnappy, snappy.Encode(nil, records)},
		"one xerial block":         {CodecSnappy, oneXerialBlock},
		"lz4 of 4 MiB, checksums":  {CodecLZ4, blocks4MiB.Bytes()},
		"zstd frames, one segment": {CodecZstd, frames},
	} {
		b := compressedBatch(t, c.codec, 2, c.bytes)
		if _, err := Validate(b, Rules{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if all, err := collect(b, 0); err != nil || len(all) != 2 || len(all[0].Value) != 100_000 {
			t.Errorf("%s: %d records, %v", name, len(all), err)
		}
	}
}

// What some consumers could not read is not stored.
func TestFramingsThatConsumersCannotRead(t *testing.T) {
	records := appendRecords(nil, 0, []Record{{Value: bytes.Repeat([]byte("abcdefgh"), 100)}})
	dependent := mustEncode(t, CodecLZ4, records)
	dependent[4] &^= lz4IndependentFlag
	var legacy bytes.Buffer
	w := lz4.NewWriter(&legacy)
	_ = w.Apply(lz4.LegacyOption(true))
	_, _ = w.Write(records)
	_ = w.Close()
	// A literal, a copy by offset, a copy that repeats the last offset: only s2 knows the last.
	repeat := []byte{12, 3 << 2, 'a', 'b', 'c', 'd', 0x01, 4, 0x01, 0}
	if _, err := s2.Decode(nil, repeat); err != nil {
		t.Fatalf("the example is not s2: %v", err)
	}
	for name, c := range map[string]struct {
		codec Codec
		bytes []byte
	}{
		"lz4 with dependent blocks": {CodecLZ4, dependent},
		"lz4 legacy frame":          {CodecLZ4, legacy.Bytes()},
		"s2 repeat":                 {CodecSnappy, repeat},
		"snappy block cut off":      {CodecSnappy, append(bytes.Clone(xerialHeader), 0, 0, 0, 9, 1)},
		"snappy size cut off":       {CodecSnappy, append(bytes.Clone(xerialHeader), 0, 0)},
		"gzip cut off":              {CodecGzip, mustEncode(t, CodecGzip, records)[:20]},
		"zstd cut off":              {CodecZstd, mustEncode(t, CodecZstd, records)[:20]},
		"lz4 cut off":               {CodecLZ4, mustEncode(t, CodecLZ4, records)[:20]},
		"snappy is not gzip":        {CodecGzip, snappy.Encode(nil, records)},
		"zstd with wrong checksum":  {CodecZstd, flipLast(mustEncode(t, CodecZstd, records))},
		"gzip with wrong checksum":  {CodecGzip, flipLast(mustEncode(t, CodecGzip, records))},
	} {
		var invalid *InvalidRecordError
		if _, err := Validate(compressedBatch(t, c.codec, 1, c.bytes), Rules{}); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func flipLast(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A small batch of 64 MiB of zeros is refused at the limit, and neither finding
// that out nor accepting it under a higher limit takes memory by its size.
func TestDecompressionBombs(t *testing.T) {
	const size, limit = 64 << 20, 1 << 20
	records := largeRecord(size)
	for _, codec := range []Codec{CodecGzip, CodecSnappy, CodecLZ4, CodecZstd} {
		b := rawBatch(t, codec, 1, records)
		var err error
		got := allocated(func() { _, err = Validate(b, Rules{MaxDecodedBytes: limit}) })
		var large *TooLargeError
		if !errors.As(err, &large) || !large.Decoded || large.MaxBytes != limit {
			t.Errorf("%s: got %v", codec, err)
		}
		if max := uint64(zstdWindowBytes + 1<<20); got > max {
			t.Errorf("%s: %d bytes allocated, want at most %d", codec, got, max)
		}
		got = allocated(func() { _, err = Validate(b, Rules{MaxDecodedBytes: 2 * size}) })
		if err != nil || got > zstdWindowBytes+1<<20 {
			t.Errorf("%s: streaming it allocates %d bytes, %v", codec, got, err)
		}
		if _, err := collect(b, limit); !errors.As(err, &large) {
			t.Errorf("%s: Records: %v", codec, err)
		}
	}
}

// A bare snappy block states its size, which is held against the limit and
// against what the block can hold before room is made for it.
func TestSnappyBlockThatLies(t *testing.T) {
	block := binary.AppendUvarint(nil, 1<<31)
	block = append(block, 0, 'a')
	b := compressedBatch(t, CodecSnappy, 1, block)
	var err error
	got := allocated(func() { _, err = Validate(b, Rules{MaxDecodedBytes: 1 << 30}) })
	var invalid *InvalidRecordError
	if !errors.As(err, &invalid) || got > 1<<20 {
		t.Errorf("%v, %d bytes", err, got)
	}
	honest := compressedBatch(t, CodecSnappy, 1, snappy.Encode(nil, largeRecord(4<<20)))
	var large *TooLargeError
	got = allocated(func() { _, err = Validate(honest, Rules{MaxDecodedBytes: 1 << 20}) })
	if !errors.As(err, &large) || got > 1<<20 {
		t.Errorf("%v, %d bytes", err, got)
	}
}

// Java at zstd level 22 announces a window of 128 MiB whatever it compresses.
func TestLargeZstdWindowOfASmallBatch(t *testing.T) {
	var frame bytes.Buffer
	w, err := zstd.NewWriter(&frame, zstd.WithWindowSize(128<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	// More than one block is needed before the encoder writes a window at all.
	_, _ = w.Write(largeRecord(1 << 20))
	_ = w.Flush()
	_ = w.Close()
	compressed := frame.Bytes()
	if compressed[4]&zstdSingleSegment != 0 || compressed[5]>>3 != 17 {
		t.Fatalf("frame header % x announces no 128 MiB", compressed[:6])
	}
	b := compressedBatch(t, CodecZstd, 1, compressed)
	before := bytes.Clone(b)
	got := allocated(func() { _, err = Validate(b, Rules{}) })
	if err != nil || got > zstdWindowBytes+1<<20 {
		t.Errorf("%v, %d bytes", err, got)
	}
	if !bytes.Equal(b[HeaderBytes:], before[HeaderBytes:]) {
		t.Error("the frame to be stored was changed")
	}
}

// A single record may be larger than the window that it is read through.
func TestRecordLargerThanTheWindow(t *testing.T) {
	for _, codec := range allCodecs {
		b := rawBatch(t, codec, 1, largeRecord(5*windowBytes))
		all, err := collect(b, 0)
		if err != nil || len(all) != 1 || len(all[0].Value) != 5*windowBytes {
			t.Errorf("%s: %v", codec, err)
		}
	}
}

// Decoders are shared through pools; no goroutine sees another's records.
func TestConcurrentReaders(t *testing.T) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			value := bytes.Repeat([]byte{byte(i)}, 1000*i)
			for _, codec := range allCodecs {
				b := mustAppend(t, noProducer(0), codec, Record{Value: value}, Record{Value: value})
				for range 20 {
					if _, err := Validate(b, Rules{}); err != nil {
						t.Error(err)
					}
					got, err := collect(b, 0)
					if err != nil || len(got) != 2 || !bytes.Equal(got[1].Value, value) {
						t.Errorf("%s: %d records, %v", codec, len(got), err)
					}
				}
			}
		})
	}
	all.Wait()
}

// After warm-up a compressed batch is validated without allocating.
func TestValidateDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Log("pools drop items at random under the race detector, so only the uncompressed batch counts")
	}
	for _, codec := range allCodecs {
		if raceEnabled && codec != CodecNone {
			continue
		}
		b := mustAppend(t, noProducer(0), codec, someRecords()...)
		n := testing.AllocsPerRun(100, func() {
			if _, err := Validate(b, Rules{RequireKeys: true}); err != nil {
				t.Fatal(err)
			}
		})
		if n >= 1 {
			t.Errorf("%s: %v allocations", codec, n)
		}
	}
}

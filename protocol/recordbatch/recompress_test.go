package recordbatch

import (
	"bytes"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// TestRecompress goes from every codec to every codec: the records and the rest
// of the header stay, and the result is a batch that may be stored.
func TestRecompress(t *testing.T) {
	records := []Record{
		{Timestamp: 100, Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 5000)},
		{Timestamp: 90, Headers: []RecordHeader{{Key: "h"}, {Key: "g", Value: []byte{}}}},
	}
	h := Header{ProducerID: 7, ProducerEpoch: 3, BaseSequence: 11}
	for from := CodecNone; from.Known(); from++ {
		b, err := AppendBatch(nil, h, from, records)
		if err != nil {
			t.Fatal(err)
		}
		for to := CodecNone; to.Known(); to++ {
			before := bytes.Clone(b)
			got, err := Recompress(b, Compression{to, DefaultLevel}, 0, 0)
			if err != nil {
				t.Fatalf("%v to %v: %v", from, to, err)
			}
			if !bytes.Equal(b, before) {
				t.Fatalf("%v to %v changed its input", from, to)
			}
			gh, err := Validate(got, Rules{})
			if err != nil {
				t.Fatalf("%v to %v: %v", from, to, err)
			}
			if gh.Codec() != to || gh.ProducerID != 7 || gh.BaseSequence != 11 || gh.MaxTimestamp != 100 || gh.RecordCount != 2 {
				t.Errorf("%v to %v: %+v", from, to, gh)
			}
			want, err := Recompress(b, Compression{Codec: CodecNone}, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := Recompress(got, Compression{Codec: CodecNone}, 0, 0); err != nil || !bytes.Equal(plain, want) {
				t.Errorf("%v to %v: the records are not the same (%v)", from, to, err)
			}
		}
	}
}

// TestRecompressLimit: at the limit it works, one byte below it does not.
func TestRecompressLimit(t *testing.T) {
	for codec := CodecGzip; codec.Known(); codec++ {
		b, err := AppendBatch(nil, Header{ProducerID: -1}, codec, []Record{{Value: make([]byte, 100_000)}})
		if err != nil {
			t.Fatal(err)
		}
		plain, err := Recompress(b, Compression{Codec: CodecNone}, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		decoded := len(plain) - HeaderBytes
		if _, err := Recompress(b, Compression{Codec: CodecNone}, decoded, 0); err != nil {
			t.Errorf("%v at the limit: %v", codec, err)
		}
		var tooLarge *TooLargeError
		if _, err := Recompress(b, Compression{Codec: CodecNone}, decoded-1, 0); !errors.As(err, &tooLarge) {
			t.Errorf("%v one byte over: %v", codec, err)
		}
		if got, err := Recompress(b, Compression{Codec: CodecNone}, 0, len(plain)); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%v to what fits exactly: %v", codec, err)
		}
		if _, err := Recompress(b, Compression{Codec: CodecNone}, 0, len(plain)-1); !errors.As(err, &tooLarge) || tooLarge.MaxBytes != len(plain)-1 {
			t.Errorf("%v to what does not fit by a byte: %v", codec, err)
		}
	}
}

// TestRecompressBomb: what is small and becomes large is never in memory as a whole, neither what it becomes nor what
// comes of that.
func TestRecompressBomb(t *testing.T) {
	const decoded, most = 32 << 20, 1 << 20
	bound := uint64(decoded / 2)
	if raceEnabled { // pools forget
		bound = 2 * decoded
	}
	b, err := AppendBatch(nil, Header{ProducerID: -1}, CodecZstd, []Record{{Value: make([]byte, decoded)}})
	if err != nil {
		t.Fatal(err)
	}
	for to := CodecNone; to.Known(); to++ {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := Recompress(b, Compression{to, DefaultLevel}, 2*decoded, most)
		runtime.ReadMemStats(&after)
		var tooLarge *TooLargeError
		fits := err == nil && len(got) <= most
		if refused := errors.As(err, &tooLarge) && tooLarge.MaxBytes == most; !fits && !refused || fits && to == CodecNone {
			t.Errorf("to %v: %d bytes, %v", to, len(got), err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > bound {
			t.Errorf("to %v: %d bytes of memory", to, n)
		}
	}
}

// TestRecompressLevels: every level gives a batch that reads the same, and the
// highest is no larger than the lowest.
func TestRecompressLevels(t *testing.T) {
	var records []Record
	for i := range 2000 {
		records = append(records, Record{Timestamp: 1, Value: []byte(strings.Repeat(strconv.Itoa(i%37), 1+i%11))})
	}
	b := mustAppend(t, Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, CodecNone, records...)
	for _, c := range []struct {
		codec  Codec
		levels []int
	}{
		{CodecGzip, []int{1, 6, 9, -1}},
		{CodecLZ4, []int{1, 9, 17}},
		{CodecZstd, []int{-131072, 1, 3, 22}},
	} {
		sizes := map[int]int{}
		for _, level := range c.levels {
			got, err := Recompress(b, Compression{c.codec, level}, 0, 0)
			if err != nil {
				t.Fatalf("%v level %d: %v", c.codec, level, err)
			}
			if plain, err := Recompress(got, Compression{Codec: CodecNone}, 0, 0); err != nil || !bytes.Equal(plain, b) {
				t.Errorf("%v level %d does not come back (%v)", c.codec, level, err)
			}
			sizes[level] = len(got)
		}
		if low, high := sizes[c.levels[0]], sizes[c.levels[2]]; high > low {
			t.Errorf("%v: the higher level takes %d bytes, the lower %d", c.codec, high, low)
		}
	}
}

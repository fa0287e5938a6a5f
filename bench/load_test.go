package bench

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestScheduleDoesNotDrift: the times of a whole day at an awkward rate are exact to the microsecond,
// and spaced evenly.
func TestScheduleDoesNotDrift(t *testing.T) {
	const rate = 33_333
	s := NewSchedule(rate)
	if got := s.At(0); got != 0 {
		t.Fatalf("record 0 at %v, want the start", got)
	}
	day := int64(rate * 86_400)
	if got := s.At(day) - 24*time.Hour; got.Abs() > time.Microsecond {
		t.Errorf("a day's last record is off by %v", got)
	}
	gap := time.Second / rate
	for n := range int64(100_000) {
		if d := s.At(n+1) - s.At(n) - gap; d.Abs() > 2*time.Nanosecond {
			t.Fatalf("record %d comes %v after the one before, want %v", n+1, d+gap, gap)
		}
	}
}

// TestSchedulesShareOne: the shares of several producers are the schedule of one, without gap or overlap.
func TestSchedulesShareOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		producers := rapid.Int64Range(1, 9).Draw(t, "producers")
		records := rapid.Int64Range(1, 200).Draw(t, "records")
		taken := map[int64]int{}
		for p := range producers {
			for n := p; n < records; n += producers {
				taken[n]++
			}
		}
		for n := range records {
			if taken[n] != 1 {
				t.Fatalf("record %d was taken %d times", n, taken[n])
			}
		}
	})
}

func TestWaitKeepsToTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.NewTimer(time.Hour)
		timer.Stop()
		start := time.Now()
		for _, at := range []time.Duration{0, time.Millisecond, time.Second, time.Millisecond} {
			if !wait(ctx, timer, start, at) {
				t.Fatalf("no record at %v", at)
			}
			if since := time.Since(start); since < at {
				t.Errorf("record of %v was let go at %v", at, since)
			}
		}
		// Late records are let go at once: the clock stands at one second.
		if since := time.Since(start); since != time.Second {
			t.Errorf("a late record was let go at %v, want at once", since)
		}
		cancel()
		if wait(ctx, timer, start, time.Hour) || wait(ctx, timer, start, 0) {
			t.Error("a cancelled run went on")
		}
	})
}

func TestKeySpecRoundTrip(t *testing.T) {
	for _, s := range []string{"none", "uniform:1", "uniform:1000000", "zipf:100"} {
		k, err := ParseKeySpec(s)
		if err != nil || k.String() != s {
			t.Errorf("%q: got %q, %v", s, k, err)
		}
		var again KeySpec
		if text, _ := k.MarshalText(); again.UnmarshalText(text) != nil || again.String() != s {
			t.Errorf("%q: got %q from its text", s, again)
		}
	}
	for _, s := range []string{"", "uniform", "uniform:0", "uniform:x", "zipf:-1", "none:3", "normal:3", "uniform:2000000000"} {
		if k, err := ParseKeySpec(s); err == nil && s != "" {
			t.Errorf("%q was taken as %v", s, k)
		}
	}
}

// TestUniformKeys: each of 100 keys gets its hundredth, within six standard deviations.
func TestUniformKeys(t *testing.T) {
	const keys, draws = 100, 1_000_000
	counts := drawKeys(KeySpec{KeysUniform, keys}, draws)
	for key, n := range counts {
		if d := math.Abs(float64(n) - draws/keys); d > 6*math.Sqrt(draws/keys) {
			t.Errorf("key %d was drawn %d times, want about %d", key, n, draws/keys)
		}
	}
}

// TestZipfKeys: the shares of the first keys fall as 1/rank^1.1.
func TestZipfKeys(t *testing.T) {
	const keys, draws = 1000, 1_000_000
	counts := drawKeys(KeySpec{KeysZipf, keys}, draws)
	sum := 0.0
	for rank := 1; rank <= keys; rank++ {
		sum += math.Pow(float64(rank), -zipfExponent)
	}
	for _, rank := range []int{1, 2, 5, 10, 100} {
		want := draws * math.Pow(float64(rank), -zipfExponent) / sum
		if got := float64(counts[rank-1]); math.Abs(got-want) > 6*math.Sqrt(want) {
			t.Errorf("rank %d was drawn %.0f times, want about %.0f", rank, got, want)
		}
	}
}

func drawKeys(spec KeySpec, draws int) []int {
	counts := make([]int, spec.N)
	for s := newKeySource(spec, 7); draws > 0; draws-- {
		counts[s.next()]++
	}
	return counts
}

func TestKeysRepeatWithTheSeed(t *testing.T) {
	for _, spec := range []KeySpec{{}, {KeysUniform, 50}, {KeysZipf, 50}} {
		a, b := newKeySource(spec, 3), newKeySource(spec, 3)
		for range 1000 {
			if x, y := a.next(), b.next(); x != y || x >= int64(max(spec.N, 1)) || (spec.none() && x != noKey) {
				t.Fatalf("%v: drew %d and %d", spec, x, y)
			}
		}
	}
}

func TestAppendKey(t *testing.T) {
	for n, want := range map[int64]string{0: "key-0000000000", 7: "key-0000000007", 1234567890: "key-1234567890"} {
		if got := string(appendKey(nil, n)); got != want || len(got) != keyBytes {
			t.Errorf("key %d is %q, want %q", n, got, want)
		}
	}
}

func TestFill(t *testing.T) {
	for _, kind := range []Payload{PayloadRandom, PayloadText} {
		a, b, c := make([]byte, 1001), make([]byte, 1001), make([]byte, 1001)
		fill(a, kind, 1)
		fill(b, kind, 1)
		fill(c, kind, 2)
		if !bytes.Equal(a, b) || bytes.Equal(a, c) || bytes.HasSuffix(a, make([]byte, 16)) {
			t.Errorf("%s: not filled by its seed alone", kind)
		}
	}
}

// TestStampSealsEveryByte: no byte of a value can change without being noticed.
func TestStampSealsEveryByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := stamp{
			run:           rapid.Uint64().Draw(t, "run"),
			producer:      rapid.Uint32().Draw(t, "producer"),
			key:           rapid.Int32().Draw(t, "key"),
			sequence:      rapid.Uint64().Draw(t, "sequence"),
			intendedNanos: rapid.Int64().Draw(t, "intended"),
		}
		value := rapid.SliceOfN(rapid.Byte(), headerBytes, 200).Draw(t, "value")
		putStamp(value, want)
		if got, err := parseStamp(value); got != want || err != nil {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
		at := rapid.IntRange(0, len(value)-1).Draw(t, "at")
		value[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		wantErr := errCorrupt
		if at < 4 {
			wantErr = errForeign
		}
		if _, err := parseStamp(value); !errors.Is(err, wantErr) {
			t.Fatalf("byte %d changed: got %v, want %v", at, err, wantErr)
		}
		if _, err := parseStamp(value[:headerBytes-1]); !errors.Is(err, errForeign) {
			t.Fatalf("short value: got %v", err)
		}
	})
}

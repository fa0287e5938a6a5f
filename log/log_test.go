package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"weir/log"
	"weir/log/logtest"
	"weir/segment/vfs"
)

// appendBatch appends one batch, which is stamped in place.
func appendBatch(t testing.TB, l *log.Log, epoch int32, batch []byte) log.AppendResult {
	t.Helper()
	res, err := l.Append([]log.Entry{{Kind: log.KindBatch, Epoch: epoch, Data: batch}})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// readAll reads [from, limit) in pieces of at most maxBytes.
func readAll(t testing.TB, l *log.Log, from, limit int64, maxBytes int) []byte {
	t.Helper()
	var got []byte
	for from < limit {
		r, err := l.Read(from, maxBytes, limit, true)
		if err != nil {
			t.Fatal(err)
		}
		if r.Bytes == 0 {
			return got
		}
		if r.NextOffset <= from {
			t.Fatalf("range from %d ends at %d", from, r.NextOffset)
		}
		if got, err = r.AppendTo(got); err != nil {
			t.Fatal(err)
		}
		from = r.NextOffset
		if err := r.Release(); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func TestAppendReadReopen(t *testing.T) {
	for _, fsys := range []struct {
		name string
		fs   vfs.FS
		dir  string
	}{{"os", vfs.OS, t.TempDir()}, {"mem", vfs.NewMem(), "/log"}} {
		t.Run(fsys.name, func(t *testing.T) {
			cfg := log.Config{Dir: fsys.dir, FS: fsys.fs, Settings: log.Settings{SegmentBytes: 20 << 10, IndexIntervalBytes: 512}}
			var want []byte
			var end int64
			for round := range 4 {
				l, err := log.Open(cfg)
				if err != nil {
					t.Fatal(err)
				}
				if l.LogEndOffset() != end {
					t.Fatalf("round %d: log ends at %d, want %d", round, l.LogEndOffset(), end)
				}
				for i := range 100 {
					b := logtest.Batch(t, int64(1000+i), 1+i%7, fmt.Sprintf("round %d batch %d", round, i))
					if i%20 == 0 {
						if _, err := l.Append([]log.Entry{{Kind: log.KindNoop, Epoch: int32(round), Data: []byte("noop")}}); err != nil {
							t.Fatal(err)
						}
					}
					appendBatch(t, l, int32(round), b)
					want = append(want, b...)
				}
				end = l.LogEndOffset()
				for _, maxBytes := range []int{1, 300, 5000, 1 << 20} {
					if got := readAll(t, l, 0, end, maxBytes); !bytes.Equal(got, want) {
						t.Fatalf("round %d: read %d bytes with a maximum of %d, want %d", round, len(got), maxBytes, len(want))
					}
				}
				if err := l.Verify(); err != nil {
					t.Fatal(err)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestReadEdges(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	var outOfRange *log.OffsetOutOfRangeError
	if _, err := l.Read(1, 100, 100, true); !errors.As(err, &outOfRange) {
		t.Fatalf("read past the end: %v", err)
	}
	b := logtest.Batch(t, 1, 3, "x")
	appendBatch(t, l, 1, b)
	appendBatch(t, l, 1, logtest.Batch(t, 1, 2, "y"))
	for _, tc := range []struct {
		name                string
		offset, limit       int64
		maxBytes            int
		minOne              bool
		wantFirst, wantNext int64
	}{
		{"in the middle of a batch", 1, 5, 1 << 20, false, 0, 5},
		{"second batch", 3, 5, 1 << 20, false, 3, 5},
		{"limit within the second batch", 0, 4, 1 << 20, false, 0, 3},
		{"limit within the first batch", 0, 2, 1 << 20, true, 0, 0},
		{"at the end", 5, 5, 1 << 20, true, 5, 5},
		{"too small for one", 0, 5, len(b) - 1, false, 0, 0},
		{"too small, but one", 0, 5, len(b) - 1, true, 0, 3},
		{"exactly one", 0, 5, len(b), false, 0, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := l.Read(tc.offset, tc.maxBytes, tc.limit, tc.minOne)
			if err != nil {
				t.Fatal(err)
			}
			if r.FirstOffset != tc.wantFirst || r.NextOffset != tc.wantNext || (r.Bytes == 0) != (r.File == nil) {
				t.Fatalf("got %+v", r)
			}
			if err := r.Release(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

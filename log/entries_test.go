package log_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"weir/log"
	"weir/log/logtest"
	"weir/segment/vfs"
)

// mixed appends n batches with a frame of Raft's own before every third.
func mixed(t *testing.T, l *log.Log, n int) []log.Entry {
	t.Helper()
	var all []log.Entry
	for i := range n {
		if i%3 == 0 {
			all = append(all, log.Entry{Kind: log.KindConfiguration, Epoch: int32(i / 10), Data: []byte(strings.Repeat("c", i%60))})
		}
		all = append(all, log.Entry{Kind: log.KindBatch, Epoch: int32(i / 10), Data: logtest.Batch(t, int64(i), 1+i%3, "value")})
	}
	for _, e := range all {
		if _, err := l.Append([]log.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func sameEntries(t *testing.T, got, want []log.Entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i, e := range got {
		if e.Kind != want[i].Kind || e.Epoch != want[i].Epoch || !bytes.Equal(e.Data, want[i].Data) {
			t.Fatalf("entry %d of the range is %v of epoch %d, %d bytes; want %v, %d, %d",
				i, e.Kind, e.Epoch, len(e.Data), want[i].Kind, want[i].Epoch, len(want[i].Data))
		}
	}
}

func TestReadEntriesLimits(t *testing.T) {
	l := logtest.Open(t, log.Config{Settings: log.Settings{IndexIntervalBytes: 300}})
	want := mixed(t, l, 120)
	size := func(e log.Entry) int64 {
		if e.Kind == log.KindBatch {
			return int64(len(e.Data))
		}
		return int64(len(e.Data)) + 36
	}
	for _, first := range []uint64{1, 2, 50, 120, 158} { // from the file, and from memory
		two := size(want[first-1]) + size(want[first])
		for _, tc := range []struct {
			maxCount int
			maxBytes int64
			want     int
		}{{1, 1 << 20, 1}, {0, 1 << 20, 1}, {100, 1, 1}, {100, -1, 1}, {100, two - 1, 1}, {100, two, 2}, {1000, 1 << 40, len(want) + 1 - int(first)}} {
			r, err := l.ReadEntries(first, tc.maxCount, tc.maxBytes)
			if err != nil {
				t.Fatal(err)
			}
			buf, got, err := r.Read(nil, nil)
			if err := errors.Join(err, r.Release()); err != nil {
				t.Fatal(err)
			}
			sameEntries(t, got, want[first-1:][:tc.want])
			if len(buf) != r.Bytes || len(buf) > 0 && tc.want > 1 && int64(len(buf)) > tc.maxBytes {
				t.Fatalf("from %d on, at most %d bytes: %d", first, tc.maxBytes, len(buf))
			}
		}
	}
	for _, first := range []uint64{0, l.LastRaftIndex() + 1} {
		if _, err := l.ReadEntries(first, 1, 1); err != log.ErrEntryNotFound {
			t.Errorf("entry %d: %v", first, err)
		}
	}
}

// The last entries are found without a look at the file; their bytes take one read.
func TestReadEntriesCost(t *testing.T) {
	inj := vfs.NewInjector()
	l := logtest.Open(t, log.Config{FS: vfs.Inject(vfs.NewMem(), inj)})
	want := mixed(t, l, 60)
	var got []log.Entry
	n, _ := headReads(t, inj, func() {
		r, err := l.ReadEntries(30, 100, 1<<20)
		if err == nil {
			_, got, err = r.Read(nil, nil)
		}
		if err := errors.Join(err, r.Release()); err != nil {
			t.Fatal(err)
		}
	})
	sameEntries(t, got, want[29:])
	if n != 1 {
		t.Errorf("%d reads", n)
	}
}

// A range outlives its segment, and notices when the end is cut off below it.
func TestReadEntriesBesideWriter(t *testing.T) {
	l := logtest.Open(t, log.Config{Settings: log.Settings{SegmentBytes: 3000}})
	want := mixed(t, l, 60)
	old, err := l.ReadEntries(1, 5, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AdvanceStart(l.LogEndOffset() - 20); err != nil {
		t.Fatal(err)
	}
	if n, err := l.DeleteSegments(); n == 0 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := l.ReadEntries(1, 5, 1<<20); err != log.ErrEntryNotFound {
		t.Fatalf("a deleted entry: %v", err)
	}
	_, got, err := old.Read(nil, nil)
	if err := errors.Join(err, old.Release()); err != nil {
		t.Fatal(err)
	}
	sameEntries(t, got, want[:5])

	last := l.LastRaftIndex()
	cut, err := l.ReadEntries(last-2, 5, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.TruncateSuffix(last - 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cut.Read(nil, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("cut short: %v", err)
	}
	for range 4 {
		appendBatch(t, l, 99, logtest.Batch(t, 1, 4, "other"))
	}
	if _, got, err := cut.Read(nil, nil); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 0 {
		t.Fatalf("written anew: %v", err)
	}
	if err := cut.Release(); err != nil {
		t.Fatal(err)
	}
}

// Damage in one of Raft's frames is not replicated; that in a batch is met by
// whoever takes it.
func TestReadEntriesOfDamagedFrame(t *testing.T) {
	mem := vfs.NewMem()
	cfg := log.Config{Dir: "/log", FS: mem}
	l, err := log.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mixed(t, l, 5)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := "/log/00000000000000000000.log"
	b, err := vfs.ReadFile(mem, name)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.LastIndex(b, []byte("ccc"))] ^= 1
	if err := vfs.ReplaceFile(mem, name, b); err != nil {
		t.Fatal(err)
	}
	if l, err = log.Open(cfg); err != nil {
		t.Fatal(err)
	}
	r, err := l.ReadEntries(1, 100, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var corrupt *log.CorruptError
	if _, _, err := r.Read(nil, nil); !errors.As(err, &corrupt) || corrupt.Path != name {
		t.Fatalf("damaged configuration: %v", err)
	}
	if err := errors.Join(r.Release(), l.Close()); err != nil {
		t.Fatal(err)
	}
}

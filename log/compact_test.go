package log_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// rec makes a record; no value is a tombstone, no key none.
func rec(key string, value ...string) recordbatch.Record {
	r := recordbatch.Record{Timestamp: 1000}
	if key != "" {
		r.Key = []byte(key)
	}
	if len(value) > 0 {
		r.Value = []byte(value[0])
	}
	return r
}

// appendRecords appends one batch and begins a new segment.
func appendRecords(t testing.TB, l *log.Log, h recordbatch.Header, records ...recordbatch.Record) {
	t.Helper()
	b, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, records)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(put(l, 1, b), l.Roll()); err != nil {
		t.Fatal(err)
	}
}

// plain is the header of a batch without a producer.
var plain = recordbatch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}

// compact makes a pass at a time in unix milliseconds.
func compact(t testing.TB, l *log.Log, now int64, c log.Compaction) log.Compacted {
	t.Helper()
	got, err := l.Compact(context.Background(), time.UnixMilli(now), l.LogEndOffset(), c, logtest.Judge{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// offsets of all records that are left.
func offsets(t testing.TB, l *log.Log) (all []int64) {
	t.Helper()
	for b := readAll(t, l, l.LogStartOffset(), l.LogEndOffset(), 1<<20); len(b) > 0; {
		h, err := recordbatch.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		for r, err := range recordbatch.Records(b, 0) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r.Offset)
		}
		b = b[h.SizeBytes():]
	}
	return all
}

func wantOffsets(t testing.TB, l *log.Log, want ...int64) {
	t.Helper()
	if got := offsets(t, l); !slices.Equal(got, want) {
		t.Fatalf("records at %v, want %v", got, want)
	}
}

// TestCompactTombstone follows a tombstone: it takes the value at once, stays for
// its time from the first pass on, whatever its own timestamp, and then goes.
func TestCompactTombstone(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	c := log.Compaction{DeleteRetentionMillis: 5000}
	appendRecords(t, l, plain, rec("a", "1"), rec("b", "1"))
	appendRecords(t, l, plain, rec("a"))
	if got := compact(t, l, 1_000_000, c); got.Records != 1 || got.Segments != 2 || got.To != 3 || got.Keys != 2 {
		t.Errorf("first pass: %+v", got)
	}
	wantOffsets(t, l, 1, 2)
	appendRecords(t, l, plain, rec("c", "1"))
	compact(t, l, 1_004_999, c)
	wantOffsets(t, l, 1, 2, 3)
	appendRecords(t, l, plain, rec("d", "1"))
	compact(t, l, 1_005_000, c)
	wantOffsets(t, l, 1, 3, 4)
	if got := compact(t, l, 2_000_000, c); got != (log.Compacted{}) {
		t.Errorf("a pass with nothing new: %+v", got)
	}
}

// TestCompactNever: the longest retention there is does not wrap around.
func TestCompactNever(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	c := log.Compaction{DeleteRetentionMillis: math.MaxInt64}
	for i := range 3 {
		appendRecords(t, l, plain, rec("a"), rec("b", fmt.Sprint(i)))
		compact(t, l, math.MaxInt32, c)
	}
	wantOffsets(t, l, 4, 5)
}

// TestCompactOnlyWhenWorthwhile: dirty ratio, both lags, high watermark and the
// active segment bound what a pass does.
func TestCompactOnlyWhenWorthwhile(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	for i := range 4 {
		appendRecords(t, l, plain, rec("a", fmt.Sprint(i)))
	}
	appendBatch(t, l, 1, logtest.Batch(t, 1000, 1, "active"))
	if got := compact(t, l, 2000, log.Compaction{MinLagMillis: 1001}); got.To != 0 {
		t.Errorf("too young: %+v", got)
	}
	got, err := l.Compact(context.Background(), time.UnixMilli(2000), 2, log.Compaction{}, logtest.Judge{})
	if err != nil || got.To != 2 {
		t.Errorf("high watermark 2: %+v, %v", got, err)
	}
	wantOffsets(t, l, 1, 2, 3, 4)
	ratio := log.Compaction{MinDirtyRatio: 0.9}
	if got := compact(t, l, 2000, ratio); got.To != 0 {
		t.Errorf("half of it is clean: %+v", got)
	}
	ratio.MaxLagMillis = 1000
	if got := compact(t, l, 2000, ratio); got.To != 0 {
		t.Errorf("not overdue: %+v", got)
	}
	if got := compact(t, l, 2001, ratio); got.To != 4 {
		t.Errorf("overdue: %+v", got)
	}
	wantOffsets(t, l, 3, 4)
}

// TestCompactOverdue: what waits too long asks for a pass also where the segment begins with what an earlier pass has
// left, and only that which is dirty counts.
func TestCompactOverdue(t *testing.T) {
	old := func(key string, millis int64) recordbatch.Record {
		r := rec(key, "v")
		r.Timestamp = millis
		return r
	}
	l := logtest.Open(t, log.Config{})
	for _, r := range []recordbatch.Record{old("a", 1000), old("a", 2000), old("b", 2500), old("c", 5000)} {
		b, err := recordbatch.AppendBatch(nil, plain, recordbatch.CodecNone, []recordbatch.Record{r})
		if err != nil {
			t.Fatal(err)
		}
		appendBatch(t, l, 1, b)
	}
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	appendRecords(t, l, plain, old("c", 6000))
	// So few keys that the pass ends amid the first segment.
	if got := compact(t, l, 5500, log.Compaction{MaxKeys: 2}); got.To != 3 || got.Records != 1 {
		t.Fatalf("first pass: %+v", got)
	}
	c := log.Compaction{MinDirtyRatio: 1, MaxLagMillis: 1000}
	if got := compact(t, l, 6000, c); got.To != 0 {
		t.Errorf("what is clean has made a pass: %+v", got)
	}
	if got := compact(t, l, 6001, c); got.To != 5 {
		t.Errorf("overdue: %+v", got)
	}
	wantOffsets(t, l, 1, 2, 4)

	// A replica that catches up gets what compaction has removed as such.
	if _, err := l.AppendStamped([]log.Entry{removed(7)}); err != nil {
		t.Fatal(err)
	}
	appendRecords(t, l, plain, old("b", 7000))
	if got := compact(t, l, 8000, c); got.To != 0 {
		t.Errorf("not overdue: %+v", got)
	}
	if got := compact(t, l, 8001, c); got.To != 8 {
		t.Errorf("overdue behind a stand-in: %+v", got)
	}
}

// TestCompactKeyless: a record without a key in a log that has become compacted
// goes, as it does in Kafka; an empty key is a key.
func TestCompactKeyless(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	empty := rec("x", "1")
	empty.Key = []byte{}
	appendRecords(t, l, plain, rec("", "no key"), rec("a", "1"), empty)
	compact(t, l, 1, log.Compaction{})
	wantOffsets(t, l, 1, 2)
}

// ofTransaction is a producer's header within a transaction.
func ofTransaction(id int64) recordbatch.Header {
	return recordbatch.Header{ProducerID: id, BaseSequence: 0, Attributes: 0x10}
}

// mark appends a marker.
func mark(t *testing.T, l *log.Log, id int64, commit bool) {
	t.Helper()
	b, err := recordbatch.AppendMarker(nil, recordbatch.Header{ProducerID: id}, recordbatch.Marker{Commit: commit}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	appendBatch(t, l, 1, b)
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
}

// TestCompactTransactions: what was aborted goes and stands for no key; a marker stays until the records
// that it ends are gone and a tombstone's time is over.
func TestCompactTransactions(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	appendRecords(t, l, plain, rec("a", "1"), rec("b", "1"))       // 0, 1
	appendRecords(t, l, ofTransaction(1), rec("a", "2"))           // 2
	appendRecords(t, l, ofTransaction(2), rec("b", "2"), rec("c")) // 3, 4
	mark(t, l, 1, false)                                           // 5
	mark(t, l, 2, true)                                            // 6
	appendRecords(t, l, plain, rec("d", "1"))                      // 7
	judge := logtest.Judge{Abort: func(h recordbatch.Header) bool { return h.ProducerID == 1 }}
	c := log.Compaction{DeleteRetentionMillis: 1000}
	pass := func(now int64) {
		t.Helper()
		if _, err := l.Compact(context.Background(), time.UnixMilli(now), l.LogEndOffset(), c, judge); err != nil {
			t.Fatal(err)
		}
	}
	pass(10_000)
	wantOffsets(t, l, 0, 3, 4, 5, 6, 7)       // the abort's time has begun
	appendRecords(t, l, plain, rec("b", "3")) // 8
	pass(10_999)
	wantOffsets(t, l, 0, 4, 5, 6, 7, 8)       // the tombstone is left of the commit
	appendRecords(t, l, plain, rec("e", "1")) // 9
	pass(11_000)
	wantOffsets(t, l, 0, 6, 7, 8, 9) // the abort and the tombstone are gone, and the commit's time has begun
	appendRecords(t, l, plain, rec("f", "1"))
	pass(11_999)
	wantOffsets(t, l, 0, 6, 7, 8, 9, 10)
	appendRecords(t, l, plain, rec("g", "1"))
	pass(12_000)
	wantOffsets(t, l, 0, 7, 8, 9, 10, 11)
}

// TestCompactKeepsMarkers: a marker that is all a restart can learn its producer's epoch from stays as it is.
func TestCompactKeepsMarkers(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	for id := range int64(2) {
		mark(t, l, id, true)
	}
	judge := logtest.Judge{Keep: func(h recordbatch.Header) bool { return h.IsControl() && h.ProducerID == 0 }}
	for i := range 2 {
		appendRecords(t, l, plain, rec("a", fmt.Sprint(i)))
		if _, err := l.Compact(context.Background(), time.UnixMilli(int64(1+i)), l.LogEndOffset(), log.Compaction{}, judge); err != nil {
			t.Fatal(err)
		}
	}
	wantOffsets(t, l, 0, 3)
}

// TestCompactKeepsProducers: the last batch of a producer leaves its header, others
// leave nothing of theirs.
func TestCompactKeepsProducers(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	for i := range int32(3) {
		appendRecords(t, l, recordbatch.Header{ProducerID: 7, ProducerEpoch: 2, BaseSequence: 2 * i}, rec("a", "x"), rec("b", "x"))
	}
	appendRecords(t, l, plain, rec("a", "last"), rec("b", "last"))
	last := int64(4)
	keep := func(h recordbatch.Header) bool { return h.BaseOffset == last }
	headers := func() (kept []recordbatch.Header) {
		for h, err := range l.Batches(0, l.LogEndOffset()) {
			if err != nil {
				t.Fatal(err)
			}
			if h.ProducerID >= 0 {
				kept = append(kept, h)
			}
		}
		return kept
	}
	for range 2 {
		if _, err := l.Compact(context.Background(), time.UnixMilli(1), l.LogEndOffset(), log.Compaction{}, logtest.Judge{Keep: keep}); err != nil {
			t.Fatal(err)
		}
		got := headers()
		if len(got) != 1 || got[0].RecordCount != 0 || got[0].BaseOffset != 4 || got[0].LastOffsetDelta != 1 ||
			got[0].ProducerEpoch != 2 || got[0].BaseSequence != 4 || got[0].LastSequence() != 5 {
			t.Fatalf("left of the producer: %+v", got)
		}
		appendRecords(t, l, plain, rec("c", "more"))
	}
	last = -1 // the producer has expired
	compact(t, l, 1, log.Compaction{})
	if got := headers(); len(got) != 0 {
		t.Errorf("left of an expired producer: %+v", got)
	}
}

// TestCompactFewKeys: a pass that cannot remember all keys ends early, and the
// next ones get through.
func TestCompactFewKeys(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	for i := range 20 {
		appendRecords(t, l, plain, rec(fmt.Sprint("key-", i%10), fmt.Sprint(i)), rec("same", fmt.Sprint(i)))
	}
	passes := 0
	for ; compact(t, l, 1, log.Compaction{MaxKeys: 4}).To != 0; passes++ {
		if passes > 40 {
			t.Fatal("passes without end")
		}
	}
	if passes < 4 {
		t.Errorf("%d passes, with 11 keys and room for 4", passes)
	}
	wantOffsets(t, l, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 39)
}

// TestCompactLargeBatch: a batch with more keys than a pass remembers is no end.
func TestCompactLargeBatch(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	var batch []recordbatch.Record
	for i := range 20 {
		batch = append(batch, rec(fmt.Sprint(i), "value"))
	}
	for range 3 {
		appendRecords(t, l, plain, batch...)
	}
	for range 3 {
		compact(t, l, 1, log.Compaction{MaxKeys: 3})
	}
	want := make([]int64, 20)
	for i := range want {
		want[i] = int64(40 + i)
	}
	wantOffsets(t, l, want...)
}

// TestCompactFarOffsets: a pass ends before offsets too far from those of its first keys, however many were removed in
// between, and the next one begins there.
func TestCompactFarOffsets(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	appendRecords(t, l, plain, rec("a", "1"), rec("b", "1"))
	far := int64(2)
	for range 3 {
		far += 1 << 31
		if _, err := l.AppendStamped([]log.Entry{removed(far)}); err != nil {
			t.Fatal(err)
		}
	}
	appendRecords(t, l, plain, rec("a", "2"), rec("c", "1"))
	appendRecords(t, l, plain, rec("b", "2"))
	c := log.Compaction{MaxKeys: 10}
	if got := compact(t, l, 1, c); got.To != 2+1<<31 || got.Keys != 2 || got.Records != 0 {
		t.Errorf("first pass: %+v", got)
	}
	wantOffsets(t, l, 0, 1, far, far+1, far+2)
	if got := compact(t, l, 1, c); got.To != far+3 || got.Keys != 3 || got.Records != 2 {
		t.Errorf("second pass: %+v", got)
	}
	wantOffsets(t, l, far, far+1, far+2)
}

// TestCompactThenTruncate: a suffix cut goes into compacted segments, but not into
// a run of removed entries, and what grows there anew is dirty.
func TestCompactThenTruncate(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	appendRecords(t, l, plain, rec("a", "1"))
	for range 3 { // one segment
		appendBatch(t, l, 1, logtest.Batch(t, 1, 1, "x"))
	}
	appendRecords(t, l, plain, rec("b", "1"))
	compact(t, l, 1, log.Compaction{})
	var refused *log.TruncateError
	if err := l.TruncateSuffix(3); !errors.As(err, &refused) {
		t.Fatalf("cut within removed entries: %v", err)
	}
	if err := l.TruncateSuffix(4); err != nil {
		t.Fatal(err)
	}
	if l.LogEndOffset() != 3 {
		t.Fatalf("log ends at %d", l.LogEndOffset())
	}
	appendRecords(t, l, plain, rec("a", "2"))
	appendRecords(t, l, plain, rec("a", "3"))
	compact(t, l, 1, log.Compaction{})
	wantOffsets(t, l, 4)
}

// TestCompactDamage: damage is found before it is copied under a fresh checksum,
// and the segment stays as it is.
func TestCompactDamage(t *testing.T) {
	fsys := vfs.NewMem()
	cfg := log.Config{Dir: "/log", FS: fsys}
	l, err := log.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		appendRecords(t, l, plain, rec("a", fmt.Sprint(i)), rec("b", fmt.Sprint(i)))
	}
	flip(t, fsys, "/log/00000000000000000002.log", 96+70)
	var corrupt *log.CorruptError
	_, err = l.Compact(context.Background(), time.UnixMilli(1), l.LogEndOffset(), log.Compaction{}, logtest.Judge{})
	if !errors.As(err, &corrupt) || corrupt.Offset != 2 {
		t.Fatalf("compaction over damage: %v", err)
	}
	if l.Failed() != nil || l.LogEndOffset() != 6 {
		t.Errorf("the log has failed: %v", l.Failed())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCompactStrayOffset: a record beside its batch's offsets is damage.
func TestCompactStrayOffset(t *testing.T) {
	for _, delta := range []byte{1, 4} { // zigzag: -1, 2
		l, err := log.Open(log.Config{Dir: "/log", FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		b, err := recordbatch.AppendBatch(nil, plain, recordbatch.CodecNone, []recordbatch.Record{rec("a", "1"), rec("b", "1")})
		if err != nil {
			t.Fatal(err)
		}
		second := b[recordbatch.HeaderBytes+1+int(b[recordbatch.HeaderBytes]/2):]
		second[3] = delta // behind length, attributes and timestamp
		binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
		appendBatch(t, l, 1, b)
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
		var invalid *recordbatch.InvalidRecordError
		if _, err := l.Compact(context.Background(), time.UnixMilli(1), 2, log.Compaction{MaxKeys: 1}, logtest.Judge{}); !errors.As(err, &invalid) {
			t.Errorf("offset delta %d: %v", delta, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// flip flips a bit of a file.
func flip(t *testing.T, fsys vfs.FS, name string, at int64) {
	t.Helper()
	f, err := fsys.OpenFile(name, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCompactStops: a pass ends when its context does and when the log closes.
func TestCompactStops(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	for i := range 3 {
		appendRecords(t, l, recordbatch.Header{ProducerID: 1}, rec("a", fmt.Sprint(i)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Compact(ctx, time.UnixMilli(1), 3, log.Compaction{}, logtest.Judge{}); !errors.Is(err, context.Canceled) {
		t.Errorf("context has ended: %v", err)
	}
	wantOffsets(t, l, 0, 1, 2)
	closed := make(chan error, 1)
	var once sync.Once
	_, err := l.Compact(context.Background(), time.UnixMilli(1), 3, log.Compaction{}, logtest.Judge{Keep: func(recordbatch.Header) bool {
		once.Do(func() {
			go func() { closed <- l.Close() }()
			for !l.Closing() {
				runtime.Gosched()
			}
		})
		return false
	}})
	if !errors.Is(err, log.ErrClosed) {
		t.Errorf("log is closing: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// TestCompactBesideReaders has a writer, passes without a pause, retention and
// readers who check all that they get. It is for the race detector.
// TestCompactBesideHangingRoll: copies take their places while the writer waits for the disk, and readers find them.
func TestCompactBesideHangingRoll(t *testing.T) {
	inj, roll := vfs.NewInjector(), vfs.NewGate()
	swaps := []*vfs.Gate{vfs.NewGate(), vfs.NewGate()}
	for i, gate := range swaps {
		inj.Add(vfs.Rule{Kinds: vfs.OpRename, Path: "*.cleaned", Nth: 2 + i, Gate: gate})
	}
	l := logtest.Open(t, log.Config{FS: vfs.Inject(vfs.NewMem(), inj)})
	for i := range 4 {
		appendRecords(t, l, plain, rec("same", fmt.Sprint(i)), rec(fmt.Sprint("key-", i), fmt.Sprint(i)))
	}
	appendBatch(t, l, 1, logtest.Batch(t, 1, 1, "in the active segment"))
	var both sync.WaitGroup
	defer both.Wait()
	defer roll.Open()
	both.Go(func() { compact(t, l, 1, log.Compaction{}) })
	entered := func(gate *vfs.Gate, what string) {
		t.Helper()
		select {
		case <-gate.Entered():
		case <-time.After(30 * time.Second):
			t.Error("not in time: ", what)
		}
	}
	entered(swaps[0], "the second swap")
	inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: fmt.Sprintf("%020d.log", 8), Gate: roll})
	both.Go(func() {
		if err := l.Roll(); err != nil {
			t.Error(err)
		}
	})
	entered(roll, "the roll")
	swaps[0].Open()
	entered(swaps[1], "the third swap, with the second one done")
	if t.Failed() {
		swaps[1].Open()
		return
	}
	r, err := l.Read(2, 1<<20, 8, true)
	if err != nil || r.FirstOffset != 2 {
		t.Errorf("%+v, %v", r, err)
	} else if err := r.Release(); err != nil {
		t.Error(err)
	}
	if found, ok, err := l.OffsetForTimestamp(1000, 8); err != nil || !ok || found.Offset != 1 {
		t.Errorf("%+v, %v, %v", found, ok, err)
	}
	swaps[1].Open()
}

func TestCompactBesideReaders(t *testing.T) {
	for name, fsys := range map[string]vfs.FS{"os": vfs.OS, "mem": vfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := "/log"
			if name == "os" {
				dir = t.TempDir()
			}
			l := logtest.Open(t, log.Config{Dir: dir, FS: fsys, Settings: log.Settings{
				SegmentBytes: 4 << 10, IndexIntervalBytes: 256, DeleteByRetention: true, RetentionBytes: 60 << 10,
			}})
			var committed watermark
			var others, compactor sync.WaitGroup
			for i := range 3 {
				others.Go(func() { follow(t, l, &committed, 300<<i, true) })
			}
			others.Go(func() { look(t, l, &committed) })
			ctx, cancel := context.WithCancel(context.Background())
			compactor.Go(func() {
				for ctx.Err() == nil {
					_, err := l.Compact(ctx, time.UnixMilli(1), committed.get(), log.Compaction{}, logtest.Judge{})
					if err != nil && !errors.Is(err, context.Canceled) {
						t.Error(err)
						return
					}
				}
			})
			for i := range 1200 {
				appendBatch(t, l, int32(i/100), logtest.Batch(t, int64(i), 1+i%4, fmt.Sprint("value ", i)))
				switch {
				case i%70 == 69:
					appendBatch(t, l, int32(i/100), logtest.Batch(t, 1, 2, "cut off"))
					if err := l.TruncateSuffix(l.LastRaftIndex()); err != nil {
						t.Error(err)
					}
				case i%50 == 49:
					if _, err := l.Retain(time.UnixMilli(int64(i)), committed.get()); err != nil {
						t.Error(err)
					}
				}
				committed.set(l.LogEndOffset())
			}
			committed.end()
			others.Wait()
			cancel()
			compactor.Wait()
		})
	}
}

package log_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"path"
	"syscall"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

func at(millis int64) func() time.Time { return func() time.Time { return time.UnixMilli(millis) } }

func TestRollByAge(t *testing.T) {
	now := int64(1000)
	l := logtest.Open(t, log.Config{
		Now:      func() time.Time { return time.UnixMilli(now) },
		Settings: log.Settings{SegmentAge: 10 * time.Second},
	})
	var rolled []int64
	step := func(clock, timestamp int64, segments int) {
		t.Helper()
		now = clock
		appendBatch(t, l, 1, logtest.Batch(t, timestamp, 1, "x"))
		if l.Segments() != segments {
			t.Fatalf("at %d, timestamp %d: %d segments, want %d %v", clock, timestamp, l.Segments(), segments, rolled)
		}
	}
	step(1000, 5000, 1)
	step(90_000, 15_000, 1)  // age goes by timestamps, not by the clock
	step(90_000, 15_001, 2)  // 10,001 ms after the segment's first
	step(90_000, 1000, 2)    // an old one rolls nothing
	step(91_000, 25_001, 2)  // the segment began with 15,001
	step(91_000, 100_000, 3) // far ahead
}

// TestRollEarly: with jitter some segments are rolled before their age, each by a share of its own, and none after it.
func TestRollEarly(t *testing.T) {
	const age = 100_000
	early, late := 0, 0
	for _, jitter := range []time.Duration{0, age * time.Millisecond, 10 * age * time.Millisecond} { // more is as much as the age
		l := logtest.Open(t, log.Config{Now: at(0), Settings: log.Settings{SegmentAge: age * time.Millisecond, SegmentJitter: jitter}})
		for range 60 {
			if err := l.Roll(); err != nil {
				t.Fatal(err)
			}
			n := l.Segments()
			appendBatch(t, l, 1, logtest.Batch(t, 1000, 1, "x"))
			appendBatch(t, l, 1, logtest.Batch(t, 1000+age/2, 1, "x"))
			if l.Segments() == n {
				late++
			} else if early++; jitter == 0 {
				t.Fatal("rolled early without jitter")
			}
			n = l.Segments()
			if appendBatch(t, l, 1, logtest.Batch(t, 1000+2*age, 1, "x")); l.Segments() == n {
				t.Fatal("not rolled although it is old")
			}
		}
	}
	if late -= 60; early == 0 || late == 0 {
		t.Errorf("of 120 segments %d were rolled early, %d were not", early, late)
	}
}

func TestRollBySizeAndHook(t *testing.T) {
	var bases []int64
	var l *log.Log
	l = logtest.Open(t, log.Config{
		Settings: log.Settings{SegmentBytes: 1000},
		OnRoll: func(base int64) {
			if base != l.LogEndOffset() {
				t.Errorf("rolled at %d, log end %d", base, l.LogEndOffset())
			}
			bases = append(bases, base)
		},
	})
	b := logtest.Batch(t, 1, 2, string(bytes.Repeat([]byte{'x'}, 180)))
	for range 6 {
		appendBatch(t, l, 1, b)
	}
	// 96 bytes of header and two batches of some 450 bytes fit.
	if len(bases) != 2 || bases[0] != 4 || bases[1] != 8 || l.Segments() != 3 {
		t.Fatalf("rolled at %v, %d segments", bases, l.Segments())
	}
	// One larger than a segment gets its own.
	appendBatch(t, l, 1, logtest.Batch(t, 1, 1, string(bytes.Repeat([]byte{'x'}, 5000))))
	if l.Segments() != 4 || bases[2] != 12 {
		t.Fatalf("rolled at %v", bases)
	}
	if err := errors.Join(l.Roll(), l.Roll()); err != nil || l.Segments() != 5 {
		t.Fatalf("rolled twice, the second time with nothing in the segment: %v, %d segments", err, l.Segments())
	}
}

// A folder in another partition's place is refused.
func TestOpenRefusesAnotherPartition(t *testing.T) {
	mem := vfs.NewMem()
	logtest.Open(t, log.Config{FS: mem, TopicID: [16]byte{1}, Partition: 2})
	var corrupt *log.CorruptError
	for _, cfg := range []log.Config{{TopicID: [16]byte{1}, Partition: 3}, {TopicID: [16]byte{2}, Partition: 2}} {
		cfg.FS, cfg.Dir = mem, "/log"
		if _, err := log.Open(cfg); !errors.As(err, &corrupt) {
			t.Errorf("partition %d of topic %x: %v", cfg.Partition, cfg.TopicID, err)
		}
	}
}

// Kafka's rules: oldest first, whole segments, nothing above the high watermark,
// and the active one only when it has expired.
func TestRetain(t *testing.T) {
	open := func(t *testing.T, s log.Settings) *log.Log {
		l := logtest.Open(t, log.Config{Settings: s, Now: at(0)})
		for i := range int64(4) {
			appendBatch(t, l, 1, logtest.Batch(t, 1000*(i+1), 10, "x"))
			if i < 3 {
				if err := l.Roll(); err != nil {
					t.Fatal(err)
				}
			}
		}
		return l
	}
	size := open(t, log.Settings{}).SizeBytes()
	for _, tc := range []struct {
		name                 string
		settings             log.Settings
		now, highWatermark   int64
		wantStart, wantCount int64
	}{
		{"no policy", log.Settings{RetentionAge: 1, RetentionBytes: 1}, 99_000, 40, 0, 0},
		{"nothing is old", log.Settings{DeleteByRetention: true, RetentionAge: time.Second}, 2009, 40, 0, 0},
		{"the first is old", log.Settings{DeleteByRetention: true, RetentionAge: time.Second}, 2010, 40, 10, 1},
		{"all are old", log.Settings{DeleteByRetention: true, RetentionAge: time.Second}, 99_000, 40, 40, 3}, // the last one holds the last entry
		{"all are old, some not committed", log.Settings{DeleteByRetention: true, RetentionAge: time.Second}, 99_000, 25, 20, 2},
		{"too large by less than a segment", log.Settings{DeleteByRetention: true, RetentionBytes: size - 1}, 0, 40, 0, 0},
		{"too large by two segments", log.Settings{DeleteByRetention: true, RetentionBytes: size / 2}, 0, 40, 20, 2},
		{"too large by far", log.Settings{DeleteByRetention: true, RetentionBytes: 1}, 0, 40, 30, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := open(t, tc.settings)
			n, err := l.Retain(time.UnixMilli(tc.now), tc.highWatermark)
			if err != nil || int64(n) != tc.wantCount || l.LogStartOffset() != tc.wantStart || l.LogEndOffset() != 40 {
				t.Fatalf("%d deleted (%v), log is [%d, %d); want %d, start %d", n, err, l.LogStartOffset(), l.LogEndOffset(), tc.wantCount, tc.wantStart)
			}
			appendBatch(t, l, 1, logtest.Batch(t, 1, 1, "goes on"))
		})
	}
}

// The floor keeps segments, whatever the log start and retention say.
func TestRetainFloor(t *testing.T) {
	l := logtest.Open(t, log.Config{Settings: log.Settings{DeleteByRetention: true, RetentionAge: time.Second}, Now: at(0)})
	for range 5 { // raft indexes 1 and 2, 3 and 4, ...
		appendBatch(t, l, 1, logtest.Batch(t, 1000, 10, "x"))
		appendBatch(t, l, 1, logtest.Batch(t, 1000, 10, "x"))
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		floor, first uint64
		deleted      int
	}{{1, 1, 0}, {2, 1, 0}, {4, 3, 1}, {5, 5, 1}, {5, 5, 0}, {0, 9, 2}, {0, 9, 0}} {
		l.SetRetainFloor(tc.floor)
		n, err := l.Retain(time.UnixMilli(99_000), 100)
		if err != nil || n != tc.deleted || l.FirstRaftIndex() != tc.first || l.LogStartOffset() != 100 {
			t.Fatalf("floor %d: %d deleted, first entry %d, log start %d (%v); want %d, %d, 100",
				tc.floor, n, l.FirstRaftIndex(), l.LogStartOffset(), err, tc.deleted, tc.first)
		}
	}
	if h, err := l.EntryHead(l.LastRaftIndex()); err != nil || h.NextOffset != 100 {
		t.Fatalf("last entry: %+v, %v", h, err)
	}
}

func TestAdvanceStart(t *testing.T) {
	mem := vfs.NewMem()
	l := logtest.Open(t, log.Config{FS: mem})
	appendBatch(t, l, 1, logtest.Batch(t, 1, 10, "x"))
	var outOfRange *log.OffsetOutOfRangeError
	if err := l.AdvanceStart(11); !errors.As(err, &outOfRange) {
		t.Fatalf("past the end: %v", err)
	}
	if err := errors.Join(l.AdvanceStart(7), l.AdvanceStart(3)); err != nil || l.LogStartOffset() != 7 {
		t.Fatalf("start %d, %v", l.LogStartOffset(), err)
	}
	if _, err := l.Read(6, 100, 10, true); !errors.As(err, &outOfRange) || outOfRange.Start != 7 {
		t.Fatalf("read below the start: %v", err)
	}
	again, err := log.Open(log.Config{FS: mem.CrashClone(vfs.CrashOptions{}), Dir: "/log", Recovery: log.RecoverPowerLoss})
	if err != nil || again.LogStartOffset() != 7 || again.LogEndOffset() != 10 {
		t.Fatalf("after power loss: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTruncateRefuses(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	for range 5 {
		appendBatch(t, l, 1, logtest.Batch(t, 1, 2, "x"))
	}
	l.SetAppliedFloor(2)
	l.SetAppliedFloor(1) // does not go down
	if err := l.AdvanceStart(6); err != nil {
		t.Fatal(err)
	}
	var refused *log.TruncateError
	for _, from := range []uint64{0, 1, 2, 3} { // 3 begins at offset 4, below the start
		if err := l.TruncateSuffix(from); !errors.As(err, &refused) || refused.From != from {
			t.Errorf("from %d: %v", from, err)
		}
	}
	if err := l.TruncateSuffix(4); err != nil || l.LogEndOffset() != 6 || l.LastRaftIndex() != 3 {
		t.Errorf("from 4: %v, log end %d", err, l.LogEndOffset())
	}
	if err := l.TruncateSuffix(99); err != nil {
		t.Errorf("from past the end: %v", err)
	}
}

// A range outlives the deletion of its segment, and finds itself cut short when
// the log's end is cut off below it.
func TestRangeOutlivesItsSegment(t *testing.T) {
	for name, fsys := range map[string]vfs.FS{"os": vfs.OS, "mem": vfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := "/log"
			if name == "os" {
				dir = t.TempDir()
			}
			l := logtest.Open(t, log.Config{FS: fsys, Dir: dir})
			b := logtest.Batch(t, 1, 5, "kept alive")
			appendBatch(t, l, 1, b)
			r, err := l.Read(0, 1<<20, 5, true)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(l.Roll(), l.AdvanceStart(5)); err != nil {
				t.Fatal(err)
			}
			if n, err := l.DeleteSegments(); n != 0 || err != nil {
				t.Fatalf("%d segments deleted with the last entry: %v", n, err)
			}
			appendBatch(t, l, 1, bytes.Clone(b))
			if n, err := l.DeleteSegments(); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if got, err := r.AppendTo(nil); err != nil || !bytes.Equal(got, b) {
				t.Fatalf("after the deletion: %q, %v", got, err)
			}
			if err := errors.Join(r.Release(), r.Release()); err != nil {
				t.Fatal(err)
			}

			appendBatch(t, l, 1, b)
			if r, err = l.Read(10, 1<<20, 15, true); err != nil {
				t.Fatal(err)
			}
			if err := l.TruncateSuffix(l.LastRaftIndex()); err != nil {
				t.Fatal(err)
			}
			if _, err := r.AppendTo(nil); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("after the cut: %v", err)
			}
			if err := r.Release(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A full disk refuses appends, keeps what was acknowledged readable, lets
// retention free space, and takes appends again when there is room.
func TestDiskFull(t *testing.T) {
	mem := vfs.NewMem()
	l := logtest.Open(t, log.Config{FS: mem, Settings: log.Settings{SegmentBytes: 40 << 10, DeleteByRetention: true, RetentionBytes: 45 << 10}})
	mem.SetCapacity(256 << 10)
	b := logtest.Batch(t, 1, 1, string(bytes.Repeat([]byte{'x'}, 3000)))
	var err error
	for err == nil {
		err = put(l, 1, b)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	for range 5 {
		if err := put(l, 1, b); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	end := l.LogEndOffset()
	if got := readAll(t, l, 0, end, 1<<20); int64(len(got)) != end*int64(len(b)) {
		t.Fatalf("%d bytes read of %d batches", len(got), end)
	}
	if n, err := l.Retain(time.UnixMilli(1), end); err != nil || n == 0 {
		t.Fatalf("%d segments deleted, %v", n, err)
	}
	for range 20 {
		appendBatch(t, l, 1, b)
	}
	if l.LogEndOffset() != end+20 {
		t.Fatalf("log end %d, want %d", l.LogEndOffset(), end+20)
	}
}

// bytesRead sums what was read of files that match pattern.
func bytesRead(inj *vfs.Injector, pattern string) int64 {
	n := int64(0)
	for _, op := range inj.Trace() {
		if ok, _ := path.Match(pattern, path.Base(op.Path)); ok && op.Kind == vfs.OpRead {
			n += op.Length
		}
	}
	return n
}

// A clean open reads the same little, whatever the size; an unclean one what
// lies past the recovery point.
func TestOpenReadsLittle(t *testing.T) {
	var clean []int64
	for _, batches := range []int{50, 5000} {
		mem := vfs.NewMem()
		cfg := log.Config{FS: mem, Dir: "/log", Settings: log.Settings{SegmentBytes: 512 << 10}}
		l, err := log.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for range batches {
			appendBatch(t, l, 1, logtest.Batch(t, 1, 1, string(bytes.Repeat([]byte{'x'}, 900))))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		inj := vfs.NewInjector()
		cfg.FS = vfs.Inject(mem, inj)
		if l, err = log.Open(cfg); err != nil {
			t.Fatal(err)
		}
		clean = append(clean, bytesRead(inj, "*"))

		before := l.SizeBytes()
		for range 10 {
			appendBatch(t, l, 1, logtest.Batch(t, 1, 1, string(bytes.Repeat([]byte{'x'}, 900))))
		}
		added := l.SizeBytes() - before
		inj = vfs.NewInjector()
		cfg.FS, cfg.Recovery = vfs.Inject(mem.ProcessCrashClone(), inj), log.RecoverProcessCrash
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if l, err = log.Open(cfg); err != nil {
			t.Fatal(err)
		}
		// Once for the CRCs, once for the index; and the zeros reserved ahead.
		if got := bytesRead(inj, "*.log"); got > 2*added+(80<<10)+(512<<10) {
			t.Errorf("%d batches: an unclean open reads %d bytes for %d added", batches, got, added)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if clean[1] > clean[0]+4096 {
		t.Errorf("a clean open reads %d bytes of a small log and %d of a large one", clean[0], clean[1])
	}
}

// A read-only log changes nothing, whatever state it finds.
func TestReadOnly(t *testing.T) {
	mem := vfs.NewMem()
	l, err := log.Open(log.Config{FS: mem, Dir: "/log", Settings: log.Settings{SegmentBytes: 4 << 10, IndexIntervalBytes: 100}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		appendBatch(t, l, int32(i/10), logtest.Batch(t, int64(i), 2, "value of some length to fill the segments"))
	}
	crashed := mem.ProcessCrashClone()
	want, err := bytesOf(l, math.MaxInt64)
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	if err := crashed.Remove("/log/00000000000000000000.index"); err != nil {
		t.Fatal(err)
	}
	inj := vfs.NewInjector()
	r, err := log.OpenReadOnly("/log", vfs.Inject(crashed, inj), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := bytesOf(r, math.MaxInt64); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d: %v", len(got), len(want), err)
	}
	frames := 0
	for f, err := range r.Frames(11) {
		if err != nil || f.RaftIndex != uint64(11+frames) {
			t.Fatalf("frame %+v, %v", f, err)
		}
		frames++
	}
	if frames != 50 {
		t.Errorf("%d frames", frames)
	}
	for _, err := range []error{put(r, 9, logtest.Batch(t, 1, 1, "x")), r.Roll(), r.Sync(), r.AdvanceStart(1), r.TruncateSuffix(2)} {
		if !errors.Is(err, log.ErrReadOnly) {
			t.Errorf("got %v, want ErrReadOnly", err)
		}
	}
	if err := errors.Join(r.Verify(), r.Close()); err != nil {
		t.Error(err)
	}
	if n := inj.Count(vfs.OpChanging); n != 0 {
		t.Errorf("%d changing operations: %+v", n, inj.Trace())
	}
}

// Files of sealed segments are closed when many are read, and when idle.
func TestFilesAreClosed(t *testing.T) {
	mem := vfs.NewMem()
	inj := vfs.NewInjector()
	l := logtest.Open(t, log.Config{FS: vfs.Inject(mem, inj)})
	for range 40 {
		appendBatch(t, l, 1, logtest.Batch(t, 1, 1, "x"))
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
	}
	open := func() int { return inj.Count(vfs.OpOpen|vfs.OpCreate) - inj.Count(vfs.OpClose) }
	if err := l.CloseIdle(); err != nil {
		t.Fatal(err)
	}
	idle := open()
	for range 3 {
		for offset := range int64(40) {
			r, err := l.Read(offset, 100, 40, true)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Release(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := open() - idle; n > 3*8 || n == 0 {
		t.Errorf("%d files more are open after reading 40 segments", n)
	}
	if err := l.CloseIdle(); err != nil || open() != idle {
		t.Errorf("%d files more are open when idle, %v", open()-idle, err)
	}
}

// One flipped bit, or 512 bytes of zeros, anywhere: the log refuses to open, or
// gives back nothing but what was written. Batches have offset and epoch
// outside their CRC; a changed epoch may pass, see FORMAT.md.
func TestDamageIsSeenOrHarmless(t *testing.T) {
	mem := vfs.NewMem()
	cfg := log.Config{FS: mem, Dir: "/log", Settings: log.Settings{SegmentBytes: 3 << 10, IndexIntervalBytes: 200}}
	l, err := log.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		appendBatch(t, l, 1, logtest.Batch(t, int64(i), 1+i%3, "some value that is not too short"))
	}
	want, err := bytesOf(l, math.MaxInt64)
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	entries, err := mem.ReadDir("/log")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 600 {
		clone := mem.ProcessCrashClone()
		name := "/log/" + entries[r.IntN(len(entries))].Name()
		b, err := vfs.ReadFile(clone, name)
		if err != nil {
			t.Fatal(err)
		}
		pos := r.IntN(len(b))
		if r.IntN(3) == 0 {
			clear(b[pos:min(pos+512, len(b))])
		} else {
			b[pos] ^= 1 << r.IntN(8)
		}
		if err := vfs.ReplaceFile(clone, name, b); err != nil {
			t.Fatal(err)
		}
		checkDamaged(t, clone, cfg, want, name, pos)
	}
}

func checkDamaged(t *testing.T, fsys vfs.FS, cfg log.Config, want []byte, name string, pos int) {
	t.Helper()
	cfg.FS = fsys
	l, err := log.Open(cfg)
	if err != nil {
		return // refused
	}
	defer l.Close()
	got, err := bytesOf(l, math.MaxInt64)
	if err != nil {
		return // refused when it was read
	}
	if bytes.Equal(got, want) || path.Ext(name) == ".log" && l.Verify() != nil {
		return // consumers check the CRC, and so does Verify
	}
	if path.Ext(name) == ".log" && bytes.Equal(withoutEpochs(t, got), withoutEpochs(t, want)) {
		return
	}
	t.Errorf("%s damaged at %d: %d bytes are read, want %d", name, pos, len(got), len(want))
}

// withoutEpochs clears the leader epoch of each batch.
func withoutEpochs(t *testing.T, b []byte) []byte {
	t.Helper()
	b = bytes.Clone(b)
	for at := 0; at < len(b); {
		h, err := recordbatch.ParseHeader(b[at:])
		if err != nil {
			t.Fatal(err)
		}
		recordbatch.SetPartitionLeaderEpoch(b[at:], 0)
		at += h.SizeBytes()
	}
	return b
}

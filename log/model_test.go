package log_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
	"weir/protocol/recordbatch"
	"weir/segment"
	"weir/segment/vfs"
)

var (
	modelSeeds = flag.Int("model.seeds", 150, "how many seeds TestModel runs")
	modelSeed  = flag.Uint64("model.seed", 1, "the first of them")
	modelOps   = flag.Int("model.ops", 120, "operations per seed")
)

// modelEntry is an entry as the log must give it back.
type modelEntry struct {
	kind         log.EntryKind
	epoch        int32
	data         []byte // a batch as it was stamped
	offset, next int64
	timestamps   []int64
}

// model is the log as a slice: entry i has raft index i+1. Nothing is ever
// removed from its front; start says what is readable.
type model struct {
	entries []modelEntry
	start   int64
	synced  int // entries known to be on disk
}

func (m *model) end() int64 {
	if len(m.entries) == 0 {
		return 0
	}
	return m.entries[len(m.entries)-1].next
}

func (m *model) epoch() int32 {
	if len(m.entries) == 0 {
		return 0
	}
	return m.entries[len(m.entries)-1].epoch
}

// run is one seed's test.
type run struct {
	t   *testing.T
	r   *rand.Rand
	fs  *vfs.Mem
	l   *log.Log
	m   model
	cfg log.Config
	now time.Time

	emptied int // the last raft index when the log was left without an entry
}

func TestModel(t *testing.T) {
	for i := range *modelSeeds {
		seed := *modelSeed + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			runModel(t, seed, *modelOps)
		})
	}
}

func runModel(t *testing.T, seed uint64, ops int) {
	r := &run{t: t, r: rand.New(rand.NewPCG(seed, 0)), fs: vfs.NewMem(), now: time.UnixMilli(1_000_000)}
	r.cfg = log.Config{
		Dir: "/log", FS: r.fs, Now: func() time.Time { return r.now },
		Settings: log.Settings{
			SegmentBytes:       int64(2000 + r.r.IntN(60_000)),
			SegmentAge:         time.Duration(r.r.IntN(3)) * 40 * time.Second,
			IndexIntervalBytes: []int{1, 100, 700, 4096}[r.r.IntN(4)],
		},
	}
	r.open(r.fs, log.RecoverClean)
	for range ops {
		r.step()
	}
	r.check()
	if err := r.l.Close(); err != nil {
		t.Fatal(err)
	}
}

func (r *run) fatal(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *run) step() {
	r.now = r.now.Add(time.Duration(r.r.IntN(8)) * time.Second)
	switch n := r.r.IntN(100); {
	case n < 45:
		r.append()
	case n < 55:
		r.fatal(r.l.Sync())
		r.m.synced = len(r.m.entries)
	case n < 65:
		r.read()
	case n < 70:
		r.times()
	case n < 75:
		r.entries()
	case n < 78:
		r.fatal(r.l.Roll())
	case n < 82:
		r.truncate()
	case n < 86:
		r.advance()
	case n < 88:
		r.retain()
	case n < 89:
		r.reset()
	case n < 90:
		r.fatal(r.l.CloseIdle())
	case n < 92:
		r.check()
	default:
		r.reopen(n % 4)
	}
}

func (r *run) append() {
	var entries []log.Entry
	for range 1 + r.r.IntN(4) {
		e := modelEntry{epoch: r.m.epoch(), offset: r.m.end(), next: r.m.end()}
		if r.r.IntN(15) == 0 {
			e.epoch++
		}
		if r.r.IntN(8) == 0 {
			e.kind = []log.EntryKind{log.KindNoop, log.KindBarrier, log.KindConfiguration}[r.r.IntN(3)]
			e.data = bytes.Repeat([]byte{byte(r.r.IntN(3))}, r.r.IntN(40))
		} else {
			n := 1 + r.r.IntN(5)
			ts := r.now.UnixMilli() + int64(r.r.IntN(20_000)-10_000)
			size := r.r.IntN(300)
			if r.r.IntN(20) == 0 {
				size = r.r.IntN(9000)
			}
			e.data = logtest.Batch(r.t, ts, n, string(bytes.Repeat([]byte{'v'}, size)))
			e.next += int64(n)
			for i := range n {
				e.timestamps = append(e.timestamps, ts+int64(i))
			}
		}
		r.m.entries = append(r.m.entries, e)
		entries = append(entries, log.Entry{Kind: e.kind, Epoch: e.epoch, Data: e.data})
	}
	res, err := r.l.Append(entries)
	r.fatal(err)
	if res.LastRaftIndex != uint64(len(r.m.entries)) || res.NextOffset != r.m.end() {
		r.t.Fatalf("append gives %+v, want offset %d and raft index %d", res, r.m.end(), len(r.m.entries))
	}
}

func (r *run) read() {
	end := r.m.end()
	if end == r.m.start {
		return
	}
	offset := r.m.start + r.r.Int64N(end-r.m.start)
	limit := offset + r.r.Int64N(end-offset+1)
	maxBytes := []int{1, 500, 3000, 20_000, 1 << 20}[r.r.IntN(5)]
	minOne := r.r.IntN(2) == 0
	got, err := r.l.Read(offset, maxBytes, limit, minOne)
	r.fatal(err)
	b, err := got.AppendTo(nil)
	r.fatal(errors.Join(err, got.Release()))
	r.compareRead(b, offset, limit, maxBytes, minOne)
}

// compareRead checks a range against the batches that may be in it. A range may
// end early, at a segment's end, but not be empty without reason.
func (r *run) compareRead(b []byte, offset, limit int64, maxBytes int, minOne bool) {
	n, total := 0, len(b)
	for _, e := range r.m.entries {
		if e.next <= offset && e.offset < offset || len(e.timestamps) == 0 && n == 0 {
			continue
		}
		fits := n+len(e.data) <= maxBytes || n == 0 && minOne
		if e.kind != log.KindBatch || e.next > limit || !fits {
			break
		}
		if len(b) == 0 && n > 0 {
			return // the end of a segment
		}
		if !bytes.HasPrefix(b, e.data) {
			r.t.Fatalf("read [%d, %d) of at most %d bytes: %d bytes, wrong at offset %d", offset, limit, maxBytes, total, e.offset)
		}
		b, n = b[len(e.data):], n+len(e.data)
	}
	if len(b) > 0 {
		r.t.Fatalf("read [%d, %d) of at most %d bytes: %d bytes too many of %d", offset, limit, maxBytes, len(b), total)
	}
}

func (r *run) times() {
	end := r.m.end()
	limit := r.m.start + r.r.Int64N(end-r.m.start+1)
	ts := r.now.UnixMilli() - int64(r.r.IntN(200_000))
	var first, largest log.Found
	found, any := false, false
	for _, e := range r.m.entries {
		if e.next > limit {
			break
		}
		for i, t := range e.timestamps {
			at := log.Found{Offset: e.offset + int64(i), Timestamp: t, Epoch: e.epoch}
			if at.Offset < r.m.start {
				continue
			}
			if t >= ts && !found {
				first, found = at, true
			}
			if t > largest.Timestamp || !any {
				largest, any = at, true
			}
		}
	}
	got, ok, err := r.l.OffsetForTimestamp(ts, limit)
	r.fatal(err)
	if ok != found || got != first {
		r.t.Fatalf("first record at or after %d below %d: %+v %v, want %+v %v", ts, limit, got, ok, first, found)
	}
	got, ok, err = r.l.MaxTimestamp(limit)
	r.fatal(err)
	if ok != any || got != largest {
		r.t.Fatalf("record of the largest timestamp below %d: %+v %v, want %+v %v", limit, got, ok, largest, any)
	}
}

func (r *run) entries() {
	last := len(r.m.entries)
	if r.l.LastRaftIndex() != uint64(last) {
		r.t.Fatalf("last raft index %d, want %d", r.l.LastRaftIndex(), last)
	}
	for range 3 {
		if i := r.l.FirstRaftIndex() + uint64(r.r.IntN(50)); i <= uint64(last) {
			r.compareEntry(i)
		}
	}
	if _, _, err := r.l.Entry(uint64(last) + 1); !errors.Is(err, log.ErrEntryNotFound) {
		r.t.Fatalf("entry past the end: %v", err)
	}
	if _, _, err := r.l.Entry(r.l.FirstRaftIndex() - 1); !errors.Is(err, log.ErrEntryNotFound) {
		r.t.Fatalf("entry before the first: %v", err)
	}
	for _, i := range []uint64{0, r.l.FirstRaftIndex() - 1, r.l.LastRaftIndex() + 1} {
		if _, err := r.l.EntryHead(i); err != log.ErrEntryNotFound {
			r.t.Fatalf("head of entry %d, of [%d, %d]: %v", i, r.l.FirstRaftIndex(), r.l.LastRaftIndex(), err)
		}
	}
}

func (r *run) compareEntry(i uint64) {
	e, release, err := r.l.Entry(i)
	if err != nil {
		r.t.Fatalf("entry %d: %v", i, err)
	}
	defer release()
	want := r.m.entries[i-1]
	if e.Kind != want.kind || e.Epoch != want.epoch || !bytes.Equal(e.Data, want.data) {
		r.t.Fatalf("entry %d is %v of epoch %d, %d bytes; want %v, %d, %d", i, e.Kind, e.Epoch, len(e.Data), want.kind, want.epoch, len(want.data))
	}
	r.compareHead(i, want)
}

// compareRanges reads all entries from i on in pieces, as replication does.
func (r *run) compareRanges(i uint64) {
	maxCount, maxBytes := 1+r.r.IntN(40), []int64{1, 600, 5000, 1 << 20}[r.r.IntN(4)]
	var buf []byte
	var got []log.Entry
	for n := 0; i <= r.l.LastRaftIndex() && n < 50; n++ {
		er, err := r.l.ReadEntries(i, maxCount, maxBytes)
		r.fatal(err)
		buf, got, err = er.Read(buf, got[:0])
		r.fatal(errors.Join(err, er.Release()))
		if len(got) == 0 || len(got) > maxCount || len(got) > 1 && int64(len(buf)) > maxBytes {
			r.t.Fatalf("%d entries from %d on, %d bytes; asked for %d, %d", len(got), i, len(buf), maxCount, maxBytes)
		}
		for j, e := range got {
			at, want := er.Entries[j], r.m.entries[i-1]
			if e.Kind != want.kind || e.Epoch != want.epoch || !bytes.Equal(e.Data, want.data) ||
				at.RaftIndex != i || at.Offset != want.offset || at.NextOffset != want.next {
				r.t.Fatalf("entry %d in a range is %+v, %v of epoch %d; want %+v", i, at, e.Kind, e.Epoch, want)
			}
			i++
		}
	}
}

func (r *run) compareHead(i uint64, want modelEntry) {
	h, err := r.l.EntryHead(i)
	r.fatal(err)
	if h.Kind != want.kind || h.Epoch != want.epoch || h.Offset != want.offset || h.NextOffset != want.next {
		r.t.Fatalf("head of entry %d is %+v, want %v, epoch %d, [%d, %d)", i, h, want.kind, want.epoch, want.offset, want.next)
	}
	if want.kind != log.KindBatch {
		if !bytes.Equal(h.Data, want.data) || h.SizeBytes != segment.RaftFrameBytes+int64(len(want.data)) {
			r.t.Fatalf("head of entry %d has %q in %d bytes, want %q", i, h.Data, h.SizeBytes, want.data)
		}
		return
	}
	if b, err := recordbatch.ParseHeader(want.data); err != nil || h.Batch != b || h.SizeBytes != int64(len(want.data)) {
		r.t.Fatalf("head of entry %d has %+v, want %+v (%v)", i, h.Batch, b, err)
	}
}

func (r *run) truncate() {
	last := uint64(len(r.m.entries))
	if last == 0 {
		return
	}
	from := last + 1 - min(last, uint64(r.r.IntN(30)))
	err := r.l.TruncateSuffix(from)
	var refused *log.TruncateError
	if errors.As(err, &refused) {
		if from >= r.l.FirstRaftIndex() && r.m.entries[from-1].offset >= r.m.start {
			r.t.Fatalf("truncate from %d: %v", from, err)
		}
		return
	}
	r.fatal(err)
	r.m.entries = r.m.entries[:from-1]
	if from <= r.l.FirstRaftIndex() {
		r.emptied = len(r.m.entries)
	}
	r.m.synced = min(r.m.synced, len(r.m.entries))
	if r.r.IntN(2) == 0 {
		r.check()
	}
}

func (r *run) advance() {
	to := r.m.start + r.r.Int64N(r.m.end()-r.m.start+1)
	r.fatal(r.l.AdvanceStart(to))
	r.m.start = to
	if r.r.IntN(3) > 0 {
		_, err := r.l.DeleteSegments()
		r.fatal(err)
	}
}

func (r *run) retain() {
	first := r.l.FirstRaftIndex()
	floor := r.r.Uint64N(r.l.LastRaftIndex() + 2)
	r.l.SetRetainFloor(floor)
	defer func() {
		r.l.SetRetainFloor(0)
		if now := r.l.FirstRaftIndex(); floor > 0 && now > max(floor, first) {
			r.t.Fatalf("first entry is %d, was %d; the floor is %d", now, first, floor)
		}
	}()
	s := r.cfg.Settings
	s.DeleteByRetention, s.RetentionBytes = true, int64(r.r.IntN(200_000))
	if r.r.IntN(2) == 0 {
		s.RetentionAge = time.Duration(r.r.IntN(300)) * time.Second
	}
	r.l.SetSettings(s)
	highWatermark := r.m.start + r.r.Int64N(r.m.end()-r.m.start+1)
	_, err := r.l.Retain(r.now, highWatermark)
	r.fatal(err)
	start := r.l.LogStartOffset()
	if start < r.m.start || start > max(highWatermark, r.m.start) {
		r.t.Fatalf("retention moved the start from %d to %d, high watermark %d", r.m.start, start, highWatermark)
	}
	r.m.start = start
	r.l.SetSettings(r.cfg.Settings)
}

// reset begins anew somewhere. The model gets entries without offsets in the place
// of those that this log has never had.
func (r *run) reset() {
	if r.r.IntN(3) > 0 {
		return
	}
	offset := r.r.Int64N(r.m.end() + 50)
	e := modelEntry{kind: log.KindNoop, epoch: r.r.Int32N(20), offset: offset, next: offset}
	r.m.entries = slices.Repeat([]modelEntry{e}, 1+r.r.IntN(len(r.m.entries)+50))
	r.m.start, r.m.synced, r.emptied = offset, len(r.m.entries), len(r.m.entries)
	r.l.SetAppliedFloor(1)
	r.fatal(r.l.ResetTo(offset, uint64(len(r.m.entries))+1, e.epoch))
	r.check()
}

// reopen opens the log again, as it is after a clean close or some kind of crash.
func (r *run) reopen(how int) {
	switch how {
	case 0, 1:
		r.fatal(r.l.Close())
		r.m.synced = len(r.m.entries)
		r.open(r.fs, log.RecoverClean)
	case 2:
		clone := r.fs.ProcessCrashClone()
		r.fatal(r.l.Close())
		r.open(clone, log.RecoverProcessCrash)
		r.m.synced = len(r.m.entries)
	case 3:
		clone := r.fs.CrashClone(vfs.CrashOptions{Seed: r.r.Uint64N(5)})
		r.fatal(r.l.Close())
		r.open(clone, log.RecoverPowerLoss)
		n := int(r.l.LastRaftIndex())
		if n < r.m.synced || n > len(r.m.entries) {
			r.t.Fatalf("after power loss %d entries, want at least %d synced of %d", n, r.m.synced, len(r.m.entries))
		}
		r.m.entries = r.m.entries[:n]
		r.m.synced = n
	}
	r.check()
}

func (r *run) open(fsys *vfs.Mem, mode log.RecoveryMode) {
	r.fs, r.cfg.FS, r.cfg.Recovery = fsys, fsys, mode
	var err error
	r.l, err = log.Open(r.cfg)
	r.fatal(err)
}

// check compares everything.
func (r *run) check() {
	r.t.Helper()
	r.fatal(logtest.Check(r.l))
	if r.l.LogStartOffset() != r.m.start || r.l.LogEndOffset() != r.m.end() || r.l.LastRaftIndex() != uint64(len(r.m.entries)) {
		r.t.Fatalf("log is [%d, %d) up to raft index %d; want [%d, %d), %d",
			r.l.LogStartOffset(), r.l.LogEndOffset(), r.l.LastRaftIndex(), r.m.start, r.m.end(), len(r.m.entries))
	}
	if r.l.FirstRaftIndex() > r.l.LastRaftIndex() && len(r.m.entries) != r.emptied {
		r.t.Fatalf("entries [%d, %d]: the last one is gone", r.l.FirstRaftIndex(), r.l.LastRaftIndex())
	}
	for i := r.l.FirstRaftIndex(); i <= r.l.LastRaftIndex(); i++ {
		r.compareEntry(i)
	}
	r.compareRanges(r.l.FirstRaftIndex())
	r.compareRanges(r.l.FirstRaftIndex() + r.r.Uint64N(r.l.LastRaftIndex()+2-r.l.FirstRaftIndex()))
	var want []int64
	for _, e := range r.m.entries {
		if e.kind == log.KindBatch && e.next > r.m.start {
			want = append(want, e.offset)
		}
	}
	var got []int64
	for h, err := range r.l.Batches(r.m.start, r.m.end()) {
		r.fatal(err)
		got = append(got, h.BaseOffset)
	}
	if !slices.Equal(got, want) {
		r.t.Fatalf("batches at %v, want %v", got, want)
	}
	r.checkEpochs()
}

// checkEpochs compares what is known of leader epochs with the records.
func (r *run) checkEpochs() {
	r.t.Helper()
	for _, e := range r.m.entries {
		for o := max(e.offset, r.m.start); o < e.next; o++ {
			if got := r.l.EpochAt(o); got != e.epoch {
				r.t.Fatalf("offset %d is of epoch %d, want %d", o, got, e.epoch)
			}
		}
	}
	last := int32(-1)
	if len(r.m.entries) > 0 {
		last = r.m.epoch()
	}
	if got := r.l.LastEpoch(); got != last {
		r.t.Fatalf("last epoch %d, want %d", got, last)
	}
	if epoch, end := r.l.EndOffsetFor(last); last >= 0 && (epoch != last || end != r.m.end()) {
		r.t.Fatalf("epoch %d ends at %d of epoch %d, want the log end %d", last, end, epoch, r.m.end())
	}
	if epoch, end := r.l.EndOffsetFor(last + 1); epoch != -1 || end != -1 {
		r.t.Fatalf("an epoch to come ends at %d of epoch %d", end, epoch)
	}
}

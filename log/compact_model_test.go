package log_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// keyed is a record as it was appended.
type keyed struct {
	recordbatch.Record
	batch int // in keyedRun.batches
}

// keyedBatch is a batch as it was stamped.
type keyedBatch struct {
	data      []byte
	base      int64
	next      int64
	raftIndex uint64
	epoch     int32
}

// keyedRun is one seed's test of compaction: a log beside all that was ever
// appended to it.
type keyedRun struct {
	t       *testing.T
	r       *rand.Rand
	fs      *vfs.Mem
	l       *log.Log
	cfg     log.Config
	c       log.Compaction
	now     time.Time
	records []keyed // by offset
	batches []keyedBatch
	epochs  []int32 // by raft index, from 1
	epoch   int32
	start   int64
	synced  int            // batches known to be on disk
	present map[int64]bool // the records seen at the last look
	seen    int64          // where the log ended then: what was gone below must not come back
	gone    map[int64]bool // tombstones found to be gone
	total   log.Compacted  // of all passes
}

func TestCompactModel(t *testing.T) {
	for i := range (*modelSeeds + 4) / 5 { // each look at the log is a thorough one
		seed := *modelSeed + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			runCompactModel(t, seed, *modelOps)
		})
	}
}

func runCompactModel(t *testing.T, seed uint64, ops int) {
	x := &keyedRun{
		t: t, r: rand.New(rand.NewPCG(seed, 1)), fs: vfs.NewMem(), now: time.UnixMilli(1_000_000),
		present: make(map[int64]bool), gone: make(map[int64]bool),
	}
	x.cfg = log.Config{Dir: "/log", Now: func() time.Time { return x.now }, Settings: log.Settings{
		SegmentBytes: int64(1000 + x.r.IntN(9_000)), IndexIntervalBytes: []int{1, 100, 700, 4096}[x.r.IntN(4)],
	}}
	x.c = log.Compaction{
		DeleteRetentionMillis: int64(x.r.IntN(3)) * 20_000,
		MinLagMillis:          int64(x.r.IntN(2)) * 10_000,
		MaxLagMillis:          int64(x.r.IntN(2)) * 60_000,
		MinDirtyRatio:         []float64{0, 0.3, 0.8}[x.r.IntN(3)],
		MaxKeys:               []int{0, 5, 20}[x.r.IntN(3)],
	}
	x.open(x.fs, log.RecoverClean)
	for range ops {
		x.step()
	}
	x.clean()
	x.look()
	x.bury()
	x.look()
	t.Logf("%d records, %d removed in %d segments, %d tombstones gone", x.end(), x.total.Records, x.total.Segments, len(x.gone))
	x.fatal(x.l.Close())
}

func (x *keyedRun) fatal(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

func (x *keyedRun) open(fsys *vfs.Mem, mode log.RecoveryMode) {
	x.t.Helper()
	x.fs, x.cfg.FS, x.cfg.Recovery = fsys, fsys, mode
	var err error
	x.l, err = log.Open(x.cfg)
	x.fatal(err)
}

func (x *keyedRun) step() {
	x.now = x.now.Add(time.Duration(x.r.IntN(5)) * time.Second)
	switch n := x.r.IntN(100); {
	case n < 60:
		x.append()
	case n < 63:
		x.fatal(x.l.Roll())
	case n < 66:
		x.fatal(x.l.Sync())
		x.synced = len(x.batches)
	case n < 80:
		x.compact()
	case n < 83:
		x.advance()
	case n < 86:
		x.fatal(x.l.CloseIdle())
	case n < 92:
		x.reopen()
	case n < 96:
		x.interrupted()
	default:
		x.look()
	}
}

func (x *keyedRun) end() int64 { return int64(len(x.records)) }

func (x *keyedRun) append() {
	var entries []log.Entry
	if x.r.IntN(20) == 0 {
		x.epoch++
		if x.r.IntN(2) == 0 {
			entries = append(entries, log.Entry{Kind: log.KindNoop, Epoch: x.epoch, Data: []byte("noop")})
			x.epochs = append(x.epochs, x.epoch)
		}
	}
	for range 1 + x.r.IntN(3) {
		entries = append(entries, log.Entry{Kind: log.KindBatch, Epoch: x.epoch, Data: x.batch()})
	}
	res, err := x.l.Append(entries)
	x.fatal(err)
	if res.NextOffset != x.end() || res.LastRaftIndex != uint64(len(x.epochs)) {
		x.t.Fatalf("append gives %+v, want offset %d and raft index %d", res, x.end(), len(x.epochs))
	}
}

// batch makes the next batch and notes it. Its data is stamped by the append.
func (x *keyedRun) batch() []byte {
	records := make([]recordbatch.Record, 1+x.r.IntN(4))
	base := x.end()
	for i := range records {
		records[i] = recordbatch.Record{
			Offset: base + int64(i), Timestamp: x.now.UnixMilli() + int64(x.r.IntN(4000)-2000),
			Key: fmt.Appendf(nil, "key-%d", x.r.IntN(40)), Value: bytes.Repeat([]byte{byte(x.r.IntN(256))}, x.r.IntN(120)),
		}
		switch x.r.IntN(12) {
		case 0, 1:
			records[i].Value = nil
		case 2:
			records[i].Headers = []recordbatch.RecordHeader{{Key: "h", Value: []byte("x")}}
		}
		if x.r.IntN(60) == 0 {
			records[i].Key = nil
		}
		x.records = append(x.records, keyed{records[i], len(x.batches)})
	}
	h := recordbatch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	if x.r.IntN(3) == 0 {
		h = recordbatch.Header{ProducerID: int64(x.r.IntN(4)), BaseSequence: int32(base)}
	}
	b, err := recordbatch.AppendBatch(nil, h, recordbatch.Codec(x.r.IntN(5)), records)
	x.fatal(err)
	x.epochs = append(x.epochs, x.epoch)
	x.batches = append(x.batches, keyedBatch{data: b, base: base, next: x.end(), raftIndex: uint64(len(x.epochs)), epoch: x.epoch})
	return b
}

// keep is what a partition says of its producers: their last batches stay.
func (x *keyedRun) keep(h recordbatch.Header) bool {
	for i := len(x.batches) - 1; i >= 0; i-- {
		last, err := recordbatch.ParseHeader(x.batches[i].data)
		x.fatal(err)
		if last.ProducerID == h.ProducerID {
			return last.BaseOffset == h.BaseOffset
		}
	}
	return false
}

func (x *keyedRun) compact() {
	watermark := x.start + x.r.Int64N(x.end()-x.start+1)
	if x.r.IntN(2) == 0 {
		watermark = x.end()
	}
	x.pass(watermark, x.c)
	if x.r.IntN(3) == 0 {
		x.look()
	}
}

func (x *keyedRun) pass(watermark int64, c log.Compaction) log.Compacted {
	x.t.Helper()
	got, err := x.l.Compact(context.Background(), x.now, watermark, c, logtest.Judge{Keep: x.keep})
	x.fatal(err)
	if got.To > watermark {
		x.t.Fatalf("compacted up to %d, high watermark %d", got.To, watermark)
	}
	x.total.Segments += got.Segments
	x.total.Records += got.Records
	return got
}

// clean compacts until nothing is left to do: then every key has one record
// below the active segment.
func (x *keyedRun) clean() {
	x.fatal(x.l.Roll())
	all := x.c
	all.MinLagMillis, all.MinDirtyRatio = 0, 0
	to := int64(-1)
	for {
		got := x.pass(x.end(), all)
		if got.To == 0 {
			break
		}
		if got.To <= to {
			x.t.Fatalf("a pass up to %d after one up to %d", got.To, to)
		}
		to = got.To
	}
	seen := make(map[string]int64)
	for _, r := range x.readAll() {
		if old, ok := seen[string(r.Key)]; ok {
			x.t.Fatalf("key %s at offsets %d and %d after all has been compacted", r.Key, old, r.Offset)
		}
		seen[string(r.Key)] = r.Offset
	}
}

// bury lets the time pass for all tombstones that a pass has met, which are those
// below the active segment: the next pass takes them.
func (x *keyedRun) bury() {
	met := x.end()
	x.now = x.now.Add(time.Duration(x.c.DeleteRetentionMillis)*time.Millisecond + time.Second)
	x.append()
	x.clean()
	for _, r := range x.readAll() {
		if r.Value == nil && r.Offset < met {
			x.t.Fatalf("tombstone %d of %s is still there", r.Offset, r.Key)
		}
	}
}

func (x *keyedRun) advance() {
	x.start += x.r.Int64N(x.end() - x.start + 1)
	x.fatal(x.l.AdvanceStart(x.start))
	if x.r.IntN(3) > 0 {
		_, err := x.l.DeleteSegments()
		x.fatal(err)
	}
}

func (x *keyedRun) reopen() {
	x.look()
	before := x.present
	switch x.r.IntN(3) {
	case 0:
		x.fatal(x.l.Close())
		x.synced = len(x.batches)
		x.open(x.fs, log.RecoverClean)
	case 1:
		clone := x.fs.ProcessCrashClone()
		x.fatal(x.l.Close())
		x.open(clone, log.RecoverProcessCrash)
		x.synced = len(x.batches)
	case 2:
		x.powerLoss()
	}
	x.look()
	for o := range before {
		if o >= x.start && o < x.end() && !x.present[o] {
			x.t.Fatalf("record %d was there before the log was opened again", o)
		}
	}
}

// powerLoss opens what a power loss right now leaves.
func (x *keyedRun) powerLoss() {
	clone := x.fs.CrashClone(vfs.CrashOptions{Seed: x.r.Uint64N(5)})
	if err := x.l.Close(); err != nil {
		var failed *log.FailedError
		if !errors.As(err, &failed) {
			x.t.Fatal(err)
		}
	}
	x.open(clone, log.RecoverPowerLoss)
	x.lost()
}

// lost takes what a power loss has cut off out of the model.
func (x *keyedRun) lost() {
	n := len(x.batches)
	for n > 0 && x.batches[n-1].raftIndex > x.l.LastRaftIndex() {
		n--
	}
	if n < x.synced {
		x.t.Fatalf("%d batches after power loss, %d were synced", n, x.synced)
	}
	x.batches, x.synced = x.batches[:n], n
	x.epochs = x.epochs[:x.l.LastRaftIndex()]
	end := int64(0)
	if n > 0 {
		end = x.batches[n-1].next
	}
	x.records = x.records[:end]
	x.seen = min(x.seen, end)
	for o := range x.present {
		if o >= end {
			delete(x.present, o)
		}
	}
}

// interrupted has a pass fail at some operation, and then perhaps the machine.
func (x *keyedRun) interrupted() {
	x.look()
	x.fatal(x.l.Close())
	x.synced = len(x.batches)
	inj := vfs.NewInjector()
	x.cfg.FS, x.cfg.Recovery = vfs.Inject(x.fs, inj), log.RecoverClean
	var err error
	x.l, err = log.Open(x.cfg)
	x.fatal(err)
	inj.Add(vfs.Rule{Kinds: vfs.OpChanging, Err: syscall.EIO, Nth: 1 + x.r.IntN(20), Times: 1})
	ctx, cancel := context.WithCancel(context.Background())
	if x.r.IntN(4) == 0 {
		cancel()
	}
	_, err = x.l.Compact(ctx, x.now, x.end(), x.c, logtest.Judge{Keep: x.keep})
	cancel()
	inj.Clear()
	before, seen := maps.Clone(x.present), x.seen
	x.look() // readers go on, whatever happened
	switch {
	case x.l.Failed() != nil:
		x.present, x.seen = before, seen // a swap that was not durable may be undone
		x.powerLoss()
	case err == nil && x.r.IntN(2) == 0:
		x.powerLoss()
	default:
		x.fatal(x.l.Close())
		x.open(x.fs, log.RecoverProcessCrash)
	}
	x.look()
}

// readAll reads every record from the start on.
func (x *keyedRun) readAll() []recordbatch.Record {
	x.t.Helper()
	b, err := bytesOf(x.l, x.l.LogEndOffset())
	x.fatal(err)
	var all []recordbatch.Record
	for len(b) > 0 {
		h, err := recordbatch.ParseHeader(b)
		x.fatal(err)
		for r, err := range recordbatch.Records(b, 0) {
			x.fatal(err)
			if r.Offset >= x.start {
				r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
				all = append(all, r)
			}
		}
		b = b[h.SizeBytes():]
	}
	return all
}

// look compares all that is to be seen with the model.
func (x *keyedRun) look() {
	x.t.Helper()
	x.fatal(logtest.Check(x.l))
	if x.l.LogStartOffset() != x.start || x.l.LogEndOffset() != x.end() || x.l.LastRaftIndex() != uint64(len(x.epochs)) {
		x.t.Fatalf("log is [%d, %d) up to raft index %d; want [%d, %d), %d",
			x.l.LogStartOffset(), x.l.LogEndOffset(), x.l.LastRaftIndex(), x.start, x.end(), len(x.epochs))
	}
	present := make(map[int64]bool)
	for _, r := range x.readAll() {
		want := x.records[r.Offset]
		if !bytes.Equal(r.Key, want.Key) || !bytes.Equal(r.Value, want.Value) || (r.Value == nil) != (want.Value == nil) ||
			r.Timestamp != want.Timestamp || len(r.Headers) != len(want.Headers) {
			x.t.Fatalf("record %d is %q=%q at %d, want %q=%q at %d", r.Offset, r.Key, r.Value, r.Timestamp, want.Key, want.Value, want.Timestamp)
		}
		present[r.Offset] = true
	}
	x.checkKeys(present)
	x.checkEntries(present)
	x.checkTimes(present)
	x.checkReads(present)
	x.present, x.seen = present, x.end()
}

// checkKeys: the last record of each key is there, but for tombstones that have
// stayed long enough, and then none of that key is.
func (x *keyedRun) checkKeys(present map[int64]bool) {
	x.t.Helper()
	last := make(map[string]int64)
	for o := x.start; o < x.end(); o++ {
		r := x.records[o]
		if r.Key != nil {
			last[string(r.Key)] = o
		}
		if present[o] && !x.present[o] && o < x.seen {
			x.t.Fatalf("record %d has come back", o)
		}
	}
	for o := x.start; o < x.end(); o++ {
		r := x.records[o]
		switch l := last[string(r.Key)]; {
		case r.Key == nil || present[o] && present[l]:
		case o == l && !present[o] && r.Value != nil:
			x.t.Fatalf("the last record of %s, %d, is gone", r.Key, o)
		case o == l && !present[o]:
			x.checkBuried(o)
		case present[o]:
			x.t.Fatalf("record %d of %s is there, and the tombstone at %d is gone", o, r.Key, l)
		}
	}
}

// checkBuried: a tombstone has gone only after a pass that was early enough.
func (x *keyedRun) checkBuried(offset int64) {
	x.t.Helper()
	if x.gone[offset] {
		return
	}
	x.gone[offset] = true
	met := x.records[offset].Timestamp - 2000 // no pass met it before it was written
	if x.now.UnixMilli() < met+x.c.DeleteRetentionMillis {
		x.t.Fatalf("tombstone %d of %d is gone at %d, retention %d ms", offset, met, x.now.UnixMilli(), x.c.DeleteRetentionMillis)
	}
}

// checkEntries: every raft index is answered with its epoch, and what has not
// lost a record is as it was appended.
func (x *keyedRun) checkEntries(present map[int64]bool) {
	x.t.Helper()
	batches := make(map[uint64]keyedBatch)
	for _, b := range x.batches {
		batches[b.raftIndex] = b
	}
	for i := x.l.FirstRaftIndex(); i <= x.l.LastRaftIndex(); i++ {
		e, release, err := x.l.Entry(i)
		x.fatal(err)
		b, isBatch := batches[i]
		if e.Epoch != x.epochs[i-1] || !isBatch && e.Kind != log.KindNoop || isBatch && e.Kind.Raft() {
			x.t.Fatalf("entry %d is %v of epoch %d, want epoch %d", i, e.Kind, e.Epoch, x.epochs[i-1])
		}
		if isBatch {
			x.checkEntry(i, e, b, present)
		}
		x.checkHead(i, e)
		release()
	}
	x.checkRanges()
	if x.r.IntN(4) == 0 {
		x.checkFollower()
	}
	for _, b := range x.batches {
		for o := max(b.base, x.start); o < b.next; o++ {
			if got := x.l.EpochAt(o); got != b.epoch {
				x.t.Fatalf("offset %d is of epoch %d, want %d", o, got, b.epoch)
			}
		}
	}
}

// checkRanges reads all entries in pieces and compares each with its head.
func (x *keyedRun) checkRanges() {
	x.t.Helper()
	maxCount, maxBytes := 1+x.r.IntN(20), []int64{1, 400, 1 << 20}[x.r.IntN(3)]
	for i := x.l.FirstRaftIndex(); i <= x.l.LastRaftIndex(); {
		er, err := x.l.ReadEntries(i, maxCount, maxBytes)
		x.fatal(err)
		_, entries, err := er.Read(nil, nil)
		x.fatal(errors.Join(err, er.Release()))
		if len(entries) == 0 || len(entries) > maxCount {
			x.t.Fatalf("%d entries from %d on, asked for %d", len(entries), i, maxCount)
		}
		for _, e := range entries {
			h, err := x.l.EntryHead(i)
			x.fatal(err)
			end, err := x.l.EntryHead(i + e.Ahead) // of its run, when the range ends amid it
			x.fatal(err)
			if e.Kind != h.Kind || e.Epoch != h.Epoch || e.Kind == log.KindRemoved && e.NextOffset != end.NextOffset || end.Kind != h.Kind {
				x.t.Fatalf("entry %d in a range is %v of epoch %d to %d, %d ahead, its head %+v, that of its run's end %+v", i, e.Kind, e.Epoch, e.NextOffset, e.Ahead, h, end)
			}
			if e.Kind == log.KindBatch {
				if b, err := recordbatch.ParseHeader(e.Data); err != nil || b != h.Batch || recordbatch.VerifyChecksum(e.Data) != nil {
					x.t.Fatalf("entry %d in a range has %+v, its head %+v (%v)", i, b, h.Batch, err)
				}
			}
			i++
		}
	}
}

// checkFollower has another log take all entries, in pieces, as a replica that has
// none of them: it has the same records and counts alike, also when it is opened
// again without its indexes.
func (x *keyedRun) checkFollower() {
	x.t.Helper()
	mem := vfs.NewMem()
	cfg := log.Config{Dir: "/log", FS: mem, Settings: log.Settings{SegmentBytes: x.cfg.Settings.SegmentBytes, IndexIntervalBytes: x.cfg.Settings.IndexIntervalBytes}}
	f, err := log.Open(cfg)
	x.fatal(err)
	first := x.l.FirstRaftIndex()
	if first > 1 && first <= x.l.LastRaftIndex() {
		for frame, err := range x.l.Frames(first) {
			x.fatal(err)
			x.fatal(f.ResetTo(frame.Offset, first, x.epochs[first-2]))
			break
		}
	}
	if first > x.l.LastRaftIndex() {
		x.fatal(f.Close())
		return
	}
	replicate(x.t, x.l, f, 1+x.r.IntN(20))
	if x.start > f.LogEndOffset() {
		x.t.Fatalf("follower ends at %d below the start %d", f.LogEndOffset(), x.start)
	}
	x.fatal(f.AdvanceStart(x.start))
	want, err := bytesOf(x.l, x.end())
	x.fatal(err)
	for range 2 {
		x.fatal(logtest.Check(f))
		if f.LastRaftIndex() != x.l.LastRaftIndex() || f.FirstRaftIndex() != first {
			x.t.Fatalf("follower has entries [%d, %d], leader [%d, %d]", f.FirstRaftIndex(), f.LastRaftIndex(), first, x.l.LastRaftIndex())
		}
		got, err := bytesOf(f, x.end())
		x.fatal(err)
		if a, b := x.recordsOf(got), x.recordsOf(want); !slices.Equal(a, b) {
			x.t.Fatalf("follower has %d records, leader %d", len(a), len(b))
		}
		for i := first; i <= f.LastRaftIndex(); i++ {
			ours, err := x.l.EntryHead(i)
			x.fatal(err)
			theirs, err := f.EntryHead(i)
			x.fatal(err)
			same := ours.Kind == theirs.Kind && ours.Batch == theirs.Batch
			removed := ours.Kind == log.KindRemoved && theirs.Kind == log.KindRemoved
			if ours.Epoch != theirs.Epoch || !same && !removed {
				x.t.Fatalf("entry %d is %+v at the leader, %+v at the follower", i, ours, theirs)
			}
		}
		crashed := mem.ProcessCrashClone()
		x.fatal(f.Close())
		mem, cfg.FS, cfg.Recovery = crashed, crashed, log.RecoverProcessCrash
		names, err := crashed.ReadDir("/log")
		x.fatal(err)
		for _, name := range names {
			if ext := filepath.Ext(name.Name()); ext == ".index" || ext == ".timeindex" {
				x.fatal(crashed.Remove("/log/" + name.Name()))
			}
		}
		f, err = log.Open(cfg)
		x.fatal(err)
	}
	x.fatal(f.Close())
}

// recordsOf lists offset and value of all records at or after the start.
func (x *keyedRun) recordsOf(b []byte) (all []string) {
	x.t.Helper()
	for len(b) > 0 {
		h, err := recordbatch.ParseHeader(b)
		x.fatal(err)
		for r, err := range recordbatch.Records(b, 0) {
			x.fatal(err)
			if r.Offset >= x.start {
				all = append(all, fmt.Sprintf("%d %s %s", r.Offset, r.Key, r.Value))
			}
		}
		b = b[h.SizeBytes():]
	}
	return all
}

// checkHead compares the head of an entry with the entry.
func (x *keyedRun) checkHead(i uint64, e log.Entry) {
	x.t.Helper()
	h, err := x.l.EntryHead(i)
	x.fatal(err)
	if h.Kind != e.Kind || h.Epoch != e.Epoch {
		x.t.Fatalf("head of entry %d is %+v, the entry %v of epoch %d", i, h, e.Kind, e.Epoch)
	}
	if e.Kind.Raft() {
		return
	}
	b, err := recordbatch.ParseHeader(e.Data)
	x.fatal(err)
	if last := h.NextOffset > 0; !last && e.Kind == log.KindRemoved {
		// Another one of the same run follows.
		if next, err := x.l.EntryHead(i + 1); err != nil || next.Kind != log.KindRemoved || next.NextOffset > 0 && next.NextOffset != b.NextOffset() {
			x.t.Fatalf("after removed entry %d: %+v, %v", i, next, err)
		}
	} else if h.Batch != b || h.Offset != b.BaseOffset || h.NextOffset != b.NextOffset() {
		x.t.Fatalf("head of entry %d is %+v, its batch %+v", i, h, b)
	}
}

func (x *keyedRun) checkEntry(i uint64, e log.Entry, b keyedBatch, present map[int64]bool) {
	x.t.Helper()
	h, err := recordbatch.ParseHeader(e.Data)
	x.fatal(err)
	_, horizon := h.DeleteHorizon()
	n := 0
	for o := b.base; o < b.next; o++ {
		if present[o] {
			n++
		}
	}
	whole := n == int(b.next-b.base)
	switch {
	case e.Kind == log.KindRemoved:
		if n > 0 || h.BaseOffset > b.base || h.NextOffset() < b.next {
			x.t.Fatalf("entry %d is a stand-in for [%d, %d), the batch was at [%d, %d)", i, h.BaseOffset, h.NextOffset(), b.base, b.next)
		}
	case h.BaseOffset != b.base || h.NextOffset() != b.next:
		x.t.Fatalf("entry %d spans [%d, %d), want [%d, %d)", i, h.BaseOffset, h.NextOffset(), b.base, b.next)
	case whole && !horizon && !bytes.Equal(e.Data, b.data):
		x.t.Fatalf("entry %d, batch at %d, has lost nothing and has changed", i, b.base)
	}
}

// checkReads reads from anywhere: the first record at or after an offset is in the
// range that is returned for it.
func (x *keyedRun) checkReads(present map[int64]bool) {
	x.t.Helper()
	for range min(20, x.end()-x.start) {
		offset := x.start + x.r.Int64N(x.end()-x.start)
		want := offset
		for want < x.end() && !present[want] {
			want++
		}
		r, err := x.l.Read(offset, []int{1, 300, 5000}[x.r.IntN(3)], x.end(), true)
		x.fatal(err)
		b, err := r.AppendTo(nil)
		x.fatal(errors.Join(err, r.Release()))
		got := x.end()
		for len(b) > 0 && got == x.end() {
			h, err := recordbatch.ParseHeader(b)
			x.fatal(err)
			for record, err := range recordbatch.Records(b, 0) {
				x.fatal(err)
				if record.Offset >= offset {
					got = min(got, record.Offset)
				}
			}
			b = b[h.SizeBytes():]
		}
		if got != want {
			x.t.Fatalf("read at %d gives record %d first, want %d", offset, got, want)
		}
	}
}

// checkTimes compares lookups by time with the records that are there.
func (x *keyedRun) checkTimes(present map[int64]bool) {
	x.t.Helper()
	offsets := make([]int64, 0, len(present))
	for o := range present {
		offsets = append(offsets, o)
	}
	slices.Sort(offsets)
	ts := x.now.UnixMilli() - int64(x.r.IntN(100_000))
	first, newest := int64(-1), int64(-1)
	for _, o := range offsets {
		at := x.records[o].Timestamp
		if first < 0 && at >= ts {
			first = o
		}
		if newest < 0 || at > x.records[newest].Timestamp {
			newest = o
		}
	}
	for _, lookup := range []struct {
		what string
		want int64
		find func() (log.Found, bool, error)
	}{
		{"first record by time", first, func() (log.Found, bool, error) { return x.l.OffsetForTimestamp(ts, x.end()) }},
		{"newest record", newest, func() (log.Found, bool, error) { return x.l.MaxTimestamp(x.end()) }},
	} {
		got, ok, err := lookup.find()
		x.fatal(err)
		if ok != (lookup.want >= 0) || ok && got.Offset != lookup.want {
			x.t.Fatalf("%s: %+v %v, want offset %d", lookup.what, got, ok, lookup.want)
		}
	}
}

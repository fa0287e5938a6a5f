package partition

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"weir/log"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// txnModel is what a log with transactions should give, written plainly: all that was appended, looked through
// from the front for each question.
type txnModel struct {
	entries []txnEntry
	start   int64
}

type txnEntry struct {
	base, next int64
	who        identity
	in         bool    // of a transaction
	marker     *Marker // nil for records
	records    []recordbatch.Record
}

func (m *txnModel) end() int64 {
	if n := len(m.entries); n > 0 {
		return m.entries[n-1].next
	}
	return 0
}

// cut drops what a crash has taken.
func (m *txnModel) cut(end int64) {
	for len(m.entries) > 0 && m.end() > end {
		m.entries = m.entries[:len(m.entries)-1]
	}
}

// open is the first offsets of the transactions that are open at an offset, by producer.
func (m *txnModel) open(at int64) map[int64]int64 {
	open := map[int64]int64{}
	for _, e := range m.entries {
		switch _, has := open[e.who.id]; {
		case e.base >= at:
			return open
		case e.marker != nil:
			delete(open, e.who.id)
		case e.in && !has:
			open[e.who.id] = e.base
		}
	}
	return open
}

// stable is the last stable offset under a high watermark.
func (m *txnModel) stable(highWatermark int64) int64 {
	stable := highWatermark
	for _, first := range m.open(highWatermark) {
		stable = min(stable, first)
	}
	return max(stable, m.start)
}

// committed is the records below a last stable offset that a reader is to be given.
func (m *txnModel) committed(stable int64) (records []recordbatch.Record) {
	for i, e := range m.entries {
		if e.next > stable || e.marker != nil || e.in && !m.commits(i) {
			continue
		}
		for _, r := range e.records {
			if r.Offset >= m.start {
				records = append(records, r)
			}
		}
	}
	return records
}

// commits says how the transaction of an entry ended.
func (m *txnModel) commits(i int) bool {
	for _, e := range m.entries[i:] {
		if e.marker != nil && e.who.id == m.entries[i].who.id {
			return e.marker.Commit
		}
	}
	return false
}

// next is the identity under which a producer sends next.
func (m *txnModel) next(id int64) identity {
	who := identity{id: id}
	for _, e := range m.entries {
		if e.who.id != id {
			continue
		}
		if e.who.epoch > who.epoch {
			who.epoch, who.sequence = e.who.epoch, 0
		}
		if e.marker == nil {
			who.sequence += int32(len(e.records))
		}
	}
	return who
}

// lastValues is what a compacted log has to be left with.
func lastValues(records []recordbatch.Record) map[string]string {
	last := map[string]string{}
	for _, r := range records {
		last[string(r.Key)] = fmt.Sprintf("%d %x", r.Offset, r.Value)
	}
	return last
}

// txnWorld drives a partition through random transactions, restarts and crashes beside its model.
type txnWorld struct {
	t       testing.TB
	rng     *rand.Rand
	fs      *vfs.Mem
	r       *rig
	m       txnModel
	set     Settings
	appends []*Append // since the partition was opened
	seen    int64     // the last stable offset of the last look
}

// fixedTime is what all incarnations take for the time.
func fixedTime() time.Time { return time.UnixMilli(1_700_000_000_000) }

func (w *txnWorld) open(mode log.RecoveryMode) {
	w.t.Helper()
	r, err := tryOpenWith(w.fs, mode, w.set, func(c *Config) { c.Now = fixedTime })
	if err != nil {
		w.t.Fatal(err)
	}
	w.r, w.appends = r, nil
}

func (w *txnWorld) took(a *Append, e txnEntry, n int64) {
	w.t.Helper()
	if err := a.refused(); err != nil {
		w.t.Fatalf("%+v: %v", e.who, err)
	}
	e.base = w.m.end()
	if e.next = e.base + n; a.BaseOffset != e.base {
		w.t.Fatalf("%+v lies at %d, want %d", e.who, a.BaseOffset, e.base)
	}
	for i := range e.records {
		e.records[i].Offset = e.base + int64(i)
	}
	w.m.entries, w.appends = append(w.m.entries, e), append(w.appends, a)
}

// send appends a batch as what its producer may send: of its transaction when that is open, else as drawn.
func (w *txnWorld) send(id int64) {
	w.t.Helper()
	who := nobody
	if id >= 0 {
		who = w.m.next(id)
	}
	_, in := w.m.open(w.m.end())[id]
	in = id >= 0 && (in || w.rng.IntN(3) > 0)
	n := 1 + w.rng.IntN(4)
	b := makeBatch(w.t, w.rng, who, n)
	if in {
		b = transactional(w.t, w.rng, who, n)
	}
	var records []recordbatch.Record
	for r, err := range recordbatch.Records(b.Data, 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		records = append(records, recordbatch.Record{Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)})
	}
	w.took(w.r.put(b, Acks(w.rng.IntN(3)-1)), txnEntry{who: who, in: in, records: records}, int64(n))
}

// mark appends a marker, often of nothing.
func (w *txnWorld) mark(id int64) {
	w.t.Helper()
	who := w.m.next(id)
	if w.rng.IntN(3) == 0 {
		who.epoch++
	}
	m := Marker{ProducerID: id, ProducerEpoch: who.epoch, Commit: w.rng.IntN(2) == 0}
	w.took(w.r.inLog(w.r.ProposeMarker(m)), txnEntry{who: who, marker: &m}, 1)
}

func (w *txnWorld) work(n int) {
	w.t.Helper()
	for range n {
		switch k := w.rng.IntN(100); {
		case k < 15:
			w.send(-1)
		case k < 60:
			w.send(w.rng.Int64N(producerCount))
		case k < 85:
			w.mark(w.rng.Int64N(producerCount))
		case k < 88:
			w.deleteRecords()
		case k < 92:
			w.maintain()
		default:
			w.compare()
		}
		w.look()
	}
}

func (w *txnWorld) deleteRecords() {
	w.t.Helper()
	to := w.m.start + w.rng.Int64N(max(1, (w.r.HighWatermark()-w.m.start)/4)+1)
	if to > w.r.HighWatermark() {
		return
	}
	start, err := w.r.DeleteRecords(context.Background(), to)
	if err != nil {
		w.t.Fatal(err)
	}
	w.m.start = start
}

func (w *txnWorld) maintain() {
	w.t.Helper()
	if err := w.r.Maintain(fixedTime()); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.r.Compact(context.Background(), fixedTime(), nil); err != nil {
		w.t.Fatal(err)
	}
}

// look is what a reader does at any time: the last stable offset never goes back, nor above an open transaction.
func (w *txnWorld) look() {
	w.t.Helper()
	stable, high := w.r.LastStableOffset(), w.r.HighWatermark()
	if stable < w.seen || stable > high || stable > w.m.stable(high) {
		w.t.Fatalf("last stable offset %d, seen %d; high watermark %d, where it is %d at most", stable, w.seen, high, w.m.stable(high))
	}
	w.seen = stable
}

// compare waits for everything and reads it.
func (w *txnWorld) compare() {
	w.t.Helper()
	for _, a := range w.appends {
		if err := await(w.t, a); err != nil {
			w.t.Fatalf("batch at %d: %v", a.BaseOffset, err)
		}
	}
	awaitHigh(w.t, w.r.Partition, w.m.end()) // not all acks wait for that
	w.settled()
}

// settled compares a partition in which everything is committed with the model.
func (w *txnWorld) settled() {
	w.t.Helper()
	high, stable := w.r.HighWatermark(), w.r.LastStableOffset()
	if high != w.m.end() || stable != w.m.stable(high) {
		w.t.Fatalf("last stable offset %d below %d, want %d below %d", stable, high, w.m.stable(high), w.m.end())
	}
	got, want := committedRecords(w.t, w.r.Partition, w.m.start), w.m.committed(stable)
	if a, b := lastValues(got), lastValues(want); !maps.Equal(a, b) {
		w.t.Fatalf("last committed values:\n%v\nwant\n%v", a, b)
	}
	same := func(a, b recordbatch.Record) bool { return a.Offset == b.Offset && bytes.Equal(a.Value, b.Value) }
	if !w.set.Compact && !slices.EqualFunc(got, want, same) {
		w.t.Fatalf("%d committed records, want %d", len(got), len(want))
	}
	open := w.m.open(high)
	for _, s := range w.r.Producers() {
		first, in := open[s.ID]
		if in != (s.Transaction >= 0) || in && !w.set.Compact && first != s.Transaction {
			w.t.Fatalf("producer %d has a transaction from %d, want %d (%t)", s.ID, s.Transaction, first, in)
		}
		delete(open, s.ID)
	}
	if len(open) > 0 {
		w.t.Fatalf("open transactions that are not known: %v", open)
	}
	w.restored()
}

// restored compares the state with that of a log that has no checkpoint.
func (w *txnWorld) restored() {
	w.t.Helper()
	if w.r.log.FirstRaftIndex() != 1 || w.set.Compact {
		return // the log alone does not tell it
	}
	fs := w.fs.ProcessCrashClone()
	names, err := checkpoints(fs, "/p")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, n := range names {
		if err := fs.Remove(checkpointName("/p", n)); err != nil {
			w.t.Fatal(err)
		}
	}
	other, err := tryOpenWith(fs, log.RecoverProcessCrash, w.set, func(c *Config) { c.Now = fixedTime })
	if err != nil {
		w.t.Fatal(err)
	}
	a, b := w.r.state.encodeBeside(w.m.start), other.state.encodeBeside(w.m.start)
	if err := other.stop(); err != nil {
		w.t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		w.t.Fatalf("the state that the log gives:\n%x\nwhile it was\n%x", b, a)
	}
}

// encodeBeside is a state without its place in the log, and without what maintenance may forget.
func (s *state) encodeBeside(start int64) []byte {
	return s.aborted[s.aborted.endedFrom(start):].append(s.producers.append(nil))
}

func (w *txnWorld) restart() {
	w.t.Helper()
	w.look()
	old, mode := w.r, log.RecoverClean
	switch w.rng.IntN(3) {
	case 0:
		mode = log.RecoverProcessCrash
		w.fs = w.fs.ProcessCrashClone()
	case 1:
		mode = log.RecoverPowerLoss
		w.fs = w.fs.CrashClone(vfs.CrashOptions{Seed: w.rng.Uint64N(8)})
	}
	if err := old.stop(); err != nil {
		w.t.Fatal(err)
	}
	w.open(mode)
	if w.r.LogEndOffset() < w.seen {
		w.t.Fatalf("the log ends at %d, readers saw up to %d", w.r.LogEndOffset(), w.seen)
	}
	w.m.cut(w.r.LogEndOffset())
	w.settled()
	w.seen = w.r.LastStableOffset()
}

// TestTransactionsModel goes through random lives of a partition with transactions: what readers at ReadCommitted
// are given is what the model says, after each restart, too.
func TestTransactionsModel(t *testing.T) {
	lives := 40
	if testing.Short() {
		lives = 10
	}
	for seed := range uint64(lives) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			w := &txnWorld{t: t, rng: rand.New(rand.NewPCG(seed, 0x74786e)), fs: vfs.NewMem(), set: testSettings()}
			w.set.Log.SegmentBytes = int64(1+w.rng.IntN(4)) << 10
			w.set.Compact = seed%2 == 1
			w.open(log.RecoverClean)
			defer func() {
				if err := w.r.stop(); err != nil {
					t.Error(err)
				}
			}()
			for range 6 {
				w.work(w.rng.IntN(80))
				w.restart()
			}
		})
	}
}

// awaitHigh waits until a high watermark is reached.
func awaitHigh(t testing.TB, p *Partition, offset int64) {
	t.Helper()
	w := NewWaiter()
	p.Attach(w)
	defer p.Detach(w)
	for late := time.After(patience); p.HighWatermark() < offset; {
		select {
		case <-w.C():
		case <-late:
			t.Fatalf("the high watermark is %d, want %d", p.HighWatermark(), offset)
		}
	}
}

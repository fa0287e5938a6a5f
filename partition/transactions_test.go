package partition

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"weir/log"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// script drives a partition by batches of one record each, whose offsets are given in the order of the lines.
type script struct {
	*rig
	t   *testing.T
	rng *rand.Rand
}

func newScript(t *testing.T) *script {
	s := &script{rig: open(t, vfs.NewMem(), log.RecoverClean, testSettings()), t: t, rng: rand.New(rand.NewPCG(1, 1))}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// in proposes a batch of a transaction and returns what becomes of it.
func (s *script) in(id int64, epoch int16, sequence int32) error {
	s.t.Helper()
	return await(s.t, s.Propose(transactional(s.t, s.rng, identity{id, epoch, sequence}, 1), AcksAll))
}

// out proposes a batch outside of transactions.
func (s *script) out(who identity) error {
	s.t.Helper()
	return await(s.t, s.Propose(makeBatch(s.t, s.rng, who, 1), AcksAll))
}

// end proposes a marker.
func (s *script) end(m Marker) error {
	s.t.Helper()
	_, err := s.EndTransaction(context.Background(), m)
	return err
}

func (s *script) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// stable wants the watermarks.
func (s *script) stable(lastStable, highWatermark int64) {
	s.t.Helper()
	if got, high := s.LastStableOffset(), s.HighWatermark(); got != lastStable || high != highWatermark {
		s.t.Fatalf("last stable offset %d below %d, want %d below %d", got, high, lastStable, highWatermark)
	}
}

// committed is the offsets of committedRecords.
func committed(t testing.TB, p *Partition, from int64) (offsets []int64) {
	t.Helper()
	for _, r := range committedRecords(t, p, from) {
		offsets = append(offsets, r.Offset)
	}
	return offsets
}

// committedRecords is what a reader at ReadCommitted is left with, worked out as clients do.
func committedRecords(t testing.TB, p *Partition, from int64) (records []recordbatch.Record) {
	t.Helper()
	aborting := map[int64]bool{}
	for next := from; next < p.LastStableOffset(); {
		stable := p.LastStableOffset()
		r, aborted, err := p.ReadStable(next, 3000, true)
		if err != nil {
			t.Fatalf("read at %d: %v", next, err)
		}
		if r.Bytes == 0 && r.NextOffset >= stable {
			break // compaction has left nothing
		}
		if r.Bytes == 0 || r.NextOffset <= next {
			t.Fatalf("read at %d below the last stable offset %d gives %d bytes up to %d", next, stable, r.Bytes, r.NextOffset)
		}
		if !slices.IsSortedFunc(aborted, func(a, b AbortedTransaction) int { return int(a.FirstOffset - b.FirstOffset) }) {
			t.Fatalf("aborted transactions are not by their first offset: %v", aborted)
		}
		all, err := r.AppendTo(nil)
		if err = errors.Join(err, r.Release()); err != nil {
			t.Fatal(err)
		}
		for len(all) > 0 {
			h, err := recordbatch.ParseHeader(all)
			if err != nil {
				t.Fatal(err)
			}
			for len(aborted) > 0 && aborted[0].FirstOffset <= h.LastOffset() {
				aborting[aborted[0].ProducerID] = true
				aborted = aborted[1:]
			}
			switch {
			case h.IsControl():
				if m, err := recordbatch.ParseMarker(all[:h.SizeBytes()]); err != nil {
					t.Fatal(err)
				} else if !m.Commit {
					delete(aborting, h.ProducerID)
				}
			case !h.IsTransactional() || !aborting[h.ProducerID]:
				for record, err := range recordbatch.Records(all[:h.SizeBytes()], 0) {
					if err != nil {
						t.Fatal(err)
					}
					if record.Offset >= from {
						records = append(records, record)
					}
				}
			}
			all = all[h.SizeBytes():]
		}
		next = r.NextOffset
	}
	return records
}

// TestTransactions: what is open holds the last stable offset back, the oldest first; what has ended is read
// or left out as its marker says.
func TestTransactions(t *testing.T) {
	s := newScript(t)
	s.ok(s.out(nobody)) // 0
	s.ok(s.in(1, 0, 0)) // 1
	s.ok(s.in(2, 0, 0)) // 2
	s.ok(s.out(nobody)) // 3
	s.stable(1, 4)
	if !s.InTransaction(1, 0) || s.InTransaction(1, 1) || s.InTransaction(3, 0) {
		t.Error("who is in a transaction?")
	}
	s.ok(s.in(1, 0, 1))                // 4
	s.ok(s.end(Marker{ProducerID: 2})) // 5
	s.stable(1, 6)
	s.ok(s.in(2, 0, 1))                              // 6
	s.ok(s.end(Marker{ProducerID: 1, Commit: true})) // 7
	s.stable(6, 8)
	if s.InTransaction(1, 0) {
		t.Error("a transaction that was committed is open")
	}
	if got := committed(t, s.Partition, 0); !slices.Equal(got, []int64{0, 1, 3, 4}) {
		t.Errorf("committed: %v", got)
	}
	s.ok(s.end(Marker{ProducerID: 2, Commit: true})) // 8
	s.stable(9, 9)
	if got := committed(t, s.Partition, 0); !slices.Equal(got, []int64{0, 1, 3, 4, 6}) {
		t.Errorf("committed: %v", got)
	}
	s.ok(s.end(Marker{ProducerID: 2})) // 9: of nothing
	s.stable(10, 10)
	if got := committed(t, s.Partition, 0); !slices.Equal(got, []int64{0, 1, 3, 4, 6}) {
		t.Errorf("committed: %v", got)
	}
}

// TestAbortedOverlap: a reader is told of what overlaps its range, by first offset, though it ended in another
// order, and of nothing else.
func TestAbortedOverlap(t *testing.T) {
	s := newScript(t)
	s.ok(s.in(1, 0, 0))                // 0
	s.ok(s.in(2, 0, 0))                // 1
	s.ok(s.in(3, 0, 0))                // 2
	s.ok(s.end(Marker{ProducerID: 3})) // 3
	s.ok(s.end(Marker{ProducerID: 1})) // 4
	s.ok(s.end(Marker{ProducerID: 2})) // 5
	s.ok(s.in(3, 0, 1))                // 6
	s.ok(s.end(Marker{ProducerID: 3})) // 7
	index := *s.aborted.Load()
	for _, c := range []struct {
		from, to int64
		want     string
	}{
		{0, 8, "1@0 2@1 3@2 3@6 "}, {0, 1, "1@0 "}, {1, 2, "1@0 2@1 "}, {3, 4, "1@0 2@1 3@2 "},
		{4, 5, "1@0 2@1 "}, {5, 6, "2@1 "}, {6, 8, "3@6 "}, {7, 8, "3@6 "}, {8, 9, ""},
	} {
		got := ""
		for _, a := range index.overlapping(c.from, c.to) {
			got += fmt.Sprintf("%d@%d ", a.ProducerID, a.FirstOffset)
		}
		if got != c.want {
			t.Errorf("[%d, %d): got %q, want %q", c.from, c.to, got, c.want)
		}
	}
}

// TestTransactionRefusals walks one producer through what may follow what.
func TestTransactionRefusals(t *testing.T) {
	s := newScript(t)
	fenced, state, gap, coordinator := new(*ProducerEpochError), new(*TransactionStateError), new(*SequenceError), new(*CoordinatorEpochError)
	refused := func(what string, err error, as any) {
		t.Helper()
		if err == nil || !errors.As(err, as) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.ok(s.out(identity{1, 3, 0}))
	s.ok(s.in(1, 3, 1))
	refused("outside of the open transaction", s.out(identity{1, 3, 2}), state)
	refused("an older instance in it", s.in(1, 2, 0), fenced)
	refused("a marker of an older instance", s.end(Marker{ProducerID: 1, ProducerEpoch: 2}), fenced)
	refused("a late marker", s.end(Marker{ProducerID: 1, ProducerEpoch: 3, Bumped: true}), fenced)
	s.ok(s.end(Marker{ProducerID: 1, ProducerEpoch: 4, CoordinatorEpoch: 7, Bumped: true}))
	s.ok(s.end(Marker{ProducerID: 1, ProducerEpoch: 4, CoordinatorEpoch: 7, Bumped: true})) // once more, of nothing
	refused("the instance that was fenced", s.in(1, 3, 2), fenced)
	refused("and outside of transactions", s.out(identity{1, 3, 2}), fenced)
	refused("the next epoch in mid-sequence", s.in(1, 4, 2), gap)
	s.ok(s.in(1, 4, 0))
	refused("an older coordinator", s.end(Marker{ProducerID: 1, ProducerEpoch: 4, CoordinatorEpoch: 6, Commit: true}), coordinator)
	s.ok(s.end(Marker{ProducerID: 1, ProducerEpoch: 4, CoordinatorEpoch: 7, Commit: true}))
	s.ok(s.in(1, 4, 1)) // the first version of transactions goes on in the epoch
	s.ok(s.end(Marker{ProducerID: 1, ProducerEpoch: 4, CoordinatorEpoch: 8, Commit: true}))
	s.ok(s.out(identity{1, 4, 2}))
	got := s.Producers()
	got[0].LastTimestamp = 0
	if want := (ProducerState{ID: 1, Epoch: 4, LastSequence: 2, CoordinatorEpoch: 8, Transaction: -1}); len(got) != 1 || got[0] != want {
		t.Errorf("producers %+v, want %+v", got, want)
	}
	s.stable(s.HighWatermark(), s.HighWatermark())
}

// TestTransactionWithoutSequence: a batch of the broker's own, as the group coordinator writes.
func TestTransactionWithoutSequence(t *testing.T) {
	s := newScript(t)
	for range 2 {
		s.ok(s.in(1, 2, -1))
	}
	s.stable(0, 2)
	if fenced := new(ProducerEpochError); !errors.As(s.in(1, 1, -1), &fenced) {
		t.Error("an older instance is not fenced")
	}
	s.ok(s.end(Marker{ProducerID: 1, ProducerEpoch: 2, Commit: true}))
	s.stable(3, 3)
}

// TestTransactionsAhead: what is checked counts before it is committed, and no more once it is refused.
func TestTransactionsAhead(t *testing.T) {
	// A disk that takes its time.
	fsys := vfs.Inject(vfs.NewMem(), vfs.NewInjector(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Times: -1, Delay: time.Millisecond}))
	r := open(t, fsys, log.RecoverClean, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	var all []*Append
	for i := range int32(20) {
		all = append(all, r.Propose(transactional(t, rng, identity{1, 0, i}, 1), AcksAll))
		if !r.InTransaction(1, 0) {
			t.Fatal("a batch on its way opens no transaction")
		}
	}
	all = append(all, r.ProposeMarker(Marker{ProducerID: 1, ProducerEpoch: 1, Commit: true}))
	if r.InTransaction(1, 0) || r.InTransaction(1, 1) {
		t.Error("a marker on its way ends none")
	}
	zombie := r.Propose(transactional(t, rng, identity{1, 0, 20}, 1), AcksAll)
	if fenced := new(ProducerEpochError); !errors.As(await(t, zombie), &fenced) {
		t.Error("a batch behind its marker is not fenced")
	}
	all = append(all, r.Propose(transactional(t, rng, identity{1, 1, 0}, 1), AcksAll))
	for i, a := range all {
		if err := await(t, a); err != nil || a.BaseOffset != int64(i) {
			t.Fatalf("append %d: offset %d, %v", i, a.BaseOffset, err)
		}
	}
	if got := r.LastStableOffset(); got != 21 {
		t.Errorf("last stable offset %d, want 21", got)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if r.beginning != 0 || len(r.ahead) != 0 {
		t.Errorf("%d transactions and %d producers are still on their way", r.beginning, len(r.ahead))
	}
}

// TestTransactionLimits: one more than a partition bears is refused, and what is open goes on.
func TestTransactionLimits(t *testing.T) {
	s := newScript(t)
	var last *Append
	for id := range int64(maxOpenTransactions) {
		last = s.Propose(transactional(t, s.rng, identity{id: id}, 1), AcksAll)
	}
	s.ok(await(t, last))
	limit := new(TransactionLimitError)
	if err := s.in(maxOpenTransactions, 0, 0); !errors.As(err, &limit) || limit.Open != maxOpenTransactions {
		t.Fatalf("one more transaction: %v", err)
	}
	// Neither are they forgotten, though there are more than producers are remembered.
	s.ok(s.in(0, 0, 1))
	if err := s.Maintain(time.Now().Add(2 * testSettings().ProducerExpiry)); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Producers()); n != maxOpenTransactions {
		t.Errorf("%d producers are left", n)
	}
	s.ok(s.end(Marker{ProducerID: 0}))
	s.ok(s.in(maxOpenTransactions, 0, 0))
	s.mu.Lock()
	s.setAborted(make(abortedIndex, maxAbortedTransactions-maxOpenTransactions))
	s.mu.Unlock()
	s.ok(s.end(Marker{ProducerID: 1}))
	if err := s.in(1, 0, 1); !errors.As(err, &limit) || limit.Aborted <= maxAbortedTransactions-maxOpenTransactions {
		t.Errorf("with the memory full of aborted ones: %v", err)
	}
}

// TestAbortedForgotten: of an aborted transaction nothing is remembered once its records are below the log start,
// and an open one holds readers at the log start.
func TestAbortedForgotten(t *testing.T) {
	s := newScript(t)
	s.ok(s.in(1, 0, 0))                // 0
	s.ok(s.end(Marker{ProducerID: 1})) // 1
	s.ok(s.in(1, 0, 1))                // 2
	s.ok(s.in(2, 0, 0))                // 3
	s.ok(s.end(Marker{ProducerID: 1})) // 4
	s.ok(s.out(nobody))                // 5
	for _, c := range []struct {
		start int64
		want  int
	}{{1, 2}, {2, 1}, {4, 1}} {
		if _, err := s.DeleteRecords(context.Background(), c.start); err != nil {
			t.Fatal(err)
		}
		if err := s.Maintain(time.Now()); err != nil {
			t.Fatal(err)
		}
		if got := len(*s.aborted.Load()); got != c.want {
			t.Errorf("log start %d: %d are remembered, want %d", c.start, got, c.want)
		}
	}
	s.stable(4, 6)
	if got := committed(t, s.Partition, 4); len(got) != 0 {
		t.Errorf("read below an open transaction: %v", got)
	}
	s.ok(s.end(Marker{ProducerID: 2, Commit: true}))
	s.stable(7, 7)
	if got := committed(t, s.Partition, 4); !slices.Equal(got, []int64{5}) {
		t.Errorf("committed: %v", got)
	}
}

// TestReaderWokenByMarker: a reader at ReadCommitted that has come to an open transaction hears of its end.
func TestReaderWokenByMarker(t *testing.T) {
	s := newScript(t)
	s.ok(s.in(1, 0, 0))
	w := NewWaiter()
	s.Attach(w)
	defer s.Detach(w)
	if got := s.Limit(ReadCommitted); got != 0 {
		t.Fatalf("limit %d", got)
	}
	s.ok(s.end(Marker{ProducerID: 1, Commit: true}))
	select {
	case <-w.C():
	case <-time.After(patience):
		t.Fatal("nobody woke it")
	}
	s.stable(2, 2)
}

// TestBatchOfOneLeadership: what was found good under one leadership is not taken under another.
func TestBatchOfOneLeadership(t *testing.T) {
	s := newScript(t)
	epoch, _ := s.Leading()
	b := transactional(t, s.rng, identity{id: 1}, 1)
	for _, other := range []int32{epoch + 1, -1} {
		b.LeaderEpoch = other
		if err := await(t, s.Propose(b, AcksAll)); !errors.As(err, new(*NotLeaderError)) {
			t.Errorf("of leadership %d, under %d: %v", other, epoch, err)
		}
	}
	b.LeaderEpoch = epoch
	s.ok(await(t, s.Propose(b, AcksAll)))
}

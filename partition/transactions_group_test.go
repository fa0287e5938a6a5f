package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"weir/log"
	"weir/protocol/recordbatch"
)

// read adds what the bytes of a log have beyond the model's end.
func (m *txnModel) read(t testing.TB, all []byte) {
	t.Helper()
	for len(all) > 0 {
		h, err := recordbatch.ParseHeader(all)
		if err != nil {
			t.Fatal(err)
		}
		e := txnEntry{base: h.BaseOffset, next: h.NextOffset(), who: identity{h.ProducerID, h.ProducerEpoch, h.BaseSequence}, in: h.IsTransactional()}
		b := all[:h.SizeBytes()]
		if h.IsControl() {
			marker, err := recordbatch.ParseMarker(b)
			if err != nil {
				t.Fatal(err)
			}
			e.marker = &Marker{Commit: marker.Commit}
		}
		for r, err := range recordbatch.Records(b, 0) {
			if err != nil {
				t.Fatal(err)
			}
			e.records = append(e.records, recordbatch.Record{Offset: r.Offset, Value: bytes.Clone(r.Value)})
		}
		if all = all[len(b):]; e.base >= m.end() {
			m.entries = append(m.entries, e)
		}
	}
}

// txnWriter is what producers remember of themselves.
type txnWriter struct {
	g   *group
	rng *rand.Rand
	at  map[int64]*identity
	m   txnModel // of all that was committed
}

// known is what a replica knows of producers and transactions, the times of this machine aside.
func known(p *Partition) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	p.state.producers.all(func(x *producer) {
		fmt.Fprintln(&b, x.id, x.epoch, x.coordinatorEpoch, x.transaction, x.batches[:x.n])
	})
	aborted := p.state.aborted
	fmt.Fprint(&b, p.state.producers.next, aborted[aborted.endedFrom(p.log.LogStartOffset()):])
	return b.String()
}

// agree wants all replicas to know the same of transactions, and readers of each to be given what the log says.
func (w *txnWriter) agree() {
	g := w.g
	g.t.Helper()
	w.m.read(g.t, g.same())
	want := ""
	for _, m := range g.nodes {
		if m.rig == nil {
			continue
		}
		if got := known(m.Partition); want == "" {
			want = got
		} else if got != want {
			g.t.Fatalf("node %d knows\n%s\nand another one\n%s", m.node, got, want)
		}
		w.m.start = m.LogStartOffset()
		stable, high := m.LastStableOffset(), m.HighWatermark()
		if want := w.m.stable(high); stable != want {
			g.t.Fatalf("node %d: last stable offset %d, want %d", m.node, stable, want)
		}
		same := func(a, b recordbatch.Record) bool { return a.Offset == b.Offset && bytes.Equal(a.Value, b.Value) }
		if got, want := committedRecords(g.t, m.Partition, m.LogStartOffset()), w.m.committed(stable); !slices.EqualFunc(got, want, same) {
			g.t.Fatalf("node %d: %d committed records, want %d", m.node, len(got), len(want))
		}
	}
}

// send has a producer's next batch committed, by whichever leader.
func (w *txnWriter) send(id int64) {
	w.g.t.Helper()
	at := w.at[id]
	if at == nil {
		at = &identity{id: id}
		w.at[id] = at
	}
	n := 1 + w.rng.IntN(4)
	w.g.put(transactional(w.g.t, w.rng, *at, n))
	at.sequence += int32(n)
}

// end has a marker committed, once or more often.
func (w *txnWriter) end(id int64, commit bool) {
	w.g.t.Helper()
	at := w.at[id]
	at.epoch, at.sequence = at.epoch+1, 0
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w.g.do(func(l *member) error {
		_, err := l.EndTransaction(ctx, Marker{ProducerID: id, ProducerEpoch: at.epoch, Commit: commit, Bumped: true})
		return err
	})
}

// some does n random things.
func (w *txnWriter) some(n int) {
	w.g.t.Helper()
	for range n {
		id := 1 + w.rng.Int64N(5)
		if w.at[id] != nil && w.rng.IntN(3) == 0 {
			w.end(id, w.rng.IntN(2) == 0)
		} else {
			w.send(id)
		}
	}
}

// TestTransactionsReplicated: leaders die amid transactions, and every replica comes to the same; so does one that
// begins with a snapshot, and leads.
func TestTransactionsReplicated(t *testing.T) {
	g := newGroup(t, 4, 3, testSettings())
	w := &txnWriter{g: g, rng: rand.New(rand.NewPCG(1, 1)), at: map[int64]*identity{}}
	w.send(9) // open from the first offset on
	for round := range 4 {
		w.some(15)
		l := g.leader()
		mode := g.crash(l, round%2 == 1)
		w.some(10)
		g.start(l, mode)
		w.agree()
		if got := l.LastStableOffset(); got != 0 {
			t.Fatalf("last stable offset %d with a transaction open from 0", got)
		}
	}
	w.end(9, false)
	w.send(9)
	w.some(40)
	w.agree()
	g.do(func(l *member) error {
		_, err := l.DeleteRecords(context.Background(), l.HighWatermark()-30)
		return err
	})
	g.forgets(g.leader(), 50)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	added := g.nodes[3]
	g.start(added, log.RecoverClean)
	g.do(func(l *member) error { return l.AddLearner(ctx, added.id) })
	w.some(5)
	w.agree()
	g.do(func(l *member) error { return l.Promote(ctx, added.id) })
	g.settle()
	g.do(func(l *member) error { return l.Transfer(ctx, added.id) })
	if l := g.leader(); l != added {
		t.Fatalf("node %d leads after the transfer", l.node)
	}
	fenced := new(ProducerEpochError)
	if err := await(t, added.Propose(transactional(t, w.rng, identity{id: 9, sequence: 1}, 1), AcksAll)); !errors.As(err, &fenced) {
		t.Errorf("a producer that the marker fenced: %v", err)
	}
	w.some(20)
	w.agree()
	g.stop(added)
	g.start(added, log.RecoverClean)
	w.agree()
}

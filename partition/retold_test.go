package partition

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"weir/log"
	"weir/protocol/recordbatch"
)

// until waits until something holds.
func (g *group) until(what string, holds func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatal(what)
		}
	}
}

// holdBack has a node not send another one the entry at a raft index, 0 for any, until the result is called.
func (g *group) holdBack(m, from *member, raftIndex uint64) (goOn func()) {
	released := make(chan struct{})
	alter := func(to raft.ServerID, entries []*raft.Log) {
		n := len(entries)
		if to == m.id && n > 0 && (raftIndex == 0 || entries[0].Index <= raftIndex && raftIndex <= entries[n-1].Index) {
			<-released
		}
	}
	from.alter.Store(&alter)
	release := sync.OnceFunc(func() {
		from.alter.Store(nil)
		close(released)
	})
	g.t.Cleanup(release) // before the group is stopped, which would wait for it
	return release
}

// TestAbortedOfAnotherLeader: a replica that begins with the snapshot of a leader that has compacted an aborted transaction, and
// forgotten it, is sent its records by one that has not. Nobody is shown them, before the marker, after it, or after a
// start in between; and they count for nothing when the replica compacts.
func TestAbortedOfAnotherLeader(t *testing.T) {
	set := testSettings()
	set.Log.SegmentBytes, set.Compact = 200, true
	g := newGroup(t, 4, 3, set)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	filler := 0
	fill := func(n int) {
		for range n {
			g.put(keyedBatch(t, nobody, fmt.Sprint("filler", filler%4), "x"))
			filler++
		}
	}
	fill(10)
	g.do(func(l *member) error {
		_, err := l.DeleteRecords(ctx, l.HighWatermark()-2)
		return err
	})
	g.settle()
	g.forgets(g.leader(), 2)
	fill(2)
	g.put(keyedBatch(t, nobody, "k", "good"))
	fill(2)
	b := keyedBatch(t, identity{id: 7}, "k", "bad")
	aborted := g.put(parsed(t, inTransaction(t, b)))
	fill(3 * maxAppendEntries) // so that the record comes in a message before the marker's
	var marker int64
	g.do(func(l *member) (err error) {
		marker, err = l.EndTransaction(ctx, Marker{ProducerID: 7})
		return err
	})
	fill(6)
	g.settle()

	a, f := g.leader(), g.nodes[3]
	g.compacted(a)
	if n := len(*a.aborted.Load()); n != 0 {
		t.Fatalf("the leader remembers %d aborted transactions", n)
	}
	goOn := g.holdBack(f, a, 0)
	g.start(f, log.RecoverClean)
	if err := a.AddLearner(ctx, f.id); err != nil {
		t.Fatal(err)
	}
	g.until("no snapshot is installed", func() bool { return a.snapshots.Load() > 0 && f.HighWatermark() > 0 })
	if high := f.HighWatermark(); high > aborted {
		t.Fatalf("the snapshot goes up to %d, past the aborted record at %d", high, aborted)
	}

	other := g.nodes[0]
	if other == a {
		other = g.nodes[1]
	}
	goOnOther := g.holdBack(f, other, entryOf(t, a.Partition, marker))
	g.handTo(other)
	goOn()
	g.until("the aborted record does not come", func() bool { return f.HighWatermark() > aborted })
	if stable := f.LastStableOffset(); stable != aborted {
		t.Errorf("before the marker the last stable offset is %d, want %d", stable, aborted)
	}
	f.saveCheckpoint()
	g.stop(f)
	g.start(f, log.RecoverClean)
	if stable := f.LastStableOffset(); stable != aborted {
		t.Errorf("started again, the last stable offset is %d, want %d", stable, aborted)
	}
	goOnOther()
	g.settle()
	show := func(m *member) {
		t.Helper()
		if got := valuesOf(t, m.Partition, "k"); !slices.Equal(got, []string{"good"}) {
			t.Errorf("node %d shows %q", m.node, got)
		}
	}
	show(other)
	show(f)
	if stable, high := f.LastStableOffset(), f.HighWatermark(); stable != high {
		t.Errorf("last stable offset %d below %d", stable, high)
	}
	g.compacted(f)
	show(f)
}

// inTransaction is a batch made one of a transaction.
func inTransaction(t *testing.T, b Batch) []byte {
	t.Helper()
	h := b.Header.InTransaction()
	var records []recordbatch.Record
	for r, err := range recordbatch.Records(b.Data, 0) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	data, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, records)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// entryOf is the raft index of the marker at an offset.
func entryOf(t *testing.T, p *Partition, offset int64) uint64 {
	t.Helper()
	for raftIndex := p.log.FirstRaftIndex(); ; raftIndex++ {
		head, err := p.log.EntryHead(raftIndex)
		if err != nil {
			t.Fatal(err)
		}
		if head.Kind == log.KindBatch && head.Offset == offset {
			return raftIndex
		}
	}
}

// valuesOf is what a reader at ReadCommitted is shown of a key.
func valuesOf(t *testing.T, p *Partition, key string) (values []string) {
	t.Helper()
	for _, r := range committedRecords(t, p, p.LogStartOffset()) {
		if string(r.Key) == key {
			values = append(values, string(r.Value))
		}
	}
	return values
}

// TestAbortedRetold: what is retold comes to its place in the index once, whatever is there, and readers that
// are told of less than all find what overlaps their range.
func TestAbortedRetold(t *testing.T) {
	x := abortedIndex{{ProducerID: 2, FirstOffset: 5, lastOffset: 50, stable: 51}, {ProducerID: 3, FirstOffset: 52, lastOffset: 60, stable: 61}}
	p := newProducers(10)
	p.next = 70
	in := func(id, base int64) {
		h := header(id, 0, 0, 1)
		h.Attributes = transactionalBit
		p.add(h, base, time.Now())
	}
	end := func(id, offset int64, commit bool) {
		if aborted, ok := p.end(Marker{ProducerID: id, Commit: commit}, offset, time.Now()); ok {
			x = x.with(aborted)
		}
	}
	in(1, 8)
	in(4, 9)
	in(1, 10)
	end(1, 15, false)
	in(2, 20)
	end(4, 21, true)
	end(2, 50, false)
	end(5, 51, false) // of a transaction whose records are gone
	in(6, 55)
	in(3, 56)
	end(3, 60, false)
	if got := p.stable(61); got != 55 {
		t.Errorf("last stable offset %d with a transaction open from 55", got)
	}
	end(7, 69, false)
	if got := p.stable(70); got != 70 || p.retold != nil {
		t.Errorf("last stable offset %d where the state is reached; %v is left", got, p.retold)
	}
	want := abortedIndex{{ProducerID: 1, FirstOffset: 8, lastOffset: 15, stable: 5}, {ProducerID: 2, FirstOffset: 5, lastOffset: 50, stable: 51}, {ProducerID: 3, FirstOffset: 52, lastOffset: 60, stable: 61}}
	if !slices.Equal(x, want) {
		t.Errorf("got %+v, want %+v", x, want)
	}
	if got := x.overlapping(10, 12); len(got) != 2 {
		t.Errorf("overlapping [10, 12): %+v", got)
	}
}

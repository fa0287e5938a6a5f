package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"weir/protocol/recordbatch"
)

// Transactions in a mixedRun, and what keyModel knows of them.

// modelTxn is a transaction. Its outcome is known between two steps: whoever ends it does so until it is acknowledged.
type modelTxn struct {
	first  int64       // offset of its first record
	end    int64       // where its marker was acknowledged to lie, -1 before that; one sent before may lie below
	marker *sentRecord // nil before that
	commit bool
}

func (x *modelTxn) aborted() bool   { return x != nil && x.end >= 0 && !x.commit }
func (x *modelTxn) committed() bool { return x == nil || x.end >= 0 && x.commit }

// openAt says whether it is open for who knows the log up to an offset.
func (x *modelTxn) openAt(offset int64) bool {
	return x.first < offset && (x.end < 0 || x.end >= offset)
}

// txnProducer is what a transactional producer remembers.
type txnProducer struct {
	mixedWriter
	open *modelTxn // nil: none
}

// transaction has a transactional producer begin, go on with or end a transaction, or send its last batch again.
func (c *mixedRun) transaction() {
	c.t.Helper()
	w := &c.transactional[c.rng.IntN(len(c.transactional))]
	switch n := c.rng.IntN(10); {
	case n == 0 && w.last != nil:
		if offset := c.put(parsed(c.t, w.last)); offset != w.offset {
			c.t.Fatalf("the last batch of producer %d is at %d, again at %d", w.next.id, w.offset, offset)
		}
	case n < 6 || w.open == nil:
		for range 1 + c.rng.IntN(2) {
			c.sendInTransaction(w)
		}
		if c.rng.IntN(2) == 0 {
			c.endTransaction(w)
		}
	default:
		c.endTransaction(w)
	}
}

func (c *mixedRun) sendInTransaction(w *txnProducer) {
	c.t.Helper()
	began := w.open == nil
	if began {
		w.open = &modelTxn{end: -1}
	}
	n := 1 + c.rng.IntN(4)
	b := c.m.name(w.next, c.m.draw(c.rng, n, c.now), w.open)
	w.last, w.next.sequence = b.Data, w.next.sequence+int32(n)
	w.offset = c.put(b)
	c.m.acknowledged(b, w.offset)
	if began {
		w.open.first = w.offset
		c.m.txns = append(c.m.txns, w.open)
	}
}

// endTransaction does what a coordinator does, which may fence the producer, or not hear that its marker is written.
func (c *mixedRun) endTransaction(w *txnProducer) {
	c.t.Helper()
	old := w.next
	marker := Marker{ProducerID: old.id, ProducerEpoch: old.epoch, Commit: c.rng.IntN(2) == 0}
	fences := c.rng.IntN(4) == 0
	if fences {
		marker.ProducerEpoch, marker.Bumped = old.epoch+1, true
		w.next.epoch, w.next.sequence, w.last = marker.ProducerEpoch, 0, nil
		c.did.fenced.Add(1)
	}
	w.open.marker, w.open.end = c.mark(marker)
	if w.open.commit, w.open = marker.Commit, nil; marker.Commit {
		c.did.committed.Add(1)
	} else {
		c.did.aborted.Add(1)
	}
	if c.rng.IntN(5) == 0 {
		c.mark(marker)
	}
	if fences {
		c.fenced(old)
	}
}

func (c *mixedRun) endTransactions() {
	c.t.Helper()
	for i := range c.transactional {
		if w := &c.transactional[i]; w.open != nil {
			c.endTransaction(w)
		}
	}
}

func (c *mixedRun) mark(marker Marker) (s *sentRecord, offset int64) {
	c.t.Helper()
	s = c.m.marker(marker)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.do(func(l *member) (err error) {
		offset, err = l.EndTransaction(ctx, marker)
		return err
	})
	c.m.acknowledge(s, offset)
	return s, offset
}

// fenced has a producer's older instance send what is to be refused.
func (c *mixedRun) fenced(old identity) {
	c.t.Helper()
	b := c.m.lost(c, old)
	c.do(func(l *member) error {
		err := await(c.t, l.Propose(parsed(c.t, bytes.Clone(b.Data)), AcksAll))
		if late := new(ProducerEpochError); errors.As(err, &late) {
			return nil
		}
		if err == nil {
			c.t.Fatalf("a batch of producer %d is taken in epoch %d, which was fenced", old.id, old.epoch)
		}
		return err
	})
}

// alone has a leader that is cut off write something, which nobody is ever to see if it is of a transaction.
func (c *mixedRun) alone(old *member) *Append {
	c.t.Helper()
	w := &c.transactional[c.rng.IntN(len(c.transactional))]
	switch c.rng.IntN(4) {
	case 0:
		return old.Propose(c.m.lost(c, w.next), AcksLeader)
	case 1:
		return old.ProposeMarker(Marker{ProducerID: w.next.id, ProducerEpoch: w.next.epoch, Commit: c.rng.IntN(2) == 0})
	}
	return old.Propose(c.m.batch(c.rng, nobody, 1+c.rng.IntN(4), c.now), AcksLeader)
}

// lost makes a batch of a transaction that never comes to be.
func (m *keyModel) lost(c *mixedRun, who identity) Batch {
	m.t.Helper()
	b := m.name(who, m.draw(c.rng, 1+c.rng.IntN(4), c.now), &modelTxn{end: -1})
	for _, r := range m.decode(b.Data) {
		m.sent[nameOf(r)].never = true
	}
	return b
}

// marker notes that a marker is about to be written. Those of a producer's epoch with one outcome are all the same.
func (m *keyModel) marker(x Marker) *sentRecord {
	r := markerRecord(x, 0)
	s := m.sent[nameOf(r)]
	if s == nil {
		s = &sentRecord{Record: r, at: -1, marker: true}
		m.sent[nameOf(r)] = s
	}
	return s
}

func markerRecord(x Marker, offset int64) recordbatch.Record {
	name := fmt.Sprintf("marker of producer %d, epoch %d, commit %t", x.ProducerID, x.ProducerEpoch, x.Commit)
	return recordbatch.Record{Offset: offset, Headers: []recordbatch.RecordHeader{{Key: nameHeader, Value: []byte(name)}}}
}

// decodeMarker gives the marker of a control batch as a record; of one that compaction has emptied, nothing.
func (m *keyModel) decodeMarker(b []byte, h recordbatch.Header) []recordbatch.Record {
	m.t.Helper()
	if h.RecordCount == 0 {
		return nil
	}
	x, err := recordbatch.ParseMarker(b)
	if err != nil {
		m.t.Fatal(err)
	}
	return []recordbatch.Record{markerRecord(Marker{ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, Commit: x.Commit}, h.BaseOffset)}
}

// checkUnkeyed is checkKeys for what stands for no key: a marker, or a record that was aborted.
func (m *keyModel) checkUnkeyed(offset int64, s *sentRecord, present bool) {
	m.t.Helper()
	switch {
	case present:
	case offset >= m.compacted:
		m.t.Fatalf("%s at %d is gone, compacted up to %d", nameOf(s.Record), offset, m.compacted)
	case s.marker && !m.buried(offset):
		m.t.Fatalf("the %s, at %d, is gone before its time", nameOf(s.Record), offset)
	}
}

// checkMarkers wants the marker of a transaction to be there as long as records of it are.
func (m *keyModel) checkMarkers(start, high int64, present map[int64]bool) {
	m.t.Helper()
	for _, x := range m.txns {
		left, ended := int64(-1), false
		for o := max(x.first, start); o < min(high, int64(len(m.records))) && !ended; o++ {
			switch s := m.records[o]; {
			case s == nil:
			case s.txn == x && present[o]:
				left = o
			case s == x.marker:
				if ended = true; left >= 0 && !present[o] {
					m.t.Fatalf("record %d is there, and the %s, at %d, is gone (log [%d, %d))", left, nameOf(s.Record), o, start, high)
				}
			}
		}
	}
}

// stable is the last stable offset of who knows the log up to an offset.
func (m *keyModel) stable(start, high int64) int64 {
	stable := high
	for _, x := range m.txns {
		if x.openAt(high) {
			stable = min(stable, x.first)
		}
	}
	return max(stable, start)
}

// checkCommitted compares what readers at ReadCommitted are given with all that is there.
func (m *keyModel) checkCommitted(p *Partition, all []recordbatch.Record) {
	m.t.Helper()
	stable, start, high := p.LastStableOffset(), p.LogStartOffset(), p.HighWatermark()
	if least := m.stable(start, high); stable < least || stable > high {
		m.t.Fatalf("the last stable offset is %d, and no transaction is open below %d (log [%d, %d))", stable, least, start, high)
	}
	var want []int64
	for _, r := range all {
		s := m.records[r.Offset]
		switch {
		case r.Offset >= stable || s.marker || s.txn.aborted():
		case s.txn.committed():
			want = append(want, r.Offset)
		default:
			m.t.Fatalf("record %d is of a transaction that is open, the last stable offset is %d", r.Offset, stable)
		}
	}
	if got := committed(m.t, p, start); !slices.Equal(got, want) {
		m.t.Fatalf("readers at ReadCommitted are given %v, want %v, below %d (log [%d, %d))", got, want, stable, start, high)
	}
}

// checkOpen compares the transactions that are open with those of a replica that has everything.
func (m *keyModel) checkOpen(p *Partition) {
	m.t.Helper()
	start, high := p.LogStartOffset(), p.HighWatermark()
	if got, want := p.LastStableOffset(), m.stable(start, high); got != want {
		m.t.Fatalf("the last stable offset is %d, want %d (log [%d, %d))", got, want, start, high)
	}
	var want []int64
	for _, x := range m.txns {
		if x.end < 0 {
			want = append(want, x.first)
		}
	}
	var got []int64
	for _, s := range p.Producers() {
		if s.Transaction >= 0 {
			got = append(got, s.Transaction)
		}
	}
	if !slices.Equal(got, want) {
		m.t.Fatalf("transactions are open from %v on, want %v", got, want)
	}
}

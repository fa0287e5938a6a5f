package partition

import (
	"container/list"
	"time"

	"weir/protocol/recordbatch"
)

// cachedBatches is how many of a producer's last batches are remembered, and
// so how many requests in flight a retry can match. Kafka's clients rely on
// exactly five.
const cachedBatches = 5

// batchRef is one remembered batch of a producer.
type batchRef struct {
	firstSequence, lastSequence int32
	baseOffset, nextOffset      int64
}

// producer is what a partition knows of one idempotent producer.
type producer struct {
	id               int64
	epoch            int16
	coordinatorEpoch int32                   // of its last marker, -1 for none
	transaction      int64                   // first offset of its open transaction, noTransaction without one
	batches          [cachedBatches]batchRef // oldest first, n in use; those of the epoch that have a sequence
	n                int
	lastSeen         time.Time     // when a batch or a marker was last appended, by this machine's clock
	place            *list.Element // in open while it has a transaction, else in lru
}

const noTransaction = -1

// lastSequence is that of its last batch in its epoch, -1 without one.
func (p *producer) lastSequence() int32 {
	if p.n == 0 {
		return -1
	}
	return p.batches[p.n-1].lastSequence
}

func (p *producer) push(b batchRef) {
	if p.n == cachedBatches {
		copy(p.batches[:], p.batches[1:])
		p.n--
	}
	p.batches[p.n] = b
	p.n++
}

// inEpoch forgets the batches of another epoch.
func (p *producer) inEpoch(epoch int16) {
	if p.epoch != epoch {
		p.epoch, p.n = epoch, 0
	}
}

// producers is the state of idempotence and of open transactions in a partition as of what
// is applied. It is a pure function of the batches in the log, expiry aside, so that every
// replica and every restart come to the same answers.
type producers struct {
	byID  map[int64]*producer
	lru   *list.List // of *producer without a transaction, the least recently seen first
	open  *list.List // of *producer with one, by its first offset: the order in which they began
	limit int        // producers kept; the least recently seen without a transaction makes room
	next  int64      // what lies below is known: a snapshot may tell of more than its entry
	// retold is what has come below next and may yet be aborted: by producer, where the records of its
	// transaction begin. Who made the snapshot may have compacted, and forgotten, what another leader sends whole.
	retold map[int64]int64
}

func newProducers(limit int) *producers {
	return &producers{byID: make(map[int64]*producer), lru: list.New(), open: list.New(), limit: limit}
}

// firstUnstable is where the oldest open transaction begins; false when none is open.
func (t *producers) firstUnstable() (offset int64, ok bool) {
	if first := t.open.Front(); first != nil {
		return first.Value.(*producer).transaction, true
	}
	return 0, false
}

// stable is the last stable offset of a log that is known up to a high watermark.
func (t *producers) stable(highWatermark int64) int64 {
	stable := highWatermark
	if first, ok := t.firstUnstable(); ok {
		stable = min(stable, first)
	}
	for _, first := range t.retold {
		stable = min(stable, first)
	}
	return stable
}

// find looks for a retry of one of the last n batches of its producer.
func (t *producers) find(h recordbatch.Header, n int) *batchRef {
	p := t.byID[h.ProducerID]
	if p == nil || p.epoch != h.ProducerEpoch {
		return nil
	}
	for i := max(p.n-n, 0); i < p.n; i++ {
		if b := &p.batches[i]; b.firstSequence == h.BaseSequence && b.lastSequence == h.LastSequence() {
			return b
		}
	}
	return nil
}

// add notes a batch that is now in the log at baseOffset. One that the state knows of
// already, since it comes from a later place in the log, changes nothing but what is retold.
func (t *producers) add(h recordbatch.Header, baseOffset int64, now time.Time) {
	next := baseOffset + int64(h.LastOffsetDelta) + 1
	if !t.reach(baseOffset, next) {
		t.addRetold(h, baseOffset, next)
		return
	}
	if h.ProducerID < 0 {
		return
	}
	p := t.seen(h.ProducerID, now)
	p.inEpoch(h.ProducerEpoch)
	if h.BaseSequence >= 0 {
		p.push(batchRef{
			firstSequence: h.BaseSequence,
			lastSequence:  h.LastSequence(),
			baseOffset:    baseOffset,
			nextOffset:    t.next,
		})
	}
	if h.IsTransactional() && p.transaction == noTransaction {
		t.begin(p, baseOffset)
	}
}

// begin notes that a producer has a transaction, the newest one, from an offset on.
func (t *producers) begin(p *producer, firstOffset int64) {
	t.lru.Remove(p.place)
	p.transaction, p.place = firstOffset, t.open.PushBack(p)
}

// lastOpen is where the newest open transaction begins; false when none is open.
func (t *producers) lastOpen() (offset int64, ok bool) {
	if last := t.open.Back(); last != nil {
		return last.Value.(*producer).transaction, true
	}
	return 0, false
}

// addRetold notes where a transaction begins of which the state tells the end, if it remembers it.
func (t *producers) addRetold(h recordbatch.Header, baseOffset, next int64) {
	if _, begun := t.retold[h.ProducerID]; h.IsTransactional() && !begun {
		if t.retold == nil {
			t.retold = make(map[int64]int64)
		}
		t.retold[h.ProducerID] = baseOffset
	}
	t.endRetold(next)
}

// endRetold forgets what was retold when the log has come to where the state ends: what is open there the state knows.
func (t *producers) endRetold(next int64) {
	if next >= t.next {
		t.retold = nil
	}
}

// end notes a marker at an offset, and returns the transaction that it has aborted, if any.
func (t *producers) end(m Marker, offset int64, now time.Time) (aborted AbortedTransaction, ok bool) {
	if !t.reach(offset, offset+1) {
		first, begun := t.retold[m.ProducerID]
		delete(t.retold, m.ProducerID)
		t.endRetold(offset + 1)
		return AbortedTransaction{ProducerID: m.ProducerID, FirstOffset: first, lastOffset: offset, stable: t.stable(offset + 1)}, begun && !m.Commit
	}
	p := t.seen(m.ProducerID, now)
	p.inEpoch(m.ProducerEpoch)
	p.coordinatorEpoch = m.CoordinatorEpoch
	first := p.transaction
	if first == noTransaction {
		return AbortedTransaction{}, false
	}
	t.open.Remove(p.place)
	p.transaction, p.place = noTransaction, t.lru.PushBack(p)
	return AbortedTransaction{ProducerID: p.id, FirstOffset: first, lastOffset: offset, stable: t.stable(t.next)}, !m.Commit
}

// reach says whether what lies at [base, next) is new, and takes it for known from now on.
func (t *producers) reach(base, next int64) bool {
	if base < t.next {
		return false
	}
	t.next, t.retold = next, nil
	return true
}

// seen is the producer of an id, of which there is something new.
func (t *producers) seen(id int64, now time.Time) *producer {
	p := t.byID[id]
	if p == nil {
		for len(t.byID) >= t.limit && t.lru.Len() > 0 {
			t.remove(t.lru.Front().Value.(*producer))
		}
		p = t.insert(id)
	}
	p.lastSeen = now
	if p.transaction == noTransaction {
		t.lru.MoveToBack(p.place)
	}
	return p
}

func (t *producers) insert(id int64) *producer {
	p := &producer{id: id, coordinatorEpoch: -1, transaction: noTransaction}
	p.place = t.lru.PushBack(p)
	t.byID[id] = p
	return p
}

// remove forgets a producer without a transaction.
func (t *producers) remove(p *producer) {
	t.lru.Remove(p.place)
	delete(t.byID, p.id)
}

// all visits the producers as they have to be inserted again: the least recently seen first, and
// then those with a transaction by its first offset.
func (t *producers) all(visit func(*producer)) {
	for _, l := range []*list.List{t.lru, t.open} {
		for e := l.Front(); e != nil; e = e.Next() {
			visit(e.Value.(*producer))
		}
	}
}

// expire forgets the producers that were last seen before the given time and have no
// transaction.
func (t *producers) expire(before time.Time) {
	for e := t.lru.Front(); e != nil; e = t.lru.Front() {
		p := e.Value.(*producer)
		if !p.lastSeen.Before(before) {
			return
		}
		t.remove(p)
	}
}

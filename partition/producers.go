package partition

import (
	"container/list"
	"math"
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
	id       int64
	epoch    int16
	batches  [cachedBatches]batchRef // oldest first, n in use
	n        int
	lastSeen time.Time // when a batch was last appended, by this machine's clock
	lru      *list.Element
}

func (p *producer) last() *batchRef { return &p.batches[p.n-1] }

func (p *producer) push(b batchRef) {
	if p.n == cachedBatches {
		copy(p.batches[:], p.batches[1:])
		p.n--
	}
	p.batches[p.n] = b
	p.n++
}

// producers is the idempotence state of a partition as of what is applied. It is a
// pure function of the batches in the log, expiry aside, so that every
// replica and every restart come to the same answers.
type producers struct {
	byID  map[int64]*producer
	lru   *list.List // of *producer, the least recently seen first
	limit int        // producers kept; the least recently seen one makes room
}

func newProducers(limit int) *producers {
	return &producers{byID: make(map[int64]*producer), lru: list.New(), limit: limit}
}

// check says what a batch of an idempotent producer is: new (nil, nil), a
// duplicate of a remembered one, or refused with *SequenceError or
// *ProducerEpochError. virgin is true when the partition never held a record:
// there a first sequence other than 0 means that an earlier batch of the same
// producer is still on its way (KAFKA-15591).
func (t *producers) check(h recordbatch.Header, virgin bool) (*batchRef, error) {
	p := t.byID[h.ProducerID]
	if p == nil {
		if virgin && h.BaseSequence != 0 {
			return nil, &SequenceError{ProducerID: h.ProducerID, Epoch: h.ProducerEpoch, Got: h.BaseSequence, Want: 0}
		}
		return nil, nil
	}
	if h.ProducerEpoch == p.epoch {
		if ref := t.find(h, cachedBatches); ref != nil {
			return ref, nil
		}
	}
	return nil, follows(h, p.epoch, p.last().lastSequence)
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

// follows says whether a batch may come next after one of the same producer.
func follows(h recordbatch.Header, epoch int16, lastSequence int32) error {
	want := nextSequence(lastSequence)
	switch {
	case h.ProducerEpoch < epoch:
		return &ProducerEpochError{ProducerID: h.ProducerID, Got: h.ProducerEpoch, Want: epoch}
	case h.ProducerEpoch > epoch:
		want = 0
	}
	if h.BaseSequence != want {
		return &SequenceError{ProducerID: h.ProducerID, Epoch: h.ProducerEpoch, Got: h.BaseSequence, Want: want}
	}
	return nil
}

// add notes a batch that is now in the log at baseOffset. One that the state knows
// of already, since it comes from a later place in the log, changes nothing.
func (t *producers) add(h recordbatch.Header, baseOffset int64, now time.Time) {
	p := t.byID[h.ProducerID]
	switch {
	case p == nil:
		p = t.insert(h.ProducerID)
	case p.n > 0 && baseOffset < p.last().nextOffset:
		return
	}
	if p.epoch != h.ProducerEpoch {
		p.epoch, p.n = h.ProducerEpoch, 0
	}
	p.push(batchRef{
		firstSequence: h.BaseSequence,
		lastSequence:  h.LastSequence(),
		baseOffset:    baseOffset,
		nextOffset:    baseOffset + int64(h.LastOffsetDelta) + 1,
	})
	p.lastSeen = now
	t.lru.MoveToBack(p.lru)
}

func (t *producers) insert(id int64) *producer {
	for len(t.byID) >= t.limit {
		t.remove(t.lru.Front().Value.(*producer))
	}
	p := &producer{id: id}
	p.lru = t.lru.PushBack(p)
	t.byID[id] = p
	return p
}

func (t *producers) remove(p *producer) {
	t.lru.Remove(p.lru)
	delete(t.byID, p.id)
}

// expire forgets the producers that were last seen before the given time.
func (t *producers) expire(before time.Time) {
	for e := t.lru.Front(); e != nil; e = t.lru.Front() {
		p := e.Value.(*producer)
		if !p.lastSeen.Before(before) {
			return
		}
		t.remove(p)
	}
}

// nextSequence wraps as the protocol does: after the largest int32 comes 0.
func nextSequence(s int32) int32 {
	if s == math.MaxInt32 {
		return 0
	}
	return s + 1
}

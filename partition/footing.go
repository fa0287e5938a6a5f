package partition

import (
	"math"

	"weir/protocol/recordbatch"
)

// footing is where a producer stands after everything that is applied and on its way: what
// its next batch or marker is checked against. The zero one is that of a producer of whom
// nothing is known.
type footing struct {
	known            bool
	epoch            int16
	lastSequence     int32 // of its last batch in this epoch, -1 without one
	coordinatorEpoch int32 // of its last marker, -1 without one
	open             bool  // it has a transaction
}

// footingOf is called with mu held.
func (p *Partition) footingOf(id int64) footing {
	if ahead := p.ahead[id]; len(ahead) > 0 {
		return ahead[len(ahead)-1].then
	}
	return p.state.producers.footing(id)
}

// footing is where a producer stands after what is applied.
func (t *producers) footing(id int64) footing {
	x := t.byID[id]
	if x == nil {
		return footing{}
	}
	return footing{
		known: true, epoch: x.epoch, lastSequence: x.lastSequence(),
		coordinatorEpoch: x.coordinatorEpoch, open: x.transaction != noTransaction,
	}
}

// takes says whether a batch may come next: nil, *ProducerEpochError, *TransactionStateError or
// *SequenceError. A batch of the broker's own has no sequence. virgin is true when the partition
// never held a record: there a first sequence other than 0 means that an earlier batch of the
// same producer is still on its way (KAFKA-15591).
func (s footing) takes(h recordbatch.Header, virgin bool) error {
	want := nextSequence(s.lastSequence)
	switch {
	case !s.known:
		if !virgin {
			return nil
		}
		want = 0
	case h.ProducerEpoch < s.epoch:
		return &ProducerEpochError{ProducerID: h.ProducerID, Got: h.ProducerEpoch, Want: s.epoch}
	case s.open && !h.IsTransactional():
		return &TransactionStateError{ProducerID: h.ProducerID, Epoch: h.ProducerEpoch}
	case h.ProducerEpoch > s.epoch:
		want = 0
	}
	if h.BaseSequence >= 0 && h.BaseSequence != want {
		return &SequenceError{ProducerID: h.ProducerID, Epoch: h.ProducerEpoch, Got: h.BaseSequence, Want: want}
	}
	return nil
}

// takesMarker says whether a marker may come next: nil, *ProducerEpochError or
// *CoordinatorEpochError.
func (s footing) takesMarker(m Marker) error {
	switch {
	case !s.known:
		return nil
	case m.ProducerEpoch < s.epoch:
		return &ProducerEpochError{ProducerID: m.ProducerID, Got: m.ProducerEpoch, Want: s.epoch}
	case m.Bumped && s.open && m.ProducerEpoch == s.epoch:
		return &ProducerEpochError{ProducerID: m.ProducerID, Got: m.ProducerEpoch, Want: s.epoch + 1} // late: the next transaction has begun
	case m.CoordinatorEpoch < s.coordinatorEpoch:
		return &CoordinatorEpochError{ProducerID: m.ProducerID, Got: m.CoordinatorEpoch, Want: s.coordinatorEpoch}
	}
	return nil
}

// after is where the producer stands after a batch.
func (s footing) after(h recordbatch.Header) footing {
	s = s.inEpoch(h.ProducerEpoch)
	if h.BaseSequence >= 0 {
		s.lastSequence = h.LastSequence()
	}
	s.open = s.open || h.IsTransactional()
	return s
}

// afterMarker is where the producer stands after a marker.
func (s footing) afterMarker(m Marker) footing {
	s = s.inEpoch(m.ProducerEpoch)
	s.coordinatorEpoch, s.open = m.CoordinatorEpoch, false
	return s
}

func (s footing) inEpoch(epoch int16) footing {
	if !s.known {
		s.known, s.coordinatorEpoch, s.epoch, s.lastSequence = true, -1, epoch, -1
	}
	if s.epoch != epoch {
		s.epoch, s.lastSequence = epoch, -1
	}
	return s
}

// nextSequence wraps as the protocol does: after the largest int32 comes 0.
func nextSequence(s int32) int32 {
	if s == math.MaxInt32 {
		return 0
	}
	return s + 1
}

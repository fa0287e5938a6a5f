package txn

import "time"

// InitRequest asks for a producer.
type InitRequest struct {
	Timeout time.Duration
	// Expected is who the client believes to be (KIP-360), NoProducer for one that begins.
	Expected Producer
	FreshID  int64 // a producer id that nobody has had, or NoID
}

// Init makes the client the producer of the transactional id: all before it are fenced. A client that names
// who it is goes on under the next epoch, if it is the last one; when it has not heard the answer to that,
// and asks again, it gets the same. Errors: ErrFenced; ErrConcurrent while a transaction is being ended,
// which this call begins if one is open; ErrNeedID.
func (t *Transaction) Init(now time.Time, r InitRequest) Step {
	s := t.stored
	continues := r.Expected != NoProducer
	again := continues && r.Expected == s.Last
	switch {
	case t.writing != nil || s.promised(r.Expected):
		return refused(ErrConcurrent)
	case continues && s.Producer != NoProducer && (r.Expected != s.Producer && !again || r.Expected.Epoch > lastEpoch):
		return refused(ErrFenced)
	case s.State.Preparing():
		return refused(ErrConcurrent)
	case again && s.State == Ongoing:
		return refused(ErrFenced) // an old request: the client has gone on since
	case again && s.Producer.Epoch <= lastEpoch:
		return Step{Producer: s.Producer}
	case s.State == Ongoing:
		step := t.fence(now, r.Expected)
		step.Producer, step.Err = NoProducer, ErrConcurrent
		return step
	}
	return t.bump(now, &r)
}

// bump gives the client the next epoch, or another producer id when there is none.
func (t *Transaction) bump(now time.Time, r *InitRequest) Step {
	s := t.stored
	s.Last = r.Expected
	if s.Producer == NoProducer || s.Producer.Epoch >= lastEpoch {
		if r.FreshID == NoID {
			return refused(ErrNeedID)
		}
		s.Producer = Producer{ID: r.FreshID}
	} else {
		s.Producer = s.Producer.next()
	}
	s.State, s.Version, s.Timeout, s.Partitions, s.Started = Empty, 0, r.Timeout, nil, -1
	return t.write(now, s)
}

package txn

import (
	"slices"
	"time"
)

// Transaction is one transactional id. It is not safe for concurrent use.
type Transaction struct {
	stored  Snapshot
	writing *Snapshot // on its way into the log; nothing else moves meanwhile
}

// Step is what an input leads to.
type Step struct {
	// Write is to be stored, and reported by Stored, before anything is answered. nil: nothing changes.
	Write *Snapshot
	// Producer is the answer, unless Err is one.
	Producer Producer
	Err      error
}

// New is an id that nobody has had.
func New() *Transaction {
	return &Transaction{stored: Snapshot{Producer: NoProducer, Last: NoProducer, NextID: NoID, Started: -1}}
}

// Restore makes a transaction of what is stored of it.
func Restore(s Snapshot) *Transaction { return &Transaction{stored: s} }

// Snapshot is what is stored. Its slices are not to be changed.
func (t *Transaction) Snapshot() Snapshot { return t.stored }

// Exists says whether anything is stored, or on its way.
func (t *Transaction) Exists() bool { return t.stored.Producer != NoProducer || t.writing != nil }

// Stored reports that the Write of the last Step is durable.
func (t *Transaction) Stored() { t.stored, t.writing = *t.writing, nil }

// Failed reports that the Write of the last Step is not, and never will be, in the log.
func (t *Transaction) Failed() { t.writing = nil }

// write begins a change.
func (t *Transaction) write(now time.Time, s Snapshot) Step {
	s.Updated = now.UnixMilli()
	t.writing = &s
	return Step{Write: &s, Producer: s.Producer}
}

// refused changes nothing.
func refused(err error) Step { return Step{Producer: NoProducer, Err: err} }

// check says whether a client that is p may do something now.
func (t *Transaction) check(p Producer) error {
	switch s := &t.stored; {
	case s.promised(p):
		return ErrConcurrent
	case s.Producer.ID != p.ID || s.Producer.ID == NoID:
		return ErrUnknownProducer
	case s.Producer.Epoch != p.Epoch || p.Epoch > lastEpoch: // nobody is given the epoch of the last markers
		return ErrFenced
	case t.writing != nil:
		return ErrConcurrent
	}
	return nil
}

// Add takes partitions into the transaction, and begins one if there is none; version is the client's of
// transactions. Errors: ErrUnknownProducer, ErrFenced, ErrConcurrent while the transaction before is
// being ended, ErrTooManyPartitions.
func (t *Transaction) Add(now time.Time, p Producer, version int16, partitions []Partition) Step {
	if err := t.check(p); err != nil {
		return refused(err)
	}
	s := t.stored
	if s.State.Preparing() {
		return refused(ErrConcurrent)
	}
	all, changed, err := s.with(partitions)
	switch {
	case err != nil:
		return refused(err)
	case s.State == Ongoing && !changed:
		return Step{Producer: s.Producer}
	case s.State != Ongoing:
		s.State, s.Started = Ongoing, now.UnixMilli()
	}
	s.Partitions, s.Version = all, version
	s.Last = NoProducer // the client has heard of its epoch
	return t.write(now, s)
}

// Verify says whether a partition is part of the transaction that p has open: nil, ErrNotInTransaction, or
// an error of Add.
func (t *Transaction) Verify(p Producer, partition Partition) error {
	err := t.check(p)
	switch {
	case err != nil:
		return err
	case t.stored.State.Preparing():
		return ErrConcurrent
	case t.stored.State != Ongoing || !t.stored.Has(partition):
		return ErrNotInTransaction
	}
	return nil
}

// EndRequest asks for the end of a transaction.
type EndRequest struct {
	Producer Producer
	Commit   bool
	Version  int16 // of the client's transactions
	FreshID  int64 // a producer id that nobody has had, or NoID
}

// end is what the request asks for.
func (r *EndRequest) end() (prepare, complete State) {
	if r.Commit {
		return PrepareCommit, CompleteCommit
	}
	return PrepareAbort, CompleteAbort
}

// bumps says that each transaction of the client has an epoch of its own.
func (r *EndRequest) bumps() bool { return r.Version >= 2 }

// End decides the outcome. Answered is who the client is from now on: itself, or, from version 2 on, the
// producer of the next epoch. Asking for the same again gives the same answer. Errors: ErrUnknownProducer,
// ErrFenced, ErrConcurrent while markers are on their way, ErrInvalidState, ErrNeedID.
func (t *Transaction) End(now time.Time, r EndRequest) Step {
	s := t.stored
	if r.bumps() && s.Last != NoProducer && r.Producer == s.Last {
		return t.endAgain(&r)
	}
	if err := t.check(r.Producer); err != nil {
		return refused(err)
	}
	prepare, complete := r.end()
	switch {
	case s.State == Ongoing:
		return t.decide(now, prepare, &r)
	case s.State.Preparing() && (s.State == prepare || r.bumps()):
		return refused(ErrConcurrent)
	case s.State == complete && !r.bumps():
		return Step{Producer: s.Producer}
	case r.bumps() && !r.Commit && !s.State.Preparing():
		return t.decide(now, CompleteAbort, &r) // of nothing: the client cannot know what has arrived
	}
	return refused(ErrInvalidState)
}

// endAgain answers a client of version 2 that has not heard how its transaction was ended. While something is written
// that is not known: the end may be about to be complete, or what comes behind it to begin, which fences it.
func (t *Transaction) endAgain(r *EndRequest) Step {
	if t.writing != nil {
		return refused(ErrConcurrent)
	}
	prepare, complete := r.end()
	switch t.stored.State {
	case prepare:
		return refused(ErrConcurrent)
	case complete:
		return Step{Producer: t.stored.Producer}
	}
	return refused(ErrInvalidState)
}

// decide moves to a state in which the outcome is fixed; version 2 takes the next epoch, or the next
// producer id when there is none.
func (t *Transaction) decide(now time.Time, to State, r *EndRequest) Step {
	s := t.stored
	s.State, s.Version = to, r.Version
	answer := s.Producer
	if r.bumps() {
		s.Last, s.Producer = s.Producer, s.Producer.next()
		answer = s.Producer
		if s.Last.Epoch >= lastEpoch {
			if r.FreshID == NoID {
				return refused(ErrNeedID)
			}
			s.NextID, answer = r.FreshID, Producer{ID: r.FreshID}
		}
	}
	if !to.Preparing() {
		s.complete(to)
	}
	step := t.write(now, s)
	step.Producer = answer
	return step
}

// complete is the end of a transaction, or of none.
func (s *Snapshot) complete(to State) {
	s.State, s.Partitions, s.Started = to, nil, -1
	if s.NextID != NoID {
		s.Producer, s.NextID = Producer{ID: s.NextID}, NoID
	}
}

// Complete reports that every partition has its marker. It does nothing unless markers were asked for.
func (t *Transaction) Complete(now time.Time) Step {
	s := t.stored
	if !s.State.Preparing() || t.writing != nil {
		return Step{}
	}
	to := CompleteAbort
	if s.State == PrepareCommit {
		to = CompleteCommit
	}
	s.Partitions = slices.Clone(s.Partitions)
	s.complete(to)
	return t.write(now, s)
}

// Deadline is when the transaction is to be aborted at the latest; zero when there is none.
func (t *Transaction) Deadline() time.Time {
	if t.stored.State != Ongoing {
		return time.Time{}
	}
	return time.UnixMilli(t.stored.Started).Add(t.stored.Timeout)
}

// Expire aborts a transaction that is open for longer than its time-out. Its producer is fenced.
func (t *Transaction) Expire(now time.Time) Step {
	if due := t.Deadline(); t.writing != nil || due.IsZero() || now.Before(due) {
		return Step{}
	}
	return t.fence(now, NoProducer)
}

// fence aborts what is open, under the next epoch, so that its producer cannot go on.
func (t *Transaction) fence(now time.Time, last Producer) Step {
	s := t.stored
	s.Producer, s.Last, s.State, s.Version = s.Producer.next(), last, PrepareAbort, 2
	return t.write(now, s)
}

// Forgettable says that nothing is open and nothing has happened since a time.
func (t *Transaction) Forgettable(since time.Time) bool {
	s := &t.stored
	return t.writing == nil && s.State != Ongoing && !s.State.Preparing() && s.Updated < since.UnixMilli()
}

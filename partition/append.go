package partition

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"syscall"

	"github.com/hashicorp/raft"

	"weir/log"
	"weir/protocol/recordbatch"
)

// Batch is one whole record batch on its way into the log, checked by
// recordbatch.Validate, its header parsed from Data. The partition stamps
// Data in place.
type Batch struct {
	Header recordbatch.Header
	Data   []byte
	// Continues says that the batch is of a transaction that is open: it is not to begin one.
	Continues bool
	// LeaderEpoch, unless it is 0, is the leadership for which the batch was found good: under a later one of the same
	// replica it is refused with *NotLeaderError, since others may have led, and ended its transaction, in between.
	LeaderEpoch int32
}

// Acks says which event answers a producer.
type Acks int16

const (
	AcksNone   Acks = 0  // stored: the producer does not listen, but Data must stay until then
	AcksLeader Acks = 1  // stored
	AcksAll    Acks = -1 // committed
)

// Append is the outcome of one Propose.
type Append struct {
	// BaseOffset is where the batch lies; of a retry, where the original
	// lies. Valid once settled without an error.
	BaseOffset int64
	// LogStartOffset as of the append.
	LogStartOffset int64

	partition *Partition
	retry     bool      // the batch had been sent before
	proposal  *proposal // nil when it was settled on return
	acks      Acks
	err       error
	done      chan struct{} // nil when settled on return
}

// Wait blocks until the append is settled or ctx ends. After ctx's error the
// outcome is unknown: the batch may yet be committed. In any case the batch's Data
// may be used again when Wait has returned, unless it is still being written: then
// Wait returns when it is, and not with ctx.
func (a *Append) Wait(ctx context.Context) error {
	if a.done == nil {
		return a.err
	}
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		if a.Settled() {
			return a.err // both came at once: the event says more
		}
		return a.partition.giveUp(a, ctx.Err())
	}
}

// Settled says whether Wait would return at once.
func (a *Append) Settled() bool {
	if a.done == nil {
		return true
	}
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// Original is for a retry that is settled without an error: the largest timestamp of the batch that was stored, unix
// milliseconds, -1 when that has none any more, or is gone. retry is false for a batch that was not there before.
func (a *Append) Original() (maxTimestamp int64, retry bool) {
	if !a.retry {
		return -1, false
	}
	for h, err := range a.partition.log.Batches(a.BaseOffset, a.partition.log.LogEndOffset()) {
		if err != nil {
			break // it is deleted, or the partition is being closed
		}
		return h.MaxTimestamp, true
	}
	return -1, true
}

// progress is how far a proposal has come.
type progress uint8

const (
	queued  progress = iota // in the library's queue
	writing                 // the log reads its bytes
	stored                  // in this replica's log
	ended                   // settled for all
)

const keyBytes = 8

// proposal is one entry on its way. Everything but key and kind is guarded by the
// partition's mu.
type proposal struct {
	key     [keyBytes]byte // names it to StoreLogs, in the library's Extensions
	kind    log.EntryKind  // KindBarrier: a command, or the first entry of a leadership
	epoch   int32          // leadership under which it was checked
	header  recordbatch.Header
	marker  *Marker // of a control batch; nil for others
	then    footing // of its producer, after it
	begins  bool    // it begins a transaction
	data    []byte  // nil once it is written, or given up
	command []byte  // of a command, its data; nil for others

	is                               progress
	written                          sync.WaitGroup // until the log has it, or is not to get it
	raftIndex                        uint64
	baseOffset, nextOffset, logStart int64           // valid from stored on
	held                             <-chan struct{} // closed when a write that hangs does not read data any more; nil: none does
	waiting                          []*Append
	first                            Append // the one that nearly all have
}

func (x *proposal) number() uint64 { return binary.BigEndian.Uint64(x.key[:]) }

// wait adds an append that is settled with the proposal.
func (x *proposal) wait(p *Partition, a *Append, acks Acks) *Append {
	a.partition, a.proposal, a.acks, a.done = p, x, acks, make(chan struct{})
	if x.is == stored {
		a.BaseOffset, a.LogStartOffset = x.baseOffset, x.logStart
		if acks != AcksAll {
			close(a.done)
			return a
		}
	}
	x.waiting = append(x.waiting, a)
	return a
}

// settleStored answers those who wait for the second event. It is called with mu held.
func (x *proposal) settleStored() {
	rest := x.waiting[:0]
	for _, a := range x.waiting {
		a.BaseOffset, a.LogStartOffset = x.baseOffset, x.logStart
		if a.acks == AcksAll {
			rest = append(rest, a)
		} else {
			close(a.done)
		}
	}
	x.waiting = rest
}

// settle answers all who wait. The proposal has been taken out of the partition's
// lists by then, so nobody joins them.
func (x *proposal) settle(err error) {
	for _, a := range x.waiting {
		a.err = err
		close(a.done)
	}
	x.waiting = nil
}

// Propose takes a batch into the partition's order. It may wait for room, when much
// is on its way. b.Data belongs to the partition until Wait on the Append returns
// for the event that acks asks for. Appends are settled in offset order.
//
// A batch of a transaction begins one where its producer has none open; whether it may is
// for the caller to find out. One of the broker's own may be without a sequence.
//
// An Append settles with *NotLeaderError (nothing was written, or unknown when it
// was pending), *SequenceError, *ProducerEpochError, *TransactionStateError, ErrTransactionEnded or
// *TransactionLimitError (refused, nothing was written), *StorageError (nothing was
// written; unknown when a sync failed), or ErrClosed (unknown).
func (p *Partition) Propose(b Batch, acks Acks) *Append { return p.take(b, nil, acks) }

// take is Propose for batches of records, and of a marker.
func (p *Partition) take(b Batch, m *Marker, acks Acks) *Append {
	p.order.Lock() // the library takes them in the order in which they were checked
	x, cached, a := p.check(b, m, acks)
	if x != nil {
		// The future tells what store and machine tell, too.
		p.raft.Load().ApplyLog(raft.Log{Data: b.Data, Extensions: x.key[:]}, 0)
	}
	p.order.Unlock()
	if cached {
		// Without a sync to wait for, the log writes at once, most likely on this core: what was
		// just received is in its cache still. Going on to receive more would push it out.
		x.written.Wait()
	}
	return a
}

// check says what becomes of a batch: a new proposal, or an append without one. cached
// says that a new one is not going to be synced.
func (p *Partition) check(b Batch, m *Marker, acks Acks) (x *proposal, cached bool, a *Append) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.crowded(len(b.Data)) {
		p.room.Wait()
	}
	if p.closed.Load() {
		return nil, false, &Append{err: ErrClosed}
	}
	if err := p.broken(); err != nil {
		return nil, false, &Append{err: p.storageError(err)} // a retry, too: nobody knows what is left of the original
	}
	epoch, leading := p.Leading()
	if !leading || p.handingOver == epoch || b.LeaderEpoch != 0 && b.LeaderEpoch != epoch {
		return nil, false, &Append{err: p.notLeader()}
	}
	x = &proposal{kind: log.KindBatch, epoch: epoch, header: b.Header, data: b.Data, marker: m}
	if b.Header.ProducerID >= 0 {
		original, ref, err := p.follows(x)
		switch {
		case err != nil:
			return nil, false, &Append{err: err}
		case original != nil:
			// Proposed once is not committed yet: the retry waits for the same event
			// as the original does.
			return nil, false, original.wait(p, &Append{retry: true}, acks)
		case ref != nil:
			return nil, false, &Append{BaseOffset: ref.baseOffset, LogStartOffset: p.log.LogStartOffset(), partition: p, retry: true}
		case x.begins && b.Continues:
			return nil, false, &Append{err: ErrTransactionEnded}
		}
	}
	if m == nil { // after the retries, which take none
		if err := p.mayTake(len(b.Data)); err != nil {
			return nil, false, &Append{err: err}
		}
	}
	if b.Header.ProducerID >= 0 {
		p.goesAhead(x)
	}
	p.enqueue(x)
	return x, p.settings.WriteCaching, x.wait(p, &x.first, acks)
}

// Bounds on what a partition has under way.
const (
	maxUncommittedBytes   = 64 << 20
	maxUncommittedEntries = 4096
)

// crowded says that a batch has to wait for others to be committed.
func (p *Partition) crowded(size int) bool {
	if p.closed.Load() || p.epoch.Load() < 0 || len(p.queue)+len(p.stored) == 0 {
		return false
	}
	return p.uncommittedBytes+size > maxUncommittedBytes || len(p.queue)+len(p.stored) >= maxUncommittedEntries
}

// enqueue gives a proposal its number.
func (p *Partition) enqueue(x *proposal) *proposal {
	p.proposals++
	binary.BigEndian.PutUint64(x.key[:], p.proposals)
	p.queue = append(p.queue, x)
	p.uncommittedBytes += x.size()
	x.written.Add(1)
	return x
}

func (x *proposal) size() int {
	if x.kind != log.KindBatch {
		return 0
	}
	return x.header.SizeBytes()
}

// claim finds a queued proposal by its number, for the log to write under an epoch;
// nil when it was ended before. Those before it were refused by the library, which has
// told nobody: they end here, and with them those that were checked against them, which
// would leave a gap in their producer's sequence.
func (p *Partition) claim(number uint64, epoch int32) *proposal {
	var refused []*proposal
	for len(p.queue) > 0 && p.queue[0].number() <= number {
		x := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		if x.number() == number && x.epoch == epoch && !after(x, refused) {
			x.is = writing
			p.dropAfter(refused)
			return x
		}
		refused = append(refused, x)
	}
	p.dropAfter(refused)
	return nil
}

// after says whether a batch was checked against one that has been refused.
func after(x *proposal, refused []*proposal) bool {
	if x.kind != log.KindBatch || x.header.ProducerID < 0 {
		return false
	}
	for _, r := range refused {
		if r.kind == log.KindBatch && r.header.ProducerID == x.header.ProducerID {
			return true
		}
	}
	return false
}

// dropAfter ends what was refused, and what in the queue was checked against that. It is
// called with mu held.
func (p *Partition) dropAfter(refused []*proposal) {
	if len(refused) == 0 {
		return
	}
	rest := p.queue[:0:0]
	for _, x := range p.queue {
		if after(x, refused) {
			refused = append(refused, x)
		} else {
			rest = append(rest, x)
		}
	}
	p.queue = rest
	err := p.notLeader()
	for _, x := range refused {
		p.forget(x)
		x.data = nil
		x.settle(err)
	}
	p.room.Broadcast()
}

// giveUp ends an append's wait before its time, and gives its producer the bytes back.
// It cannot be taken out of the order any more: later batches of its producer were
// checked against it.
func (p *Partition) giveUp(a *Append, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := a.proposal
	if x.is == queued && a == &x.first {
		x.data = bytes.Clone(x.data)
	}
	for x.is == writing {
		p.room.Wait()
	}
	if a.Settled() {
		return a.err
	}
	return err
}

// forget takes a proposal out of what is under way.
func (p *Partition) forget(x *proposal) {
	if x.is == ended {
		return
	}
	if x.is != stored {
		x.written.Done()
	}
	x.is = ended
	p.uncommittedBytes -= x.size()
	p.notAhead(x)
}

// goesAhead adds a batch to those of its producer that are on their way.
func (p *Partition) goesAhead(x *proposal) {
	p.ahead[x.header.ProducerID] = append(p.ahead[x.header.ProducerID], x)
	if x.begins {
		p.beginning++
	}
}

// notAhead takes a batch out of those of its producer that are on their way.
func (p *Partition) notAhead(x *proposal) {
	id := x.header.ProducerID
	if x.kind != log.KindBatch || id < 0 {
		return
	}
	ahead := p.ahead[id]
	for i := range ahead {
		if ahead[i] == x {
			ahead = append(ahead[:i], ahead[i+1:]...)
			if x.begins {
				p.beginning--
			}
			break
		}
	}
	if len(ahead) == 0 {
		delete(p.ahead, id)
		return
	}
	p.ahead[id] = ahead
}

// forsake ends everything that is under way. What the log is writing is left to it.
func (p *Partition) forsake(err error) {
	p.mu.Lock()
	given := append(p.queue, p.stored...)
	p.queue, p.stored = nil, nil
	for _, x := range given {
		x.data = nil
		p.forget(x)
	}
	p.room.Broadcast()
	p.mu.Unlock()
	for _, x := range given {
		x.settle(err)
	}
}

func (p *Partition) notLeader() error {
	return &NotLeaderError{Topic: p.cfg.Topic, Partition: p.cfg.Partition, Leader: p.Leader()}
}

// follows says what a batch of a producer is: new, a retry of one that is on its way or of
// one that is committed, or refused. Of a new one it notes where it leaves its producer.
func (p *Partition) follows(x *proposal) (original *proposal, ref *batchRef, err error) {
	at := p.footingOf(x.header.ProducerID)
	if x.marker != nil {
		x.then = at.afterMarker(*x.marker)
		return nil, nil, at.takesMarker(*x.marker)
	}
	if at.known && at.epoch == x.header.ProducerEpoch && x.header.BaseSequence >= 0 {
		if original, ref = p.retried(x.header); original != nil || ref != nil {
			return original, ref, nil
		}
	}
	virgin := p.log.LogEndOffset() == 0 && len(p.queue) == 0
	if err := at.takes(x.header, virgin); err != nil {
		return nil, nil, err
	}
	if x.begins = x.header.IsTransactional() && !at.open; x.begins {
		err = p.mayBegin()
	}
	x.then = at.after(x.header)
	return nil, nil, err
}

// retried finds the original of a batch among the last ones of its producer and epoch.
func (p *Partition) retried(h recordbatch.Header) (*proposal, *batchRef) {
	n := 0
	for _, x := range p.ahead[h.ProducerID] {
		if x.header.BaseSequence < 0 || x.header.ProducerEpoch != h.ProducerEpoch {
			continue
		}
		if x.header.BaseSequence == h.BaseSequence && x.header.LastSequence() == h.LastSequence() {
			return x, nil
		}
		n++
	}
	return nil, p.state.producers.find(h, cachedBatches-n)
}

// diskFailed tells a disk that is gone from one that is full: the one comes
// back with room, the other only after somebody has looked at it.
func diskFailed(err error) bool {
	for _, gone := range []syscall.Errno{syscall.EIO, syscall.EROFS, syscall.ENXIO, syscall.ENODEV} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

package partition

import (
	"context"
	"errors"
	"syscall"
	"time"

	"weir/log"
	"weir/protocol/recordbatch"
)

// Batch is one whole record batch on its way into the log, checked by
// recordbatch.Validate, its header parsed from Data. The partition stamps
// Data in place.
type Batch struct {
	Header recordbatch.Header
	Data   []byte
}

// Acks says which event answers a producer.
type Acks int16

const (
	AcksNone   Acks = 0  // none; the producer does not listen
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

	next int64
	err  error
	done chan struct{} // nil when settled on return
}

// Wait blocks until the append is settled or ctx ends. After ctx's error the
// outcome is unknown: the batch may yet be committed.
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
		return ctx.Err()
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

func (a *Append) settle(err error) {
	a.err = err
	close(a.done)
}

// Propose takes a batch into the partition's order and returns at once; Wait
// on the Append for the event that acks asks for. b.Data may be used again
// when Propose has returned. Appends are settled in offset order.
//
// An Append settles with *SequenceError, *ProducerEpochError or
// ErrTransactional (refused, nothing was written), *StorageError (nothing was
// written; unknown when it was pending), or ErrClosed (likewise).
func (p *Partition) Propose(b Batch, acks Acks) *Append {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return &Append{err: ErrClosed}
	}
	if err := p.log.Failed(); err != nil {
		return &Append{err: p.storageError(err)} // a retry, too: nobody knows what is left of the original
	}
	if b.Header.IsTransactional() {
		return &Append{err: ErrTransactional}
	}
	if b.Header.ProducerID >= 0 {
		dup, err := p.producers.check(b.Header, p.log.LogEndOffset() == 0)
		if err != nil {
			return &Append{err: err}
		}
		if dup != nil {
			// Appended once is not committed yet: the retry waits for the
			// same event as the original did.
			return p.stored(dup.baseOffset, dup.nextOffset, acks)
		}
	}
	base, next, err := p.store(b.Data)
	if err != nil {
		if diskFailed(err) && p.cfg.Fatal != nil {
			p.cfg.Fatal(p.storageError(err))
		}
		return &Append{err: p.storageError(err)}
	}
	if b.Header.ProducerID >= 0 {
		p.producers.add(b.Header, base, p.cfg.Now())
	}
	a := p.stored(base, next, acks)
	p.advance(next)
	return a
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

// store writes the batch to the log. The first one of a leader epoch is led
// by the no-op with which every new Raft leader begins its term.
func (p *Partition) store(batch []byte) (base, next int64, err error) {
	var entries [2]log.Entry
	n := 0
	if !p.announced {
		entries[n] = log.Entry{Kind: log.KindNoop, Epoch: p.epoch}
		n++
	}
	entries[n] = log.Entry{Kind: log.KindBatch, Epoch: p.epoch, Data: batch}
	res, err := p.log.Append(entries[:n+1])
	if err != nil {
		return 0, 0, err
	}
	p.announced = true
	p.unflushed += res.NextOffset - res.BaseOffset
	p.unflushedBytes += len(batch)
	return res.BaseOffset, res.NextOffset, nil
}

// stored is the second event: [base, next) is in this broker's log.
func (p *Partition) stored(base, next int64, acks Acks) *Append {
	a := &Append{BaseOffset: base, LogStartOffset: p.log.LogStartOffset(), next: next}
	if acks == AcksAll && !p.settings.WriteCaching && p.highWatermark.Load() < next {
		a.done = make(chan struct{})
		p.enqueue(a)
	}
	return a
}

// enqueue keeps pending in offset order. Only a retry can come out of order,
// and it lies among the last few.
func (p *Partition) enqueue(a *Append) {
	i := len(p.pending)
	for i > 0 && p.pending[i-1].next > a.next {
		i--
	}
	p.pending = append(p.pending, nil)
	copy(p.pending[i+1:], p.pending[i:])
	p.pending[i] = a
}

// flushBytes is how much write caching leaves in the page cache of a topic that
// asks for flushes at all. A roll syncs the rest of its segment with producers
// waiting, and a start after a crash reads what no sync has covered. A topic
// that asks for none (Kafka's own default) leaves it to the operating system.
const flushBytes = 16 << 20

// advance asks for what makes [.., next) committed.
func (p *Partition) advance(next int64) {
	// What was promised a sync before write.caching was switched on gets it, and
	// what follows cannot be committed before it.
	if !p.settings.WriteCaching || len(p.pending) > 0 {
		p.requestSync()
		return
	}
	p.commit(next)
	byCount, byTime := p.settings.FlushRecords > 0, p.settings.FlushInterval > 0
	switch {
	case byCount && p.unflushed >= p.settings.FlushRecords, (byCount || byTime) && p.unflushedBytes >= flushBytes:
		p.requestSync()
	case byTime && p.flushTime == nil:
		p.flushTime = time.AfterFunc(p.settings.FlushInterval, p.flushDue)
	}
}

func (p *Partition) flushDue() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushTime = nil
	if !p.closed.Load() {
		p.requestSync()
	}
}

func (p *Partition) stopFlushTimer() {
	if p.flushTime != nil {
		p.flushTime.Stop()
		p.flushTime = nil
	}
}

// requestSync has the log synced once more, unless that is under way: then
// its end sees that the log has grown and asks again. So all that arrives
// during one sync shares the next.
func (p *Partition) requestSync() {
	p.unflushed, p.unflushedBytes = 0, 0
	p.stopFlushTimer()
	if p.syncing {
		p.syncAgain = true
		return
	}
	p.syncing = true
	p.cfg.Syncer.Request(p.log, p.synced)
}

// synced runs on a goroutine of the syncer.
func (p *Partition) synced(durable int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again := p.syncAgain
	p.syncing, p.syncAgain = false, false
	if p.closed.Load() {
		return
	}
	if err != nil {
		// The syncer has told the node, which stops: the kernel may have
		// dropped the pages, and a retry would lie. Nothing is committed
		// any more; until the process ends, waiting producers hear why.
		for _, a := range p.pending {
			a.settle(p.storageError(err))
		}
		p.pending = nil
		return
	}
	p.commit(durable)
	if len(p.pending) > 0 || (again || !p.settings.WriteCaching) && durable < p.log.LogEndOffset() {
		p.requestSync()
	}
}

// commit is the third event: everything below next is safe and visible.
func (p *Partition) commit(next int64) {
	if next <= p.highWatermark.Load() {
		return
	}
	p.highWatermark.Store(next)
	n := 0
	for n < len(p.pending) && p.pending[n].next <= next {
		p.pending[n].settle(nil)
		p.pending[n] = nil
		n++
	}
	if p.pending = p.pending[n:]; len(p.pending) == 0 {
		p.pending = nil // give the drained array back
	}
	p.waiters.wakeAll()
}

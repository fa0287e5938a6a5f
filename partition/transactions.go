package partition

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"weir/log"
	"weir/protocol/recordbatch"
)

// Limits on what a partition knows of transactions. A batch that would begin one more is refused
// with *TransactionLimitError.
const (
	maxOpenTransactions = 10_000
	// maxAbortedTransactions is how many are remembered that have records above the log start.
	maxAbortedTransactions = 1 << 20
)

// Marker ends the transaction of a producer in this partition (KIP-98). It is no error when none
// is open: a coordinator that did not hear that the marker was written writes it again.
type Marker struct {
	ProducerID       int64
	ProducerEpoch    int16 // not below the transaction's; a later one fences the producer
	CoordinatorEpoch int32
	Commit           bool // else abort
	// Bumped says that the epoch is above that of the transaction (KIP-890): an open one of just
	// this epoch is the producer's next one, which a late marker must not end.
	Bumped bool
}

// ProposeMarker takes the control batch of a marker into the partition's order. Its Append is
// settled as one of acks=all: with *NotLeaderError, *ProducerEpochError (the marker's epoch is
// older than the producer's), *CoordinatorEpochError, *StorageError or ErrClosed, as Propose tells.
func (p *Partition) ProposeMarker(m Marker) *Append {
	data, err := recordbatch.AppendMarker(nil, recordbatch.Header{ProducerID: m.ProducerID, ProducerEpoch: m.ProducerEpoch},
		recordbatch.Marker{Commit: m.Commit, CoordinatorEpoch: m.CoordinatorEpoch}, p.cfg.Now().UnixMilli())
	if err != nil {
		return &Append{err: err}
	}
	h, err := recordbatch.ParseHeader(data)
	if err != nil {
		return &Append{err: err}
	}
	return p.take(Batch{Header: h, Data: data}, &m, AcksAll)
}

// EndTransaction is ProposeMarker and the wait for it: on return the marker is committed at the
// offset, and what it ends is seen, or never will be, by readers at ReadCommitted. Errors: ctx's,
// after which the outcome is unknown, and those of ProposeMarker.
func (p *Partition) EndTransaction(ctx context.Context, m Marker) (offset int64, err error) {
	a := p.ProposeMarker(m)
	if err := a.Wait(ctx); err != nil {
		return -1, err
	}
	return a.BaseOffset, nil
}

// InTransaction says whether a producer has an open transaction here in this epoch, as of what
// is applied and on its way. It is of use on the leader.
func (p *Partition) InTransaction(producerID int64, epoch int16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.footingOf(producerID)
	return s.open && s.epoch == epoch
}

// mayBegin refuses a transaction above the limits. It is called with mu held.
func (p *Partition) mayBegin() error {
	open := p.state.producers.open.Len() + p.beginning
	if open < maxOpenTransactions && open+len(p.state.aborted) < maxAbortedTransactions {
		return nil
	}
	return &TransactionLimitError{Topic: p.cfg.Topic, Partition: p.cfg.Partition, Open: open, Aborted: len(p.state.aborted)}
}

// LastStableOffset is the first offset that a reader at ReadCommitted may not see: where the oldest
// open transaction begins, never above the high watermark, nor below the log start.
func (p *Partition) LastStableOffset() int64 {
	return max(p.lastStable.Load(), p.log.LogStartOffset())
}

// AbortedTransaction is one whose records readers at ReadCommitted leave out: those of the producer from
// FirstOffset up to its next marker.
type AbortedTransaction struct {
	ProducerID  int64
	FirstOffset int64

	lastOffset int64 // of the marker
	stable     int64 // last stable offset after the marker
}

// ReadStable is Read for readers at ReadCommitted: whole batches below the last stable offset, and
// the aborted transactions that overlap them, by their first offset.
func (p *Partition) ReadStable(offset int64, maxBytes int, minOne bool) (log.Range, []AbortedTransaction, error) {
	if err := p.usable(); err != nil {
		return log.Range{}, nil, err
	}
	// In this order: what ends below the limit is in the index, and what compaction has the index forget
	// is not in the log any more.
	limit := p.LastStableOffset()
	aborted := p.aborted.Load()
	r, err := p.log.Read(offset, maxBytes, limit, minOne)
	if err != nil || r.Bytes == 0 || aborted == nil {
		return r, nil, p.readError(err)
	}
	return r, aborted.overlapping(r.FirstOffset, r.NextOffset), nil
}

// abortedIndex has aborted transactions in the order in which they ended. What is in it never
// changes: more is appended to a copy of its head.
type abortedIndex []AbortedTransaction

// overlapping finds those that have records in [from, to), by their first offset.
func (x abortedIndex) overlapping(from, to int64) []AbortedTransaction {
	var found []AbortedTransaction
	for _, t := range x[x.endedFrom(from):] {
		if t.FirstOffset < to {
			found = append(found, t)
		}
		if t.stable >= to {
			break // all that end later begin later, too
		}
	}
	slices.SortFunc(found, func(a, b AbortedTransaction) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return found
}

// endedFrom counts those that ended before an offset.
func (x abortedIndex) endedFrom(offset int64) int {
	return sort.Search(len(x), func(i int) bool { return x[i].lastOffset >= offset })
}

// with adds one that has ended, at its place if others have ended later, unless it is there.
func (x abortedIndex) with(t AbortedTransaction) abortedIndex {
	i := x.endedFrom(t.lastOffset)
	if i == len(x) {
		return append(x, t)
	}
	if x[i].lastOffset == t.lastOffset {
		return x
	}
	t.stable = min(t.stable, x[i].FirstOffset, x[i].stable) // of those that end later none begins below
	return slices.Concat(x[:i], abortedIndex{t}, x[i:])
}

// setAborted has readers see an index. It is called with mu held, before the last stable offset
// moves past what the index tells of.
func (p *Partition) setAborted(x abortedIndex) {
	p.state.aborted = x
	p.aborted.Store(&x)
}

// forgetAborted drops the transactions that ended below an offset: nothing of them is in the log.
func (p *Partition) forgetAborted(below int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.state.aborted.endedFrom(below); n > 0 {
		p.setAborted(slices.Clone(p.state.aborted[n:]))
	}
}

// applyMarker notes the marker of a control batch. It is called with mu held.
func (p *Partition) applyMarker(m Marker, offset int64, now time.Time) {
	if aborted, ok := p.state.producers.end(m, offset, now); ok {
		p.setAborted(p.state.aborted.with(aborted))
	}
}

// readMarker reads the marker of a control batch in the log.
func (p *Partition) readMarker(raftIndex uint64, h recordbatch.Header) (Marker, error) {
	entry, release, err := p.log.Entry(raftIndex)
	if err != nil {
		return Marker{}, err
	}
	defer release()
	m, err := recordbatch.ParseMarker(entry.Data)
	if err != nil {
		return Marker{}, fmt.Errorf("partition: the control batch of entry %d: %w", raftIndex, err)
	}
	return Marker{ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, CoordinatorEpoch: m.CoordinatorEpoch, Commit: m.Commit}, nil
}

package partition

import (
	"errors"
	"iter"

	"weir/log"
	"weir/protocol/recordbatch"
)

// Isolation bounds what a reader sees.
type Isolation int8

const (
	ReadUncommitted Isolation = 0 // below the high watermark
	ReadCommitted   Isolation = 1 // below the last stable offset
)

// Found is a record that a search by time came to.
type Found = log.Found

// Limit is the first offset that a reader at this isolation may not see.
func (p *Partition) Limit(iso Isolation) int64 {
	if iso == ReadCommitted {
		return p.LastStableOffset()
	}
	return p.HighWatermark()
}

// Read returns whole batches below the high watermark from the one that holds offset
// on, at most maxBytes of them; with minOne the first one however large. The range
// is empty at the end. It holds its file until Release. Errors:
// *log.OffsetOutOfRangeError, ErrClosed, *StorageError.
func (p *Partition) Read(offset int64, maxBytes int, minOne bool) (log.Range, error) {
	if err := p.usable(); err != nil {
		return log.Range{}, err
	}
	r, err := p.log.Read(offset, maxBytes, p.HighWatermark(), minOne)
	return r, p.readError(err)
}

// OffsetForTimestamp finds the first committed record at or after ts (unix
// ms); false when there is none.
func (p *Partition) OffsetForTimestamp(ts int64, iso Isolation) (Found, bool, error) {
	if err := p.usable(); err != nil {
		return log.Found{}, false, err
	}
	found, ok, err := p.log.OffsetForTimestamp(ts, p.Limit(iso))
	return found, ok, p.readError(err)
}

// MaxTimestamp finds the first committed record with the largest timestamp;
// false in an empty partition.
func (p *Partition) MaxTimestamp(iso Isolation) (Found, bool, error) {
	if err := p.usable(); err != nil {
		return log.Found{}, false, err
	}
	found, ok, err := p.log.MaxTimestamp(p.Limit(iso))
	return found, ok, p.readError(err)
}

// FirstRecord finds the first committed record at or after offset that a client is given, markers of
// transactions aside; false when there is none. Errors: ErrClosed, *StorageError.
func (p *Partition) FirstRecord(offset int64, iso Isolation) (Found, bool, error) {
	if err := p.usable(); err != nil {
		return log.Found{}, false, err
	}
	found, ok, err := p.log.FirstRecord(offset, p.Limit(iso))
	return found, ok, p.readError(err)
}

// EpochAt is the leader epoch of the record at offset; of the log end, the
// current one.
func (p *Partition) EpochAt(offset int64) int32 {
	if offset >= p.LogEndOffset() {
		return p.LeaderEpoch()
	}
	return p.log.EpochAt(offset)
}

// EndOffsetFor answers OffsetForLeaderEpoch (KIP-101, KIP-320): the largest
// epoch known at or below the one asked for and the offset where it ends; for
// the current epoch the log end; (-1, -1) for one that is yet to come.
func (p *Partition) EndOffsetFor(epoch int32) (int32, int64) {
	switch current := p.LeaderEpoch(); {
	case epoch == current:
		return epoch, p.LogEndOffset()
	case epoch > current:
		return -1, -1
	}
	return p.log.EndOffsetFor(epoch)
}

// Batches iterates over the headers of the batches in [from, limit).
func (p *Partition) Batches(from, limit int64) iter.Seq2[recordbatch.Header, error] {
	return p.log.Batches(from, limit)
}

// readError words an error of reading the log for callers. The log may have
// been closed since usable looked.
func (p *Partition) readError(err error) error {
	var outOfRange *log.OffsetOutOfRangeError
	switch {
	case err == nil || errors.As(err, &outOfRange):
		return err
	case errors.Is(err, log.ErrClosed):
		return ErrClosed
	}
	return &StorageError{Topic: p.cfg.Topic, Partition: p.cfg.Partition, Err: err}
}

func (p *Partition) usable() error {
	if p.closed.Load() {
		return ErrClosed
	}
	return nil
}

// ProducerState is what is known of one idempotent producer, for
// DescribeProducers.
type ProducerState struct {
	ID               int64
	Epoch            int16
	LastSequence     int32 // -1 when it has sent nothing in its epoch
	LastTimestamp    int64 // unix ms, when its last batch or marker was appended
	CoordinatorEpoch int32 // of its last marker, -1 without one
	Transaction      int64 // first offset of its open transaction, -1 without one
}

// Producers lists the producers remembered, the least recently seen first, and then those that
// have a transaction, the oldest first.
func (p *Partition) Producers() []ProducerState {
	p.mu.Lock()
	defer p.mu.Unlock()
	states := make([]ProducerState, 0, len(p.state.producers.byID))
	p.state.producers.all(func(x *producer) {
		states = append(states, ProducerState{
			ID: x.id, Epoch: x.epoch, LastSequence: x.lastSequence(), LastTimestamp: x.lastSeen.UnixMilli(),
			CoordinatorEpoch: x.coordinatorEpoch, Transaction: x.transaction,
		})
	})
	return states
}

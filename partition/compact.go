package partition

import (
	"context"
	"errors"
	"time"

	"weir/log"
	"weir/protocol/recordbatch"
)

// Compact has the log keep the last record of each key only, where the settings
// ask for it and there is enough to do. It takes as long as reading the log, beside
// everything else and as fast as meter lets it (nil: no one does), and ends early with
// ctx and when the partition is closed.
// Errors: ctx's, ErrClosed, *StorageError; after each of them the next call goes on.
func (p *Partition) Compact(ctx context.Context, now time.Time, meter log.Meter) (log.Compacted, error) {
	p.mu.Lock()
	s := p.settings
	p.mu.Unlock()
	if err := p.usable(); err != nil || !s.Compact {
		return log.Compacted{}, err
	}
	s.Compaction.Meter = meter
	done, err := p.log.Compact(ctx, now, p.LastStableOffset(), s.Compaction, &judge{p: p})
	p.forgetAborted(done.To)
	switch {
	case errors.Is(err, errNoCheckpoint):
		return done, nil // that is logged where it is tried; the next pass may get on
	case err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return done, err
	case errors.Is(err, log.ErrClosed):
		return done, ErrClosed
	}
	return done, p.storageError(err)
}

// judge tells a compaction what the log alone does not.
type judge struct {
	p       *Partition
	last    map[int64]lastBatch
	aborted map[int64]abortedIndex // of each producer, one after the other
}

var _ log.Judge = (*judge)(nil)

// errNoCheckpoint ends a compaction before it begins.
var errNoCheckpoint = errors.New("partition: no checkpoint tells yet what a compaction may remove")

// Begin has a checkpoint tell all that is to be compacted: an older one, in which a transaction is open whose
// marker goes, would leave it open for ever. A checkpoint above what a power loss leaves of the log would
// count for nothing.
func (j *judge) Begin() error {
	p := j.p
	p.mu.Lock()
	at, write := p.state.at.raftIndex, p.nextCheckpoint()
	p.mu.Unlock()
	err := p.log.Sync()
	if write != nil {
		write()
	}
	p.mu.Lock()
	for p.checkpointing > 0 {
		p.room.Wait() // it may be the one
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	if p.checkpointOnDisk.Load() < at {
		return errNoCheckpoint
	}
	j.last, j.aborted = p.lastBatches(), make(map[int64]abortedIndex)
	for _, t := range *p.aborted.Load() {
		j.aborted[t.ProducerID] = append(j.aborted[t.ProducerID], t)
	}
	return nil
}

// lastBatch is what a restart may have to learn a producer's state from.
type lastBatch struct {
	base  int64 // of the last batch with a sequence, -1: its marker is all there is in its epoch
	epoch int16
}

// KeepsHeader says which batches stay for their producer's sake: the last one of each, or its marker.
func (j *judge) KeepsHeader(h recordbatch.Header) bool {
	last, known := j.last[h.ProducerID]
	if h.IsControl() {
		return known && last.base < 0 && last.epoch == h.ProducerEpoch
	}
	return known && last.base == h.BaseOffset
}

// Aborted says whether a batch below the last stable offset is of a transaction that was aborted.
func (j *judge) Aborted(h recordbatch.Header) bool {
	own := j.aborted[h.ProducerID]
	i := own.endedFrom(h.BaseOffset)
	return i < len(own) && own[i].FirstOffset <= h.BaseOffset
}

func (p *Partition) lastBatches() map[int64]lastBatch {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := make(map[int64]lastBatch, len(p.state.producers.byID))
	for id, x := range p.state.producers.byID {
		b := lastBatch{base: -1, epoch: x.epoch}
		if x.n > 0 {
			b.base = x.batches[x.n-1].baseOffset
		}
		last[id] = b
	}
	return last
}

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
// everything else, and ends early with ctx and when the partition is closed.
// Errors: ctx's, ErrClosed, *StorageError; after each of them the next call goes on.
func (p *Partition) Compact(ctx context.Context, now time.Time) (log.Compacted, error) {
	p.mu.Lock()
	s := p.settings
	p.mu.Unlock()
	if err := p.usable(); err != nil || !s.Compact {
		return log.Compacted{}, err
	}
	batches := judge{p: p}
	done, err := p.log.Compact(ctx, now, p.LastStableOffset(), s.Compaction, &batches)
	p.forgetAborted(done.To)
	switch {
	case err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return done, err
	case errors.Is(err, log.ErrClosed):
		return done, ErrClosed
	}
	return done, p.storageError(err)
}

// judge tells a compaction what the log alone does not. What it knows is made when it is asked
// for first: most passes have nothing to do.
type judge struct {
	p       *Partition
	last    map[int64]lastBatch
	aborted map[int64]abortedIndex
}

var _ log.Judge = (*judge)(nil)

// lastBatch is what a restart may have to learn a producer's state from.
type lastBatch struct {
	base  int64 // of the last batch with a sequence, -1: its marker is all there is in its epoch
	epoch int16
}

// KeepsHeader says which batches stay for their producer's sake: the last one of each, or its marker.
func (j *judge) KeepsHeader(h recordbatch.Header) bool {
	if j.last == nil {
		j.last = j.p.lastBatches()
	}
	last, known := j.last[h.ProducerID]
	if h.IsControl() {
		return known && last.base < 0 && last.epoch == h.ProducerEpoch
	}
	return known && last.base == h.BaseOffset
}

// Aborted says whether a batch below the last stable offset is of a transaction that was aborted.
func (j *judge) Aborted(h recordbatch.Header) bool {
	if j.aborted == nil {
		j.aborted = make(map[int64]abortedIndex)
		for _, t := range *j.p.aborted.Load() {
			j.aborted[t.ProducerID] = append(j.aborted[t.ProducerID], t)
		}
	}
	own := j.aborted[h.ProducerID] // one after the other
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

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
	var last map[int64]int64 // made when it is asked for first: most passes have nothing to do
	done, err := p.log.Compact(ctx, now, p.LastStableOffset(), s.Compaction, func(h recordbatch.Header) bool {
		if last == nil {
			last = p.lastBatches()
		}
		base, known := last[h.ProducerID]
		return known && base == h.BaseOffset
	})
	switch {
	case err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return done, err
	case errors.Is(err, log.ErrClosed):
		return done, ErrClosed
	}
	return done, p.storageError(err)
}

// lastBatches gives the base offset of each producer's last batch. A restart may
// have to learn from that one what the producer sent, so its header has to stay.
func (p *Partition) lastBatches() map[int64]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := make(map[int64]int64, len(p.state.producers.byID))
	for id, x := range p.state.producers.byID {
		last[id] = x.last().baseOffset
	}
	return last
}

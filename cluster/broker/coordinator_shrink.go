package broker

import (
	"context"
	"maps"
	"slices"

	"weir/partition"
	"weir/protocol/recordbatch"
)

// The offsets topic holds every commit and every generation there ever was, of which only
// the last of each group and partition counts. When a partition of it has grown, what counts
// is written again at its end, and what lies before that is dropped.
const (
	// shrinkBytes is the size below which a partition is left alone.
	shrinkBytes = 16 << 20
	// shrinkFactor is how many times what counts a partition may hold.
	shrinkFactor = 4
	// shrinkBatchBytes bounds one batch of the rewrite, unless one record is larger.
	shrinkBatchBytes = 512 << 10
)

// shrinkIfGrown rewrites the partition of a shard that has grown too large.
// Changes to it wait meanwhile. A failure changes nothing that counts, and the
// next change tries again.
func (c *coordinator) shrinkIfGrown(ctx context.Context, s *shard) error {
	s.mu.Lock()
	p := s.partition
	appends, err := c.rewriteIfGrown(ctx, s)
	s.mu.Unlock()
	if err != nil || len(appends) == 0 {
		return err
	}
	return dropRewritten(ctx, p, appends)
}

// dropRewritten waits for a rewrite, and deletes what lies before it.
func dropRewritten(ctx context.Context, p *partition.Partition, appends []*partition.Append) error {
	for _, a := range appends {
		if err := a.Wait(ctx); err != nil {
			return err
		}
	}
	_, err := p.DeleteRecords(ctx, appends[0].BaseOffset)
	return err
}

// rewriteIfGrown is called with mu held. It gives nothing when there is nothing to be done.
func (c *coordinator) rewriteIfGrown(ctx context.Context, s *shard) ([]*partition.Append, error) {
	if !s.leads() {
		return nil, nil
	}
	size := s.partition.SizeBytes()
	if size < shrinkBytes || size < shrinkFactor*s.live || !s.pending.Empty() { // what is pending stays where it is
		return nil, nil
	}
	return c.rewrite(ctx, s)
}

// rewrite proposes all that counts of a shard. It is called with mu held, which
// keeps every other write of the partition behind it; those before it are
// waited for, since what it drops must all be in the tables.
func (c *coordinator) rewrite(ctx context.Context, s *shard) ([]*partition.Append, error) {
	for len(s.ahead) > 0 { // a change that is done may have another follow
		_ = s.ahead[0].append.Wait(ctx) // who made it hears how it went
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.catchUp()
	}
	if !s.pending.Empty() || !s.leads() {
		return nil, nil // it was on its way; or another leadership has written since
	}
	now := c.now().UnixMilli()
	var appends []*partition.Append
	var live int64
	for _, records := range s.liveBatches(now) {
		b, err := newLedgerBatch(plainHeader, records, now)
		if err != nil {
			return nil, err
		}
		live += int64(len(b.Data))
		appends = append(appends, s.partition.Propose(b, partition.AcksAll))
	}
	s.live = live
	return appends, nil
}

// liveBatches lists what counts of a shard, in batches.
func (s *shard) liveBatches(now int64) [][]recordbatch.Record {
	var batches [][]recordbatch.Record
	size := shrinkBatchBytes
	add := func(r recordbatch.Record) {
		if size += len(r.Key) + len(r.Value); size > shrinkBatchBytes {
			batches, size = append(batches, nil), len(r.Key)+len(r.Value)
		}
		last := &batches[len(batches)-1]
		*last = append(*last, r)
	}
	for _, name := range slices.Sorted(maps.Keys(s.stored)) {
		add(groupRecord(name, s.stored[name], now))
	}
	for _, name := range slices.Sorted(maps.Keys(s.facts)) {
		for _, r := range factRecords(name, s.facts[name].List(), now) {
			add(r)
		}
	}
	for _, name := range s.offsets.Groups() {
		for _, tp := range s.offsets.Partitions(name) {
			x, _ := s.offsets.Get(name, tp)
			add(commitRecord(name, tp, x, now))
		}
	}
	return batches
}

package broker

import (
	"context"

	"weir/partition"
	"weir/protocol/recordbatch"
)

// The offsets topic holds every commit ever made, of which only the last of
// each group and partition counts. When a partition of it has grown, the
// commits that count are written again at its end, and what lies before them
// is dropped.
const (
	// shrinkBytes is the size below which a partition is left alone.
	shrinkBytes = 16 << 20
	// shrinkFactor is how many times what counts a partition may hold.
	shrinkFactor = 4
	// shrinkBatchBytes bounds one batch of the rewrite.
	shrinkBatchBytes = 512 << 10
)

// shrinkIfGrown rewrites a partition of the topic that has grown too large.
// Commits to it wait meanwhile. A failure changes nothing that counts, and the
// next commit tries again.
func (s *offsetStore) shrinkIfGrown(ctx context.Context, p *partition.Partition, partitions int, now int64) error {
	appends, err := s.rewriteIfGrown(ctx, p, partitions, now)
	if err != nil || len(appends) == 0 {
		return err
	}
	for _, a := range appends {
		if err := a.Wait(ctx); err != nil {
			return err
		}
	}
	_, err = p.DeleteRecords(ctx, appends[0].BaseOffset)
	return err
}

func (s *offsetStore) rewriteIfGrown(ctx context.Context, p *partition.Partition, partitions int, now int64) ([]*partition.Append, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := p.SizeBytes()
	if size < shrinkBytes || size < shrinkFactor*s.live[p.Index()] {
		return nil, nil
	}
	return s.rewrite(ctx, p, partitions, now)
}

// rewrite proposes all that counts in p. It is called with mu held, which
// keeps every other write of the partition behind it; those before it are
// waited for, since what it drops must all be in the table.
func (s *offsetStore) rewrite(ctx context.Context, p *partition.Partition, partitions int, now int64) ([]*partition.Append, error) {
	for _, w := range s.ahead[p.Index()] {
		if err := w.append.Wait(ctx); err != nil {
			return nil, err
		}
	}
	s.catchUp(p.Index())
	var appends []*partition.Append
	var live int64
	for _, batch := range s.liveBatches(p.Index(), partitions, now) {
		b, err := newOffsetBatch(batch, now)
		if err != nil {
			return nil, err
		}
		live += int64(len(b.Data))
		appends = append(appends, p.Propose(b, partition.AcksAll))
	}
	s.live[p.Index()] = live
	return appends, nil
}

// liveBatches lists the commits of the groups of one partition, in batches.
func (s *offsetStore) liveBatches(index int32, partitions int, now int64) [][]recordbatch.Record {
	var batches [][]recordbatch.Record
	size := shrinkBatchBytes
	for _, name := range s.table.Groups() {
		if groupPartition(name, partitions) != index {
			continue
		}
		for _, tp := range s.table.Partitions(name) {
			c, _ := s.table.Get(name, tp)
			r := commitRecord(name, tp, c, now)
			if size += len(r.Key) + len(r.Value); size > shrinkBatchBytes {
				batches, size = append(batches, nil), 0
			}
			last := &batches[len(batches)-1]
			*last = append(*last, r)
		}
	}
	return batches
}

// newOffsetBatch makes the batch of some records of the topic.
func newOffsetBatch(records []recordbatch.Record, now int64) (partition.Batch, error) {
	h := recordbatch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, BaseTimestamp: now, MaxTimestamp: now}
	data, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, records)
	if err != nil {
		return partition.Batch{}, err
	}
	h, err = recordbatch.ParseHeader(data)
	return partition.Batch{Header: h, Data: data}, err
}

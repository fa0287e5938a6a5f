package broker

import (
	"context"
	"errors"

	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// makeChange makes the records of a change to a shard, and what it does to the tables. It
// runs with mu held.
type makeChange func(*shard) ([]recordbatch.Record, func(), error)

// write brings a change into the group's partition of the topic, waits until it
// is committed, and applies it in the topic's order.
func (c *coordinator) write(ctx context.Context, name string, make makeChange) error {
	t, err := c.node.EnsureInternalTopic(ctx, offsetsTopic)
	if err != nil {
		return err
	}
	var a *partition.Append
	var s *shard
	var failed error
	err = c.on(t, groupPartition(name, t.NumPartitions()), func(shard *shard) {
		s = shard
		records, apply, err := make(s)
		if err != nil || len(records) == 0 {
			failed = err
			return
		}
		a, failed = c.propose(s, records, func(err error) {
			if err == nil {
				apply()
			}
		})
	})
	if err = errors.Join(err, failed); err != nil || a == nil {
		return err
	}
	return c.await(ctx, s, a)
}

// propose brings records into the order of a shard's partition. done hears the outcome, with
// mu held, when it is known; so does who waits for the append, and then calls settle.
func (c *coordinator) propose(s *shard, records []recordbatch.Record, done func(error)) (*partition.Append, error) {
	batch, err := newOffsetBatch(records, c.now().UnixMilli())
	if err != nil {
		return nil, err
	}
	if len(batch.Data) > s.batchMax {
		return nil, protocol.CodeUnknownServerError // Kafka's word for what is too large for the topic
	}
	a := s.partition.Propose(batch, partition.AcksAll)
	s.ahead = append(s.ahead, change{append: a, done: done})
	return a, nil
}

// await waits for a change and sees it done.
func (c *coordinator) await(ctx context.Context, s *shard, a *partition.Append) error {
	err := a.Wait(ctx)
	p := c.settle(s)
	if elsewhere := (*partition.NotLeaderError)(nil); errors.As(err, &elsewhere) {
		return protocol.CodeNotCoordinator
	}
	if err != nil || p == nil {
		return err
	}
	if err := c.shrinkIfGrown(ctx, s); err != nil {
		c.logger.Warn("the offsets topic is not shrunk", "partition", s.index, "err", err)
	}
	return nil
}

// settle does what is known by now, and returns the partition that the shard is of, if it
// still is.
func (c *coordinator) settle(s *shard) *partition.Partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer c.account(s)
	c.catchUp(s)
	return s.partition
}

// catchUp does the changes that are settled. Appends of a partition settle in
// order, so the first unsettled one ends the search. It is called with mu held.
func (c *coordinator) catchUp(s *shard) {
	for len(s.ahead) > 0 && s.ahead[0].append.Settled() {
		x := s.ahead[0]
		s.ahead = s.ahead[1:]
		x.done(x.append.Wait(context.Background()))
	}
	if len(s.ahead) == 0 {
		s.ahead = nil
	}
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

package broker

import (
	"context"
	"errors"

	"weir/partition"
	"weir/protocol/recordbatch"
)

// makeChange makes the records of a change to a shard, and what it does to the tables. It
// runs with mu held.
type makeChange func(*shard) ([]recordbatch.Record, func(), error)

// write brings a change into the group's partition of the topic, waits until it
// is committed, and applies it in the topic's order.
func (c *coordinator) write(ctx context.Context, name string, make makeChange) error {
	return c.writeAs(ctx, name, plainHeader, nil, func(s *shard) ([]recordbatch.Record, func(int64), error) {
		records, apply, err := make(s)
		return records, func(int64) { apply() }, err
	})
}

// makeChangeAt is makeChange where it matters at which offset of the topic the change is.
type makeChangeAt func(*shard) ([]recordbatch.Record, func(position int64), error)

// writeAs is write for batches with a header, of a transaction if in is one.
func (c *coordinator) writeAs(ctx context.Context, name string, h recordbatch.Header, in *txnEntry, make makeChangeAt) error {
	t, err := c.node.EnsureInternalTopic(ctx, offsetsTopic)
	if err != nil {
		return err
	}
	var a *partition.Append
	var s *shard
	var failed error
	err = c.on(t, coordinatedBy(name, t.NumPartitions()), func(shard *shard) {
		s = shard
		records, apply, err := make(s)
		if err != nil || len(records) == 0 {
			failed = err
			return
		}
		batch, err := newLedgerBatch(h, records, c.now().UnixMilli())
		if err != nil {
			failed = err
			return
		}
		in.mark(&batch)
		failed = in.propose(func() (err error) {
			a, err = s.propose(batch, records, func(err error) {
				if err == nil {
					apply(a.BaseOffset)
				}
			})
			return err
		})
	})
	if err = errors.Join(err, failed); err != nil || a == nil {
		return err
	}
	return c.await(ctx, s, a)
}

// propose brings records into the order of a shard's partition; see ledger.propose.
func (c *coordinator) propose(s *shard, h recordbatch.Header, records []recordbatch.Record, done func(error)) (*partition.Append, error) {
	batch, err := newLedgerBatch(h, records, c.now().UnixMilli())
	if err != nil {
		return nil, err
	}
	return s.propose(batch, records, done)
}

// await waits for a change and sees it done.
func (c *coordinator) await(ctx context.Context, s *shard, a *partition.Append) error {
	p, err := s.ledger.await(ctx, a)
	if err != nil || p == nil {
		return err
	}
	if err := c.shrinkIfGrown(ctx, s); err != nil {
		c.logger.Warn("the offsets topic is not shrunk", "partition", s.index, "err", err)
	}
	return nil
}

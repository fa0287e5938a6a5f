package broker

import (
	"context"
	"slices"

	"weir/cluster/group"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// delete forgets a group, with its offsets. Errors: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP.
func (c *coordinator) delete(ctx context.Context, name string) error {
	if c.node.Topic(offsetsTopic) == nil {
		return protocol.CodeGroupIDNotFound // and none is made for it
	}
	if err := c.awaitAhead(ctx, name); err != nil {
		return err
	}
	return c.write(ctx, name, func(s *shard) ([]recordbatch.Record, func(), error) {
		if !s.has(name) {
			return nil, nil, protocol.CodeGroupIDNotFound
		}
		if state, _ := s.state(name); state != group.Empty {
			return nil, nil, protocol.CodeNonEmptyGroup
		}
		tps := s.committed(name)
		return c.tombstones(s, name), func() {
			for _, tp := range tps {
				s.forgetCommit(name, tp)
			}
			c.dropEmpty(s, name)
		}, nil
	})
}

// awaitAhead waits for the commits that are on their way, of this group among others.
func (c *coordinator) awaitAhead(ctx context.Context, name string) error {
	var last *partition.Append
	err := c.within(name, func(s *shard) {
		if n := len(s.ahead); n > 0 {
			last = s.ahead[n-1].append
		}
	})
	if err != nil || last == nil {
		return err
	}
	_ = last.Wait(ctx) // its own client hears how it went
	return ctx.Err()
}

// tombstones are the records that have the topic forget a group.
func (c *coordinator) tombstones(s *shard, name string) []recordbatch.Record {
	now := c.now().UnixMilli()
	records := append(s.factTombstones(name, now), groupRecord(name, nil, now))
	for _, tp := range s.committed(name) {
		records = append(records, recordbatch.Record{Timestamp: now, Key: offsetKey(name, tp)})
	}
	return records
}

// forget has the topic forget a group of which nothing is left, if that is so still.
func (c *coordinator) forget(ctx context.Context, name string) error {
	return c.write(ctx, name, func(s *shard) ([]recordbatch.Record, func(), error) {
		if !s.forgettable(name) || len(s.ahead) > 0 {
			return nil, nil, nil
		}
		return c.tombstones(s, name), func() { c.dropEmpty(s, name) }, nil
	})
}

// forgettable says that a group has neither members nor offsets.
func (s *shard) forgettable(name string) bool {
	g := s.groups[name]
	return g != nil && g.Idle() && g.writing == 0 && !s.offsets.Has(name) && !s.pending.HasGroup(name)
}

// committed lists what a group has committed, in transactions that are not ended as well.
func (s *shard) committed(name string) []group.TopicPartition {
	tps := append(s.offsets.Partitions(name), s.pending.Partitions(name)...)
	slices.SortFunc(tps, group.TopicPartition.Compare)
	return slices.Compact(tps)
}

// dropEmpty forgets a group that the topic has forgotten. If somebody has joined meanwhile it
// lives on, and will be written again.
func (c *coordinator) dropEmpty(s *shard, name string) {
	s.setStored(name, nil)
	s.forgetFacts(name)
	if g := s.groups[name]; g != nil && g.State() == group.Empty && g.writing == 0 {
		c.drop(g)
	}
}

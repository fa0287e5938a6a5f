package broker

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"weir/cluster"
	"weir/cluster/group"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// committer is who commits offsets; member and instance are empty and the generation is
// negative for a consumer that is in no group.
type committer struct {
	member, instance string
	generation       int32 // or the member's epoch
	version          int16 // of the request
}

// noMember commits without being a member.
var noMember = committer{generation: -1}

// commit makes commits of one group durable and visible. Errors: what a group answers who is
// not a member as of now, UNKNOWN_TOPIC_OR_PARTITION or UNKNOWN_TOPIC_ID when a topic has just been deleted,
// POLICY_VIOLATION when there is no room for more.
func (c *coordinator) commit(ctx context.Context, name string, by committer, commits map[group.TopicPartition]group.Commit) error {
	return c.write(ctx, name, func(s *shard) ([]recordbatch.Record, func(), error) {
		if err := c.mayCommit(s, name, by, maps.Keys(commits)); err != nil {
			return nil, nil, err
		}
		records, err := c.commitRecords(s, name, by.version, commits)
		return records, func() {
			for tp, x := range commits {
				s.setCommit(name, tp, x)
			}
		}, err
	})
}

// outdated says that the topic that a commit was made for is not there any more, as far as this broker knows.
func (c *coordinator) outdated(tp group.TopicPartition, x group.Commit) bool {
	t := c.node.Topic(tp.Topic)
	return t == nil || isOther(x.TopicID, t.ID)
}

// isOther says that a noted topic id is not the one that is wanted; zero stands for one that nobody noted.
func isOther(noted, wanted [16]byte) bool { return noted != [16]byte{} && noted != wanted }

// unknownTopic is how a version of OffsetCommit and OffsetFetch words that there is no such topic.
func unknownTopic(version int16) protocol.ErrorCode {
	if version >= topicIDVersion {
		return protocol.CodeUnknownTopicID
	}
	return protocol.CodeUnknownTopicOrPartition
}

// commitRecords makes the records of commits, for which there has to be room. version is that of OffsetCommit, as for
// unknownTopic. It is called with mu held.
func (c *coordinator) commitRecords(s *shard, name string, version int16, commits map[group.TopicPartition]group.Commit) ([]recordbatch.Record, error) {
	if c.bytes.Load() > maxGroupsBytes || c.withOffsets.Load() >= maxGroups && !s.offsets.Has(name) && !s.pending.HasGroup(name) {
		return nil, protocol.CodePolicyViolation
	}
	now := c.now().UnixMilli()
	records := make([]recordbatch.Record, 0, len(commits))
	for tp, x := range commits {
		// Deleting a topic forgets its commits after this lock: none may slip in behind.
		if c.outdated(tp, x) {
			return nil, unknownTopic(version)
		}
		records = append(records, commitRecord(name, tp, x, now))
	}
	return records, nil
}

// mayCommit says whether the group takes a commit. It is called with mu held, so that the
// commits of a generation are before everything of the next in the topic.
func (c *coordinator) mayCommit(s *shard, name string, by committer, partitions iter.Seq[group.TopicPartition]) error {
	if g := s.groups[name]; g != nil {
		return g.commit(c.now(), by, partitions)
	}
	switch {
	case by.generation < 0:
		return nil
	case by.version >= epochVersion && !s.offsets.Has(name):
		return protocol.CodeGroupIDNotFound
	case s.offsets.Has(name):
		return group.ErrUnknownMember
	default:
		return group.ErrIllegalGeneration // Kafka's word, from before there was one for unknown groups
	}
}

// remove forgets commits of one group, durably.
func (c *coordinator) remove(ctx context.Context, name string, tps []group.TopicPartition) error {
	return c.removeIf(ctx, name, tps, nil)
}

// pickCommit says whether a commit is meant, one of a transaction in progress as well. It runs with mu held.
type pickCommit func(s *shard, name string, tp group.TopicPartition, x group.Commit) bool

// picks says whether all is meant that a group has of a partition, also in transactions in progress: a tombstone is for
// all of it. It is called with mu held.
func (s *shard) picks(pick pickCommit, name string, tp group.TopicPartition) bool {
	all := s.pending.Commits(name, tp)
	if x, ok := s.offsets.Get(name, tp); ok {
		all = append(all, x)
	}
	return len(all) > 0 && !slices.ContainsFunc(all, func(x group.Commit) bool { return !pick(s, name, tp, x) })
}

// removeIf is remove for those commits that are still as pick wants them. With
// a pick it leaves alone what is about to change: a commit that is on its way takes the place of the one before.
func (c *coordinator) removeIf(ctx context.Context, name string, tps []group.TopicPartition, pick pickCommit) error {
	return c.write(ctx, name, func(s *shard) ([]recordbatch.Record, func(), error) {
		now := c.now().UnixMilli()
		var records []recordbatch.Record
		var gone []group.TopicPartition
		coming := s.coming()
		for _, tp := range tps {
			key := offsetKey(name, tp)
			if pick == nil || !coming[string(key)] && s.picks(pick, name, tp) {
				records = append(records, recordbatch.Record{Timestamp: now, Key: key})
				gone = append(gone, tp)
			}
		}
		return records, func() {
			for _, tp := range gone {
				s.forgetCommit(name, tp)
			}
		}, nil
	})
}

// removeWhere forgets all commits that pick picks. Errors are those of all groups.
func (c *coordinator) removeWhere(ctx context.Context, pick pickCommit) error {
	var errs []error
	for name, tps := range c.find(pick) {
		if err := c.removeIf(ctx, name, tps, pick); err != nil {
			errs = append(errs, fmt.Errorf("group %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// find lists the partitions of which pick picks all that is committed, by group.
func (c *coordinator) find(pick pickCommit) map[string][]group.TopicPartition {
	found := make(map[string][]group.TopicPartition)
	_ = c.each(func(s *shard) { // what cannot be read is not coordinated now
		for _, name := range s.offsets.Groups() {
			for _, tp := range s.offsets.Partitions(name) {
				if s.picks(pick, name, tp) {
					found[name] = append(found[name], tp)
				}
			}
		}
		for name, tps := range s.pending.Select(func(name string, tp group.TopicPartition, x group.Commit) bool {
			_, known := s.offsets.Get(name, tp)
			return !known && pick(s, name, tp, x)
		}) {
			found[name] = append(found[name], tps...)
		}
	})
	return found
}

// expire forgets offsets that have not counted for longer than age, as KIP-211 has it, and
// then groups of which nothing is left.
func (c *coordinator) expire(ctx context.Context, age time.Duration) {
	before := c.now().Add(-age).UnixMilli()
	err := c.removeWhere(ctx, func(s *shard, name string, tp group.TopicPartition, x group.Commit) bool {
		if x.Timestamp >= before || s.pending.Has(name, tp) { // as most are; what the group says of it costs more
			return false
		}
		since, counts := s.unusedSince(name, tp, x)
		return !counts && since < before
	})
	if err != nil {
		c.logger.Warn("old committed offsets are not removed", "err", err)
	}
	var empty []string
	_ = c.each(func(s *shard) {
		for name := range s.groups {
			if s.forgettable(name) && s.inTopic(name) {
				empty = append(empty, name)
			}
		}
	})
	for _, name := range empty {
		if err := c.forget(ctx, name); err != nil {
			c.logger.Warn("an empty group is not removed", "group", name, "err", err)
		}
	}
}

// unusedSince is since when an offset is of no use, unix ms: in a group that once had members,
// since it is empty; in one that has consumers, since the commit, if they do not subscribe to
// the topic; else since the commit.
func (s *shard) unusedSince(name string, tp group.TopicPartition, x group.Commit) (since int64, counts bool) {
	g := s.groups[name]
	switch {
	case g == nil || g.ProtocolType() == "":
		return x.Timestamp, false
	case g.State() == group.Empty:
		return max(x.Timestamp, g.StateSince()), false
	case g.State() != group.Stable:
		return 0, true
	}
	topics, known := g.Subscribed()
	return x.Timestamp, !known || topics[tp.Topic]
}

// removeTopic forgets what groups have committed for a topic that is gone.
func (c *coordinator) removeTopic(ctx context.Context, topic cluster.Dropped) error {
	var before []*partition.Append
	_ = c.each(func(s *shard) {
		for _, x := range s.ahead {
			before = append(before, x.append)
		}
	})
	for _, a := range before {
		if err := a.Wait(ctx); ctx.Err() != nil {
			return err
		} // else it failed for its own client, and changed nothing
	}
	return c.removeDropped(ctx, []cluster.Dropped{topic})
}

// removeDropped forgets what groups have committed for topics that are gone, in transactions in progress as well: their
// markers are not to bring it back. What is of a topic that was made since under the same name stays.
func (c *coordinator) removeDropped(ctx context.Context, topics []cluster.Dropped) error {
	now := c.now().UnixMilli()
	return c.removeWhere(ctx, func(_ *shard, _ string, tp group.TopicPartition, x group.Commit) bool {
		return x.Timestamp <= now && slices.ContainsFunc(topics, func(t cluster.Dropped) bool {
			return t.Name == tp.Topic && !isOther(x.TopicID, t.ID)
		})
	})
}

// doubt has commits looked for whose topic is gone: by the time of a load the broker that coordinated before may
// not have forgotten them yet, and this one may have dropped the topic long ago.
func (c *coordinator) doubt() {
	select {
	case c.doubtful <- struct{}{}:
	default:
	}
}

// forgetOutdated forgets commits for topics that are gone, also if there is another of the name by now. As it
// compares with the metadata, which may be behind here, it catches up with them before it believes them.
func (c *coordinator) forgetOutdated() {
	outdated := func(_ *shard, _ string, tp group.TopicPartition, x group.Commit) bool { return c.outdated(tp, x) }
	for {
		select {
		case <-c.doubtful:
		case <-c.ctx.Done():
			return
		}
		if len(c.find(outdated)) == 0 {
			continue
		}
		err := c.node.CatchUp(c.ctx)
		if err == nil {
			err = c.removeWhere(c.ctx, outdated)
		}
		if err != nil && c.ctx.Err() == nil {
			c.logger.Warn("commits for topics that are gone are kept for now", "err", err)
		}
	}
}

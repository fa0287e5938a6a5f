package broker

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/group"
	"weir/cluster/group/consumer"
	"weir/cluster/group/record"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// loadChunkBytes is how much of the offsets topic is in memory at a time while
// a shard is built.
const loadChunkBytes = 1 << 20

// loadRetryInterval is how often a partition that cannot be read is tried.
const loadRetryInterval = time.Second

// followLeadership takes up the partitions that are led here since, and gives up those that
// are not any more.
func (c *coordinator) followLeadership() {
	t := c.node.Topic(offsetsTopic)
	if t == nil {
		return
	}
	for i := range int32(t.NumPartitions()) {
		_ = c.on(t, i, func(*shard) {}) // has been logged
	}
}

// ensureLoaded reads a shard's partition unless it is loaded as of this leadership. Errors are
// those of within. It is called with mu held.
func (c *coordinator) ensureLoaded(t *cluster.Topic, s *shard) error {
	p, err := t.Partition(s.index)
	var elsewhere *partition.NotLeaderError
	if errors.As(err, &elsewhere) {
		c.unload(s)
		return protocol.CodeNotCoordinator
	}
	epoch := int32(notLoaded)
	if err == nil {
		var leading bool
		if epoch, leading = p.Leading(); !leading {
			c.unload(s)
			return protocol.CodeNotCoordinator
		}
		if s.epoch == epoch && s.partition == p {
			return nil
		}
	}
	c.unload(s) // what was on its way may have been lost
	if time.Since(s.failed) < loadRetryInterval {
		return protocol.CodeCoordinatorLoadInProgress
	}
	if err == nil {
		err = c.loadPartition(s, p, t.MaxDecodedBytes())
	}
	if err != nil {
		s.clear()
		s.failed = time.Now()
		c.logger.Error("groups are unavailable", "topic", offsetsTopic, "partition", s.index, "err", err)
		return protocol.CodeCoordinatorLoadInProgress
	}
	s.partition, s.epoch, s.failed, s.batchMax = p, epoch, time.Time{}, int(t.Config.SegmentBytes)
	c.restore(s)
	return nil
}

// unload forgets the groups of a shard. Their parked requests are answered.
func (c *coordinator) unload(s *shard) {
	for _, g := range s.groups {
		g.tell(g.Close(protocol.CodeNotCoordinator))
		c.clock.forget(g)
	}
	s.clear()
}

func (c *coordinator) loadPartition(s *shard, p *partition.Partition, maxDecoded int) error {
	var buf []byte
	for offset := p.LogStartOffset(); offset < p.HighWatermark(); {
		r, err := p.Read(offset, loadChunkBytes, true)
		if err != nil {
			return err
		}
		buf, err = r.AppendTo(buf[:0])
		offset = r.NextOffset
		if err = errors.Join(err, r.Release()); err != nil {
			return err
		}
		if err := c.applyBatches(s, buf, maxDecoded); err != nil {
			return err
		}
	}
	return nil
}

func (c *coordinator) applyBatches(s *shard, b []byte, maxDecoded int) error {
	for len(b) > 0 {
		h, err := recordbatch.ParseHeader(b)
		if err != nil {
			return err
		}
		for r, err := range recordbatch.Records(b[:h.SizeBytes()], maxDecoded) {
			if err != nil {
				return err
			}
			if err := s.applyRecord(r); err != nil {
				// Admin tools may write here; what they write must not keep
				// the broker from starting.
				c.logger.Warn("a record of the offsets topic makes no sense", "offset", r.Offset, "err", err)
			}
		}
		b = b[h.SizeBytes():]
	}
	return nil
}

// Versions of a record's key: those up to commitKeyVersion mean a commit, groupKeyVersion
// means a group of the classic protocol, some others a fact of a group of the consumer protocol. The rest
// are of kinds that are not known here.
const (
	commitKeyVersion = 1
	groupKeyVersion  = 2
)

// applyRecord applies one record of the topic.
func (s *shard) applyRecord(r recordbatch.Record) error {
	if len(r.Key) >= 2 {
		switch version := binary.BigEndian.Uint16(r.Key); {
		case version == groupKeyVersion:
			return s.applyGroup(r)
		case record.Known(group.FactKind(version)):
			return s.applyFact(r)
		case version > groupKeyVersion:
			return nil
		}
	}
	var k kmsg.OffsetCommitKey
	if err := k.ReadFrom(r.Key); err != nil {
		return err
	}
	tp := group.TopicPartition{Topic: k.Topic, Partition: k.Partition}
	if r.Value == nil {
		s.offsets.Delete(k.Group, tp)
		return nil
	}
	var v kmsg.OffsetCommitValue
	if err := v.ReadFrom(r.Value); err != nil {
		return err
	}
	s.offsets.Set(k.Group, tp, group.Commit{Offset: v.Offset, LeaderEpoch: v.LeaderEpoch, Metadata: v.Metadata, Timestamp: v.CommitTimestamp})
	return nil
}

func (s *shard) applyGroup(r recordbatch.Record) error {
	var k kmsg.GroupMetadataKey
	if err := k.ReadFrom(r.Key); err != nil {
		return err
	}
	if r.Value != nil {
		if _, err := decodeGroup(r.Value); err != nil {
			return err
		}
	}
	s.setStored(k.Group, slices.Clone(r.Value))
	if r.Value != nil {
		s.forgetFacts(k.Group) // it has changed its protocol
	}
	return nil
}

// setStored notes what the topic has of a group, nil when nothing.
func (s *shard) setStored(name string, value []byte) {
	s.storedBytes -= int64(len(s.stored[name]))
	if value == nil {
		delete(s.stored, name)
		return
	}
	s.stored[name] = value
	s.storedBytes += int64(len(value))
}

// restore brings the groups of a shard to life. The sessions of their members begin.
func (c *coordinator) restore(s *shard) {
	now := c.now()
	for name, value := range s.stored {
		snapshot, err := decodeGroup(value)
		if err != nil {
			c.logger.Error("a group is lost", "group", name, "err", err) // it was decoded before
			continue
		}
		g := newLiveGroup(s, name, group.Restore(&c.limits, snapshot, now))
		s.groups[name] = g
		c.keep(g)
	}
	for name, facts := range s.facts {
		rules := consumer.Restore(c.world, facts, now)
		g := newLiveGroup(s, name, rules)
		s.groups[name] = g
		c.do(g, rules.Refresh(now, nil))
		c.match()
	}
}

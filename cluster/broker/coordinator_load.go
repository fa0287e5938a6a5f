package broker

import (
	"encoding/binary"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/group"
	"weir/cluster/group/consumer"
	"weir/cluster/group/record"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

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

// groupBook is a shard as the book of its ledger.
type groupBook struct {
	c *coordinator
	s *shard
}

func (b groupBook) counted() { b.c.account(b.s) }

func (b groupBook) blank() book { return groupBook{b.c, b.c.newShard(b.s.index)} }

// opened brings the groups to life, and has commits looked for whose topic is gone.
func (b groupBook) opened(read book) {
	from := read.(groupBook).s
	b.s.offsets, b.s.pending, b.s.stored, b.s.facts, b.s.storedBytes = from.offsets, from.pending, from.stored, from.facts, from.storedBytes
	b.c.restore(b.s)
	b.c.doubt()
}

func (b groupBook) enter(h recordbatch.Header, r recordbatch.Record) error {
	if !h.IsControl() {
		return b.s.applyRecord(h, r)
	}
	m, err := recordbatch.MarkerOf(r)
	if err == nil {
		b.s.endPending(h.ProducerID, r.Offset, m.Commit)
	}
	return err
}

// close answers the groups' parked requests.
func (b groupBook) close() {
	for _, g := range b.s.groups {
		g.tell(g.Close(protocol.CodeNotCoordinator))
		b.c.clock.forget(g)
	}
	b.s.clear()
}

// Versions of a record's key: those up to commitKeyVersion mean a commit, groupKeyVersion
// means a group of the classic protocol, some others a fact of a group of the consumer protocol. The rest
// are of kinds that are not known here.
const (
	commitKeyVersion = 1
	groupKeyVersion  = 2
)

// applyRecord applies one record of the topic.
func (s *shard) applyRecord(h recordbatch.Header, r recordbatch.Record) error {
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
		s.forgetCommit(k.Group, tp)
		return nil
	}
	c, err := decodeCommit(r.Value)
	if err != nil {
		return err
	}
	if h.IsTransactional() {
		s.pending.Set(h.ProducerID, k.Group, tp, c, r.Offset)
	} else {
		s.setCommit(k.Group, tp, c)
	}
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
		rules := consumer.Restore(c.world(name), facts, now)
		g := newLiveGroup(s, name, rules)
		s.groups[name] = g
		c.do(g, rules.Refresh(now, nil))
		c.match()
	}
}

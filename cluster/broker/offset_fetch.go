package broker

// OffsetFetch (key 9), versions 1-10: committed offsets. An unknown group or
// partition has offset -1 and no error. Null topics ask for all. What is named twice is answered once. The client has to have
// the right to describe group and topics: GROUP_AUTHORIZATION_FAILED, TOPIC_AUTHORIZATION_FAILED; of all topics others are left out.
//
// Added by version: 2 top-level error, 5 leader epoch, 6 flexible, 7 require
// stable: UNSTABLE_OFFSET_COMMIT while a transaction has committed an offset and is not ended (KIP-447), 8 many groups, 9 a
// member and its epoch (KIP-848), whose group answers UNKNOWN_MEMBER_ID or STALE_MEMBER_EPOCH, 10 topic ids in place of
// names: UNKNOWN_TOPIC_ID; of all topics those are left out that have been deleted since.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/group"
	"weir/protocol"
)

func (b *Broker) offsetFetch(_ context.Context, c *call, req *kmsg.OffsetFetchRequest) (*kmsg.OffsetFetchResponse, error) {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	if req.Version < 8 {
		topics, err := b.committed(c, req.Group, noMember, oldTopics(req), req.RequireStable)
		if resp.ErrorCode = int16(errorCode(err)); err != nil {
			topics = refused(oldTopics(req), errorCode(err)) // version 1 has no other place for it
		}
		for _, t := range topics {
			resp.Topics = append(resp.Topics, oldTopic(t))
		}
		return resp, nil
	}
	named := make(map[string]bool, len(req.Groups))
	for _, g := range req.Groups {
		out := kmsg.NewOffsetFetchResponseGroup()
		out.Group = g.Group
		err := invalidRequest("group %q is named twice", g.Group) // all that it has, over and over
		if !named[g.Group] {
			out.Topics, err = b.committed(c, g.Group, committer{member: orEmpty(g.MemberID), generation: g.MemberEpoch, version: req.Version}, g.Topics, req.RequireStable)
		}
		named[g.Group] = true
		out.ErrorCode = int16(errorCode(err))
		resp.Groups = append(resp.Groups, out)
	}
	return resp, nil
}

// committed answers for one group in the newer form, which the older one is
// made from.
func (b *Broker) committed(c *call, name string, by committer, topics []kmsg.OffsetFetchRequestGroupTopic, stable bool) (out []kmsg.OffsetFetchResponseGroupTopic, err error) {
	if err := c.may(acl.Describe, acl.Group(name)); err != nil {
		return nil, err
	}
	var refused error
	err = b.groups.within(name, func(s *shard) {
		if refused = s.mayFetch(name, by); refused != nil {
			return
		}
		if topics == nil {
			topics = b.allCommitted(c, s, name, by.version, stable)
		}
		told := make(map[group.TopicPartition]bool) // metadata over and over could be gigabytes
		for _, t := range topics {
			out = append(out, b.committedTopic(c, s, name, by.version, t, stable, told))
		}
	})
	if err == nil {
		err = refused
	}
	return out, err
}

// committedTopic answers for one topic. By its id only what was committed for that very topic counts, not for one
// that had its name before. Partitions that have been told are left out.
func (b *Broker) committedTopic(c *call, s *shard, name string, version int16, t kmsg.OffsetFetchRequestGroupTopic, stable bool,
	told map[group.TopicPartition]bool) kmsg.OffsetFetchResponseGroupTopic {
	to := kmsg.NewOffsetFetchResponseGroupTopic()
	to.Topic, to.TopicID = t.Topic, t.TopicID
	byID := version >= topicIDVersion
	topic := t.Topic // also one that this broker has not heard of yet
	if byID {
		known := b.node.TopicByID(t.TopicID)
		if known == nil {
			return refused([]kmsg.OffsetFetchRequestGroupTopic{t}, unknownTopic(version))[0]
		}
		topic = known.Name
	}
	if err := c.may(acl.Describe, acl.Topic(topic)); err != nil {
		return refused([]kmsg.OffsetFetchRequestGroupTopic{t}, errorCode(err))[0]
	}
	for _, index := range t.Partitions {
		tp := group.TopicPartition{Topic: topic, Partition: index}
		if told[tp] {
			continue
		}
		told[tp] = true
		po := noOffset(index)
		is, ok := s.offsets.Get(name, tp)
		switch {
		case stable && s.pending.Has(name, tp):
			po.ErrorCode = int16(protocol.CodeUnstableOffsetCommit)
		case ok && !(byID && isOther(is.TopicID, t.TopicID)):
			po.Offset, po.LeaderEpoch, po.Metadata = is.Offset, is.LeaderEpoch, kmsg.StringPtr(is.Metadata)
		}
		to.Partitions = append(to.Partitions, po)
	}
	return to
}

// mayFetch says whether the group tells its offsets: one of the consumer protocol does not tell a member that
// is behind, which would go on from where another has gone on already.
func (s *shard) mayFetch(name string, by committer) error {
	g := s.groups[name]
	if g == nil || g.consumer() == nil || by.member == "" && by.generation < 0 {
		return nil
	}
	return g.consumer().Fetch(by.member, by.generation)
}

func noOffset(index int32) kmsg.OffsetFetchResponseGroupTopicPartition {
	po := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	po.Partition, po.Offset, po.LeaderEpoch, po.Metadata = index, -1, -1, kmsg.StringPtr("")
	return po
}

// refused answers every partition that was asked for with a code.
func refused(topics []kmsg.OffsetFetchRequestGroupTopic, code protocol.ErrorCode) (out []kmsg.OffsetFetchResponseGroupTopic) {
	for _, t := range topics {
		to := kmsg.NewOffsetFetchResponseGroupTopic()
		to.Topic, to.TopicID = t.Topic, t.TopicID
		for _, index := range t.Partitions {
			po := noOffset(index)
			po.ErrorCode = int16(code)
			to.Partitions = append(to.Partitions, po)
		}
		out = append(out, to)
	}
	return out
}

// allCommitted names all that a group has committed, what is pending too if the answer is to tell of that; by their ids,
// which only topics have that are there still. Topics that the client may not describe are left out.
func (b *Broker) allCommitted(c *call, s *shard, name string, version int16, pending bool) []kmsg.OffsetFetchRequestGroupTopic {
	tps := s.offsets.Partitions(name)
	if pending {
		tps = s.committed(name)
	}
	var topics []kmsg.OffsetFetchRequestGroupTopic
	for _, tp := range tps { // sorted by topic
		if !c.allowed(acl.Describe, acl.Topic(tp.Topic)) {
			continue
		}
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic = tp.Topic
		if version >= topicIDVersion {
			is := b.node.Topic(tp.Topic)
			if commit, _ := s.offsets.Get(name, tp); is == nil || isOther(commit.TopicID, is.ID) {
				continue
			}
			t.TopicID = is.ID
		}
		if n := len(topics); n == 0 || topics[n-1].Topic != tp.Topic {
			topics = append(topics, t)
		}
		last := &topics[len(topics)-1]
		last.Partitions = append(last.Partitions, tp.Partition)
	}
	return topics
}

func oldTopics(req *kmsg.OffsetFetchRequest) []kmsg.OffsetFetchRequestGroupTopic {
	if req.Topics == nil && req.Version >= 2 {
		return nil // all; version 1 could not ask for that
	}
	topics := make([]kmsg.OffsetFetchRequestGroupTopic, 0, len(req.Topics))
	for _, t := range req.Topics {
		nt := kmsg.NewOffsetFetchRequestGroupTopic()
		nt.Topic, nt.Partitions = t.Topic, t.Partitions
		topics = append(topics, nt)
	}
	return topics
}

func oldTopic(t kmsg.OffsetFetchResponseGroupTopic) kmsg.OffsetFetchResponseTopic {
	out := kmsg.NewOffsetFetchResponseTopic()
	out.Topic = t.Topic
	for _, p := range t.Partitions {
		po := kmsg.NewOffsetFetchResponseTopicPartition()
		po.Partition, po.Offset, po.LeaderEpoch, po.Metadata = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata
		po.ErrorCode = p.ErrorCode
		out.Partitions = append(out.Partitions, po)
	}
	return out
}

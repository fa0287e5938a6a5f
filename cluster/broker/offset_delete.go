package broker

// OffsetDelete (key 47), version 0 (KIP-496): forgets committed offsets, but for topics that
// members of the group subscribe to: GROUP_SUBSCRIBED_TO_TOPIC; NON_EMPTY_GROUP if it has members
// that are no consumers, so that nobody knows. The client has to have the right to delete the group and to read the topics.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/group"
	"weir/protocol"
)

func (b *Broker) offsetDelete(ctx context.Context, c *call, req *kmsg.OffsetDeleteRequest) (*kmsg.OffsetDeleteResponse, error) {
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	var subscribed map[string]bool
	err := c.may(acl.Delete, acl.Group(req.Group))
	if err == nil {
		subscribed, err = b.groups.subscribedTopics(req.Group)
	}
	if err != nil {
		resp.ErrorCode = int16(errorCode(err))
		return resp, nil
	}
	var doomed []group.TopicPartition
	codes := make(map[group.TopicPartition]protocol.ErrorCode)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			tp := group.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			if err := c.may(acl.Read, acl.Topic(tp.Topic)); err != nil {
				codes[tp] = errorCode(err)
			} else if _, err := b.checkPartition(tp.Topic, tp.Partition); err != nil {
				codes[tp] = errorCode(err)
			} else if subscribed[tp.Topic] {
				codes[tp] = protocol.CodeGroupSubscribedToTopic
			} else {
				doomed = append(doomed, tp)
			}
		}
	}
	if len(doomed) > 0 {
		code := commitCode(b.groups.remove(ctx, req.Group, doomed))
		for _, tp := range doomed {
			codes[tp] = code
		}
	}
	for _, t := range req.Topics {
		out := kmsg.NewOffsetDeleteResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			po := kmsg.NewOffsetDeleteResponseTopicPartition()
			po.Partition = p.Partition
			po.ErrorCode = int16(codes[group.TopicPartition{Topic: t.Topic, Partition: p.Partition}])
			out.Partitions = append(out.Partitions, po)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

// subscribedTopics is what the members of a group subscribe to. Errors: GROUP_ID_NOT_FOUND,
// NON_EMPTY_GROUP when they do not say.
func (c *coordinator) subscribedTopics(name string) (topics map[string]bool, err error) {
	var failed error
	err = c.within(name, func(s *shard) {
		g := s.groups[name]
		switch state, kind := s.state(name); {
		case !s.has(name):
			failed = protocol.CodeGroupIDNotFound
		case state != group.Empty && kind != group.ConsumerType:
			failed = protocol.CodeNonEmptyGroup
		case state != group.Empty:
			topics, _ = g.Subscribed()
		}
	})
	if err == nil {
		err = failed
	}
	return topics, err
}

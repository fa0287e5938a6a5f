package broker

// DescribeTopicPartitions (key 75), version 0 (KIP-966): like Metadata, page by
// page. Topics come sorted by name; a page ends after as many partitions as
// the request or max.request.partition.size.limit allows, whichever is less,
// and its cursor names the first partition of the next one. No topics named
// asks for all that the client may describe; others are TOPIC_AUTHORIZATION_FAILED. Authorized operations are always told.

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/cluster/metadata"
	"weir/protocol"
)

func (b *Broker) describeTopicPartitions(_ context.Context, c *call, req *kmsg.DescribeTopicPartitionsRequest) (*kmsg.DescribeTopicPartitionsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	left := b.node.Config().Network.MaxDescribePartitions
	if req.ResponsePartitionLimit > 0 {
		left = min(left, int(req.ResponsePartitionLimit))
	}
	for _, name := range b.describedNames(c, req) {
		from := int32(0)
		if req.Cursor != nil && name == req.Cursor.Topic {
			from = max(req.Cursor.Partition, 0)
		}
		if left == 0 {
			resp.NextCursor = cursor(name, from)
			return resp, nil
		}
		out, next := b.topicPage(c, name, from, left)
		left -= len(out.Partitions)
		resp.Topics = append(resp.Topics, out)
		if next >= 0 {
			resp.NextCursor = cursor(name, next)
			return resp, nil
		}
	}
	return resp, nil
}

func cursor(topic string, partition int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = topic, partition
	return &c
}

// describedNames lists the topics from the cursor on, sorted, once each.
func (b *Broker) describedNames(c *call, req *kmsg.DescribeTopicPartitionsRequest) []string {
	var names []string
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	if len(names) == 0 {
		for _, t := range b.node.Topics() {
			if c.allowed(acl.Describe, acl.Topic(t.Name)) {
				names = append(names, t.Name)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if req.Cursor != nil {
		names = slices.DeleteFunc(names, func(n string) bool { return n < req.Cursor.Topic })
	}
	return names
}

// topicPage describes partitions [from, from+limit) of a topic; next is the
// first one left out, -1 when there is none.
func (b *Broker) topicPage(c *call, name string, from int32, limit int) (out kmsg.DescribeTopicPartitionsResponseTopic, next int32) {
	out = kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic = &name
	if err := c.may(acl.Describe, acl.Topic(name)); err != nil {
		out.ErrorCode, out.AuthorizedOperations = int16(errorCode(err)), notAsked
		return out, -1
	}
	out.AuthorizedOperations = c.operations(true, acl.Topic(name))
	t := b.node.Topic(name)
	if t == nil {
		out.ErrorCode = int16(protocol.CodeUnknownTopicOrPartition)
		if err := metadata.CheckTopicName(name); err != nil {
			out.ErrorCode = int16(errorCode(err))
		}
		return out, -1
	}
	out.TopicID, out.IsInternal = t.ID, t.Internal
	end := min(int(from)+limit, t.NumPartitions())
	for i := int(from); i < end; i++ {
		out.Partitions = append(out.Partitions, b.describedPartition(t, int32(i)))
	}
	if end < t.NumPartitions() {
		return out, int32(end)
	}
	return out, -1
}

func (b *Broker) describedPartition(t *cluster.Topic, index int32) kmsg.DescribeTopicPartitionsResponseTopicPartition {
	s := b.partitionState(t, index)
	po := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
	po.Partition, po.ErrorCode, po.LeaderID, po.LeaderEpoch = index, int16(s.code), s.leader, s.epoch
	po.Replicas, po.ISR, po.OfflineReplicas = s.replicas, s.isr, s.offline
	// Nullable in the protocol, and yet the Java client fails on null.
	po.EligibleLeaderReplicas, po.LastKnownELR = []int32{}, []int32{}
	return po
}

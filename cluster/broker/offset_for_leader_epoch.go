package broker

// OffsetForLeaderEpoch (key 23), versions 2-4 (KIP-101, KIP-320): where the
// epoch that a client read last came to its end, so that it can tell whether
// its position is still in the log. Unknown epochs give (-1, -1). For who may describe the topic, and for brokers.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
)

func (b *Broker) offsetForLeaderEpoch(_ context.Context, c *call, req *kmsg.OffsetForLeaderEpochRequest) (*kmsg.OffsetForLeaderEpochResponse, error) {
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for _, t := range req.Topics {
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = t.Topic
		var denied error
		if !c.allowed(acl.ClusterAction, acl.Cluster) {
			denied = c.may(acl.Describe, acl.Topic(t.Topic))
		}
		for _, in := range t.Partitions {
			po := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			po.Partition, po.LeaderEpoch, po.EndOffset = in.Partition, -1, -1
			if denied != nil {
				po.ErrorCode = int16(errorCode(denied))
			} else if p, err := b.partitionOf(t.Topic, in.Partition, in.CurrentLeaderEpoch); err != nil {
				po.ErrorCode = int16(errorCode(err))
			} else {
				po.LeaderEpoch, po.EndOffset = p.EndOffsetFor(in.LeaderEpoch)
			}
			out.Partitions = append(out.Partitions, po)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

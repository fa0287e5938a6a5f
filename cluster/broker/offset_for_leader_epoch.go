package broker

// OffsetForLeaderEpoch (key 23), versions 2-4 (KIP-101, KIP-320): where the
// epoch that a client read last came to its end, so that it can tell whether
// its position is still in the log. Unknown epochs give (-1, -1).

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func (b *Broker) offsetForLeaderEpoch(_ context.Context, _ *call, req *kmsg.OffsetForLeaderEpochRequest) (*kmsg.OffsetForLeaderEpochResponse, error) {
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for _, t := range req.Topics {
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = t.Topic
		for _, in := range t.Partitions {
			po := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			po.Partition, po.LeaderEpoch, po.EndOffset = in.Partition, -1, -1
			p, err := b.partitionOf(t.Topic, in.Partition, in.CurrentLeaderEpoch)
			if err != nil {
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

package broker

// OffsetDelete (key 47), version 0 (KIP-496): forgets committed offsets.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/group"
	"weir/protocol"
)

func (b *Broker) offsetDelete(ctx context.Context, _ *call, req *kmsg.OffsetDeleteRequest) (*kmsg.OffsetDeleteResponse, error) {
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	known := false
	if err := b.offsets.readGroup(req.Group, func(t *group.Offsets) { known = t.Has(req.Group) }); err != nil {
		resp.ErrorCode = int16(errorCode(err))
		return resp, nil
	}
	if !known {
		resp.ErrorCode = int16(protocol.CodeGroupIDNotFound)
		return resp, nil
	}
	var doomed []group.TopicPartition
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			if b.checkPartition(t.Topic, p.Partition) == nil {
				doomed = append(doomed, group.TopicPartition{Topic: t.Topic, Partition: p.Partition})
			}
		}
	}
	err := b.offsets.remove(ctx, req.Group, doomed, b.now().UnixMilli())
	for _, t := range req.Topics {
		out := kmsg.NewOffsetDeleteResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			po := kmsg.NewOffsetDeleteResponseTopicPartition()
			po.Partition = p.Partition
			if unknown := b.checkPartition(t.Topic, p.Partition); unknown != nil {
				po.ErrorCode = int16(errorCode(unknown))
			} else if err != nil {
				po.ErrorCode = int16(commitCode(err))
			}
			out.Partitions = append(out.Partitions, po)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

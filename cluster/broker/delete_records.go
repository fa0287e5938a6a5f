package broker

// DeleteRecords (key 21), versions 0-2 (KIP-107): moves the log start of
// partitions of topics that the client may delete, durably before the answer. -1 stands for the high watermark.
// A topic that is only compacted keeps the last record of each key, so its
// start cannot be moved: POLICY_VIOLATION.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/protocol"
)

func (b *Broker) deleteRecords(ctx context.Context, c *call, req *kmsg.DeleteRecordsRequest) (*kmsg.DeleteRecordsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	for _, t := range req.Topics {
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = t.Topic
		for _, in := range t.Partitions {
			po := kmsg.NewDeleteRecordsResponseTopicPartition()
			po.Partition = in.Partition
			start, err := int64(0), c.may(acl.Delete, acl.Topic(t.Topic))
			if err == nil {
				start, err = b.deleteRecordsOne(ctx, t.Topic, in.Partition, in.Offset)
			}
			po.LowWatermark, po.ErrorCode = start, int16(errorCode(err))
			if err != nil {
				po.LowWatermark = -1
			}
			out.Partitions = append(out.Partitions, po)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func (b *Broker) deleteRecordsOne(ctx context.Context, topic string, index int32, offset int64) (start int64, err error) {
	t, code := b.topicOf(false, topic, [16]byte{})
	if code != protocol.CodeNone {
		return 0, code
	}
	if t.Internal {
		return 0, protocol.CodeInvalidTopicException
	}
	if t.Config.Compact && !t.Config.Delete {
		return 0, protocol.CodePolicyViolation
	}
	p, err := t.Partition(index)
	if err != nil {
		return 0, err
	}
	return p.DeleteRecords(ctx, offset)
}

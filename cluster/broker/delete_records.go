package broker

// DeleteRecords (key 21), versions 0-2 (KIP-107): moves the log start of
// partitions of topics that the client may delete, durably before the answer. -1 stands for the high watermark.
// REQUEST_TIMED_OUT for what takes longer than the client wants to wait: it may still be done.
// A topic that is only compacted keeps the last record of each key, so its
// start cannot be moved: POLICY_VIOLATION.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/protocol"
)

func (b *Broker) deleteRecords(ctx context.Context, c *call, req *kmsg.DeleteRecordsRequest) (*kmsg.DeleteRecordsResponse, error) {
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	resp.Topics = make([]kmsg.DeleteRecordsResponseTopic, len(req.Topics))
	var work []func()
	for i, t := range req.Topics {
		refused := c.may(acl.Delete, acl.Topic(t.Topic))
		out := &resp.Topics[i]
		out.Topic = t.Topic
		out.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(t.Partitions))
		for j, in := range t.Partitions {
			work = append(work, func() {
				start, err := int64(-1), refused
				if err == nil {
					start, err = b.deleteRecordsOne(ctx, t.Topic, in.Partition, in.Offset)
				}
				out.Partitions[j] = kmsg.DeleteRecordsResponseTopicPartition{Partition: in.Partition, LowWatermark: start, ErrorCode: int16(errorCode(err))}
			})
		}
	}
	sideBySide(deletions, work, func(f func()) { f() })
	return resp, nil
}

// deletions is how many go on side by side for one request: each waits for the disks of a majority.
const deletions = 64

func (b *Broker) deleteRecordsOne(ctx context.Context, topic string, index int32, offset int64) (start int64, err error) {
	t, code := b.topicOf(false, topic, [16]byte{})
	if code != protocol.CodeNone {
		return -1, code
	}
	if t.Internal {
		return -1, protocol.CodeInvalidTopicException
	}
	if t.Config.Compact && !t.Config.Delete {
		return -1, protocol.CodePolicyViolation
	}
	p, err := t.Partition(index)
	if err != nil {
		return -1, err
	}
	if start, err = p.DeleteRecords(ctx, offset); err != nil {
		return -1, err
	}
	return start, nil
}

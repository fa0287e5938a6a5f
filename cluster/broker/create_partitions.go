package broker

// CreatePartitions (key 37), versions 0-3 (KIP-195), of topics that the client may alter.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/protocol"
)

func (b *Broker) createPartitions(ctx context.Context, c *call, req *kmsg.CreatePartitionsRequest) (*kmsg.CreatePartitionsResponse, error) {
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	named := make(map[string]int)
	for _, t := range req.Topics {
		named[t.Topic]++
	}
	for _, in := range req.Topics {
		out := kmsg.NewCreatePartitionsResponseTopic()
		out.Topic = in.Topic
		err := invalidRequest("topic %q is named twice", in.Topic)
		if named[in.Topic] == 1 {
			if err = c.may(acl.Alter, acl.Topic(in.Topic)); err == nil {
				err = b.createPartitionsOf(ctx, in, req.ValidateOnly)
			}
		}
		out.ErrorCode, out.ErrorMessage = codeAndMessage(err)
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func (b *Broker) createPartitionsOf(ctx context.Context, in kmsg.CreatePartitionsRequestTopic, validateOnly bool) error {
	t, code := b.topicOf(false, in.Topic, [16]byte{})
	if code != protocol.CodeNone {
		return code
	}
	if t.Internal {
		return protocol.CodeInvalidTopicException // its mapping of keys must not change
	}
	var assignment [][]int32
	for _, a := range in.Assignment {
		assignment = append(assignment, a.Replicas)
	}
	return b.node.AddPartitions(ctx, t, int(in.Count), assignment, validateOnly)
}

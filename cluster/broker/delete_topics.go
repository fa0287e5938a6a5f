package broker

// DeleteTopics (key 20), versions 1-6; by name, from v6 on also by id. The data
// are gone when the answer comes, and with them what groups had committed for
// the topic: a new topic of that name begins afresh.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/protocol"
)

func (b *Broker) deleteTopics(ctx context.Context, c *call, req *kmsg.DeleteTopicsRequest) (*kmsg.DeleteTopicsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	topics := req.Topics
	for _, name := range req.TopicNames {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = &name
		topics = append(topics, t)
	}
	for _, in := range topics {
		out := kmsg.NewDeleteTopicsResponseTopic()
		out.Topic, out.TopicID = in.Topic, in.TopicID
		t, err := b.deletable(c, in)
		if t != nil {
			out.Topic, out.TopicID = &t.Name, t.ID
		}
		if err == nil {
			err = b.deleteTopic(ctx, t)
		}
		out.ErrorCode, out.ErrorMessage = codeAndMessage(err)
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

// deletable finds a topic for who may delete it, or all topics. One that is not to be deleted is returned beside the error if the
// client may know of it.
func (b *Broker) deletable(c *call, in kmsg.DeleteTopicsRequestTopic) (*cluster.Topic, error) {
	if !b.node.Config().Creation.DeleteAllowed {
		return nil, protocol.CodeTopicDeletionDisabled
	}
	byID := in.Topic == nil
	if !byID && in.TopicID != [16]byte{} {
		return nil, invalidRequest("name a topic or its id, not both")
	}
	name := ""
	if !byID {
		name = *in.Topic
	}
	t, code := b.topicOf(byID, name, in.TopicID)
	if byID && t != nil {
		name = t.Name
	}
	switch {
	case byID && t == nil, c.allowed(acl.Delete, acl.Cluster):
	case !c.allowed(acl.Describe, acl.Topic(name)):
		return nil, protocol.CodeTopicAuthorizationFailed
	case !c.allowed(acl.Delete, acl.Topic(name)):
		return t, protocol.CodeTopicAuthorizationFailed
	}
	if code != protocol.CodeNone {
		return nil, code
	}
	if t.Internal {
		return t, invalidRequest("topic %q is the broker's own", t.Name)
	}
	return t, nil
}

func (b *Broker) deleteTopic(ctx context.Context, t *cluster.Topic) error {
	results, err := b.node.DeleteTopics(ctx, [][16]byte{t.ID})
	if err != nil {
		return err
	}
	if results[0].Err != nil {
		return results[0].Err
	}
	if err := b.groups.removeTopic(ctx, cluster.Dropped{Name: t.Name, ID: t.ID}); err != nil {
		// The topic is gone all the same; a stale offset is the smaller evil.
		b.logger.Warn("committed offsets of a deleted topic remain until the next start", "topic", t.Name, "err", err)
	}
	return nil
}

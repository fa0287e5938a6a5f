package broker

// FindCoordinator (key 10), versions 0-6: who coordinates a group, or a transactional id: the
// leader of its partition of the offsets topic, or of __transaction_state; this broker, as long as there is no such topic. For who
// may describe the group or id: GROUP_AUTHORIZATION_FAILED, TRANSACTIONAL_ID_AUTHORIZATION_FAILED.
// Added by version: 1 key type, 4 many keys (KIP-699).
// Left out: share coordinators (type 2), INVALID_REQUEST.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/metadata"
	"weir/protocol"
	"weir/protocol/wire"
)

// Types of keys, by Kafka's numbers.
const (
	coordinatorGroup       = 0
	coordinatorTransaction = 1
)

// coordinatorTopics are the topics that coordinators keep their state in, by the type of the key.
var coordinatorTopics = [...]string{coordinatorGroup: offsetsTopic, coordinatorTransaction: metadata.TransactionsTopic}

func (b *Broker) findCoordinator(_ context.Context, c *call, req *kmsg.FindCoordinatorRequest) (*kmsg.FindCoordinatorResponse, error) {
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	keys := req.CoordinatorKeys
	if req.Version < 4 {
		keys = []string{req.CoordinatorKey}
	}
	for _, key := range keys {
		out := kmsg.NewFindCoordinatorResponseCoordinator()
		out.Key, out.NodeID, out.Host, out.Port = key, -1, "", -1
		if err := c.mayFind(req.CoordinatorType, key); err != nil {
			out.ErrorCode, out.ErrorMessage = codeAndMessage(err)
		} else if req.CoordinatorType < 0 || int(req.CoordinatorType) >= len(coordinatorTopics) { // version 0 has none, which is 0
			out.ErrorCode = int16(protocol.CodeInvalidRequest)
			out.ErrorMessage = kmsg.StringPtr("only coordinators of groups and transactions are served, not of share groups")
		} else if e, ok := b.coordinator(c.Conn, coordinatorTopics[req.CoordinatorType], key); ok {
			out.NodeID, out.Host, out.Port = e.id, e.host, e.port
		} else {
			out.ErrorCode = int16(protocol.CodeCoordinatorNotAvailable)
			out.ErrorMessage = kmsg.StringPtr("its partition of " + coordinatorTopics[req.CoordinatorType] + " has no leader")
		}
		resp.Coordinators = append(resp.Coordinators, out)
	}
	if req.Version < 4 {
		one := resp.Coordinators[0]
		resp.ErrorCode, resp.ErrorMessage = one.ErrorCode, one.ErrorMessage
		resp.NodeID, resp.Host, resp.Port = one.NodeID, one.Host, one.Port
		resp.Coordinators = nil
	}
	return resp, nil
}

// mayFind says whether the client may know who coordinates something.
func (c *call) mayFind(kind int8, key string) error {
	switch kind {
	case coordinatorGroup:
		return c.may(acl.Describe, acl.Group(key))
	case coordinatorTransaction:
		return c.may(acl.Describe, acl.TransactionalID(key))
	}
	return nil
}

// coordinator is the broker that a group or transactional id belongs to; false while nobody leads its
// partition of the topic.
func (b *Broker) coordinator(conn *wire.Conn, topic, name string) (endpoint, bool) {
	id := b.node.ID()
	if t := b.node.Topic(topic); t != nil {
		id = b.node.Leadership(t, coordinatedBy(name, t.NumPartitions())).Leader
	}
	for _, e := range b.brokersFor(conn) {
		if e.id == id {
			return e, true
		}
	}
	return endpoint{}, false
}

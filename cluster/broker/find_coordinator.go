package broker

// FindCoordinator (key 10), versions 0-6: where a group's offsets are kept: on the
// leader of its partition of the offsets topic; here, as long as there is no such topic.
// Added by version: 1 key type, 4 many keys (KIP-699).
// Left out: transaction (type 1) and share (type 2) coordinators, INVALID_REQUEST.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/protocol/wire"
)

const coordinatorGroup = 0

func (b *Broker) findCoordinator(_ context.Context, c *call, req *kmsg.FindCoordinatorRequest) (*kmsg.FindCoordinatorResponse, error) {
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	keys := req.CoordinatorKeys
	if req.Version < 4 {
		keys = []string{req.CoordinatorKey}
	}
	for _, key := range keys {
		out := kmsg.NewFindCoordinatorResponseCoordinator()
		out.Key = key
		if e, ok := b.coordinator(c.Conn, key); ok {
			out.NodeID, out.Host, out.Port = e.id, e.host, e.port
		} else {
			out.NodeID, out.Host, out.Port = -1, "", -1
			out.ErrorCode = int16(protocol.CodeCoordinatorNotAvailable)
			out.ErrorMessage = kmsg.StringPtr("the group's partition of the offsets topic has no leader")
		}
		if req.Version >= 1 && req.CoordinatorType != coordinatorGroup {
			out.NodeID, out.Host, out.Port = -1, "", -1
			out.ErrorCode = int16(protocol.CodeInvalidRequest)
			out.ErrorMessage = kmsg.StringPtr("only group coordinators are served: no transactions, no share groups")
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

// coordinator is the broker that a group belongs to; false while nobody leads its
// partition.
func (b *Broker) coordinator(conn *wire.Conn, name string) (endpoint, bool) {
	id := b.node.ID()
	if t := b.node.Topic(offsetsTopic); t != nil {
		id = b.node.Leadership(t, coordinatedBy(name, t.NumPartitions())).Leader
	}
	for _, e := range b.brokersFor(conn) {
		if e.id == id {
			return e, true
		}
	}
	return endpoint{}, false
}

package broker

// FindCoordinator (key 10), versions 0-6: where a group's offsets are kept:
// here. Added by version: 1 key type, 4 many keys (KIP-699).
// Left out: transaction (type 1) and share (type 2) coordinators, INVALID_REQUEST.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

const coordinatorGroup = 0

func (b *Broker) findCoordinator(_ context.Context, c *call, req *kmsg.FindCoordinatorRequest) (*kmsg.FindCoordinatorResponse, error) {
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	keys := req.CoordinatorKeys
	if req.Version < 4 {
		keys = []string{req.CoordinatorKey}
	}
	host, port := b.advertisedTo(c.Conn)
	for _, key := range keys {
		out := kmsg.NewFindCoordinatorResponseCoordinator()
		out.Key, out.NodeID, out.Host, out.Port = key, b.node.ID(), host, port
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

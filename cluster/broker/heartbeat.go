package broker

// Heartbeat (key 12), versions 0-4: keeps a member in its group, and tells it of a rebalance.
//
// Added by version: 3 instance id, 4 flexible.
// While the group is being loaded nothing is known against the member: no error.

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/protocol"
)

func (b *Broker) heartbeat(_ context.Context, c *call, req *kmsg.HeartbeatRequest) (*kmsg.HeartbeatResponse, error) {
	resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
	err := c.may(acl.Read, acl.Group(req.Group))
	if err == nil {
		err = checkGroupName(req.Group)
	}
	if err == nil {
		err = b.groups.heartbeat(req.Group, req.MemberID, orEmpty(req.InstanceID), req.Generation)
	}
	if !errors.Is(err, protocol.CodeCoordinatorLoadInProgress) {
		resp.ErrorCode = int16(errorCode(err))
	}
	return resp, nil
}

package broker

// LeaveGroup (key 13), versions 0-5: members leave, and the rest rebalance at once. When nobody
// is left, the answer comes when that is durable.
//
// Added by version: 3 many members, by id or instance id (KIP-345), 4 flexible, 5 reason, which
// is not looked at.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/group"
)

func (b *Broker) leaveGroup(ctx context.Context, c *call, req *kmsg.LeaveGroupRequest) (*kmsg.LeaveGroupResponse, error) {
	resp := req.ResponseKind().(*kmsg.LeaveGroupResponse)
	err := c.may(acl.Read, acl.Group(req.Group))
	if err == nil {
		err = checkGroupName(req.Group)
	}
	if err != nil {
		resp.ErrorCode = int16(errorCode(err))
		return resp, nil
	}
	leavers := make([]group.Leaver, 0, len(req.Members)+1)
	for _, m := range req.Members {
		leavers = append(leavers, group.Leaver{MemberID: m.MemberID, InstanceID: orEmpty(m.InstanceID)})
	}
	if req.Version < 3 {
		leavers = append(leavers, group.Leaver{MemberID: req.MemberID})
	}
	errs, err := b.groups.leave(ctx, req.Group, leavers)
	if err != nil {
		resp.ErrorCode = int16(commitCode(err))
		return resp, nil
	}
	for i, l := range leavers {
		err := error(group.ErrUnknownMember) // there is no such group
		if errs != nil {
			err = errs[i]
		}
		if req.Version < 3 {
			resp.ErrorCode = int16(errorCode(err))
			break
		}
		m := kmsg.NewLeaveGroupResponseMember()
		m.MemberID, m.InstanceID, m.ErrorCode = l.MemberID, req.Members[i].InstanceID, int16(errorCode(err))
		resp.Members = append(resp.Members, m)
	}
	return resp, nil
}

package broker

// SyncGroup (key 14), versions 0-5: a member's assignment; the leader brings all of them. The
// answer comes when they are durable; until then the request is parked.
//
// Added by version: 3 instance id, 4 flexible, 5 protocol type and name, which have to be those
// of the generation, INCONSISTENT_GROUP_PROTOCOL.
// While the group is being loaded, REBALANCE_IN_PROGRESS: clients do not expect COORDINATOR_LOAD_IN_PROGRESS here, and
// who was amid a rebalance has to join again in any case.

import (
	"bytes"
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/group"
	"weir/protocol"
)

func (b *Broker) syncGroup(ctx context.Context, c *call, req *kmsg.SyncGroupRequest) (*kmsg.SyncGroupResponse, error) {
	resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
	resp.MemberAssignment = []byte{}
	a, err := b.sync(ctx, c, req)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil {
		err = a.Err
	}
	if errors.Is(err, protocol.CodeCoordinatorLoadInProgress) {
		err = group.ErrRebalanceInProgress
	}
	if err != nil {
		resp.ErrorCode = int16(commitCode(err))
		return resp, nil
	}
	resp.ProtocolType, resp.Protocol = &a.ProtocolType, &a.Protocol
	resp.MemberAssignment = append(resp.MemberAssignment, a.Assignment...)
	return resp, nil
}

func (b *Broker) sync(ctx context.Context, c *call, req *kmsg.SyncGroupRequest) (*group.SyncAnswer, error) {
	if err := c.may(acl.Read, acl.Group(req.Group)); err != nil {
		return nil, err
	}
	if err := checkGroupName(req.Group); err != nil {
		return nil, err
	}
	if req.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil) {
		return nil, group.ErrInconsistentProtocol
	}
	r := group.SyncRequest{
		MemberID: req.MemberID, InstanceID: orEmpty(req.InstanceID), Generation: req.Generation,
		ProtocolType: req.ProtocolType, Protocol: req.Protocol, Assignments: make(map[string][]byte, len(req.GroupAssignment)),
	}
	for _, m := range req.GroupAssignment {
		r.Assignments[m.MemberID] = bytes.Clone(m.MemberAssignment)
	}
	c.DropFrame()
	a, err := b.groups.ask(ctx, req.Group, b.groups.classicGroup(req.Group, false), func(g *liveGroup, t group.Ticket) group.Output {
		r.Ticket = t
		return g.Sync(b.groups.now(), r)
	})
	return a.Sync, err
}

package broker

// JoinGroup (key 11), versions 0-9: membership in the next generation of a group. The answer
// comes when that begins; until then the request is parked, and the connection reads on.
//
// Checked, in this order: the right to read the group (GROUP_AUTHORIZATION_FAILED), its name (INVALID_GROUP_ID), the session timeout, the size
// of the metadata (INVALID_REQUEST), room in the group (GROUP_MAX_SIZE_REACHED) and for another
// group (POLICY_VIOLATION), the protocols, the member.
// Added by version: 1 rebalance timeout, 4 MEMBER_ID_REQUIRED (KIP-394), 5 instance id
// (KIP-345), 6 flexible, 7 protocol type, 8 reason, which is not looked at, 9 skipped assignment (KIP-814).
// Client ids are cut to 255 bytes.

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/group"
	"weir/protocol"
)

// maxClientIDBytes is what is kept of a client id.
const maxClientIDBytes = 255

func (b *Broker) joinGroup(ctx context.Context, c *call, req *kmsg.JoinGroupRequest) (*kmsg.JoinGroupResponse, error) {
	resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
	resp.Generation, resp.MemberID = -1, req.MemberID
	a, err := b.join(ctx, c, req)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil {
		resp.MemberID, err = a.MemberID, a.Err
	}
	if err != nil {
		resp.ErrorCode = int16(commitCode(err))
		return resp, nil
	}
	resp.Generation, resp.LeaderID, resp.SkipAssignment = a.Generation, a.Leader, a.SkipAssignment
	resp.ProtocolType, resp.Protocol = &a.ProtocolType, &a.Protocol
	for _, m := range a.Members {
		out := kmsg.NewJoinGroupResponseMember()
		out.MemberID, out.ProtocolMetadata = m.MemberID, m.Metadata
		out.InstanceID = nullable(m.InstanceID, m.InstanceID == "")
		resp.Members = append(resp.Members, out)
	}
	return resp, nil
}

func (b *Broker) join(ctx context.Context, c *call, req *kmsg.JoinGroupRequest) (*group.JoinAnswer, error) {
	if err := c.may(acl.Read, acl.Group(req.Group)); err != nil {
		return nil, err
	}
	if err := checkGroupName(req.Group); err != nil {
		return nil, err
	}
	r, err := joinRequest(c, req)
	if err != nil {
		return nil, err
	}
	c.DropFrame()
	if req.MemberID == "" { // it may be the first of its group, and the group the first of all
		if _, err := b.node.EnsureInternalTopic(ctx, offsetsTopic); err != nil {
			return nil, err
		}
	}
	a, err := b.groups.ask(ctx, req.Group, b.groups.classicGroup(req.Group, req.MemberID == ""), func(g *liveGroup, t group.Ticket) group.Output {
		r.Ticket = t
		return g.Join(b.groups.now(), r)
	})
	return a.Join, err
}

// checkGroupName refuses what no group with members may be called.
func checkGroupName(name string) error {
	if name == "" || len(name) > maxGroupNameBytes {
		return protocol.CodeInvalidGroupID
	}
	return nil
}

// joinRequest copies what a group keeps: the frame goes with the answer.
func joinRequest(c *call, req *kmsg.JoinGroupRequest) (group.JoinRequest, error) {
	r := group.JoinRequest{
		MemberID: req.MemberID, InstanceID: orEmpty(req.InstanceID), ProtocolType: req.ProtocolType,
		ClientID: c.Header.ClientID[:min(len(c.Header.ClientID), maxClientIDBytes)], ClientHost: clientHost(c),
		Session: millis(req.SessionTimeoutMillis), Rebalance: millis(req.RebalanceTimeoutMillis),
		RequireKnownID: req.Version >= 4, SkipAssignment: req.Version >= 9,
	}
	if req.RebalanceTimeoutMillis < 0 { // version 0 has one timeout for both
		r.Rebalance = r.Session
	}
	if len(r.ProtocolType) > maxGroupNameBytes || len(r.InstanceID) > maxGroupNameBytes {
		return r, invalidRequest("a protocol type or an instance id has more than %d bytes", maxGroupNameBytes)
	}
	prefix := r.ClientID
	if r.InstanceID != "" {
		prefix = r.InstanceID
	}
	r.NewMemberID = prefix + "-" + newUUID()
	for _, p := range req.Protocols {
		r.Protocols = append(r.Protocols, group.Protocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)})
	}
	return r, nil
}

// clientHost is the client's address as Kafka writes it.
func clientHost(c *call) string {
	host, _, err := net.SplitHostPort(c.Conn.RemoteAddr().String())
	if err != nil {
		host = c.Conn.RemoteAddr().String()
	}
	return "/" + host
}

// newUUID draws a random one (version 4).
func newUUID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

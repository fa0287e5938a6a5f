package broker

// DescribeGroups (key 15), versions 0-6: state and members of groups. Metadata are told of
// stable groups. An unknown group, or one of the consumer protocol, is Dead, and from v6 on
// GROUP_ID_NOT_FOUND (KIP-1043).
//
// Groups that the client may not describe: GROUP_AUTHORIZATION_FAILED.
// Added by version: 3 authorized operations, 4 instance id, 5 flexible, 6 message.
// What is named twice is answered once, since a megabyte could ask for gigabytes.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/group"
	"weir/protocol"
)

func (b *Broker) describeGroups(_ context.Context, c *call, req *kmsg.DescribeGroupsRequest) (*kmsg.DescribeGroupsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	named := make(map[string]bool, len(req.Groups))
	for _, name := range req.Groups {
		if !named[name] {
			resp.Groups = append(resp.Groups, b.describeGroup(c, req, name))
		}
		named[name] = true
	}
	return resp, nil
}

func (b *Broker) describeGroup(c *call, req *kmsg.DescribeGroupsRequest, name string) kmsg.DescribeGroupsResponseGroup {
	out := kmsg.NewDescribeGroupsResponseGroup()
	out.Group, out.AuthorizedOperations = name, notAsked
	if err := c.may(acl.Describe, acl.Group(name)); err != nil {
		out.ErrorCode, out.ErrorMessage = codeAndMessage(err)
		return out
	}
	known, reason := false, "group "+name+" has neither members nor committed offsets"
	err := b.groups.within(name, func(s *shard) {
		g := s.groups[name]
		switch known = s.has(name); {
		case !known:
		case g == nil:
			out.State = string(group.Empty)
		case g.classic() != nil:
			describeLive(&out, g.classic().Describe())
		default:
			known, reason = false, "group "+name+" is no classic group"
		}
	})
	switch {
	case err != nil:
		out.ErrorCode = int16(errorCode(err))
	case !known:
		out.State = string(group.Dead)
		if req.Version >= 6 {
			out.ErrorCode = int16(protocol.CodeGroupIDNotFound)
			out.ErrorMessage = &reason
		}
	}
	if out.ErrorCode == 0 {
		out.AuthorizedOperations = c.operations(req.IncludeAuthorizedOperations, acl.Group(name))
	}
	return out
}

func describeLive(out *kmsg.DescribeGroupsResponseGroup, d group.Description) {
	out.State, out.ProtocolType, out.Protocol = string(d.State), d.ProtocolType, d.Protocol
	for _, m := range d.Members {
		x := kmsg.NewDescribeGroupsResponseGroupMember()
		x.MemberID, x.ClientID, x.ClientHost = m.ID, m.ClientID, m.ClientHost
		x.InstanceID = nullable(m.InstanceID, m.InstanceID == "")
		x.ProtocolMetadata, x.MemberAssignment = append([]byte{}, m.Metadata...), append([]byte{}, m.Assignment...)
		out.Members = append(out.Members, x)
	}
}

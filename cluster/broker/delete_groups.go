package broker

// DeleteGroups (key 42), versions 0-3: forgets groups without members and their offsets:
// GROUP_AUTHORIZATION_FAILED, NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND. The answer comes when that is durable.
//
// Added by version: 2 flexible, 3 message (KIP-1331).

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
)

func (b *Broker) deleteGroups(ctx context.Context, c *call, req *kmsg.DeleteGroupsRequest) (*kmsg.DeleteGroupsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	for _, name := range req.Groups {
		g := kmsg.NewDeleteGroupsResponseGroup()
		g.Group = name
		err := c.may(acl.Delete, acl.Group(name))
		if err == nil {
			err = b.groups.delete(ctx, name)
		}
		g.ErrorCode = int16(commitCode(err))
		resp.Groups = append(resp.Groups, g)
	}
	return resp, nil
}

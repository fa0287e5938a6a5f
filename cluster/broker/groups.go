package broker

// ListGroups (key 16), versions 0-5, DescribeGroups (key 15), versions 0-6,
// DeleteGroups (key 42), versions 0-3: the groups that have committed offsets.
// They have no members, so their state is Empty. An unknown group is Dead, and
// from DescribeGroups v6 on GROUP_ID_NOT_FOUND (KIP-1043).

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/group"
	"weir/protocol"
)

const (
	groupStateEmpty  = "Empty"
	groupStateDead   = "Dead"
	groupTypeClassic = "classic"
)

func (b *Broker) listGroups(_ context.Context, _ *call, req *kmsg.ListGroupsRequest) (*kmsg.ListGroupsResponse, error) {
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	if !wanted(req.StatesFilter, groupStateEmpty) || !wanted(req.TypesFilter, groupTypeClassic) {
		return resp, nil
	}
	if !b.offsets.allLoaded() {
		resp.ErrorCode = int16(protocol.CodeCoordinatorLoadInProgress)
		return resp, nil
	}
	b.offsets.read(func(t *group.Offsets) {
		for _, name := range t.Groups() {
			g := kmsg.NewListGroupsResponseGroup()
			g.Group, g.GroupState, g.GroupType = name, groupStateEmpty, groupTypeClassic
			resp.Groups = append(resp.Groups, g)
		}
	})
	return resp, nil
}

// wanted says whether an empty filter, or one of its words in any case, names v.
func wanted(filter []string, v string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, v) })
}

func (b *Broker) describeGroups(_ context.Context, _ *call, req *kmsg.DescribeGroupsRequest) (*kmsg.DescribeGroupsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	for _, name := range req.Groups {
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group, g.State, g.AuthorizedOperations = name, groupStateEmpty, math.MinInt32
		known := false
		err := b.offsets.readGroup(name, func(t *group.Offsets) { known = t.Has(name) })
		switch {
		case err != nil:
			g.State, g.ErrorCode = "", int16(errorCode(err))
		case !known:
			g.State = groupStateDead
			if req.Version >= 6 {
				g.ErrorCode = int16(protocol.CodeGroupIDNotFound)
				g.ErrorMessage = kmsg.StringPtr("group " + name + " has no committed offsets")
			}
		}
		resp.Groups = append(resp.Groups, g)
	}
	return resp, nil
}

func (b *Broker) deleteGroups(ctx context.Context, _ *call, req *kmsg.DeleteGroupsRequest) (*kmsg.DeleteGroupsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	for _, name := range req.Groups {
		var tps []group.TopicPartition
		err := b.offsets.readGroup(name, func(t *group.Offsets) { tps = t.Partitions(name) })
		g := kmsg.NewDeleteGroupsResponseGroup()
		g.Group = name
		if err != nil {
			g.ErrorCode = int16(errorCode(err))
		} else if len(tps) == 0 {
			g.ErrorCode = int16(protocol.CodeGroupIDNotFound)
		} else if err := b.offsets.remove(ctx, name, tps, b.now().UnixMilli()); err != nil {
			g.ErrorCode = int16(commitCode(err))
		}
		resp.Groups = append(resp.Groups, g)
	}
	return resp, nil
}

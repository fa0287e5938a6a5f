package broker

// ListGroups (key 16), versions 0-5: the groups that this broker coordinates, as far as the client may describe
// them, or the cluster.
//
// Added by version: 3 flexible, 4 states (KIP-518), 5 types (KIP-848).

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
)

// Types of groups, by Kafka's names.
const (
	groupTypeClassic  = "classic"
	groupTypeConsumer = "consumer"
)

func (b *Broker) listGroups(_ context.Context, c *call, req *kmsg.ListGroupsRequest) (*kmsg.ListGroupsResponse, error) {
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	all := c.allowed(acl.Describe, acl.Cluster)
	err := b.groups.each(func(s *shard) {
		for _, name := range s.names() {
			if !all && !c.allowed(acl.Describe, acl.Group(name)) {
				continue
			}
			state, protocolType := s.state(name)
			kind := groupTypeClassic
			if g := s.groups[name]; g != nil && g.consumer() != nil {
				kind = groupTypeConsumer
			}
			if !wanted(req.StatesFilter, string(state)) || !wanted(req.TypesFilter, kind) {
				continue
			}
			g := kmsg.NewListGroupsResponseGroup()
			g.Group, g.ProtocolType, g.GroupState, g.GroupType = name, protocolType, string(state), kind
			resp.Groups = append(resp.Groups, g)
		}
	})
	if err != nil {
		resp.Groups, resp.ErrorCode = nil, int16(errorCode(err))
	}
	slices.SortFunc(resp.Groups, func(a, b kmsg.ListGroupsResponseGroup) int { return strings.Compare(a.Group, b.Group) })
	return resp, nil
}

// wanted says whether an empty filter, or one of its words in any case, names v.
func wanted(filter []string, v string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, v) })
}

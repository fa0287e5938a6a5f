package broker

// DeleteAcls (key 31), versions 1-3 (KIP-140, KIP-290): removes the ACLs that filters take, and answers which. Only for who may
// alter the cluster. Without an authorizer: SECURITY_DISABLED.
//
// Checked: the filters' numbers, INVALID_REQUEST. Of more than 1,000 filters none is looked at, INVALID_REQUEST, and a filter
// that would have the answer name more than 20,000 ACLs is not: POLICY_VIOLATION.
// Added by version: 2 flexible, 3 the resource type of users (KIP-373).

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/metadata"
	"weir/protocol"
)

// Bounds of a request: each filter is held against all ACLs, and many may take the same ones.
const (
	maxACLFilters = 1_000
	maxACLMatches = 2 * metadata.MaxACLs
)

func (b *Broker) deleteACLs(ctx context.Context, c *call, req *kmsg.DeleteACLsRequest) (*kmsg.DeleteACLsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DeleteACLsResponse)
	refused := b.mayDoACLs(c, acl.Alter)
	if n := len(req.Filters); refused == nil && n > maxACLFilters {
		refused = invalidRequest("%d filters, more than %d", n, maxACLFilters)
	}
	filters := make([]aclFilter, len(req.Filters))
	some := false
	for i := range req.Filters {
		f := newACLFilter(&req.Filters[i])
		if f.err = refused; refused == nil {
			f.err = checkFilter(f.Filter)
		}
		some = some || f.err == nil
		filters[i] = f
	}
	if some {
		if err := b.node.RemoveACLs(ctx, func(all []metadata.ACL) []metadata.ACL { return take(filters, all) }); err != nil {
			for i := range filters {
				filters[i] = aclFilter{err: err}
			}
		}
	}
	for _, f := range filters {
		resp.Results = append(resp.Results, f.result())
	}
	return resp, nil
}

// aclFilter is a filter and what has become of it.
type aclFilter struct {
	acl.Filter
	taken []metadata.ACL
	err   error
}

func newACLFilter(in *kmsg.DeleteACLsRequestFilter) aclFilter {
	return aclFilter{Filter: acl.Filter{
		Resource: acl.ResourceType(in.ResourceType), Pattern: acl.PatternType(in.ResourcePatternType), Name: in.ResourceName,
		Principal: in.Principal, Host: in.Host, Operation: acl.Operation(in.Operation), Permission: acl.Permission(in.PermissionType),
	}}
}

// take notes in each filter which ACLs it takes, and returns them all.
func take(filters []aclFilter, all []metadata.ACL) []metadata.ACL {
	named, once := 0, make(map[metadata.ACL]bool)
	for i := range filters {
		f := &filters[i]
		if f.err != nil {
			continue
		}
		for _, a := range all {
			if f.Takes(a) {
				f.taken = append(f.taken, a)
			}
		}
		if named += len(f.taken); named > maxACLMatches {
			f.taken, f.err = nil, protocol.CodePolicyViolation
		}
		for _, a := range f.taken {
			once[a] = true
		}
	}
	return slices.Collect(maps.Keys(once))
}

func (f *aclFilter) result() kmsg.DeleteACLsResponseResult {
	out := kmsg.NewDeleteACLsResponseResult()
	out.ErrorCode, out.ErrorMessage = codeAndMessage(f.err)
	for _, a := range f.taken {
		m := kmsg.NewDeleteACLsResponseResultMatchingACL()
		m.ResourceType, m.ResourcePatternType, m.ResourceName = kmsg.ACLResourceType(a.Resource), kmsg.ACLResourcePatternType(a.Pattern), a.Name
		m.Principal, m.Host, m.Operation, m.PermissionType = a.Principal, a.Host, kmsg.ACLOperation(a.Operation), kmsg.ACLPermissionType(a.Permission)
		out.MatchingACLs = append(out.MatchingACLs, m)
	}
	return out
}

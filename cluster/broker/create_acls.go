package broker

// CreateAcls (key 30), versions 1-3 (KIP-140, KIP-290): adds ACLs, each for itself; one that is there already is no error. Only
// for who may alter the cluster. This broker goes by them when the answer comes, the others as soon as they have heard.
// Without an authorizer: SECURITY_DISABLED.
//
// Checked, INVALID_REQUEST: types, operation and permission, none of which may be "any"; a pattern that is literal or prefixed;
// a name, for the cluster kafka-cluster; a principal as Type:name; a host that is an address, a range of addresses (KIP-1276)
// or *, since any other would never be anybody's. More than 10,000 ACLs: POLICY_VIOLATION.
// Added by version: 2 flexible, 3 the resource type of users (KIP-373).

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/metadata"
)

func (b *Broker) createACLs(ctx context.Context, c *call, req *kmsg.CreateACLsRequest) (*kmsg.CreateACLsResponse, error) {
	resp := req.ResponseKind().(*kmsg.CreateACLsResponse)
	errs := make([]error, len(req.Creations))
	refused := b.mayDoACLs(c, acl.Alter)
	var added []metadata.ACL
	var places []int // in errs, of those
	for i := range req.Creations {
		a, err := newACL(&req.Creations[i])
		if refused != nil {
			err = refused
		}
		if errs[i] = err; err == nil {
			added = append(added, a)
			places = append(places, i)
		}
	}
	if len(added) > 0 {
		results, err := b.node.AddACLs(ctx, added)
		for i, place := range places {
			if errs[place] = err; err == nil {
				errs[place] = results[i]
			}
		}
	}
	for _, err := range errs {
		out := kmsg.NewCreateACLsResponseResult()
		out.ErrorCode, out.ErrorMessage = codeAndMessage(err)
		resp.Results = append(resp.Results, out)
	}
	return resp, nil
}

func newACL(in *kmsg.CreateACLsRequestCreation) (metadata.ACL, error) {
	a := metadata.ACL{
		Resource: byte(in.ResourceType), Pattern: byte(in.ResourcePatternType), Name: in.ResourceName,
		Principal: in.Principal, Host: in.Host, Operation: byte(in.Operation), Permission: byte(in.PermissionType),
	}
	if err := acl.Check(a); err != nil {
		return a, invalidRequest("%v", err)
	}
	return a, nil
}

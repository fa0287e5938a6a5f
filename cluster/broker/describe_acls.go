package broker

// DescribeAcls (key 29), versions 1-3 (KIP-140, KIP-290): the ACLs that a filter takes, those of one pattern together. Only for
// who may describe the cluster. Without an authorizer: SECURITY_DISABLED.
//
// Checked: the filter's numbers, INVALID_REQUEST.
// Added by version: 2 flexible, 3 the resource type of users (KIP-373).

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/protocol"
)

func (b *Broker) describeACLs(_ context.Context, c *call, req *kmsg.DescribeACLsRequest) (*kmsg.DescribeACLsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeACLsResponse)
	filter := acl.Filter{
		Resource: acl.ResourceType(req.ResourceType), Pattern: acl.PatternType(req.ResourcePatternType), Name: req.ResourceName,
		Principal: req.Principal, Host: req.Host, Operation: acl.Operation(req.Operation), Permission: acl.Permission(req.PermissionType),
	}
	err := b.mayDoACLs(c, acl.Describe)
	if err == nil {
		err = checkFilter(filter)
	}
	if resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err); err != nil {
		return resp, nil
	}
	for _, a := range b.node.Image().ACLs().ACLs {
		if !filter.Takes(a) {
			continue
		}
		pattern := kmsg.NewDescribeACLsResponseResource()
		pattern.ResourceType, pattern.ResourcePatternType, pattern.ResourceName = kmsg.ACLResourceType(a.Resource), kmsg.ACLResourcePatternType(a.Pattern), a.Name
		if n := len(resp.Resources); n == 0 || !samePattern(&resp.Resources[n-1], &pattern) {
			resp.Resources = append(resp.Resources, pattern)
		}
		entry := kmsg.NewDescribeACLsResponseResourceACL()
		entry.Principal, entry.Host = a.Principal, a.Host
		entry.Operation, entry.PermissionType = kmsg.ACLOperation(a.Operation), kmsg.ACLPermissionType(a.Permission)
		last := &resp.Resources[len(resp.Resources)-1]
		last.ACLs = append(last.ACLs, entry)
	}
	return resp, nil
}

// mayDoACLs says whether a client may look at ACLs, or change them, and whether there are any.
func (b *Broker) mayDoACLs(c *call, op acl.Operation) error {
	if err := c.may(op, acl.Cluster); err != nil {
		return err
	}
	if !b.access.byACLs {
		return fmt.Errorf("%w: authorizer.class.name is not set", protocol.CodeSecurityDisabled)
	}
	return nil
}

func checkFilter(f acl.Filter) error {
	if err := f.Check(); err != nil {
		return invalidRequest("%v", err)
	}
	return nil
}

func samePattern(a, b *kmsg.DescribeACLsResponseResource) bool {
	return a.ResourceType == b.ResourceType && a.ResourcePatternType == b.ResourcePatternType && a.ResourceName == b.ResourceName
}

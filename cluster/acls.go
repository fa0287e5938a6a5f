package cluster

import (
	"context"
	"slices"

	"weir/cluster/metadata"
)

// AddACLs adds ACLs, each for itself, and returns what became of each in the order of acls. When it returns this broker goes
// by them. The error is one of all: the controller was not reached.
func (n *Node) AddACLs(ctx context.Context, acls []metadata.ACL) ([]error, error) {
	result, err := n.Propose(ctx, metadata.AddACLs{ACLs: acls})
	if err != nil {
		return nil, err
	}
	return result.([]error), nil
}

// aclsPerCommand keeps a command below its limit with the longest strings.
const aclsPerCommand = 1000

// RemoveACLs removes those of the cluster's ACLs that choose returns. What it chooses from is no older than the call. After
// an error a part of them may be removed.
func (n *Node) RemoveACLs(ctx context.Context, choose func(all []metadata.ACL) []metadata.ACL) error {
	if err := n.CatchUp(ctx); err != nil {
		return err
	}
	for some := range slices.Chunk(choose(n.Image().ACLs().ACLs), aclsPerCommand) {
		if _, err := n.Propose(ctx, metadata.RemoveACLs{ACLs: some}); err != nil {
			return err
		}
	}
	return nil
}

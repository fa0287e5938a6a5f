package cluster

import (
	"context"

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

// RemoveACLs removes those of the cluster's ACLs that choose returns. What it chooses from is no older than the call.
func (n *Node) RemoveACLs(ctx context.Context, choose func(all []metadata.ACL) []metadata.ACL) error {
	if err := n.CatchUp(ctx); err != nil {
		return err
	}
	chosen := choose(n.Image().ACLs().ACLs)
	if len(chosen) == 0 {
		return nil
	}
	_, err := n.Propose(ctx, metadata.RemoveACLs{ACLs: chosen})
	return err
}

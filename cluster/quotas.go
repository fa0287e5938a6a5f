package cluster

import (
	"context"

	"weir/cluster/metadata"
)

// AlterQuotas changes quotas of clients, each for itself, and returns what became of each in the order of changes. When it
// returns this broker goes by them. validateOnly goes through all checks and changes nothing. The error is one of all: the
// controller was not reached.
func (n *Node) AlterQuotas(ctx context.Context, changes []metadata.QuotaChange, validateOnly bool) ([]error, error) {
	result, err := n.run(ctx, metadata.AlterQuotas{Changes: changes}, validateOnly)
	if err != nil {
		return nil, err
	}
	return result.([]error), nil
}

package cluster

import (
	"context"
	"maps"

	"weir/cluster/metadata"
)

// UpdateFeatures brings features to other levels, all or none. validateOnly goes through all checks and changes
// nothing. Errors: *metadata.InvalidFeatureError, and those of Propose.
func (n *Node) UpdateFeatures(ctx context.Context, updates []metadata.FeatureUpdate, validateOnly bool) error {
	for {
		im := n.meta().Image()
		set := im.Features()
		levels := maps.Clone(set.Levels)
		if levels == nil {
			levels = make(map[string]int16, len(updates))
		}
		for _, u := range updates {
			if err := im.CheckFeature(u); err != nil {
				return err
			}
			levels[u.Name] = u.Level
		}
		if maps.Equal(levels, set.Levels) {
			return nil
		}
		_, err := n.run(ctx, metadata.SetFeatures{Expected: set.Index, Levels: levels}, validateOnly)
		if !isConfigChanged(err) {
			return err
		}
	}
}

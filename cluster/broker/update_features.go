package broker

// UpdateFeatures (key 57), versions 0-2 (KIP-584, KIP-778): what all brokers do together, by levels that the controller
// keeps. All updates of a request are made, or none.
//
// Checked, by Image.CheckFeature: the type of upgrade, that the feature and its level are known, and that a downgrade is
// called one: INVALID_UPDATE_VERSION. A feature that is named twice, and more than 100: INVALID_REQUEST. What cannot be foreseen:
// FEATURE_UPDATE_FAILED. For who may alter the cluster: CLUSTER_AUTHORIZATION_FAILED.
// Added by version: 1 type of upgrade in place of "may be a downgrade", validate_only; 2 one code for all, as
// in truth there always is.
// Left out: whether every broker knows the level; all of a cluster are to be of one version before a level is raised.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/metadata"
	"weir/protocol"
)

func (b *Broker) updateFeatures(ctx context.Context, c *call, req *kmsg.UpdateFeaturesRequest) (*kmsg.UpdateFeaturesResponse, error) {
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	var updates []metadata.FeatureUpdate
	err := c.may(acl.Alter, acl.Cluster)
	if err == nil {
		updates, err = featureUpdates(req)
	}
	if err == nil {
		err = b.node.UpdateFeatures(ctx, updates, req.ValidateOnly)
	}
	resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
	if protocol.ErrorCode(resp.ErrorCode) == protocol.CodeUnknownServerError {
		resp.ErrorCode = int16(protocol.CodeFeatureUpdateFailed)
	}
	for _, u := range updates {
		result := kmsg.NewUpdateFeaturesResponseResult()
		result.Feature, result.ErrorCode, result.ErrorMessage = u.Name, resp.ErrorCode, resp.ErrorMessage
		resp.Results = append(resp.Results, result)
	}
	return resp, nil
}

func featureUpdates(req *kmsg.UpdateFeaturesRequest) ([]metadata.FeatureUpdate, error) {
	if len(req.FeatureUpdates) > metadata.MaxFeatures {
		return nil, invalidRequest("%d features, there are not more than %d", len(req.FeatureUpdates), metadata.MaxFeatures)
	}
	updates := make([]metadata.FeatureUpdate, 0, len(req.FeatureUpdates))
	named := make(map[string]bool, len(req.FeatureUpdates))
	for _, u := range req.FeatureUpdates {
		if named[u.Feature] {
			return nil, invalidRequest("feature %q is named twice", u.Feature)
		}
		named[u.Feature] = true
		kind := metadata.UpgradeKind(u.UpgradeType)
		if req.Version == 0 {
			kind = metadata.Upgrade
			if u.AllowDowngrade {
				kind = metadata.SafeDowngrade
			}
		}
		updates = append(updates, metadata.FeatureUpdate{Name: u.Feature, Level: u.MaxVersionLevel, Kind: kind})
	}
	return updates, nil
}

// checkConsumerProtocol refuses what only groups of the consumer protocol do, while the cluster does without it.
func (b *Broker) checkConsumerProtocol() error {
	if b.node.Image().FeatureLevel(metadata.GroupVersion) < 1 {
		return protocol.CodeUnsupportedVersion
	}
	return nil
}

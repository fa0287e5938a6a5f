package broker

// ApiVersions (key 18), versions 0-5 (KIP-511): what protocol.APIs lists. A
// version above ours is answered in version 0 with UNSUPPORTED_VERSION and our
// own range, and the connection stays open. v3 checks the client's name and
// version, v5 the cluster and node it believes to have reached (KIP-1242).
// Features are those of cluster/metadata (UpdateFeatures sets their levels). One at level 0 is not finalized, and one
// whose lowest level is 0 is not among the supported ones before v4 (KIP-584).

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/metadata"
	"weir/protocol"
	"weir/protocol/wire"
)

var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

func (c *call) apiVersions(r kmsg.Request) wire.Reply {
	req := r.(*kmsg.ApiVersionsRequest)
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	resp.FinalizedFeaturesEpoch = -1
	if code := c.checkApiVersions(req); code != protocol.CodeNone {
		resp.ErrorCode = int16(code)
		return c.ready(resp)
	}
	for _, api := range protocol.APIs() {
		resp.ApiKeys = append(resp.ApiKeys, apiKey(api))
	}
	addFeatures(resp, c.broker.node.Image())
	return c.ready(resp)
}

// addFeatures tells of features as of some state of the metadata.
func addFeatures(resp *kmsg.ApiVersionsResponse, im *metadata.Image) {
	resp.FinalizedFeaturesEpoch = int64(im.Index())
	for _, f := range metadata.Features() {
		if level := im.FeatureLevel(f.Name); level > 0 {
			finalized := kmsg.NewApiVersionsResponseFinalizedFeature()
			finalized.Name, finalized.MinVersionLevel, finalized.MaxVersionLevel = f.Name, level, level
			resp.FinalizedFeatures = append(resp.FinalizedFeatures, finalized)
		}
		if f.Min > 0 || resp.Version >= 4 {
			supported := kmsg.NewApiVersionsResponseSupportedFeature()
			supported.Name, supported.MinVersion, supported.MaxVersion = f.Name, f.Min, f.Max
			resp.SupportedFeatures = append(resp.SupportedFeatures, supported)
		}
	}
}

func (c *call) checkApiVersions(req *kmsg.ApiVersionsRequest) protocol.ErrorCode {
	if req.Version >= 3 && (!softwareName.MatchString(req.ClientSoftwareName) || !softwareName.MatchString(req.ClientSoftwareVersion)) {
		return protocol.CodeInvalidRequest
	}
	if req.Version < 5 {
		return protocol.CodeNone
	}
	switch {
	case (req.ClusterID == nil) != (req.NodeID == -1):
		return protocol.CodeInvalidRequest
	case req.ClusterID != nil && (*req.ClusterID != c.broker.node.ClusterID() || req.NodeID != c.broker.node.ID()):
		return protocol.CodeRebootstrapRequired
	}
	return protocol.CodeNone
}

// apiVersionsUnsupported answers a version that we cannot decode.
func (c *call) apiVersionsUnsupported() wire.Reply {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = int16(protocol.CodeUnsupportedVersion)
	api, _ := protocol.Lookup(protocol.KeyApiVersions)
	resp.ApiKeys = append(resp.ApiKeys, apiKey(api))
	return c.ready(resp)
}

func apiKey(api protocol.API) kmsg.ApiVersionsResponseApiKey {
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MinVersion, k.MaxVersion = api.Key, api.Min, api.Max
	return k
}

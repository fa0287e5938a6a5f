package broker

// ApiVersions (key 18), versions 0-5 (KIP-511): what protocol.APIs lists. A
// version above ours is answered in version 0 with UNSUPPORTED_VERSION and our
// own range, and the connection stays open. v3 checks the client's name and
// version, v5 the cluster and node it believes to have reached (KIP-1242).
// Two features are finalized: group.version 1, the consumer protocol of KIP-848, and transaction.version 2, an epoch for
// each transaction (KIP-890). As their lowest level is 0, they are not among the supported ones before v4 (KIP-584).

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/protocol/wire"
)

// features are at their highest levels.
var features = []struct {
	name  string
	level int16
}{
	{"group.version", 1},
	{"transaction.version", 2},
}

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
	addFeatures(req.Version, resp, int64(c.broker.node.Image().Index()))
	return c.ready(resp)
}

// addFeatures tells of features, as of an index of the metadata.
func addFeatures(version int16, resp *kmsg.ApiVersionsResponse, index int64) {
	resp.FinalizedFeaturesEpoch = index
	for _, f := range features {
		finalized := kmsg.NewApiVersionsResponseFinalizedFeature()
		finalized.Name, finalized.MinVersionLevel, finalized.MaxVersionLevel = f.name, f.level, f.level
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, finalized)
		if version >= 4 {
			supported := kmsg.NewApiVersionsResponseSupportedFeature()
			supported.Name, supported.MinVersion, supported.MaxVersion = f.name, 0, f.level
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

package broker

// ApiVersions (key 18), versions 0-5 (KIP-511): what protocol.APIs lists. A
// version above ours is answered in version 0 with UNSUPPORTED_VERSION and our
// own range, and the connection stays open. v3 checks the client's name and
// version, v5 the cluster and node it believes to have reached (KIP-1242).
// Left out: features; none is finalized.

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"

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
	return c.ready(resp)
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

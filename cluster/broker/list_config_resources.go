package broker

// ListConfigResources (key 74), versions 0-1 (KIP-1142): the names of what
// DescribeConfigs can describe; of groups those that have values of their own. Version 0 lists client metrics, of which there
// are none. For who may describe the cluster's configurations: CLUSTER_AUTHORIZATION_FAILED.

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
)

func (b *Broker) listConfigResources(_ context.Context, c *call, req *kmsg.ListConfigResourcesRequest) (*kmsg.ListConfigResourcesResponse, error) {
	resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	if err := c.may(acl.DescribeConfigs, acl.Cluster); err != nil {
		resp.ErrorCode = int16(errorCode(err))
		return resp, nil
	}
	if req.Version == 0 {
		return resp, nil
	}
	add := func(kind kmsg.ConfigResourceType, name string) {
		r := kmsg.NewListConfigResourcesResponseConfigResource()
		r.Name, r.Type = name, int8(kind)
		resp.ConfigResources = append(resp.ConfigResources, r)
	}
	wants := func(kind kmsg.ConfigResourceType) bool {
		return len(req.ResourceTypes) == 0 || slices.Contains(req.ResourceTypes, int8(kind))
	}
	if wants(kmsg.ConfigResourceTypeTopic) {
		for _, t := range b.node.Topics() {
			add(kmsg.ConfigResourceTypeTopic, t.Name)
		}
	}
	if wants(kmsg.ConfigResourceTypeBroker) {
		for _, mb := range b.node.Image().Brokers() {
			add(kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(mb.ID)))
		}
	}
	if wants(kmsg.ConfigResourceTypeGroupConfig) {
		for _, g := range b.node.Image().ConfiguredGroups() {
			add(kmsg.ConfigResourceTypeGroupConfig, g.Group)
		}
	}
	return resp, nil
}

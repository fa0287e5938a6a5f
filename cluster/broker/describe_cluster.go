package broker

// DescribeCluster (key 60), versions 0-2 (KIP-700): the cluster's id,
// controller and brokers. Endpoint type 1 (brokers) is served, type 2
// (controllers) has no listener here: UNSUPPORTED_ENDPOINT_TYPE. For everybody; authorized operations are
// told to who may describe the cluster.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

const endpointBrokers = 1

func (b *Broker) describeCluster(_ context.Context, c *call, req *kmsg.DescribeClusterRequest) (*kmsg.DescribeClusterResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.ClusterAuthorizedOperations = c.clusterOperations(req.IncludeClusterAuthorizedOperations)
	resp.EndpointType = endpointBrokers
	if req.Version >= 1 && req.EndpointType != endpointBrokers {
		resp.EndpointType = req.EndpointType
		resp.ControllerID = -1
		resp.ErrorCode = int16(protocol.CodeUnsupportedEndpointType)
		resp.ErrorMessage = kmsg.StringPtr("this listener describes brokers only")
		return resp, nil
	}
	resp.ClusterID, resp.ControllerID = b.node.ClusterID(), b.node.ControllerID()
	for _, e := range b.brokersFor(c.Conn) {
		out := kmsg.NewDescribeClusterResponseBroker()
		out.NodeID, out.Host, out.Port, out.Rack = e.id, e.host, e.port, e.rack
		resp.Brokers = append(resp.Brokers, out)
	}
	return resp, nil
}

package broker

// UnregisterBroker (key 64), version 0: forgets a broker that holds no replicas, and takes
// it out of the controller's group. It should have been stopped before: one that runs is
// known again when it starts the next time. Codes: BROKER_ID_NOT_REGISTERED;
// INVALID_REQUEST while it holds replicas, and for the last broker that is running;
// CLUSTER_AUTHORIZATION_FAILED for who may not alter the cluster.

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
)

// unregisterTimeout bounds a request that has no time-out of its own.
const unregisterTimeout = 30 * time.Second

func (b *Broker) unregisterBroker(ctx context.Context, c *call, req *kmsg.UnregisterBrokerRequest) (*kmsg.UnregisterBrokerResponse, error) {
	resp := req.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	ctx, cancel := context.WithTimeout(ctx, unregisterTimeout)
	defer cancel()
	err := c.may(acl.Alter, acl.Cluster)
	if err == nil {
		err = b.node.Unregister(ctx, req.BrokerID)
	}
	if err == nil {
		b.logger.Info("a broker is unregistered because a client asked for it", "broker", req.BrokerID)
	}
	resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
	return resp, nil
}

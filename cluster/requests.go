package cluster

import (
	"context"
	"errors"
)

// Some of Kafka's requests are made by brokers of each other: those of transaction coordinators to the leaders
// of partitions, and the other way round. They travel between brokers on the port that is theirs. What is in
// them is the business of who serves Kafka here.

// RequestHandler answers a request of another broker.
type RequestHandler func(ctx context.Context, from int32, request []byte) ([]byte, error)

// HandleRequests has requests of other brokers answered from now on.
func (n *Node) HandleRequests(h RequestHandler) { n.requests.Store(&h) }

// errNotServing: this broker is still starting.
var errNotServing = errors.New("cluster: requests of other brokers are not served yet")

func (n *Node) handleRequest(ctx context.Context, from int32, request []byte) ([]byte, error) {
	if h := n.requests.Load(); h != nil {
		return (*h)(ctx, from, request)
	}
	return nil, errNotServing
}

// errAlone: there are no other brokers to ask.
var errAlone = errors.New("cluster: this broker is alone")

// Request has another broker answer.
func (n *Node) Request(ctx context.Context, broker int32, request []byte) ([]byte, error) {
	if n.peers.transport == nil {
		return nil, errAlone
	}
	return n.peers.transport.Call(ctx, broker, serviceRequest, request)
}

// LeadersChanged is closed when it is known of another partition, or otherwise, who leads it.
func (n *Node) LeadersChanged() <-chan struct{} {
	n.leaders.mu.Lock()
	defer n.leaders.mu.Unlock()
	return n.leaders.changed
}

package cluster

import (
	"github.com/hashicorp/raft"

	"weir/cluster/transport"
)

// peerSeen runs when the connection to another broker has come or gone. The followers of
// leaders on one that has gone need not wait for what will not come.
func (n *Node) peerSeen(node int32, connected bool) {
	n.peers.seen(node, connected)
	if connected {
		n.leaders.tellAgain() // it may have just started, and know of nothing
		return
	}
	n.logger.Info("a broker is not connected any more", "broker", node)
	for _, t := range n.topics.Load().byName {
		for _, p := range t.partitions {
			if p == nil {
				continue
			}
			if leader, _, ok := transport.ParseAddress(raft.ServerAddress(p.Leader())); ok && leader == node {
				p.LeaderLost()
			}
		}
	}
}

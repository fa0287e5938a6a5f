package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/transport"
	"weir/partition"
)

const (
	// handOverTimeout bounds how long a stop waits for others to take over what is led here.
	handOverTimeout = 5 * time.Second
	// handOvers is how many leaderships are handed over side by side.
	handOvers = 32
	// standSpread is by how much the replicas that a dead leader leaves behind may differ in
	// when they stand: the one that does first wins.
	standSpread = 150 * time.Millisecond
)

// handOver gives the leaderships of partitions that have other voters to those, so that
// clients do not wait for an election. What nobody takes ends with this node.
func (n *Node) handOver() {
	ctx, cancel := context.WithTimeout(context.Background(), handOverTimeout)
	defer cancel()
	var work []func()
	for _, t := range n.topics.Load().byName {
		for _, p := range t.partitions {
			if p == nil {
				continue
			}
			if _, leading := p.Leading(); !leading || !hasOtherVoter(p) {
				continue
			}
			work = append(work, func() {
				var gone *partition.NotLeaderError
				if err := p.Transfer(ctx, ""); err != nil && !errors.As(err, &gone) {
					n.logger.Warn("a leadership is not handed over", "topic", p.Topic(), "partition", p.Index(), "err", err)
				}
			})
		}
	}
	side(handOvers, work)
}

func hasOtherVoter(p *partition.Partition) bool {
	for _, f := range p.Followers() {
		if f.Voter {
			return true
		}
	}
	return false
}

// peerSeen runs when the connection to another broker has come or gone. The followers of
// leaders on one that has gone need not wait for what will not come.
func (n *Node) peerSeen(node int32, connected bool) {
	n.peers.seen(node, connected)
	if connected {
		return
	}
	n.logger.Info("a broker is not connected any more", "broker", node)
	for _, t := range n.topics.Load().byName {
		for _, p := range t.partitions {
			if p == nil {
				continue
			}
			if leader, _, ok := transport.ParseAddress(raft.ServerAddress(p.Leader())); ok && leader == node {
				p.LeaderLost(time.Duration(rand.Int64N(int64(standSpread))))
			}
		}
	}
}

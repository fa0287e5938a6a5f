package broker

import (
	"slices"

	"weir/cluster"
	"weir/cluster/metadata"
	"weir/protocol"
	"weir/protocol/wire"
)

// leaderHints gathers who leads instead, for clients that asked the wrong broker, and where
// those listen (KIP-951): they need not ask for the metadata.
type leaderHints struct {
	broker  *Broker
	conn    *wire.Conn
	brokers []endpoint // of the leaders named, each once
}

// of names a partition's leader; false when none is known that the client can reach.
func (h *leaderHints) of(t *cluster.Topic, index int32) (protocol.LeaderAndEpoch, bool) {
	l := h.broker.node.Leadership(t, index)
	if l.Leader == metadata.NoLeader {
		return protocol.LeaderAndEpoch{}, false
	}
	known := func(brokers []endpoint) int {
		return slices.IndexFunc(brokers, func(e endpoint) bool { return e.id == l.Leader })
	}
	if known(h.brokers) < 0 {
		reachable := h.broker.brokersFor(h.conn)
		i := known(reachable)
		if i < 0 {
			return protocol.LeaderAndEpoch{}, false
		}
		h.brokers = append(h.brokers, reachable[i])
	}
	return protocol.LeaderAndEpoch{LeaderID: l.Leader, LeaderEpoch: l.Epoch}, true
}

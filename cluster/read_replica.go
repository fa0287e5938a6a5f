package cluster

import (
	"github.com/hashicorp/raft"

	"weir/cluster/transport"
	"weir/partition"
)

// ReadReplica chooses the broker that a consumer in a rack should read a partition from
// that is led here (KIP-392): one in that rack that is in sync. ok is false when that is
// this broker or there is none, and when replica.selector.class asks for none.
func (n *Node) ReadReplica(p *partition.Partition, rack string) (broker int32, ok bool) {
	if !n.Config().Leaders.RackAware || rack == "" || rack == n.static.Rack {
		return 0, false
	}
	var near []int32
	for _, f := range p.Followers() {
		node, _, parsed := transport.ParseAddress(raft.ServerAddress(f.ID))
		if !parsed {
			continue
		}
		if b, registered := n.Image().Broker(node); !registered || b.Rack != rack {
			continue
		}
		if _, _, inSync := n.successor(p, node, nil); inSync {
			near = append(near, node)
		}
	}
	if len(near) == 0 {
		return 0, false
	}
	return near[int(p.Index())%len(near)], true // the partitions of a topic are spread
}

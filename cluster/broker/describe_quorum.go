package broker

// DescribeQuorum (key 55), versions 0-2 (KIP-595, KIP-836, KIP-853): the controller's Raft
// group as its leader sees it, by the name that Kafka has for it: partition 0 of
// __cluster_metadata, anything else is UNKNOWN_TOPIC_OR_PARTITION. Offsets are indexes of
// the group's log, ends exclusive. A member that the leader has not heard yet has a log end
// offset and times of -1. NOT_CONTROLLER while there is no leader that answers. For who may
// describe the cluster: CLUSTER_AUTHORIZATION_FAILED.
//
// Added by version: 1 times, 2 messages, directories, and where the members listen for
// other brokers.

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/protocol"
)

const (
	quorumTopic = "__cluster_metadata"
	// peerListener names the port between brokers, which has no name of its own.
	peerListener = "PEER"
)

func (b *Broker) describeQuorum(ctx context.Context, c *call, req *kmsg.DescribeQuorumRequest) (*kmsg.DescribeQuorumResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeQuorumResponse)
	if err := c.may(acl.Describe, acl.Cluster); err != nil {
		resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
		return resp, nil
	}
	var quorum cluster.Quorum
	var err error
	asked := false
	for _, t := range req.Topics {
		out := kmsg.NewDescribeQuorumResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			po := kmsg.NewDescribeQuorumResponseTopicPartition()
			po.Partition = p.Partition
			switch {
			case t.Topic != quorumTopic || p.Partition != 0:
				po.ErrorCode = int16(protocol.CodeUnknownTopicOrPartition)
				po.ErrorMessage = kmsg.StringPtr("only partition 0 of " + quorumTopic + " is a quorum of controllers")
			case asked:
				po.ErrorCode, po.ErrorMessage = codeAndMessage(invalidRequest("the quorum is named twice"))
			default:
				asked = true
				if quorum, err = b.node.Quorum(ctx); err != nil {
					resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
					return resp, nil
				}
				describeMembers(&quorum, &po)
				resp.Nodes = b.quorumNodes(&quorum)
			}
			out.Partitions = append(out.Partitions, po)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func describeMembers(q *cluster.Quorum, out *kmsg.DescribeQuorumResponseTopicPartition) {
	out.LeaderID, out.LeaderEpoch, out.HighWatermark = q.Leader, int32(q.Epoch), q.HighWatermark
	for _, m := range q.Members {
		r := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		r.ReplicaID, r.ReplicaDirectoryID, r.LogEndOffset = m.Node, m.Directory, m.LogEndOffset
		r.LastFetchTimestamp, r.LastCaughtUpTimestamp = millisOrNone(m.Heard), millisOrNone(m.CaughtUp)
		if m.LogEndOffset == 0 {
			r.LogEndOffset = -1
		}
		if m.Voter {
			out.CurrentVoters = append(out.CurrentVoters, r)
		} else {
			out.Observers = append(out.Observers, r)
		}
	}
}

func millisOrNone(t time.Time) int64 {
	if t.IsZero() {
		return -1
	}
	return t.UnixMilli()
}

func (b *Broker) quorumNodes(q *cluster.Quorum) (nodes []kmsg.DescribeQuorumResponseNode) {
	for _, m := range q.Members {
		n := kmsg.NewDescribeQuorumResponseNode()
		n.NodeID = m.Node
		if mb, ok := b.node.Image().Broker(m.Node); ok {
			if host, digits, err := net.SplitHostPort(mb.Internal); err == nil {
				if port, err := strconv.ParseUint(digits, 10, 16); err == nil {
					l := kmsg.NewDescribeQuorumResponseNodeListener()
					l.Name, l.Host, l.Port = peerListener, host, uint16(port)
					n.Listeners = append(n.Listeners, l)
				}
			}
		}
		nodes = append(nodes, n)
	}
	return nodes
}

package broker_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

func describeQuorum(c *rawClient, version int16, topic string, partitions ...int32) *kmsg.DescribeQuorumResponse {
	c.t.Helper()
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Version = version
	t := kmsg.NewDescribeQuorumRequestTopic()
	t.Topic = topic
	for _, p := range partitions {
		t.Partitions = append(t.Partitions, kmsg.DescribeQuorumRequestTopicPartition{Partition: p})
	}
	req.Topics = append(req.Topics, t)
	return ask[*kmsg.DescribeQuorumResponse](c, req)
}

// TestDescribeQuorum: every broker gives the answer of the controller's leader.
func TestDescribeQuorum(t *testing.T) {
	brokers := brokertest.Cluster(t, 4, nil)
	for _, b := range brokers {
		c := dial(t, b.Addr())
		c.createTopic("of-"+strconv.Itoa(int(b.Node().ID())), 1, nil) // something to catch up with
		for version := range int16(3) {
			brokertest.Eventually(t, "all members are heard and have caught up", func() bool {
				got := describeQuorum(c, version, "__cluster_metadata", 0)
				p := got.Topics[0].Partitions[0]
				if got.ErrorCode != 0 || p.ErrorCode != 0 || len(p.CurrentVoters) != 3 || len(p.Observers) != 1 ||
					p.LeaderID != b.Node().ControllerID() || p.LeaderEpoch < 1 || p.HighWatermark < 1 {
					return false
				}
				return membersFresh(t, b.Node().ControllerID(), version, &p) && (version < 2 || len(got.Nodes) == 4 && got.Nodes[0].Listeners[0].Port > 0)
			})
		}
		got := describeQuorum(c, 2, "__cluster_metadata", 0, 1, 0).Topics[0].Partitions
		for i, want := range []protocol.ErrorCode{protocol.CodeNone, protocol.CodeUnknownTopicOrPartition, protocol.CodeInvalidRequest} {
			if protocol.ErrorCode(got[i].ErrorCode) != want {
				t.Errorf("partition %d: %v, want %v", got[i].Partition, protocol.ErrorCode(got[i].ErrorCode), want)
			}
		}
		if got := describeQuorum(c, 1, "t", 0).Topics[0].Partitions[0]; protocol.ErrorCode(got.ErrorCode) != protocol.CodeUnknownTopicOrPartition {
			t.Errorf("another topic: %+v", got)
		}
	}
}

func membersFresh(t *testing.T, leader int32, version int16, p *kmsg.DescribeQuorumResponseTopicPartition) bool {
	t.Helper()
	now := time.Now().UnixMilli()
	for _, m := range append(p.CurrentVoters, p.Observers...) {
		if m.LogEndOffset < p.HighWatermark-64 {
			return false
		}
		if version >= 1 && (m.LastFetchTimestamp < now-60_000 || m.LastCaughtUpTimestamp < now-60_000 || m.LastCaughtUpTimestamp > now) {
			return false
		}
		if version >= 2 && m.ReplicaDirectoryID == [16]byte{} {
			return false
		}
		if m.ReplicaID == leader && m.LogEndOffset < p.HighWatermark {
			t.Errorf("the leader's log ends at %d, below the high watermark %d", m.LogEndOffset, p.HighWatermark)
		}
	}
	return true
}

func TestDescribeQuorumAlone(t *testing.T) {
	b := brokertest.Start(t, nil)
	got := describeQuorum(dial(t, b.Addr()), 2, "__cluster_metadata", 0)
	p := got.Topics[0].Partitions[0]
	if got.ErrorCode != 0 || p.ErrorCode != 0 || p.LeaderID != b.Node().ID() || len(p.CurrentVoters) != 1 || len(p.Observers) != 0 {
		t.Errorf("got %+v", got)
	}
}

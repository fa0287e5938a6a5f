package broker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

// elect asks for elections; no topics ask for all.
func elect(c *rawClient, version int16, kind int8, topic string, partitions ...int32) *kmsg.ElectLeadersResponse {
	c.t.Helper()
	req := kmsg.NewPtrElectLeadersRequest()
	req.Version, req.ElectionType, req.TimeoutMillis = version, kind, 20_000
	if topic != "" {
		t := kmsg.NewElectLeadersRequestTopic()
		t.Topic, t.Partitions = topic, partitions
		req.Topics = append(req.Topics, t)
	}
	return ask[*kmsg.ElectLeadersResponse](c, req)
}

// electOne is the code of the one partition in the answer.
func electOne(c *rawClient, version int16, kind int8, topic string, partition int32) protocol.ErrorCode {
	c.t.Helper()
	got := elect(c, version, kind, topic, partition)
	if got.ErrorCode != 0 || len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 1 || got.Topics[0].Partitions[0].Partition != partition {
		c.t.Fatalf("got %+v", got)
	}
	return protocol.ErrorCode(got.Topics[0].Partitions[0].ErrorCode)
}

func TestElectLeadersAlone(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	for _, x := range []struct {
		version   int16
		kind      int8
		topic     string
		partition int32
		want      protocol.ErrorCode
	}{
		{0, 0, "t", 0, protocol.CodeElectionNotNeeded},
		{1, 0, "t", 0, protocol.CodeElectionNotNeeded},
		{2, 0, "t", 0, protocol.CodeElectionNotNeeded},
		{2, 1, "t", 0, protocol.CodeElectionNotNeeded},
		{2, 0, "t", 1, protocol.CodeUnknownTopicOrPartition},
		{2, 1, "t", -1, protocol.CodeUnknownTopicOrPartition},
		{2, 0, "nope", 0, protocol.CodeUnknownTopicOrPartition},
	} {
		if got := electOne(c, x.version, x.kind, x.topic, x.partition); got != x.want {
			t.Errorf("version %d, type %d of %s-%d: %v, want %v", x.version, x.kind, x.topic, x.partition, got, x.want)
		}
	}
	if got := elect(c, 2, 2, "t", 0); protocol.ErrorCode(got.ErrorCode) != protocol.CodeInvalidRequest {
		t.Errorf("an unknown type: %+v", got)
	}
	if got := elect(c, 2, 0, ""); got.ErrorCode != 0 || len(got.Topics) != 0 {
		t.Errorf("all, of which none is needed: %+v", got)
	}
	for _, p := range elect(c, 2, 0, "t", 0, 0).Topics[0].Partitions {
		if protocol.ErrorCode(p.ErrorCode) != protocol.CodeInvalidRequest {
			t.Errorf("named twice: %+v", p)
		}
	}
}

// TestElectLeaders: another order of the replicas makes another one the preferred, and
// any broker has it elected. One that is gone is not.
func TestElectLeaders(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, nil)
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1, 2, 3}, {1, 2, 3}}})
	ledBy(t, brokers[0], "t", 2)
	c := dial(t, brokers[2].Addr())
	for i, order := range [][]int32{{2, 1, 3}, {3, 1, 2}} {
		if code := reassign(c, 1, false, "t", to(0, order...)).Topics[0].Partitions[0].ErrorCode; code != 0 {
			t.Fatal(protocol.ErrorCode(code))
		}
		if i == 0 { // by name
			if got := electOne(c, 2, 0, "t", 0); got != protocol.CodeNone {
				t.Errorf("%v: %v", order, got)
			}
		} else if got := elect(c, 2, 0, ""); got.ErrorCode != 0 || len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 1 || got.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Errorf("%v: %+v", order, got)
		}
		if got := metadataOf(c, 12, "t").Topics[0].Partitions[0].Leader; got != order[0] {
			t.Errorf("%v: broker %d leads", order, got)
		}
		if got := electOne(c, 2, 0, "t", 0); got != protocol.CodeElectionNotNeeded {
			t.Errorf("%v, again: %v", order, got)
		}
	}
	produceNumbers(t, newClient(t, brokers), "t", 1, 20)
	brokertest.Stop(t, brokers[0])
	brokertest.Eventually(t, "another broker leads partition 1", func() bool {
		n := brokers[2].Node()
		l := n.Leadership(n.Topic("t"), 1).Leader
		return l == 2 || l == 3
	})
	brokertest.Eventually(t, "broker 1 is not in sync", func() bool {
		return electOne(c, 2, 0, "t", 1) == protocol.CodePreferredLeaderNotAvailable
	})
}

// ledBy waits until a broker leads a new topic that it is the preferred leader of. On a
// busy machine another one may have won first, and is asked to give it back.
func ledBy(t *testing.T, b *broker.Broker, topic string, partitions int) {
	t.Helper()
	brokertest.Eventually(t, "the preferred leader leads", func() bool {
		if leads(b, topic, partitions) {
			return true
		}
		elect(dial(t, b.Addr()), 2, 0, "")
		return false
	})
}

// leads says whether a broker leads the first partitions of a topic.
func leads(b *broker.Broker, topic string, partitions int) bool {
	n := b.Node()
	for i := range partitions {
		if n.Leadership(n.Topic(topic), int32(i)).Leader != n.ID() {
			return false
		}
	}
	return true
}

// TestUncleanElection: a partition without a leader does not get one by force.
func TestUncleanElection(t *testing.T) {
	brokers := brokertest.Cluster(t, 2, func(int) map[string]string { return map[string]string{"broker.session.timeout.ms": "1000"} })
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{2}}})
	brokertest.Stop(t, brokers[1])
	c := dial(t, brokers[0].Addr())
	brokertest.Eventually(t, "nobody leads", func() bool { return metadataOf(c, 12, "t").Topics[0].Partitions[0].Leader == -1 })
	got := elect(c, 2, 1, "t", 0).Topics[0].Partitions[0]
	if protocol.ErrorCode(got.ErrorCode) != protocol.CodeEligibleLeadersNotAvailable || got.ErrorMessage == nil {
		t.Errorf("unclean: %+v", got)
	}
	if got := electOne(c, 2, 0, "t", 0); got != protocol.CodePreferredLeaderNotAvailable {
		t.Errorf("preferred: %v", got)
	}
}

// TestLeaderRebalance: leadership goes to the preferred replica by itself.
func TestLeaderRebalance(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, func(int) map[string]string {
		return map[string]string{"leader.imbalance.check.interval.seconds": "1"}
	})
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1, 2, 3}, {1, 2, 3}, {1, 2, 3}}})
	brokertest.Eventually(t, "broker 1 leads all", func() bool { return leads(brokers[0], "t", 3) })
	reassign(dial(t, brokers[0].Addr()), 1, false, "t", to(0, 2, 1, 3), to(1, 2, 1, 3), to(2, 2, 1, 3))
	brokertest.Eventually(t, "broker 2 leads all", func() bool { return leads(brokers[1], "t", 3) })
}

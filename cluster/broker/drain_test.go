package broker_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

// setDrained drains a broker, or takes that back, by whichever broker c is connected to.
func setDrained(c *rawClient, id int32, drained bool) {
	c.t.Helper()
	op := kmsg.IncrementalAlterConfigOpDelete
	if drained {
		op = kmsg.IncrementalAlterConfigOpSet
	}
	if got := incremental(c, kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(id)), "broker.drained", op, "true"); got != protocol.CodeNone {
		c.t.Fatalf("broker.drained of %d: %v", id, got)
	}
}

// leadsNothing says whether a broker leads no partition, as all of brokers know.
func leadsNothing(brokers []*broker.Broker, id int32) bool {
	for _, b := range brokers {
		n := b.Node()
		for _, t := range n.Topics() {
			for i := range t.NumPartitions() {
				if l := n.Leadership(t, int32(i)).Leader; l == id || l < 0 {
					return false
				}
			}
		}
	}
	return true
}

// TestDrain: a drained broker hands over all that it leads, the controller too, keeps its
// replicas, and gets neither leaderships nor replicas, across a restart, until it is not
// drained any more. What only drained brokers hold is led on.
func TestDrain(t *testing.T) {
	settings := func(int) map[string]string { return map[string]string{"leader.imbalance.check.interval.seconds": "1"} }
	brokers := brokertest.Cluster(t, 3, settings)
	order := []int32{1, 2, 3}
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{order, order, order, order, order}})
	makeTopic(t, brokers, cluster.TopicSpec{Name: "alone", Partitions: -1, Replicas: -1, Assignment: [][]int32{{3}}})
	ledBy(t, brokers[0], "t", 5)
	cl := newClient(t, brokers)
	produceNumbers(t, cl, "t", 1, 50)

	c := dial(t, brokers[2].Addr())
	setDrained(c, 1, true)
	brokertest.Eventually(t, "broker 1 leads nothing", func() bool { return leadsNothing(brokers, 1) })
	brokertest.Eventually(t, "all know that it is drained", func() bool {
		return !slices.ContainsFunc(brokers, func(b *broker.Broker) bool {
			first, known := b.Node().Image().Broker(1)
			return !known || !first.Draining
		})
	})
	brokertest.Eventually(t, "another broker is the controller", func() bool {
		id := brokers[2].Node().ControllerID()
		return id == 2 || id == 3
	})
	produceNumbers(t, cl, "t", 51, 100)
	first := dial(t, brokers[0].Addr())
	if got := configValue(first, kmsg.ConfigResourceTypeBroker, "1", "broker.drained"); got != "true" {
		t.Errorf("broker.drained is %s", got)
	}
	for _, p := range metadataOf(c, 12, "t").Topics[0].Partitions {
		if !slices.Equal(p.Replicas, order) {
			t.Errorf("the replicas of %d are %v", p.Partition, p.Replicas)
		}
	}
	if got := electOne(c, 2, 0, "t", 0); got != protocol.CodePreferredLeaderNotAvailable {
		t.Errorf("elected in spite of it: %v", got)
	}
	if got := reassign(c, 1, true, "alone", to(0, 3, 1)).Topics[0].Partitions[0]; protocol.ErrorCode(got.ErrorCode) != protocol.CodeInvalidReplicaAssignment {
		t.Errorf("a new replica by hand: %v", protocol.ErrorCode(got.ErrorCode))
	}
	results, err := brokers[2].Node().CreateTopics(t.Context(), []cluster.TopicSpec{
		{Name: "three", Partitions: 1, Replicas: 3}, {Name: "two", Partitions: 4, Replicas: 2},
		{Name: "named", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1, 2}}},
	}, false)
	if err != nil || results[0].Err == nil || results[1].Err != nil || results[2].Err == nil {
		t.Errorf("new topics: %v, %+v", err, results)
	}
	for _, p := range metadataOf(c, 12, "two").Topics[0].Partitions {
		if slices.Contains(p.Replicas, 1) {
			t.Errorf("placed on broker 1: %v", p.Replicas)
		}
	}

	// Down and up again it is drained as before, and when the others' leader is gone, the
	// third leads in the end.
	dir := brokers[0].Node().DataDir()
	brokertest.Stop(t, brokers[0])
	brokers[0] = nil
	values := settings(1)
	values["node.id"], values["peer.listener"], values["peer.seeds"] = "1", "127.0.0.1:0", brokers[1].Node().PeerAddress()
	brokers[0] = brokertest.StartIn(t, dir, values)
	first = dial(t, brokers[0].Addr())
	if got := configValue(first, kmsg.ConfigResourceTypeBroker, "1", "broker.drained"); got != "true" {
		t.Errorf("after a restart broker.drained is %s", got)
	}
	setDrained(c, 2, true)
	brokertest.Eventually(t, "broker 3 leads all", func() bool { return leads(brokers[2], "t", 5) })

	// The last one that is not drained is drained, too: the leaderships stay.
	setDrained(c, 3, true)
	produceNumbers(t, cl, "t", 101, 150)
	if !leads(brokers[2], "t", 5) || !leads(brokers[2], "alone", 1) {
		t.Error("broker 3 has handed over to one that is drained")
	}

	setDrained(c, 1, false)
	brokertest.Eventually(t, "broker 1 leads all", func() bool { return leads(brokers[0], "t", 5) })
	setDrained(c, 3, false)
	setDrained(c, 2, false)
	produceNumbers(t, cl, "t", 151, 200)
	consumeNumbers(t, brokers, "t", 200)
}

// TestDrainOfOneThatIsDown: whether a broker is drained can be said while it does not run.
func TestDrainOfOneThatIsDown(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, nil)
	dir := brokers[2].Node().DataDir()
	brokertest.Stop(t, brokers[2])
	brokers[2] = nil
	c := dial(t, brokers[0].Addr())
	setDrained(c, 3, true)
	brokers[2] = brokertest.StartIn(t, dir, map[string]string{
		"node.id": "3", "peer.listener": "127.0.0.1:0", "peer.seeds": brokers[0].Node().PeerAddress(),
	})
	if got := configValue(dial(t, brokers[2].Addr()), kmsg.ConfigResourceTypeBroker, "3", "broker.drained"); got != "true" {
		t.Errorf("broker.drained is %s", got)
	}
}

// TestDrainRefused: whom it cannot be said of.
func TestDrainRefused(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	set := kmsg.IncrementalAlterConfigOpSet
	for _, x := range []struct {
		name, value string
		want        protocol.ErrorCode
	}{
		{"", "true", protocol.CodeInvalidRequest},
		{"7", "true", protocol.CodeInvalidRequest},
		{"-1", "true", protocol.CodeInvalidRequest},
		{"1", "perhaps", protocol.CodeInvalidRequest},
	} {
		if got := incremental(c, kmsg.ConfigResourceTypeBroker, x.name, "broker.drained", set, x.value); got != x.want {
			t.Errorf("%q to %s: got %v, want %v", x.name, x.value, got, x.want)
		}
	}
	c.createTopic("t", 1, nil)
	setDrained(c, 1, true)
	if got := protocol.ErrorCode(c.produce("t", 0, -1, batchOf(t, plain, 0, record("k", "v"))).ErrorCode); got != protocol.CodeNone {
		t.Errorf("the only broker leads nothing any more: %v", got)
	}
	if got := incremental(c, kmsg.ConfigResourceTypeBroker, "1", "log.retention.ms", set, "5000"); got != protocol.CodeNone {
		t.Fatal(got)
	}
	if got := configValue(c, kmsg.ConfigResourceTypeBroker, "1", "broker.drained"); got != "true" {
		t.Errorf("another value was set, and broker.drained is %s", got)
	}
}

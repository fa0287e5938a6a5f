package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

// TestThrottledMove: a move to a new replica is held to the rate that is set, while records
// are written as ever; it outlives its leader, which is the controller's too, shows where it
// is, and goes on as fast as it may when the rate is raised.
func TestThrottledMove(t *testing.T) {
	brokers := brokertest.Cluster(t, 4, nil)
	id := makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1, 2, 3}}})
	ledBy(t, brokers[0], "t", 1)
	cl := newClient(t, brokers, kgo.ProducerBatchCompression(kgo.NoCompression()))
	rng := rand.New(rand.NewChaCha8([32]byte{1}))
	produce := func(first, last int) { // a batch of 20 KiB for each
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for i := first; i <= last; i++ {
			value := make([]byte, 20<<10)
			for j := range value {
				value[j] = byte(rng.Uint32())
			}
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Key: fmt.Append(nil, i), Value: value}).FirstErr(); err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
		}
	}
	produce(1, 300) // far more batches than a replica with a vote may lack

	const key, set = "leader.replication.throttled.rate", kmsg.IncrementalAlterConfigOpSet
	c := dial(t, brokers[3].Addr())
	// A byte a second: each leader lets one message go, of at most 1 MiB, and no second one.
	if got := incremental(c, kmsg.ConfigResourceTypeBroker, "", key, set, "1"); got != protocol.CodeNone {
		t.Fatal(got)
	}
	brokertest.Eventually(t, "broker 1 knows the rate", func() bool { return brokers[0].Node().Config().Peers.ThrottledRate == 1 })
	if got := protocol.ErrorCode(reassign(c, 1, false, "t", to(0, 4, 2, 3)).Topics[0].Partitions[0].ErrorCode); got != protocol.CodeNone {
		t.Fatal(got)
	}
	newcomer := func() int64 { // its log end
		if p, err := brokers[3].Node().TopicByID(id).Replica(0); err == nil {
			return p.LogEndOffset()
		}
		return 0
	}
	brokertest.Eventually(t, "broker 4 has got something", func() bool { return newcomer() > 0 })
	produce(301, 310)
	got := newcomer()
	if got > 52 { // as many go into a message
		t.Errorf("broker 4 was sent %d records of 310 at a byte a second", got)
	}
	underWay := func(when string) {
		t.Helper()
		moves := reassignments(c, "t")
		if len(moves) != 1 || !slices.Equal(moves[0].Partitions[0].AddingReplicas, []int32{4}) || !slices.Equal(moves[0].Partitions[0].RemovingReplicas, []int32{1}) {
			t.Errorf("%s: %+v", when, moves)
		}
	}
	underWay("throttled")

	brokertest.Stop(t, brokers[0])
	brokers[0] = nil
	brokertest.Eventually(t, "the next leader sends its one message", func() bool { return newcomer() > got })
	brokertest.Eventually(t, "another broker is the controller", func() bool { return brokers[3].Node().ControllerID() > 1 })
	produce(311, 320)
	if got := newcomer(); got > 2*52 {
		t.Errorf("broker 4 was sent %d records of 320 by two leaders at a byte a second", got)
	}
	underWay("after the leader has gone")

	if got := incremental(c, kmsg.ConfigResourceTypeBroker, "", key, kmsg.IncrementalAlterConfigOpDelete, ""); got != protocol.CodeNone {
		t.Fatal(got)
	}
	brokertest.Eventually(t, "the move is complete", func() bool { return len(reassignments(c, "t")) == 0 })
	if replicas := metadataOf(c, 12, "t").Topics[0].Partitions[0].Replicas; !slices.Equal(replicas, []int32{4, 2, 3}) {
		t.Errorf("replicas are %v", replicas)
	}
	consumeNumbers(t, brokers[1:], "t", 320)
	if !bytes.Equal(recordBytes(t, brokers[3], id, 320), recordBytes(t, brokers[1], id, 320)) {
		t.Error("brokers 2 and 4 hold different bytes")
	}
}

// TestThrottleConfigs: what kafka-reassign-partitions --throttle sets is taken.
func TestThrottleConfigs(t *testing.T) {
	c := dial(t, brokertest.Start(t, nil).Addr())
	c.createTopic("t", 1, nil)
	set := kmsg.IncrementalAlterConfigOpSet
	for _, x := range []struct {
		kind             kmsg.ConfigResourceType
		name, key, value string
		want             protocol.ErrorCode
	}{
		{kmsg.ConfigResourceTypeBroker, "1", "leader.replication.throttled.rate", "10000000", protocol.CodeNone},
		{kmsg.ConfigResourceTypeBroker, "1", "follower.replication.throttled.rate", "10000000", protocol.CodeNone},
		{kmsg.ConfigResourceTypeTopic, "t", "leader.replication.throttled.replicas", "0:1,0:2", protocol.CodeNone},
		{kmsg.ConfigResourceTypeTopic, "t", "follower.replication.throttled.replicas", "*", protocol.CodeNone},
		{kmsg.ConfigResourceTypeBroker, "1", "leader.replication.throttled.rate", "0", protocol.CodeInvalidRequest},
		{kmsg.ConfigResourceTypeTopic, "t", "leader.replication.throttled.replicas", "1", protocol.CodeInvalidConfig},
	} {
		if got := incremental(c, x.kind, x.name, x.key, set, x.value); got != x.want {
			t.Errorf("%s=%s: got %v, want %v", x.key, x.value, got, x.want)
		}
	}
	if got := configValue(c, kmsg.ConfigResourceTypeBroker, "1", "leader.replication.throttled.rate"); got != "10000000" {
		t.Errorf("the rate is %s", got)
	}
}

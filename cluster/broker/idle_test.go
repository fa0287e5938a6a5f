package broker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// staysInSync waits until all three replicas have been in sync for so long.
func staysInSync(t *testing.T, brokers []*broker.Broker, lasting time.Duration) {
	t.Helper()
	admin := kadm.NewClient(newClient(t, brokers))
	for deadline, last := time.Now().Add(30*time.Second), time.Now(); time.Since(last) < lasting; time.Sleep(20 * time.Millisecond) {
		topics, err := admin.ListTopics(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		in := topics["t"].Partitions[0].ISR
		if len(in) < 3 {
			last = time.Now()
		}
		if time.Now().After(deadline) {
			t.Fatalf("of an idle partition %v are in sync", in)
		}
	}
}

// TestIdleInSync: the replicas of an idle partition, whose followers rest and are told nothing, stay in sync for
// longer than one may be behind.
func TestIdleInSync(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, func(int) map[string]string { return map[string]string{"replica.lag.time.max.ms": "100"} })
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 1, Replicas: 3})
	staysInSync(t, brokers, 3*time.Second)
}

// TestWrittenAfterARest: a batch right behind the first one after a rest, that was longer than a follower may be behind,
// finds the followers in sync, though they have not answered to the first one yet.
func TestWrittenAfterARest(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, func(int) map[string]string { return map[string]string{"replica.lag.time.max.ms": "4000"} })
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 1, Replicas: 3, Configs: map[string]string{"min.insync.replicas": "3"}})
	staysInSync(t, brokers, 7*time.Second)
	c := dial(t, leaderOf(t, brokers, "t", 0).Addr())
	batch := batchOf(t, plain, recordbatch.CodecNone, record("k", "v"))
	for _, acks := range []int16{1, -1} {
		if got := c.produce("t", 0, acks, batch); got.ErrorCode != 0 {
			t.Errorf("acks=%d: %v", acks, protocol.ErrorCode(got.ErrorCode))
		}
	}
}

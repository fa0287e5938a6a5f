package broker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"weir/cluster"
	"weir/cluster/broker/brokertest"
)

// TestIdleInSync: the replicas of an idle partition, whose followers rest and are told nothing, stay in sync for
// longer than one may be behind.
func TestIdleInSync(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, func(int) map[string]string { return map[string]string{"replica.lag.time.max.ms": "100"} })
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 1, Replicas: 3})
	admin := kadm.NewClient(newClient(t, brokers))
	for deadline, last := time.Now().Add(30*time.Second), time.Now(); time.Since(last) < 3*time.Second; time.Sleep(20 * time.Millisecond) {
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

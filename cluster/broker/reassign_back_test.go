package broker_test

import (
	"testing"

	"weir/cluster"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

// TestThereAndBack: replicas that were the first members, moved away, and are to be members again begin no
// group of their own, which would put an end to the one that has the records.
func TestThereAndBack(t *testing.T) {
	brokers := brokertest.Cluster(t, 5, nil)
	var first [][]int32
	for range 24 {
		first = append(first, []int32{1, 2, 3})
	}
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: first})
	cl := newClient(t, brokers)
	produceNumbers(t, cl, "t", 1, 500)
	c := dial(t, brokers[0].Addr())
	for _, replicas := range [][]int32{{4, 5, 3}, {1, 2, 3}, {5, 4, 2}, {3, 1, 2}} {
		var all []alterPartition
		for p := range first {
			all = append(all, to(int32(p), replicas...))
		}
		for _, p := range reassign(c, 1, false, "t", all...).Topics[0].Partitions {
			if code := protocol.ErrorCode(p.ErrorCode); code != 0 {
				t.Fatalf("partition %d to %v: %v", p.Partition, replicas, code)
			}
		}
		brokertest.Eventually(t, "all have moved", func() bool { return len(reassignments(c)) == 0 })
		consumeNumbers(t, brokers, "t", 500)
	}
}

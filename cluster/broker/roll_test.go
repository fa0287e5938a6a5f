package broker_test

import (
	"context"
	"sync"
	"testing"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
)

// TestChangesWhileSegmentsRoll: settings that bear on segments are changed again and again, nonsense among them, while
// records come in and segments roll: each record is there, in order.
func TestChangesWhileSegmentsRoll(t *testing.T) {
	b := brokertest.Start(t, nil)
	brokers := []*broker.Broker{b}
	n := b.Node()
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 2, Replicas: 1})
	cl := newClient(t, brokers)
	ctx, end := context.WithCancel(t.Context())
	var changes sync.WaitGroup
	defer changes.Wait()
	defer end()
	changed := 0
	changes.Go(func() {
		for ; ctx.Err() == nil; changed++ {
			values := []map[string]string{
				{"segment.bytes": "1000"}, {"segment.ms": "1", "segment.jitter.ms": "1"}, {"index.interval.bytes": "0", "segment.bytes": "2000"},
				{"write.caching": "true", "flush.messages": "3"}, {"segment.bytes": "1000", "retention.bytes": "1000000"}, {},
			}[changed%6]
			set := func(map[string]string) (map[string]string, error) { return values, nil }
			if err := n.AlterTopicConfigs(ctx, n.Topic("t"), false, set); err != nil && ctx.Err() == nil {
				t.Errorf("%v: %v", values, err)
			}
			nonsense := func(map[string]string) (map[string]string, error) {
				return map[string]string{"segment.bytes": "-1"}, nil
			}
			if err := n.AlterTopicConfigs(ctx, n.Topic("t"), false, nonsense); err == nil {
				t.Error("a segment of -1 bytes")
			}
		}
	})
	for i := 0; i < 1000; i += 50 {
		produceNumbers(t, cl, "t", i+1, i+50)
	}
	end()
	changes.Wait()
	segments := 0
	for p := range int32(2) {
		replica, err := n.Topic("t").Partition(p)
		if err != nil {
			t.Fatal(err)
		}
		segments += replica.Segments()
	}
	if changed < 6 || segments < 6 {
		t.Errorf("%d changes, %d segments: the test shows little", changed, segments)
	}
	consumeNumbers(t, brokers, "t", 1000)
}

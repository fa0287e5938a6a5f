package broker_test

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/cluster/metadata"
)

// newClient makes a client that knows all brokers. It is closed with the test, before
// the brokers are stopped.
func newClient(t *testing.T, brokers []*broker.Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	var seeds []string
	for _, b := range brokers {
		seeds = append(seeds, b.Addr())
	}
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.MetadataMinAge(50 * time.Millisecond), kgo.RecordRetries(1000),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// makeTopic makes a topic by one of the brokers and waits until all of them know who
// leads it.
func makeTopic(t *testing.T, brokers []*broker.Broker, spec cluster.TopicSpec) [16]byte {
	t.Helper()
	results, err := brokers[0].Node().CreateTopics(t.Context(), []cluster.TopicSpec{spec}, false)
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		t.Fatal(err)
	}
	id := results[0].Topic.ID
	brokertest.Eventually(t, "every broker knows the leaders of "+spec.Name, func() bool {
		for _, b := range brokers {
			topic := b.Node().TopicByID(id)
			if topic == nil {
				return false
			}
			for i := range topic.NumPartitions() {
				if b.Node().Leadership(topic, int32(i)).Leader == metadata.NoLeader {
					return false
				}
			}
		}
		return true
	})
	return id
}

// leaderOf is the broker that leads a partition as the first of brokers knows.
func leaderOf(t *testing.T, brokers []*broker.Broker, topic string, partition int32) *broker.Broker {
	t.Helper()
	var leader *broker.Broker
	brokertest.Eventually(t, "somebody leads "+topic, func() bool {
		n := brokers[0].Node()
		l := n.Leadership(n.Topic(topic), partition)
		i := slices.IndexFunc(brokers, func(b *broker.Broker) bool { return b.Node().ID() == l.Leader })
		if i >= 0 {
			leader = brokers[i]
		}
		return i >= 0
	})
	return leader
}

func without(brokers []*broker.Broker, one *broker.Broker) []*broker.Broker {
	return slices.DeleteFunc(slices.Clone(brokers), func(b *broker.Broker) bool { return b == one })
}

// produceNumbers appends the records first to last of a topic, one by one in the order
// of the numbers of each partition.
func produceNumbers(t *testing.T, cl *kgo.Client, topic string, first, last int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := first; i <= last; i++ {
		r := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "%d", i), Value: fmt.Appendf(nil, "value %d", i)}
		cl.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err != nil {
				t.Errorf("record %s: %v", r.Key, err)
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// consumeNumbers reads a topic from its beginning until it has seen as many records,
// and wants each of the numbers once.
func consumeNumbers(t *testing.T, brokers []*broker.Broker, topic string, count int, opts ...kgo.Opt) {
	t.Helper()
	cl := newClient(t, brokers, append(opts, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := make(map[string]int)
	for got := 0; got < count; {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("got %d records of %d: %v", got, count, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Key)]++; got++ })
	}
	for i := range count {
		if n := seen[fmt.Sprint(i+1)]; n != 1 {
			t.Errorf("record %d was read %d times", i+1, n)
		}
	}
}

// TestLeaderStops: an idempotent producer goes on when the broker that led its
// partitions stops, and nothing is lost or doubled.
func TestLeaderStops(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, nil)
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 3, Replicas: 3})
	cl := newClient(t, brokers)
	produceNumbers(t, cl, "t", 1, 200)
	leader := leaderOf(t, brokers, "t", 0)
	left := without(brokers, leader)
	done := make(chan struct{})
	go func() {
		defer close(done)
		produceNumbers(t, cl, "t", 201, 500)
	}()
	brokertest.Stop(t, leader)
	<-done
	if next := leaderOf(t, left, "t", 0); next == leader {
		t.Error("the broker that stopped is still the leader")
	}
	produceNumbers(t, cl, "t", 501, 600)
	consumeNumbers(t, left, "t", 600)
}

// TestCoordinatorStops: a group's committed offsets are with the next coordinator when
// the broker that was it stops.
func TestCoordinatorStops(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, nil)
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 3, Replicas: 3})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var offsets kadm.Offsets
	for i := range int32(3) { // led by different brokers
		offsets.AddOffset("t", i, int64(7+i), -1)
	}
	adm := kadm.NewClient(newClient(t, brokers))
	brokertest.Eventually(t, "offsets are committed", func() bool { return adm.CommitAllOffsets(ctx, "g", offsets) == nil })
	first := adm.FindGroupCoordinators(ctx, "g")["g"]
	stopped := brokers[slices.IndexFunc(brokers, func(b *broker.Broker) bool { return b.Node().ID() == first.NodeID })]
	adm.Close()
	brokertest.Stop(t, stopped)
	adm = kadm.NewClient(newClient(t, without(brokers, stopped)))
	brokertest.Eventually(t, "another broker has the committed offsets", func() bool {
		fetched, err := adm.FetchOffsets(ctx, "g")
		return err == nil && fetched.Error() == nil && maps.EqualFunc(fetched.Offsets()["t"], offsets["t"], func(a, b kadm.Offset) bool { return a.At == b.At })
	})
	if next := adm.FindGroupCoordinators(ctx, "g")["g"]; next.Err != nil || next.NodeID == first.NodeID {
		t.Errorf("the coordinator was %d, which has stopped, and is %d (%v)", first.NodeID, next.NodeID, next.Err)
	}
	brokertest.Eventually(t, "it takes commits", func() bool { return adm.CommitAllOffsets(ctx, "g", offsets) == nil })
}

// TestOffsetsOfADeletedTopic: wherever a group is coordinated, what it has committed for a
// topic is forgotten when that is deleted by another broker.
func TestOffsetsOfADeletedTopic(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, nil)
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 1, Replicas: 3})
	admin := kadm.NewClient(newClient(t, brokers))
	names := []string{"a", "b", "c", "d", "e", "f"} // of several coordinators, most likely
	for _, name := range names {
		var offsets kadm.Offsets
		offsets.AddOffset("t", 0, 7, -1)
		if err := admin.CommitAllOffsets(t.Context(), name, offsets); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := admin.DeleteTopics(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		brokertest.Eventually(t, "group "+name+" has forgotten the topic", func() bool {
			offsets, err := admin.FetchOffsets(t.Context(), name)
			return err == nil && len(offsets) == 0
		})
	}
}

// TestDeleteReplicated: a deleted topic's files are gone on every broker.
func TestDeleteReplicated(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, nil)
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 2, Replicas: 3})
	produceNumbers(t, newClient(t, brokers), "t", 1, 20)
	if _, err := kadm.NewClient(newClient(t, brokers)).DeleteTopics(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	for _, b := range brokers {
		brokertest.Eventually(t, fmt.Sprintf("broker %d has no file of the topic", b.Node().ID()), func() bool {
			left, err := filepath.Glob(filepath.Join(b.Node().DataDir(), "topics", "*"))
			return err == nil && len(left) == 0 && b.Node().Topic("t") == nil
		})
	}
}

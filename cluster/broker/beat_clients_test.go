package broker_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
)

// epochsOf is the epochs of a group's members by id, once it is stable with as many, each with partitions.
func epochsOf(t *testing.T, adm *kadm.Client, group string, count int) (epochs map[string]int32) {
	t.Helper()
	brokertest.Eventually(t, fmt.Sprintf("group %s is stable with %d members", group, count), func() bool {
		described, err := adm.DescribeConsumerGroups(t.Context(), group)
		g := described[group]
		if err != nil || g.Err != nil || g.State != "Stable" || len(g.Members) != count {
			return false
		}
		epochs = make(map[string]int32)
		for _, m := range g.Members {
			if len(m.Assignment) == 0 {
				return false
			}
			epochs[m.MemberID] = m.MemberEpoch
		}
		return true
	})
	return epochs
}

// TestGroupOfServerAssignedConsumers: consumers of the consumer protocol share a topic, also when it grows, take
// over from who leaves and from who dies, and go on behind the last commit after a restart of all.
func TestGroupOfServerAssignedConsumers(t *testing.T) {
	settings := snappyBeats(map[string]string{"group.consumer.session.timeout.ms": "2000"})
	for name, balancer := range map[string]kgo.GroupBalancer{"uniform": kgo.StickyBalancer(), "range": kgo.RangeBalancer()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := brokertest.StartIn(t, dir, settings)
			brokers := []*broker.Broker{b}
			makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 6, Replicas: 1})
			producer := newClient(t, brokers)
			adm := kadm.NewClient(producer)
			served := []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(balancer)}
			produceNumbers(t, producer, "t", 1, 100)
			seen := make(map[string]int)
			one := consume(t, brokers, "g", served...)
			await(t, seen, 1, 100, one)
			two := consume(t, brokers, "g", served...)
			epochsOf(t, adm, "g", 2)
			produceNumbers(t, producer, "t", 101, 200)
			await(t, seen, 101, 200, one, two)
			if _, err := adm.CreatePartitions(t.Context(), 3, "t"); err != nil {
				t.Fatal(err)
			}
			produceNumbers(t, producer, "t", 201, 300)
			await(t, seen, 201, 300, one, two)
			one.leave()
			epochsOf(t, adm, "g", 1)
			produceNumbers(t, producer, "t", 301, 400)
			await(t, seen, 301, 400, two)
			two.leave()
			committed, err1 := adm.FetchOffsets(t.Context(), "g")
			ends, err2 := adm.ListEndOffsets(t.Context(), "t")
			if err1 != nil || err2 != nil || len(committed["t"]) == 0 {
				t.Errorf("committed: %v, %v, %v", committed, err1, err2)
			}
			ends.Each(func(end kadm.ListedOffset) {
				if at := committed["t"][end.Partition].At; at != end.Offset {
					t.Errorf("partition %d: committed up to %d of %d", end.Partition, at, end.Offset)
				}
			})
			producer.Close()
			stop(t, b)

			b = brokertest.StartIn(t, dir, settings)
			defer stop(t, b)
			brokers[0] = b
			producer = newClient(t, brokers)
			defer producer.Close()
			produceNumbers(t, producer, "t", 401, 450)
			three := consume(t, brokers, "g", served...)
			defer three.leave()
			again := make(map[string]int)
			await(t, again, 401, 450, three)
			if len(again) != 50 {
				t.Errorf("read %d records after the restart, want 50", len(again))
			}
		})
	}
}

// TestServerAssignedConsumersOutliveTheirCoordinator: members go on when the broker that coordinates their group
// stops, at the same epoch, and nothing is skipped.
func TestServerAssignedConsumersOutliveTheirCoordinator(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, func(int) map[string]string {
		return snappyBeats(map[string]string{"offsets.topic.num.partitions": "4"})
	})
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 6, Replicas: 3})
	adm := kadm.NewClient(newClient(t, brokers))
	produceNumbers(t, newClient(t, brokers), "t", 1, 50)
	served := []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}
	seen := make(map[string]int)
	one, two := consume(t, brokers, "g", served...), consume(t, brokers, "g", served...)
	defer one.leave()
	defer two.leave()
	await(t, seen, 1, 50, one, two)
	before := epochsOf(t, adm, "g", 2)
	first := adm.FindGroupCoordinators(t.Context(), "g")["g"]
	stopped := brokers[slices.IndexFunc(brokers, func(b *broker.Broker) bool { return b.Node().ID() == first.NodeID })]
	adm.Close()
	brokertest.Stop(t, stopped)
	left := without(brokers, stopped)
	adm = kadm.NewClient(newClient(t, left))
	produceNumbers(t, newClient(t, left), "t", 51, 100)
	await(t, seen, 51, 100, one, two)
	if after := epochsOf(t, adm, "g", 2); !maps.Equal(after, before) {
		t.Errorf("members were %v, and are %v", before, after)
	}
}

// TestGroupsChangeTheirProtocolWithMembers: consumers of the classic protocol, eager or cooperative, go on when
// one of the consumer protocol joins, share with it, and are a classic group again when it has left. Nothing is
// skipped.
func TestGroupsChangeTheirProtocolWithMembers(t *testing.T) {
	for name, balancer := range map[string]kgo.GroupBalancer{"eager": kgo.RangeBalancer(), "cooperative": kgo.CooperativeStickyBalancer()} {
		t.Run(name, func(t *testing.T) {
			b := brokertest.Start(t, snappyBeats(nil))
			brokers := []*broker.Broker{b}
			makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 6, Replicas: 1})
			producer := newClient(t, brokers)
			adm := kadm.NewClient(producer)
			classic := []kgo.Opt{kgo.Balancers(balancer), kgo.HeartbeatInterval(100 * time.Millisecond)}
			seen := make(map[string]int)
			one, two := consume(t, brokers, "g", classic...), consume(t, brokers, "g", classic...)
			membersOf(t, adm, "g", 2)
			produceNumbers(t, producer, "t", 1, 100)
			await(t, seen, 1, 100, one, two)

			three := consume(t, brokers, "g", kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
			epochsOf(t, adm, "g", 3)
			produceNumbers(t, producer, "t", 101, 200)
			await(t, seen, 101, 200, one, two, three)
			one.leave()
			epochsOf(t, adm, "g", 2)
			produceNumbers(t, producer, "t", 201, 300)
			await(t, seen, 201, 300, two, three)

			three.leave()
			membersOf(t, adm, "g", 1)
			produceNumbers(t, producer, "t", 301, 400)
			await(t, seen, 301, 400, two)
			four := consume(t, brokers, "g", classic...)
			membersOf(t, adm, "g", 2)
			four.leave()
			two.leave()
		})
	}
}

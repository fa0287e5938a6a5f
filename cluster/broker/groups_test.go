package broker_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

// consumer is a franz-go consumer of topic t in a group, which reads and commits by itself.
type consumer struct {
	*kgo.Client
	records chan string // keys
	done    chan struct{}
	stop    context.CancelFunc
}

// consume runs a consumer until leave.
func consume(t *testing.T, brokers []*broker.Broker, group string, opts ...kgo.Opt) *consumer {
	t.Helper()
	c := &consumer{records: make(chan string, 10_000), done: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	c.stop = cancel
	c.Client = newClient(t, brokers, append([]kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
	}, opts...)...)
	go func() {
		defer close(c.done)
		for ctx.Err() == nil {
			fetches := c.PollFetches(ctx)
			for c.CommitUncommittedOffsets(ctx) != nil && ctx.Err() == nil {
				continue // a rebalance is in progress; what it takes away is read again by another
			}
			fetches.EachRecord(func(r *kgo.Record) { c.records <- string(r.Key) })
		}
	}()
	return c
}

// leave ends the consumer, which leaves its group.
func (c *consumer) leave() {
	c.stop()
	<-c.done
	c.Close()
}

// await reads until every number up to last has been seen by one of the consumers.
func await(t *testing.T, seen map[string]int, first, last int, consumers ...*consumer) {
	t.Helper()
	brokertest.Eventually(t, fmt.Sprintf("records %d to %d are read", first, last), func() bool {
		for _, c := range consumers {
			for len(c.records) > 0 {
				seen[<-c.records]++
			}
		}
		for i := first; i <= last; i++ {
			if seen[fmt.Sprint(i)] == 0 {
				return false
			}
		}
		return true
	})
}

// membersOf describes a group's members, once it is stable with as many, each with partitions.
func membersOf(t *testing.T, adm *kadm.Client, group string, count int) (ids []string) {
	t.Helper()
	brokertest.Eventually(t, fmt.Sprintf("group %s is stable with %d members", group, count), func() bool {
		described, err := adm.DescribeGroups(t.Context(), group)
		g := described[group]
		if err != nil || g.Err != nil || g.State != "Stable" || len(g.Members) != count {
			return false
		}
		ids = nil
		for _, m := range g.Members {
			assigned, ok := m.Assigned.AsConsumer()
			if !ok || len(assigned.Topics) == 0 {
				return false
			}
			ids = append(ids, m.MemberID)
		}
		slices.Sort(ids)
		return true
	})
	return ids
}

// TestGroupOfConsumers: consumers of a group share a topic, eagerly or cooperatively, take over
// from who leaves, and go on behind the last commit after a restart of all.
func TestGroupOfConsumers(t *testing.T) {
	for name, balancer := range map[string]kgo.GroupBalancer{"eager": kgo.RangeBalancer(), "cooperative": kgo.CooperativeStickyBalancer()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := brokertest.StartIn(t, dir, snappyGroups)
			brokers := []*broker.Broker{b}
			makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 6, Replicas: 1})
			producer := newClient(t, brokers)
			adm := kadm.NewClient(producer)
			produceNumbers(t, producer, "t", 1, 100)
			seen := make(map[string]int)
			one := consume(t, brokers, "g", kgo.Balancers(balancer))
			await(t, seen, 1, 100, one)
			two := consume(t, brokers, "g", kgo.Balancers(balancer))
			membersOf(t, adm, "g", 2)
			produceNumbers(t, producer, "t", 101, 200)
			await(t, seen, 101, 200, one, two)
			one.leave()
			membersOf(t, adm, "g", 1)
			produceNumbers(t, producer, "t", 201, 300)
			await(t, seen, 201, 300, two)
			two.leave()
			lags, err := adm.Lag(t.Context(), "g")
			if err != nil || lags["g"].State != "Empty" || lags["g"].Lag.Total() != 0 {
				t.Errorf("lag: %+v, %v", lags["g"], err)
			}
			producer.Close()
			stop(t, b)

			b = brokertest.StartIn(t, dir, snappyGroups)
			defer stop(t, b)
			brokers[0] = b
			producer = newClient(t, brokers)
			defer producer.Close()
			produceNumbers(t, producer, "t", 301, 350)
			three := consume(t, brokers, "g", kgo.Balancers(balancer))
			defer three.leave()
			again := make(map[string]int)
			await(t, again, 301, 350, three)
			if len(again) != 50 {
				t.Errorf("read %d records after the restart, want 50", len(again))
			}
		})
	}
}

// TestMembersOutliveTheirCoordinator: its members go on when a broker that coordinates a group stops, without a
// rebalance, and nothing is skipped.
func TestMembersOutliveTheirCoordinator(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, func(int) map[string]string { return map[string]string{"group.initial.rebalance.delay.ms": "0"} })
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 6, Replicas: 3})
	adm := kadm.NewClient(newClient(t, brokers))
	produceNumbers(t, newClient(t, brokers), "t", 1, 50)
	seen := make(map[string]int)
	one, two := consume(t, brokers, "g"), consume(t, brokers, "g")
	defer one.leave()
	defer two.leave()
	await(t, seen, 1, 50, one, two)
	before := membersOf(t, adm, "g", 2)
	_, generation := one.GroupMetadata()
	first := adm.FindGroupCoordinators(t.Context(), "g")["g"]
	stopped := brokers[slices.IndexFunc(brokers, func(b *broker.Broker) bool { return b.Node().ID() == first.NodeID })]
	adm.Close()
	brokertest.Stop(t, stopped)
	left := without(brokers, stopped)
	adm = kadm.NewClient(newClient(t, left))
	produceNumbers(t, newClient(t, left), "t", 51, 100)
	await(t, seen, 51, 100, one, two)
	if after := membersOf(t, adm, "g", 2); !slices.Equal(after, before) {
		t.Errorf("members were %v, and are %v", before, after)
	}
	if _, now := one.GroupMetadata(); now != generation {
		t.Errorf("generation %d was followed by %d", generation, now)
	}
}

// TestParkedRequestsMove: what is parked at a coordinator that hands over is answered
// NOT_COORDINATOR, and the next one knows the members.
func TestParkedRequestsMove(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, func(int) map[string]string {
		return map[string]string{"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "1"}
	})
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 1, Replicas: 3})
	c := dial(t, brokers[0].Addr())
	eventually(t, "the topic of groups is there", func() bool { return commit(c, "g", "t", 0, 1, "") != protocol.CodeCoordinatorNotAvailable })
	coordinator := leaderOf(t, brokers, "__consumer_offsets", 0)
	member := stable(t, dial(t, coordinator.Addr()), "g")
	joining := newMember(dial(t, coordinator.Addr()), "g")
	joining.joined(ask[*kmsg.JoinGroupResponse](joining.rawClient, joining.joinRequest(9)))
	join := joining.joinRequest(9)
	parked := joining.send(join)
	eventually(t, "it is parked", func() bool { return member.heartbeat(4) == protocol.CodeRebalanceInProgress })

	setDrained(c, coordinator.Node().ID(), true)
	if resp := joining.receive(join, parked).(*kmsg.JoinGroupResponse); protocol.ErrorCode(resp.ErrorCode) != protocol.CodeNotCoordinator {
		t.Errorf("the parked join: %+v", resp)
	}
	if code := member.heartbeat(4); code != protocol.CodeNotCoordinator {
		t.Errorf("a heartbeat to the old coordinator: %v", code)
	}
	if code := member.leave(5); code != protocol.CodeNotCoordinator {
		t.Errorf("a leave to the old coordinator: %v", code)
	}
	next := leaderOf(t, without(brokers, coordinator), "__consumer_offsets", 0)
	member.rawClient = dial(t, next.Addr())
	eventually(t, "the next coordinator knows the member", func() bool { return member.heartbeat(4) == 0 })
	if code, assignment := member.sync(5); code != 0 || assignment != "a" {
		t.Errorf("its assignment: %v %q", code, assignment)
	}
	if code := member.commit(5); code != 0 {
		t.Errorf("its commit: %v", code)
	}
}

// TestFormerCoordinator: a broker that coordinated a group until another one took over answers for it no
// more: what it knew is not what has been committed since.
func TestFormerCoordinator(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, func(int) map[string]string { return map[string]string{"offsets.topic.num.partitions": "1"} })
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 1, Replicas: 3})
	c := dial(t, brokers[0].Addr())
	eventually(t, "the topic of groups is there", func() bool { return commit(c, "g", "t", 0, 1, "") != protocol.CodeCoordinatorNotAvailable })
	former := leaderOf(t, brokers, "__consumer_offsets", 0)
	atFormer := dial(t, former.Addr())
	if code := commit(atFormer, "g", "t", 0, 1, ""); code != 0 {
		t.Fatal(code)
	}
	setDrained(c, former.Node().ID(), true)
	eventually(t, "another broker takes commits", func() bool {
		next := leaderOf(t, brokers, "__consumer_offsets", 0)
		return next != former && commit(dial(t, next.Addr()), "g", "t", 0, 2, "") == 0
	})
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = 8
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = "g"
	req.Groups = append(req.Groups, g)
	resp := ask[*kmsg.OffsetFetchResponse](atFormer, req).Groups[0]
	if code := protocol.ErrorCode(resp.ErrorCode); code != protocol.CodeNotCoordinator {
		t.Errorf("the former coordinator answers %v, %+v", code, resp.Topics)
	}
	if code := commit(atFormer, "g", "t", 0, 3, ""); code != protocol.CodeNotCoordinator {
		t.Errorf("the former coordinator takes a commit: %v", code)
	}
	if got := describeGroup(atFormer, "g"); protocol.ErrorCode(got.ErrorCode) != protocol.CodeNotCoordinator {
		t.Errorf("the former coordinator describes the group: %+v", got)
	}
}

//go:build interop

package interop

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/interop/job"
)

const (
	patience  = 2 * time.Minute // with what a member, or a group, is to do
	heartbeat = 500 * time.Millisecond
	// shortSession is how long a group misses a member that has crashed; longSession is more than it takes one to restart.
	shortSession, longSession = 12 * time.Second, 60 * time.Second
	// consumers is the way of being a member that is no assignor of the classic protocol: KIP-848.
	consumers = "consumer"
)

// groupSettings are for both protocols: this session, heartbeats as above, and no wait for a group's first members.
func groupSettings(session time.Duration) []string {
	return []string{
		"group.initial.rebalance.delay.ms=0",
		"group.consumer.min.heartbeat.interval.ms=100", fmt.Sprint("group.consumer.heartbeat.interval.ms=", heartbeat.Milliseconds()),
		"group.consumer.min.session.timeout.ms=1000", fmt.Sprint("group.consumer.session.timeout.ms=", session.Milliseconds()),
	}
}

// sharedTopic is a topic with a group of the same name.
type sharedTopic struct {
	broker     *broker
	kafka      *kgo.Client // beside the members
	admin      *kadm.Client
	topic      string
	session    time.Duration // of members of the classic protocol
	partitions int32
	written    []job.Position
	reads      chan reading
	committed  map[int32]int64 // by partition: what lies before must not be read again
	trouble    chan error      // of members that end when nobody has told them to
}

func newSharedTopic(t *testing.T, b *broker, topic string, session time.Duration) *sharedTopic {
	t.Helper()
	g := &sharedTopic{
		broker: b, topic: topic, session: session, partitions: partitions,
		reads: make(chan reading, 100_000), trouble: make(chan error, 100),
	}
	g.kafka = g.client(t)
	g.admin = kadm.NewClient(g.kafka)
	if _, err := g.admin.CreateTopic(t.Context(), partitions, 1, nil, g.topic); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *sharedTopic) client(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	kafka, err := kgo.NewClient(append(options, kgo.SeedBrokers(g.broker.address))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	return kafka
}

// job is what a client has to do to be a member: by the consumer protocol, or with these assignors (comma separated).
func (g *sharedTopic) job(way, instance string) job.Job {
	join := &job.Join{Topic: g.topic, Group: g.topic, Instance: instance, MetadataMillis: 1000}
	if way == consumers {
		join.Consumer = true
	} else {
		join.Assignors = strings.Split(way, ",")
		join.SessionMillis, join.HeartbeatMillis = int(g.session.Milliseconds()), int(heartbeat.Milliseconds())
	}
	return job.Job{Brokers: g.broker.address, Join: join}
}

// append writes count more records to each partition, and returns where they are.
func (g *sharedTopic) append(t *testing.T, count int) []job.Position {
	t.Helper()
	first := len(g.written)
	kafka := g.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(g.topic)) // a new one knows all partitions
	defer kafka.Close()
	for range count {
		for p := range g.partitions {
			r := &kgo.Record{Partition: p, Value: []byte("value")}
			if err := kafka.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			g.written = append(g.written, job.Position{Partition: r.Partition, Offset: r.Offset})
		}
	}
	return g.written[first:]
}

// wants waits until members have read all these records, and says who has read which. What is not committed may be
// read more than once: the group may share once more, when a member learns late of new partitions.
func (g *sharedTopic) wants(t *testing.T, what string, want []job.Position) map[*member][]job.Position {
	t.Helper()
	missing := map[job.Position]bool{}
	for _, p := range want {
		missing[p] = true
	}
	by := map[*member][]job.Position{}
	for late := time.After(patience); len(missing) > 0; {
		select {
		case r := <-g.reads:
			g.judge(t, what, r)
			if missing[r.at] {
				delete(missing, r.at)
				by[r.by] = append(by[r.by], r.at)
			}
		case err := <-g.trouble:
			t.Fatalf("%s: %v", what, err)
		case <-late:
			t.Fatalf("%s: nobody has read %v", what, slices.Collect(maps.Keys(missing)))
		}
	}
	return by
}

func (g *sharedTopic) judge(t *testing.T, what string, r reading) {
	t.Helper()
	if r.at.Offset < g.committed[r.at.Partition] {
		t.Fatalf("%s: read %v, though %v is committed", what, r.at, g.committed)
	}
}

// noteCommitted asks what is committed, which holds for what is read from now on.
func (g *sharedTopic) noteCommitted(t *testing.T) {
	t.Helper()
	for len(g.reads) > 0 {
		g.judge(t, "before a commit", <-g.reads)
	}
	responses, err := g.admin.FetchOffsets(t.Context(), g.topic)
	if err != nil {
		t.Fatal(err)
	}
	now := map[int32]int64{}
	for _, o := range responses.Sorted() {
		now[o.Partition] = o.At
	}
	for p, before := range g.committed {
		if now[p] < before {
			t.Fatalf("partition %d: committed %d, then %d", p, before, now[p])
		}
	}
	g.committed = now
}

// wantsCommitted wants everything to be.
func (g *sharedTopic) wantsCommitted(t *testing.T) {
	t.Helper()
	for _, p := range g.written {
		if g.committed[p.Partition] <= p.Offset {
			t.Fatalf("%v is not committed: %v", p, g.committed)
		}
	}
}

// appendAndWant writes a record to each partition, which somebody must read.
func (g *sharedTopic) appendAndWant(t *testing.T, what string) map[*member][]job.Position {
	t.Helper()
	return g.wants(t, what, g.append(t, 1))
}

// grow doubles the partitions.
func (g *sharedTopic) grow(t *testing.T) {
	t.Helper()
	g.partitions *= 2
	if _, err := g.admin.UpdatePartitions(t.Context(), int(g.partitions), g.topic); err != nil {
		t.Fatal(err)
	}
}

// groupState is what the broker says of a group.
type groupState struct {
	state    string
	assignor string
	members  map[string]groupMember // by id
	epoch    int32                  // of a group of the consumer protocol
}

type groupMember struct {
	instance   string
	classic    bool
	partitions []int32
}

func (g *sharedTopic) look(t *testing.T) groupState {
	t.Helper()
	described, err := g.admin.DescribeConsumerGroups(t.Context(), g.topic)
	if err != nil {
		t.Fatal(err)
	}
	group := described[g.topic]
	if group.Err == kerr.GroupIDNotFound { // it is of the classic protocol
		return g.lookClassic(t)
	}
	if group.Err != nil {
		t.Fatal(group.Err)
	}
	s := groupState{state: group.State, assignor: consumers, epoch: group.Epoch, members: map[string]groupMember{}}
	for _, m := range group.Members {
		assigned := slices.Sorted(maps.Keys(m.Assignment[g.topic]))
		s.members[m.MemberID] = groupMember{deref(m.InstanceID), m.MemberType == 0, assigned}
	}
	return s
}

func (g *sharedTopic) lookClassic(t *testing.T) groupState {
	t.Helper()
	described, err := g.admin.DescribeGroups(t.Context(), g.topic)
	if err != nil {
		t.Fatal(err)
	}
	group := described[g.topic]
	s := groupState{state: group.State, assignor: group.Protocol, members: map[string]groupMember{}}
	for _, m := range group.Members {
		var assigned []int32
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, topic := range a.Topics {
				assigned = append(assigned, topic.Partitions...)
			}
		}
		slices.Sort(assigned)
		s.members[m.MemberID] = groupMember{deref(m.InstanceID), true, assigned}
	}
	return s
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// settled waits until the group has so many members, who have all partitions among them.
func (g *sharedTopic) settled(t *testing.T, members int) groupState {
	t.Helper()
	late := time.After(patience)
	for {
		s := g.look(t)
		var all []int32
		for _, m := range s.members {
			all = append(all, m.partitions...)
		}
		if s.state == "Stable" && len(s.members) == members && len(all) == int(g.partitions) {
			return s
		}
		select {
		case err := <-g.trouble:
			t.Fatal(err)
		case <-late:
			t.Fatalf("the group does not settle with %d members: %+v", members, s)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// generation is that of a group as one of its members knows it. DescribeGroups does not tell; but a heartbeat of
// another generation is refused.
func (g *sharedTopic) generation(t *testing.T, s groupState) int32 {
	t.Helper()
	if s.assignor == consumers {
		return s.epoch
	}
	for id := range s.members {
		for generation := range int32(1000) {
			req := kmsg.NewPtrHeartbeatRequest()
			req.Group, req.MemberID, req.Generation = g.topic, id, generation
			resp, err := req.RequestWith(t.Context(), g.kafka)
			if err != nil {
				t.Fatal(err)
			}
			switch err := kerr.ErrorForCode(resp.ErrorCode); err {
			case nil:
				return generation
			case kerr.IllegalGeneration:
			default:
				t.Fatalf("a heartbeat for %s in generation %d: %v", id, generation, err)
			}
		}
	}
	t.Fatalf("no member knows a generation: %+v", s)
	return 0
}

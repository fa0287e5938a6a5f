//go:build interop

package interop

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

// TestGroups has each client join a group: it reads what is there, commits, leaves, and goes on exactly
// behind its commit, also when the broker was started again in between; then it shares the topic with
// a client of another kind, which takes over when it leaves.
func TestGroups(t *testing.T) {
	b := startBroker(t)
	clients := slices.DeleteFunc(chosenClients(t), func(c *client) bool { return c.name == "kcat" })
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			g := &sharedTopic{broker: b, topic: "group-" + c.name}
			g.goesOn(t, c)
			if c.name != "kafkajs" { // its only assignor is its own
				g.share(t, c)
			}
		})
	}
}

// goesOn makes the topic, and has a client come back to it twice, once across a restart of the broker.
func (g *sharedTopic) goesOn(t *testing.T, c *client) {
	t.Helper()
	g.create(t)
	g.append(t, 5)
	g.wants(t, c, g.written)
	g.append(t, 3)
	g.wants(t, c, g.written[20:])
	if g.broker.binary != "" {
		g.broker.stop(t)
		g.broker.start(t)
		g.append(t, 1)
		g.wants(t, c, g.written[32:])
	}
}

// TestConsumerGroups is TestGroups by the consumer protocol (KIP-848), for those clients that have it. A client
// that is killed is taken over from, too.
func TestConsumerGroups(t *testing.T) {
	b := startBroker(t, "group.consumer.min.heartbeat.interval.ms=100", "group.consumer.heartbeat.interval.ms=500",
		"group.consumer.min.session.timeout.ms=1000", "group.consumer.session.timeout.ms=6000")
	clients := slices.DeleteFunc(chosenClients(t), func(c *client) bool { return !c.consumer })
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			g := &sharedTopic{broker: b, topic: "consumers-" + c.name, consumer: true}
			g.goesOn(t, c)
			g.share(t, c)
			g.grow(t)
			g.wants(t, c, g.written[len(g.written)-2*partitions:])
			g.crash(t, c)
		})
	}
}

// TestMixedGroups has each client join, by either protocol, beside a member that speaks the other: the group
// changes its protocol with members in it.
func TestMixedGroups(t *testing.T) {
	b := startBroker(t, "group.consumer.min.heartbeat.interval.ms=100", "group.consumer.heartbeat.interval.ms=500",
		"group.initial.rebalance.delay.ms=0")
	clients := slices.DeleteFunc(chosenClients(t), func(c *client) bool { return !c.consumer })
	for _, c := range clients {
		for theirs, consumer := range map[string]bool{"classic": false, "consumer": true} {
			t.Run(c.name+" "+theirs, func(t *testing.T) {
				g := &sharedTopic{broker: b, topic: "mixed-" + c.name + "-" + theirs, consumer: consumer, mixed: true}
				g.create(t)
				g.append(t, 2)
				g.share(t, c)
			})
		}
	}
}

// grow doubles the partitions, with a record in each.
func (g *sharedTopic) grow(t *testing.T) {
	t.Helper()
	if _, err := kadm.NewClient(g.client(t)).UpdatePartitions(t.Context(), 2*partitions, g.topic); err != nil {
		t.Fatal(err)
	}
	g.partitions = 2 * partitions
	g.append(t, 1)
}

// crash has the client join beside a member that is there already, and kills it: what it has not
// committed is read by the other.
func (g *sharedTopic) crash(t *testing.T, c *client) {
	kafka := g.member(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	admin := kadm.NewClient(g.client(t))
	program, kill := context.WithCancel(ctx)
	defer kill()
	command := c.command(program, t, g.job(1_000_000))
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for !g.settledWith(ctx, t, admin, 2) {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("the group does not settle")
		}
	}
	kill()
	_ = command.Wait() // it was killed
	first := len(g.written)
	g.append(t, 1)
	seen := make(map[job.Position]bool)
	for _, want := range g.written[first:] {
		for !seen[want] {
			if kafka.PollFetches(ctx).EachRecord(func(r *kgo.Record) { seen[job.Position{Partition: r.Partition, Offset: r.Offset}] = true }); ctx.Err() != nil {
				t.Fatalf("nobody has read %v", want)
			}
		}
	}
}

// settledWith says whether the group has so many members, each with all that it is to have.
func (g *sharedTopic) settledWith(ctx context.Context, t *testing.T, admin *kadm.Client, members int) bool {
	t.Helper()
	described, err := admin.DescribeConsumerGroups(ctx, g.topic)
	if err != nil {
		t.Fatal(err)
	}
	return described[g.topic].State == "Stable" && len(described[g.topic].Members) == members
}

// sharedTopic is a topic with a group of the same name.
type sharedTopic struct {
	broker     *broker
	topic      string
	consumer   bool // its members are of the consumer protocol
	mixed      bool // but for this program, which speaks the other
	partitions int  // 0: as many as other topics
	written    []job.Position
}

func (g *sharedTopic) client(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	kafka, err := kgo.NewClient(append(options, kgo.SeedBrokers(g.broker.address), kgo.DefaultProduceTopic(g.topic))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	return kafka
}

func (g *sharedTopic) create(t *testing.T) {
	t.Helper()
	if _, err := kadm.NewClient(g.client(t)).CreateTopic(t.Context(), partitions, 1, nil, g.topic); err != nil {
		t.Fatal(err)
	}
}

// append writes count more records to each partition.
func (g *sharedTopic) append(t *testing.T, count int) {
	t.Helper()
	kafka := g.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer kafka.Close()
	for range count {
		for p := range int32(cmp.Or(g.partitions, partitions)) {
			r := &kgo.Record{Partition: p, Value: []byte("value")}
			if err := kafka.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			g.written = append(g.written, job.Position{Partition: r.Partition, Offset: r.Offset})
		}
	}
}

// wants has the client read as a member of the group, and wants it to get exactly these records.
func (g *sharedTopic) wants(t *testing.T, c *client, want []job.Position) {
	t.Helper()
	got := c.run(t, g.job(len(want))).Joined
	if !slices.Equal(ordered(got), ordered(want)) {
		t.Errorf("got %v, want %v", ordered(got), ordered(want))
	}
}

func (g *sharedTopic) job(count int) job.Job {
	return job.Job{Brokers: g.broker.address, Join: &job.Join{Topic: g.topic, Group: g.topic, Count: count, Consumer: g.consumer}}
}

func ordered(positions []job.Position) []job.Position {
	return slices.SortedFunc(slices.Values(positions), func(a, b job.Position) int {
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
}

// member joins the group.
func (g *sharedTopic) member(t *testing.T) *kgo.Client {
	t.Helper()
	options := []kgo.Opt{kgo.ConsumerGroup(g.topic), kgo.ConsumeTopics(g.topic), kgo.Balancers(kgo.RangeBalancer()), kgo.AutoCommitInterval(100 * time.Millisecond)}
	if g.consumer != g.mixed {
		options = append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	}
	return g.client(t, options...)
}

// share has the client join beside a member that is there already, read something, and leave.
func (g *sharedTopic) share(t *testing.T, c *client) {
	kafka := g.member(t)
	defer kafka.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	read := make(chan job.Position, 100_000)
	go func() {
		for ctx.Err() == nil {
			kafka.PollFetches(ctx).EachRecord(func(r *kgo.Record) { read <- job.Position{Partition: r.Partition, Offset: r.Offset} })
		}
	}()
	joined := make(chan []job.Position, 1)
	go func() { joined <- c.run(t, g.job(3)).Joined }()
	seen := make(map[job.Position]bool)
	first := len(g.written)
	theirs := 0
	for theirs == 0 {
		select {
		case positions := <-joined:
			if theirs = len(positions); theirs < 3 {
				t.Fatalf("the member beside read %v", positions)
			}
			for _, p := range positions {
				seen[p] = true
			}
		case <-time.After(200 * time.Millisecond):
			g.append(t, 1) // there is something for whoever has the partition
		case <-ctx.Done():
			t.Fatal("the other member is not done")
		}
	}
	g.append(t, 1)
	for _, want := range g.written[first:] { // those that the other had and did not commit, too
		for !seen[want] {
			select {
			case p := <-read:
				seen[p] = true
			case <-ctx.Done():
				t.Fatalf("nobody has read %v", fmt.Sprint(want))
			}
		}
	}
}

//go:build torture

package torture

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/bench"
)

// TestClusterThousand tells what 1,000 partitions of three replicas cost when
// nobody uses them, and how soon those that a killed broker led have other
// leaders, and are written.
func TestClusterThousand(t *testing.T) {
	to := topic{name: "thousand", number: 9, partitions: 1000}
	c := newTrio(t, newProxies(t), "log.retention.check.interval.ms=300000", "replica.lag.time.max.ms=30000") // the defaults
	c.allVote()
	began := time.Now()
	c.createTopic(to)
	c.allLed(to, -1)
	t.Logf("%d partitions are made and led after %v", to.partitions, time.Since(began).Round(time.Millisecond))
	time.Sleep(5 * time.Second) // what the creation left to do is no cost of being idle
	c.tellIdle(20 * time.Second)

	for range setting(t, "WEIR_TORTURE_THOUSANDS", 1) {
		c.electPreferred(to)
		victim := c.rng.IntN(3)
		led := c.ledBy(to, victim)
		began = time.Now()
		c.kill(victim)
		c.allLed(to, victim)
		others := time.Since(began)
		c.writeOnce(to, led)
		t.Logf("broker %d, which led %d, is dead: others lead after %v, all of these are written after %v",
			victim+1, len(led), others.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		c.heal()
	}
	for i, b := range c.brokers {
		c.stop(i)
		for _, line := range b.complaints() {
			t.Errorf("broker %d said: %s", i+1, line)
		}
	}
}

// leaders is who leads each partition in the eyes of the brokers but one, from 0 on.
func (c *trio) leaders(client *kgo.Client, to topic, but int) map[int32]int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	all := map[int32]int{}
	topics, err := kadm.NewClient(client).ListTopics(ctx, to.name)
	if err != nil {
		return all
	}
	for p, x := range topics[to.name].Partitions {
		if i := int(x.Leader) - 1; i >= 0 && i != but {
			all[p] = i
		}
	}
	return all
}

// beside is a client of all brokers but one.
func (c *trio) beside(but int, opts ...kgo.Opt) *kgo.Client {
	var seeds []string
	for i, b := range c.brokers {
		if i != but {
			seeds = append(seeds, b.address)
		}
	}
	return c.brokers[0].client(append(opts, kgo.SeedBrokers(seeds...))...)
}

// allLed waits until every partition is led by a broker that is not dead.
func (c *trio) allLed(to topic, dead int) {
	c.t.Helper()
	client := c.beside(dead)
	defer client.Close()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		led := c.leaders(client, to, dead)
		if len(led) == int(to.partitions) {
			return
		}
		if time.Since(began) > patience {
			c.t.Fatalf("only %d of %d partitions are led", len(led), to.partitions)
		}
	}
}

// electPreferred waits until the first replica of each partition leads it.
func (c *trio) electPreferred(to topic) {
	c.t.Helper()
	client := c.beside(-1)
	defer client.Close()
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		topics, err := kadm.NewClient(client).ListTopics(ctx, to.name)
		wrong := 0
		for _, x := range topics[to.name].Partitions {
			if x.Leader != x.Replicas[0] {
				wrong++
			}
		}
		if err == nil && wrong == 0 && len(topics[to.name].Partitions) == int(to.partitions) {
			cancel()
			return
		}
		if time.Since(began) > patience {
			c.t.Fatalf("%d partitions are not led by their first replica: %v", wrong, err)
		}
		kadm.NewClient(client).ElectLeaders(ctx, kadm.ElectPreferredReplica, nil) //nolint:errcheck // asked again
		cancel()
	}
}

func (c *trio) ledBy(to topic, i int) (all []int32) {
	c.t.Helper()
	client := c.beside(-1)
	defer client.Close()
	for p, leader := range c.leaders(client, to, -1) {
		if leader == i {
			all = append(all, p)
		}
	}
	return all
}

// writeOnce has a record acknowledged in each partition.
func (c *trio) writeOnce(to topic, partitions []int32) {
	c.t.Helper()
	client := c.beside(-1, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	var records []*kgo.Record
	for _, p := range partitions {
		records = append(records, &kgo.Record{Topic: to.name, Partition: p, Value: []byte("once")})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		c.t.Errorf("write to %d partitions: %v", len(partitions), err)
	}
}

// samples is what each broker has used so far.
func (c *trio) samples() (all []bench.ProcessSample) {
	c.t.Helper()
	for _, b := range c.brokers {
		s, err := bench.SampleProcess(b.command.Process.Pid)
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// tellIdle tells what each broker uses while it is left alone.
func (c *trio) tellIdle(long time.Duration) {
	c.t.Helper()
	before := c.samples()
	time.Sleep(long)
	for i, after := range c.samples() {
		c.t.Logf("broker %d, idle: %.1f %% of a core, %d MiB resident, %d MiB of them heap and stacks",
			i+1, 100*cpu(before[i], after)/long.Seconds(), after.RSSBytes>>20, after.RSSAnonBytes>>20)
	}
}

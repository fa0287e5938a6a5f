//go:build interop

package interop

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const stormBrokers = 3

// stormCluster is three brokers, numbered from 1 on, which clients reach through proxies.
type stormCluster struct {
	storm   *storm
	brokers []*broker
	seeds   []string // the proxies
	down    int      // index of the broker that is killed, nobody when all are up
	kafka   *kgo.Client
	admin   *kadm.Client
}

const nobody = -1

func startStormCluster(t *testing.T, s *storm) *stormCluster {
	t.Helper()
	c := &stormCluster{storm: s, down: nobody}
	var join string
	for i := range stormBrokers {
		b := newBroker(t)
		p := startProxy(t, s, b.address)
		peers := freeAddress(t)
		b.args = []string{"--node-id", fmt.Sprint(i + 1), "--peer-listen", peers, "--advertise", p.address()}
		if i == 0 {
			join = peers
		} else {
			b.args = append(b.args, "--join", join)
		}
		c.brokers, c.seeds = append(c.brokers, b), append(c.seeds, p.address())
		b.launch(t)
	}
	for _, b := range c.brokers {
		b.await(t)
	}
	var err error
	if c.kafka, err = kgo.NewClient(kgo.SeedBrokers(c.seeds...), kgo.MetadataMinAge(100*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kafka.Close)
	c.admin = kadm.NewClient(c.kafka)
	c.until(t, "all brokers vote in the controller's group", func(ctx context.Context) bool { return c.voters(ctx) == stormBrokers })
	return c
}

// voters is how many brokers vote in the controller's group, which bears a kill only with all of them.
func (c *stormCluster) voters(ctx context.Context) int {
	ask := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	ask.Topics = append(ask.Topics, topic)
	answer, err := ask.RequestWith(ctx, c.kafka)
	if err != nil || len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return 0
	}
	return len(answer.Topics[0].Partitions[0].CurrentVoters)
}

// until asks until something is so.
func (c *stormCluster) until(t *testing.T, what string, so func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !so(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("it does not come about that %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *stormCluster) createTopic(t *testing.T, topic string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := c.admin.CreateTopic(ctx, partitions, stormBrokers, nil, topic); err != nil {
		t.Fatalf("create %s: %v", topic, err)
	}
}

// turn kills the leader of a partition, or starts the broker that is killed.
func (c *stormCluster) turn(t *testing.T, topic string) {
	t.Helper()
	if c.down != nobody {
		c.brokers[c.down].start(t)
		c.down = nobody
		return
	}
	partition := int32(c.storm.kills % partitions)
	c.until(t, fmt.Sprintf("partition %d has a leader", partition), func(ctx context.Context) bool {
		topics, err := c.admin.ListTopics(ctx, topic)
		if err != nil || topics[topic].Partitions[partition].Leader < 1 {
			return false
		}
		c.down = int(topics[topic].Partitions[partition].Leader) - 1
		return true
	})
	c.brokers[c.down].kill(t)
	c.storm.kills++
}

// complaints are the lines of the brokers' logs that no kill may bring.
func (c *stormCluster) complaints() (lines []string) {
	for _, b := range c.brokers {
		for line := range strings.Lines(string(b.said())) {
			if strings.Contains(line, "panic") || strings.Contains(line, "corrupt") || strings.Contains(line, "is offline") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

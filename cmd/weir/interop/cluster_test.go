//go:build interop

package interop

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cluster is three brokers, numbered from 0 on, or the one that WEIR_INTEROP_BROKERS names, which nobody kills.
type cluster struct {
	brokers []*broker
	admin   *kadm.Client
}

// startCluster starts three brokers that all vote, and ends them with the test.
func startCluster(t *testing.T, sets ...string) *cluster {
	t.Helper()
	if os.Getenv("WEIR_INTEROP_BROKERS") != "" {
		return newCluster(t, startBroker(t))
	}
	var brokers []*broker
	root, join := t.TempDir(), freeAddress(t)
	for i := range 3 {
		b := &broker{
			address: freeAddress(t),
			binary:  weirBinary(t),
			data:    filepath.Join(root, fmt.Sprint("data-", i+1)),
			logFile: filepath.Join(root, fmt.Sprint("weir-", i+1, ".log")),
			sets:    sets,
			args:    []string{"--node-id", fmt.Sprint(i + 1), "--peer-listen", join},
		}
		if i > 0 {
			b.args = []string{"--node-id", fmt.Sprint(i + 1), "--peer-listen", freeAddress(t), "--join", join}
		}
		b.launch(t)
		t.Cleanup(func() { b.finish(t) })
		brokers = append(brokers, b)
	}
	awaitVotes(t, brokers)
	return newCluster(t, brokers...)
}

func newCluster(t *testing.T, brokers ...*broker) *cluster {
	t.Helper()
	c := &cluster{brokers: brokers}
	c.admin = kadm.NewClient(c.client(t))
	return c
}

func awaitVotes(t *testing.T, brokers []*broker) {
	t.Helper()
	for _, b := range brokers {
		b.await(t)
	}
	await(t, "not all brokers vote", func() bool {
		votes := 1 // of the one that began the cluster
		for _, b := range brokers {
			said, err := os.ReadFile(b.logFile)
			if err != nil {
				t.Fatal(err)
			}
			votes += bytes.Count(said, []byte(`"controller: members changed","change":"votes"`))
		}
		return votes == len(brokers)
	})
}

// addresses are of all brokers, as clients take them.
func (c *cluster) addresses() string {
	var all []string
	for _, b := range c.brokers {
		all = append(all, b.address)
	}
	return strings.Join(all, ",")
}

func (c *cluster) client(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	kafka, err := kgo.NewClient(append(options, kgo.SeedBrokers(strings.Split(c.addresses(), ",")...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	return kafka
}

// reader reads a topic from its start.
func (c *cluster) reader(t *testing.T, topic string, isolation kgo.IsolationLevel, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	return c.client(t, append(options, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(isolation), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
}

// createTopics makes topics of as many replicas as there are brokers, and waits until each broker knows of them: a client
// that asks one that does not asks again after minutes.
func (c *cluster) createTopics(t *testing.T, topics ...string) {
	t.Helper()
	responses, err := c.admin.CreateTopics(t.Context(), partitions, int16(len(c.brokers)), nil, topics...)
	if err := cmp.Or(err, responses.Error()); err != nil {
		t.Fatal(err)
	}
	for _, b := range c.brokers {
		one := c.client(t)
		if err := one.UpdateSeedBrokers(b.address); err != nil {
			t.Fatal(err)
		}
		await(t, b.address+" does not know all topics", func() bool {
			known, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), one.SeedBrokers()[0])
			if err != nil {
				return false
			}
			n := 0
			for _, topic := range known.Topics {
				if slices.Contains(topics, *topic.Topic) && len(topic.Partitions) == partitions {
					n++
				}
			}
			return n == len(topics)
		})
		one.Close()
	}
}

// kill ends one broker of three by SIGKILL, and restart starts it again.
func (c *cluster) kill(t *testing.T, i int) {
	t.Helper()
	if len(c.brokers) == 1 {
		return // another's broker is not ours to kill
	}
	topics, err := c.admin.ListTopicsWithInternal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	led := 0
	topics.EachPartition(func(p kadm.PartitionDetail) {
		if int(p.Leader) == i+1 {
			led++
		}
	})
	c.brokers[i].kill(t)
	t.Logf("killed broker %d, which led %d partitions", i+1, led)
}

func (c *cluster) restart(t *testing.T, i int) {
	t.Helper()
	if len(c.brokers) > 1 {
		c.brokers[i].start(t)
	}
}

// wantsCompacted wants this of a topic that a client has made for itself.
func (c *cluster) wantsCompacted(t *testing.T, topic string) {
	t.Helper()
	configs, err := c.admin.DescribeTopicConfigs(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(configs[0].Configs, func(c kadm.Config) bool {
		return c.Key == "cleanup.policy" && c.MaybeValue() == "compact"
	}) {
		t.Errorf("%s is not compacted: %+v", topic, configs[0])
	}
}

//go:build interop

package interop

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/links"
)

// cluster is three brokers, numbered from 0 on, or the one that WEIR_INTEROP_BROKERS names, which nobody kills.
type cluster struct {
	brokers []*broker
	links   *links.Links // between them
	admin   *kadm.Client
}

// startCluster starts three brokers that all vote, and ends them with the test. Clients reach them through proxies when
// there is an overseer.
func startCluster(t *testing.T, o overseer, sets ...string) *cluster {
	t.Helper()
	if os.Getenv("WEIR_INTEROP_BROKERS") != "" {
		return newCluster(t, nil, startBroker(t))
	}
	peers := []string{freeAddress(t), freeAddress(t), freeAddress(t)}
	between, err := links.New(peers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(between.Close)
	var brokers []*broker
	root := t.TempDir()
	for i, peer := range peers {
		b := &broker{
			address: freeAddress(t),
			binary:  weirBinary(t),
			data:    filepath.Join(root, fmt.Sprint("data-", i+1)),
			logFile: filepath.Join(root, fmt.Sprint("weir-", i+1, ".log")),
			sets:    append([]string{"peer.advertised.listener=" + between.Address(i)}, sets...),
			args:    []string{"--node-id", fmt.Sprint(i + 1), "--peer-listen", peer},
		}
		if o != nil {
			b.proxy = startProxy(t, o, b.address).address()
			b.args = append(b.args, "--advertise", b.proxy)
		}
		if i > 0 {
			b.args = append(b.args, "--join", between.Address(0))
		}
		b.launch(t)
		t.Cleanup(func() { b.finish(t) })
		brokers = append(brokers, b)
	}
	awaitVotes(t, brokers)
	return newCluster(t, between, brokers...)
}

func newCluster(t *testing.T, between *links.Links, brokers ...*broker) *cluster {
	t.Helper()
	c := &cluster{brokers: brokers, links: between}
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
		all = append(all, cmp.Or(b.proxy, b.address))
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
	for i, b := range c.brokers {
		c.awaitKnown(t, i, b.address+" does not know all topics", func(known *kmsg.MetadataResponse) bool {
			n := 0
			for _, topic := range known.Topics {
				if slices.Contains(topics, *topic.Topic) && len(topic.Partitions) == partitions {
					n++
				}
			}
			return n == len(topics)
		})
	}
}

// awaitKnown waits until one broker knows all topics to be so.
func (c *cluster) awaitKnown(t *testing.T, i int, what string, so func(known *kmsg.MetadataResponse) bool) {
	t.Helper()
	kafka := c.client(t)
	defer kafka.Close()
	if err := kafka.UpdateSeedBrokers(c.brokers[i].address); err != nil {
		t.Fatal(err)
	}
	await(t, what, func() bool {
		known, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), kafka.SeedBrokers()[0])
		return err == nil && so(known)
	})
}

// leaders are those of all partitions as one broker knows them, -1 for none, by topic and partition.
func leaders(known *kmsg.MetadataResponse) map[string]int32 {
	all := map[string]int32{}
	for _, topic := range known.Topics {
		for _, p := range topic.Partitions {
			all[fmt.Sprint(*topic.Topic, "-", p.Partition)] = p.Leader
		}
	}
	return all
}

// awaitOthersLead waits until those that a broker is cut off from lead all partitions.
func (c *cluster) awaitOthersLead(t *testing.T, cut int) {
	t.Helper()
	other := (cut + 1) % len(c.brokers)
	c.awaitKnown(t, other, fmt.Sprintf("others do not lead what broker %d has led", cut+1), func(known *kmsg.MetadataResponse) bool {
		for _, leader := range leaders(known) {
			if leader < 0 || int(leader) == cut+1 {
				return false
			}
		}
		return true
	})
}

// awaitAgreed waits until all brokers know the same leaders, and returns how many partitions each leads.
func (c *cluster) awaitAgreed(t *testing.T) (led []int) {
	t.Helper()
	var first map[string]int32
	for agreed := 0; agreed < len(c.brokers); {
		for i := range c.brokers {
			c.awaitKnown(t, i, fmt.Sprintf("broker %d knows nothing", i+1), func(known *kmsg.MetadataResponse) bool {
				if all := leaders(known); maps.Equal(all, first) {
					agreed++
				} else {
					first, agreed = all, 1
				}
				return true
			})
		}
	}
	led = make([]int, len(c.brokers))
	for _, leader := range first {
		if leader > 0 {
			led[leader-1]++
		}
	}
	return led
}

// kill ends one broker of three by SIGKILL, and restart starts it again.
func (c *cluster) kill(t *testing.T, i int) {
	t.Helper()
	if len(c.brokers) == 1 {
		return // another's broker is not ours to kill
	}
	c.brokers[i].kill(t)
	t.Logf("killed broker %d", i+1)
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

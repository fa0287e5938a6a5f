//go:build torture

package torture

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/torture/history"
)

// trio is a cluster of brokers, numbered from 1 on, of three if nothing else is said.
type trio struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	root    string // of data and logs, kept when the test fails
	brokers []*broker
	net     wires
	down    []bool
	stopped []bool // by SIGSTOP
	l       *load
	damaged int                 // the broker that may complain, -1 for none
	ids     map[string][16]byte // of the topics
	holders map[int32][]int32   // by partition as the history numbers them: who has it, if not all

	attacked []topic // whose leaders faults are for
	others   []topic // beside the load's
	chain    *chain  // that the load goes through, if any
}

// newTrio starts the brokers at the ends of the wires.
func newTrio(t *testing.T, net wires, sets ...string) *trio {
	t.Helper()
	return newTrioIn(t, net, nil, sets...)
}

// newTrioIn has some brokers keep their data in folders.
func newTrioIn(t *testing.T, net wires, folders map[int]string, sets ...string) *trio {
	t.Helper()
	c := &trio{t: t, seed: seed(t), net: net, brokers: make([]*broker, net.count()), down: make([]bool, net.count()), stopped: make([]bool, net.count()), damaged: -1, ids: map[string][16]byte{}, holders: map[int32][]int32{}}
	c.rng = rand.New(rand.NewPCG(c.seed, 0))
	var err error
	if c.root, err = os.MkdirTemp("", "weir-torture-"+strings.ReplaceAll(t.Name(), "/", "-")+"-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	sets = append([]string{"log.retention.check.interval.ms=500", "replica.lag.time.max.ms=2000"}, sets...)
	var seeds []string
	_, join := net.hosts(0)
	for i := range c.brokers {
		listen, reached := net.hosts(i)
		b := &broker{
			t: t, data: filepath.Join(c.root, fmt.Sprintf("data-%d", i+1)), address: net.address(i), within: net.within(i),
			logFile: filepath.Join(c.root, fmt.Sprintf("weir-%d.log", i+1)), sets: sets,
			args: []string{"--node-id", fmt.Sprint(i + 1), "--peer-listen", listen, "--set", "peer.advertised.listener=" + reached},
		}
		if folders[i] != "" {
			b.data = filepath.Join(folders[i], "data")
		}
		if i > 0 {
			b.args = append(b.args, "--join", join)
		}
		seeds = append(seeds, b.address)
		c.brokers[i] = b
	}
	for _, b := range c.brokers {
		b.seeds = seeds
		b.launch()
	}
	for _, b := range c.brokers {
		b.answers()
	}
	return c
}

// end kills what is left, and keeps what a failed test has to show.
func (c *trio) end() {
	for _, b := range c.brokers {
		if b != nil {
			b.kill() // a stopped process too
		}
	}
	if !c.t.Failed() && os.Getenv("WEIR_TORTURE_KEEP") == "" {
		os.RemoveAll(c.root)
		return
	}
	for i, b := range c.brokers {
		if b != nil {
			c.t.Logf("broker %d said at the end:\n%s", i+1, tail(b.said(), 3000))
		}
	}
	if c.l != nil {
		if f, err := os.Create(filepath.Join(c.root, "history.jsonl")); err == nil {
			err = cmp.Or(history.Write(f, c.l.record.Events()), f.Close())
			if err != nil {
				c.t.Log(err)
			}
		}
	}
	c.t.Logf("WEIR_TORTURE_SEED=%d; data, logs and history are kept in %s", c.seed, c.root)
}

func (c *trio) kill(i int) {
	c.brokers[i].kill()
	c.down[i], c.stopped[i] = true, false
}

func (c *trio) stop(i int) {
	c.t.Helper()
	c.brokers[i].stop()
	c.down[i] = true
}

// launch starts a broker and does not wait, since it may lack its peers.
func (c *trio) launch(i int) {
	c.t.Helper()
	c.brokers[i].launch()
	c.down[i] = false
}

func (c *trio) signal(i int, s syscall.Signal) {
	c.t.Helper()
	if err := c.brokers[i].command.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *trio) pause(i int) {
	c.t.Helper()
	c.signal(i, syscall.SIGSTOP)
	c.stopped[i] = true
}

func (c *trio) resume(i int) {
	c.t.Helper()
	c.signal(i, syscall.SIGCONT)
	c.stopped[i] = false
}

// heal has all brokers run and reach each other, and waits until they answer.
func (c *trio) heal() {
	c.t.Helper()
	c.net.heal()
	for i := range c.brokers {
		if c.stopped[i] {
			c.resume(i)
		}
	}
	for _, i := range c.rng.Perm(len(c.brokers)) {
		if c.down[i] {
			c.launch(i)
		}
	}
	for _, b := range c.brokers {
		b.answers()
	}
}

// replicated are the topics of the load on a cluster.
var replicated = []topic{
	{name: "safe", number: 1, partitions: 3},
	{name: "small-segments", number: 2, partitions: 3, configs: []string{"segment.bytes", "65536"}},
}

var replicatedStyles = []style{
	{"idempotent", true, kgo.AllISRAcks(), kgo.NoCompression(), false, false},
	{"idempotent, zstd, hasty", true, kgo.AllISRAcks(), kgo.ZstdCompression(), false, true},
	{"acks=all, gzip", false, kgo.AllISRAcks(), kgo.GzipCompression(), false, false},
	{"acks=1, lz4", false, kgo.LeaderAck(), kgo.Lz4Compression(), true, false},
}

// begin puts a cluster under load.
func (c *trio) begin() *load {
	c.t.Helper()
	l := c.beginOn(replicated, replicatedStyles, 20*time.Millisecond)
	c.steady()
	return l
}

// beginOn has producers of some styles write to topics, in bursts with a pause between.
func (c *trio) beginOn(topics []topic, styles []style, pause time.Duration) *load {
	c.t.Helper()
	c.allVote()
	c.l = &load{t: c.t, b: c.brokers[0], pause: pause, topics: topics, opts: []kgo.Opt{
		// A broker that is halted is not waited for long.
		kgo.RequestTimeoutOverhead(time.Second), kgo.ProduceRequestTimeout(time.Second), fitsSmallSegment,
	}}
	c.attacked = c.topics()
	for _, to := range c.attacked {
		c.createTopic(to)
		c.ids[to.name] = c.brokers[0].topicID(to.name)
	}
	c.settled()
	c.l.start(c.seed, styles)
	return c.l
}

// topics are those of the load, and of what it goes through.
func (c *trio) topics() []topic { return slices.Concat(c.l.topics, c.others) }

// allVote waits until all brokers vote in the controller's group, and settled
// until all know of the topics, which were made after that. One that is cut off
// before it has heard who votes gives none of them its vote.
func (c *trio) allVote() {
	c.t.Helper()
	began := time.Now()
	for {
		votes := 1 // of the one that began the cluster
		for _, b := range c.brokers {
			votes += bytes.Count(b.said(), []byte(`"controller: members changed","change":"votes"`))
		}
		if votes == len(c.brokers) {
			return
		}
		if time.Since(began) > patience {
			c.t.Fatalf("only %d brokers vote", votes)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (c *trio) settled() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for i, b := range c.brokers {
		client := b.client(kgo.SeedBrokers(b.address))
		for {
			r, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client.SeedBrokers()[0])
			if err == nil && len(r.Topics) >= len(c.topics()) {
				break
			}
			if ctx.Err() != nil {
				c.t.Fatalf("broker %d does not know the topics: %v", i+1, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		client.Close()
	}
}

func (c *trio) createTopic(to topic) {
	c.t.Helper()
	client := c.brokers[0].client()
	defer client.Close()
	values := map[string]*string{}
	for i := 0; i < len(to.configs); i += 2 {
		values[to.configs[i]] = &to.configs[i+1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a := kadm.NewClient(client)
	a.SetTimeoutMillis(int32(patience.Milliseconds()))
	r, err := a.CreateTopic(ctx, to.partitions, 3, values, to.name)
	if err := cmp.Or(err, r.Err); err != nil {
		c.t.Fatalf("create topic %s: %v", to.name, err)
	}
}

// leader is who leads a partition, from 0 on, once somebody does.
func (c *trio) leader(to topic, p int32) int {
	c.t.Helper()
	client := c.brokers[0].client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		topics, err := kadm.NewClient(client).ListTopicsWithInternal(ctx, to.name)
		if err == nil {
			if x, ok := topics[to.name].Partitions[p]; ok && x.Leader > 0 && !c.down[x.Leader-1] {
				return int(x.Leader) - 1
			}
		}
		select {
		case <-ctx.Done():
			c.t.Fatalf("nobody leads %s-%d: %v", to.name, p, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// steady waits until every producer of the load has had something acknowledged
// in every partition that it writes to, sent from now on; of a chain, until such a thing has come out at its end.
// It returns how long that took.
func (c *trio) steady() time.Duration {
	c.t.Helper()
	if c.chain != nil {
		return c.chain.steady()
	}
	return c.steadyBut(nil)
}

// steadyBut is steady for all but some partitions, as the history numbers them.
func (c *trio) steadyBut(not map[int32]bool) time.Duration {
	c.t.Helper()
	began, told := time.Now(), false
	from := len(c.l.record.Events())
	for {
		missing := c.l.places()
		maps.DeleteFunc(missing, func(place [2]int32, _ bool) bool { return not[place[1]] })
		sent := map[uint64]bool{}
		for _, e := range c.l.record.Events()[from:] {
			switch {
			case e.Op == history.Send:
				sent[e.Value] = true
			case e.Op == history.Ack && sent[e.Value]:
				delete(missing, [2]int32{int32(e.Process), e.Partition})
			}
		}
		if len(missing) == 0 {
			return time.Since(began)
		}
		if time.Since(began) > 5*time.Second && !told {
			told = true
			c.t.Logf("after 5 s nothing is written by (producer, partition) %v; led by: %v", slices.Sorted(maps.Keys(names(missing))), c.leads())
		}
		if time.Since(began) > patience {
			c.t.Fatalf("a minute after the fault nothing is written by (producer, partition) %v", missing)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func names(places map[[2]int32]bool) map[string]bool {
	all := map[string]bool{}
	for p := range places {
		all[fmt.Sprint(p)] = true
	}
	return all
}

// leads is who leads what, by partition, in the eyes of each broker that answers.
func (c *trio) leads() map[int]map[int32]int32 {
	all := map[int]map[int32]int32{}
	for i, b := range c.brokers {
		if c.down[i] || c.stopped[i] {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		client := b.client(kgo.SeedBrokers(b.address))
		if r, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client.SeedBrokers()[0]); err == nil {
			all[i+1] = map[int32]int32{}
			for _, to := range c.l.topics {
				for _, x := range r.Topics {
					if x.Topic == nil || *x.Topic != to.name {
						continue
					}
					for _, p := range x.Partitions {
						all[i+1][to.partition(p.Partition)] = p.Leader
					}
				}
			}
		}
		client.Close()
		cancel()
	}
	return all
}

// finish heals, ends the load, and passes the verdict over what clients saw
// and what the replicas hold.
func (c *trio) finish() history.Report {
	c.t.Helper()
	c.heal()
	c.steady()
	c.l.stopProducing()
	c.awaitEqual()
	c.l.stopConsuming()
	report := c.l.judge()
	c.t.Logf("%d of acks=1 lost with their leader", report.WeakLost)
	c.stopAll()
	return report
}

// stopAll ends the brokers in order, and has them say nothing that they must not.
func (c *trio) stopAll() {
	c.t.Helper()
	for _, i := range c.rng.Perm(len(c.brokers)) {
		c.stop(i)
	}
	c.compareStopped()
	for i, b := range c.brokers {
		for _, line := range b.complaints() {
			if i == c.damaged {
				c.t.Logf("broker %d said: %.300s", i+1, line)
				continue
			}
			c.t.Errorf("broker %d said: %s", i+1, line)
		}
	}
}

//go:build interop

package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

const (
	chainStages = 3
	chainKeys   = 32
	// chainSession is how long a group misses a processor that is killed; chainTimeout is of transactions, which it leaves open.
	chainSession, chainTimeout = 10 * time.Second, 10 * time.Second
)

// TestChain has chains of three stages, each a group of two processors that read, stamp, write and commit offsets in
// transactions, while brokers and processors are killed and cut off amid the work: what comes out is exactly the function of what went in.
// There are as many chains as clients, and each client has another stage in each of them.
func TestChain(t *testing.T) {
	cycles, records := setting(t, "WEIR_INTEROP_CHAIN_CYCLES", 2), setting(t, "WEIR_INTEROP_CHAIN_RECORDS", 500)
	seed := uint64(setting(t, "WEIR_INTEROP_SEED", int(time.Now().UnixNano())))
	t.Logf("WEIR_INTEROP_SEED=%d", seed)

	all := chosenOf(t, func(c *client) bool { return c.stages })
	if len(all) == 0 {
		t.Skip("no client of those chosen has stages")
	}
	cuts := newCuts(t)
	c := startCluster(t, cuts, groupSettings(chainSession)...)
	var chains []*chain
	for i := range all {
		chains = append(chains, newChain(t, c, fmt.Sprintf("chain-%d-%d", i, time.Now().UnixMilli()), all, i))
	}
	f := newFaults(c, cuts, seed)
	for cycle := 0; cycle < cycles || !f.complete(); cycle++ {
		f.cycle(t, chains, records)
	}
	for _, ch := range chains {
		ch.check(t)
	}
	f.wants(t)
}

// cycle puts records into each chain, and has two brokers, one after the other, and a processor of each chain suffer amid them.
func (f *faults) cycle(t *testing.T, chains []*chain, records int) {
	t.Helper()
	done := func() (n int64) {
		for _, ch := range chains {
			n += ch.done.Load()
		}
		return n
	}
	before, total := done(), int64(records*len(chains))
	first := 1 + f.random.Int64N(total/2)
	second := first + f.random.Int64N(total/2)
	var all []*suffering
	for _, ch := range chains {
		all = append(all, f.prepare(t, ch))
		ch.append(t, records)
	}
	began := time.Now()
	await(t, "the chains do not go on", func() bool { return done() >= before+first })
	for _, s := range all {
		s.strike(t)
	}
	f.broker(t)
	await(t, "the chains do not go on", func() bool { return done() >= before+second })
	f.broker(t)
	for _, ch := range chains {
		await(t, ch.name+" does not come to its end", ch.through)
	}
	through := time.Since(began)
	for _, s := range all {
		f.end(t, s)
	}
	t.Logf("faults after %d and %d of %d, all through after %v, and whole again after %v", first, second, total,
		through.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// chain is topics, the first of which is the input and the last the output, and stages between them.
type chain struct {
	name    string
	cluster *cluster
	topics  []string
	writer  *kgo.Client
	input   []keyed
	stages  [chainStages][2]*processor
	done    atomic.Int64 // records of the output that a reader has seen who is there all the time
}

type keyed struct{ key, value string }

// processor is one process of a stage, which is killed and started again.
type processor struct {
	client  *client
	stage   job.Stage
	process *process // nil while there is none
}

// newChain makes a chain whose first stage is of the client of this number, the next of the next.
func newChain(t *testing.T, c *cluster, name string, clients []*client, first int) *chain {
	t.Helper()
	ch := &chain{name: name, cluster: c, writer: c.client(t)}
	for i := range chainStages + 1 {
		ch.topics = append(ch.topics, fmt.Sprintf("%s-%d", name, i))
	}
	c.createTopics(t, ch.topics...)
	for s := range ch.stages {
		for i := range ch.stages[s] {
			group := fmt.Sprintf("%s-stage-%d", name, s+1)
			ch.stages[s][i] = &processor{client: clients[(first+s)%len(clients)], stage: job.Stage{
				Number: s + 1, From: ch.topics[s], To: ch.topics[s+1], Group: group, TransactionalID: fmt.Sprintf("%s-%d", group, i),
				Consumer: s == 1, SessionMillis: int(chainSession.Milliseconds()), HeartbeatMillis: int(heartbeat.Milliseconds()),
				TimeoutMillis: int(chainTimeout.Milliseconds()),
			}}
		}
	}
	ch.complete(t)
	ch.watch(t)
	return ch
}

// complete starts the processors that there are not.
func (ch *chain) complete(t *testing.T) {
	t.Helper()
	for _, stage := range ch.stages {
		for _, p := range stage {
			if p.process != nil {
				continue
			}
			input, err := json.Marshal(job.Job{Brokers: ch.cluster.addresses(), Stage: &p.stage})
			if err != nil {
				t.Fatal(err)
			}
			p.process = launch(t, p.client.name+" as "+p.stage.TransactionalID, p.client.argv, p.client.env, string(input)+"\n")
		}
	}
}

// isMember says whether a processor is in its group, as the coordinator sees it.
func (ch *chain) isMember(t *testing.T, p *processor) bool {
	t.Helper()
	if p.stage.Consumer {
		groups, err := ch.cluster.admin.DescribeConsumerGroups(t.Context(), p.stage.Group)
		return err != nil || groups.Error() != nil || slices.ContainsFunc(groups[p.stage.Group].Members, func(m kadm.ConsumerGroupMember) bool {
			return m.ClientID == p.stage.TransactionalID
		})
	}
	groups, err := ch.cluster.admin.DescribeGroups(t.Context(), p.stage.Group)
	return err != nil || groups.Error() != nil || slices.ContainsFunc(groups[p.stage.Group].Members, func(m kadm.DescribedGroupMember) bool {
		return m.ClientID == p.stage.TransactionalID
	})
}

// begun is how often a processor has begun anew.
func (p *processor) begun(t *testing.T) int {
	t.Helper()
	return strings.Count(p.process.output(t), "begins anew")
}

// through says whether all that has gone in has come out.
func (ch *chain) through() bool { return ch.done.Load() >= int64(len(ch.input)) }

// append writes so many records more to the input.
func (ch *chain) append(t *testing.T, count int) {
	t.Helper()
	var batch []*kgo.Record
	for range count {
		n := len(ch.input)
		r := keyed{fmt.Sprint("key-", n%chainKeys), fmt.Sprint("value-", n)}
		ch.input = append(ch.input, r)
		batch = append(batch, &kgo.Record{Topic: ch.topics[0], Key: []byte(r.key), Value: []byte(r.value)})
	}
	if err := ch.writer.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// watch counts what comes out. The reader is there through all that happens to the brokers.
func (ch *chain) watch(t *testing.T) {
	kafka := ch.cluster.reader(t, ch.topics[chainStages], kgo.ReadCommitted())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			ch.done.Add(int64(kafka.PollFetches(ctx).NumRecords()))
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

//go:build interop

package interop

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// deck deals kinds of faults at random, each once before any comes again.
type deck[K any] struct {
	random *rand.Rand
	kinds  []K
	left   []K // of this turn
	turns  int // that are over
}

func newDeck[K any](random *rand.Rand, kinds ...K) *deck[K] {
	return &deck[K]{random: random, kinds: kinds}
}

func (d *deck[K]) deal() K {
	if len(d.left) == 0 {
		d.left = slices.Clone(d.kinds)
	}
	i := d.random.IntN(len(d.left))
	kind := d.left[i]
	if d.left = slices.Delete(d.left, i, i+1); len(d.left) == 0 {
		d.turns++
	}
	return kind
}

// brokerFault is of one broker, for some seconds.
type brokerFault struct {
	name       string
	begin, end func(t *testing.T, c *cluster, broker int)
}

// What links hold back, clients of the broker do not see: it is there for them all the time.
var brokerFaults = []brokerFault{
	{"killed", func(t *testing.T, c *cluster, i int) { c.kill(t, i) }, func(t *testing.T, c *cluster, i int) { c.restart(t, i) }}, // at once
	{"cut off", func(t *testing.T, c *cluster, i int) { c.links.Isolate(i); c.awaitOthersLead(t, i) }, heal},
	{"not heard", func(t *testing.T, c *cluster, i int) { c.links.Mute(i); c.awaitOthersLead(t, i) }, heal},
	{"hears nothing", func(t *testing.T, c *cluster, i int) { c.links.Deafen(i); c.awaitOthersLead(t, i) }, heal},
}

func heal(_ *testing.T, c *cluster, _ int) { c.links.Heal() }

// processorFault is of one processor.
type processorFault struct {
	name  string
	again bool   // a killed one starts at once; else others have its work to do, and what it left open ends by its timeout
	cut   moment // "" for one that is killed
}

var processorFaults = []processorFault{
	{name: "killed, starts again", again: true},
	{name: "killed, others do its work"},
	{name: string(commitHeld), cut: commitHeld},
	{name: string(answerHeld), cut: answerHeld},
}

// faults are those of a cluster and its chains, and how often each was.
type faults struct {
	random     *rand.Rand
	cluster    *cluster
	cuts       *cuts
	brokers    *deck[brokerFault]
	processors *deck[processorFault]
	counts     map[string]int
	fenced     map[string]int // commits of processors that were let back, by what the coordinator said
}

func newFaults(c *cluster, cuts *cuts, seed uint64) *faults {
	random := rand.New(rand.NewPCG(seed, 0))
	f := &faults{
		random: random, cluster: c, cuts: cuts, counts: map[string]int{}, fenced: map[string]int{},
		brokers: newDeck(random, brokerFaults...), processors: newDeck(random, processorFaults...),
	}
	if c.links == nil { // another's broker is not ours to kill, nor to cut off
		f.brokers.kinds, f.processors.kinds = nil, processorFaults[:2]
	}
	return f
}

// complete says whether each kind has been.
func (f *faults) complete() bool {
	return f.processors.turns > 0 && (len(f.brokers.kinds) == 0 || f.brokers.turns > 0)
}

// broker has a broker that leads something suffer.
func (f *faults) broker(t *testing.T) {
	t.Helper()
	if len(f.brokers.kinds) == 0 {
		return
	}
	fault, led := f.brokers.deal(), f.cluster.awaitAgreed(t)
	i := f.random.IntN(len(led))
	for led[i] == 0 {
		i = (i + 1) % len(led)
	}
	began := time.Now()
	fault.begin(t, f.cluster, i)
	fault.end(t, f.cluster, i)
	f.counts["broker "+fault.name]++
	t.Logf("broker %d, which led %d partitions: %s for %v", i+1, led[i], fault.name, time.Since(began).Round(time.Millisecond))
}

// wants wants each kind to have been.
func (f *faults) wants(t *testing.T) {
	t.Helper()
	t.Logf("faults: %v; commits that came too late: %v", f.counts, f.fenced)
	for _, kind := range f.brokers.kinds {
		if f.counts["broker "+kind.name] == 0 {
			t.Errorf("no broker was %s", kind.name)
		}
	}
	for _, kind := range f.processors.kinds {
		if f.counts["processor "+kind.name] == 0 {
			t.Errorf("no processor was %s", kind.name)
		}
	}
}

// suffering is what a processor goes through.
type suffering struct {
	processorFault
	chain     *chain
	processor *processor
	off       *cutOff // nil for one that is killed
	begun     int     // how often it had begun anew before
}

// prepare deals a fault to a processor of a chain. A cut is for its next commit.
func (f *faults) prepare(t *testing.T, ch *chain) *suffering {
	t.Helper()
	s := &suffering{processorFault: f.processors.deal(), chain: ch, processor: ch.stages[f.random.IntN(chainStages)][f.random.IntN(2)]}
	if s.cut != "" {
		s.begun = s.processor.begun(t)
		s.off = f.cuts.order(s.processor.stage.TransactionalID, s.cut)
	}
	f.counts["processor "+s.name]++
	return s
}

// strike kills those that are to be killed.
func (s *suffering) strike(t *testing.T) {
	t.Helper()
	t.Logf("%s: %s", s.processor.process.name, s.name)
	if s.off != nil {
		return
	}
	s.processor.process.kill()
	s.processor.process = nil
	if s.again {
		s.chain.complete(t)
	}
}

// end has all processors take part again, when others have done what there was to do. One that was cut off is a zombie then:
// its group goes on without it, its transaction has ended, and what it has sent before comes now.
func (f *faults) end(t *testing.T, s *suffering) {
	t.Helper()
	if s.off == nil {
		s.chain.complete(t)
		return
	}
	p := s.processor
	// The other one may have done all before it was a member: there is more to do until it commits.
	await(t, p.process.name+" commits nothing", func() bool {
		begun := isClosed(s.off.begun)
		if !begun && s.chain.through() {
			s.chain.append(t, chainKeys)
		}
		return begun
	})
	await(t, s.chain.name+" does not come to its end without "+p.process.name, s.chain.through)
	await(t, p.process.name+" stays in its group", func() bool { return !s.chain.isMember(t, p) })
	if s.cut == commitHeld {
		await(t, "the transaction of "+p.process.name+" is not aborted", func() bool {
			described, err := f.cluster.admin.DescribeTransactions(t.Context(), p.stage.TransactionalID)
			return err == nil && described[p.stage.TransactionalID].State == "CompleteAbort"
		})
		f.wantsFenced(t, s.off)
	}
	f.cuts.letBack(s.off)
	if s.cut == commitHeld {
		await(t, p.process.name+" does not see that it is fenced", func() bool { return p.begun(t) > s.begun })
	}
}

// wantsFenced sends the commit of one that is cut off, and wants it refused. The commit itself comes by the connection that
// it was sent on, if the broker at its end still runs.
func (f *faults) wantsFenced(t *testing.T, off *cutOff) {
	t.Helper()
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(off.commit.Key(), off.commit.GetVersion()) // those of the processor's client
	kafka := f.cluster.client(t, kgo.MaxVersions(versions))
	defer kafka.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended, err := off.commit.RequestWith(ctx, kafka)
	if err != nil {
		t.Fatal(err)
	}
	code := kerr.ErrorForCode(ended.ErrorCode)
	switch code {
	case kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidTxnState:
		f.fenced[strings.SplitN(code.Error(), ":", 2)[0]]++
	default:
		t.Errorf("the coordinator says to the commit of %s that comes too late: %v", off.clientID, code)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

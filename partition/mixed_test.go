package partition

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/log"
	"weir/segment/vfs"
)

// mixedRun is the life of a group in a bubble: a script drawn from a seed, one of whose replicas dies at an operation of its disk.
type mixedRun struct {
	*group
	seed   uint64
	rng    *rand.Rand // of the step
	m      *keyModel
	now    time.Time // of records and of what is due
	target *member   // the one that dies
	deaths chan death
	// recovering: the target has lost its power and is being opened. A process that dies then has the next one know.
	recovering    atomic.Bool
	over          chan struct{}
	ends          bool // nobody is to die any more
	down          map[*member]*absence
	floor         map[*member]int64 // log starts seen
	seen          map[*rig]int64    // high watermarks seen
	writer        map[int64]*mixedWriter
	transactional [2]txnProducer
	did           *mixedCounts
}

type death struct {
	m    *member
	left *vfs.Mem
	mode log.RecoveryMode
}

type absence struct {
	mode  log.RecoveryMode
	steps int // until it is started again
}

// mixedWriter is what an idempotent producer remembers.
type mixedWriter struct {
	next   identity
	last   []byte // its last batch, as sent
	offset int64
}

// mixedCounts is what the runs of a test came to.
type mixedCounts struct {
	deaths, removed, deletions, tails, snapshots, committed, aborted, fenced atomic.Int64
}

const mixedRetention = time.Minute

func mixedSettings(rng *rand.Rand) Settings {
	s := testSettings()
	s.Log.SegmentBytes = 1 << 10
	s.Log.DeleteByRetention, s.Log.RetentionBytes, s.Log.RetentionAge = true, 10<<10, 3*mixedRetention
	s.ProducerExpiry = 1000 * time.Hour
	s.Compact = true
	s.Compaction = log.Compaction{DeleteRetentionMillis: mixedRetention.Milliseconds(), MaxKeys: []int{0, 5}[rng.IntN(2)]}
	return s
}

// arm has a node die before its nth change of the disk from its next start on.
func (c *mixedRun) arm(m *member, nth int, rng *rand.Rand) {
	gate, power, opts := vfs.NewGate(), rng.IntN(2) == 0, vfs.CrashOptions{Seed: rng.Uint64N(4)}
	m.rules = []vfs.Rule{{Kinds: vfs.OpChanging, Nth: nth, Gate: gate}}
	go func() {
		select {
		case <-gate.Entered():
		case <-c.over:
			return
		}
		if err := m.net.Close(); err != nil { // what it does from here on nobody hears of
			c.t.Error(err)
		}
		left, mode := m.leaves(power, opts)
		if c.recovering.Load() {
			mode = log.RecoverPowerLoss
		}
		c.deaths <- death{m, left, mode}
		gate.Open()
	}()
}

// tend looks after those that have died, and has a majority up.
func (c *mixedRun) tend() {
	c.t.Helper()
	for len(c.deaths) > 0 {
		d := <-c.deaths
		c.bury(d.m, d.left)
		c.down[d.m] = &absence{d.mode, c.rng.IntN(6)}
		c.did.deaths.Add(1)
		if d.m.rules = nil; c.rng.IntN(2) == 0 && !c.ends {
			c.arm(d.m, 1+c.rng.IntN(60), c.rng)
		}
	}
	able := 0
	for _, m := range c.nodes {
		if m.rig == nil {
			continue
		}
		select {
		case err := <-m.fatal:
			c.t.Fatalf("node %d: %v", m.node, err)
		case err := <-m.reopen:
			if !errors.Is(err, errAhead) {
				c.t.Fatalf("node %d leaves its group: %v", m.node, err)
			}
			c.openAgain(m)
		default:
		}
		if !c.wires.cut[m.id] {
			able++
		}
	}
	if able < 2 {
		c.startAll()
	}
}

func (c *mixedRun) startAll() {
	for _, m := range c.nodes {
		c.back(m)
	}
}

func (c *mixedRun) back(m *member) {
	c.t.Helper()
	if away := c.down[m]; away != nil {
		delete(c.down, m)
		c.recovering.Store(m == c.target && away.mode == log.RecoverPowerLoss)
		c.start(m, away.mode)
		c.recovering.Store(false)
	}
}

func (c *mixedRun) up() (all []*member) {
	for _, m := range c.nodes {
		if m.rig != nil {
			all = append(all, m)
		}
	}
	return all
}

// look compares all replicas with the model, at a moment at which nothing is under way.
func (c *mixedRun) look() {
	c.t.Helper()
	for {
		c.tend()
		if synctest.Wait(); len(c.deaths) == 0 {
			break
		}
	}
	for _, m := range c.up() {
		c.m.learn(m.Partition)
	}
	for _, m := range c.up() {
		c.m.check(m.Partition, c.rng)
		start, high := m.LogStartOffset(), m.HighWatermark()
		if start < c.floor[m] || high < c.seen[m.rig] {
			c.t.Fatalf("node %d: log start %d was %d, high watermark %d was %d", m.node, start, c.floor[m], high, c.seen[m.rig])
		}
		c.floor[m], c.seen[m.rig] = start, high
	}
}

// until has time pass until done says so.
func (c *mixedRun) until(what string, done func() bool) {
	c.t.Helper()
	for end := time.Now().Add(2 * patience); ; time.Sleep(10 * time.Millisecond) {
		c.tend()
		if synctest.Wait(); done() {
			return
		}
		if time.Now().After(end) {
			for _, m := range c.up() {
				c.t.Logf("node %d: log [%d, %d), high watermark %d", m.node, m.LogStartOffset(), m.LogEndOffset(), m.HighWatermark())
			}
			c.t.Fatalf("never: %s", what)
		}
	}
}

// settled starts all nodes and waits until they agree.
func (c *mixedRun) settled() {
	c.t.Helper()
	c.until("all replicas agree", func() bool {
		c.startAll()
		l := c.nodes[0]
		for _, m := range c.nodes {
			if _, leading := m.Leading(); leading {
				l = m
			}
		}
		_, leading := l.Leading()
		for _, m := range c.nodes {
			if !leading || len(c.deaths) > 0 || m.HighWatermark() != l.LogEndOffset() || m.LogEndOffset() != l.LogEndOffset() || m.LogStartOffset() != l.LogStartOffset() {
				return false
			}
		}
		return true
	})
	c.look()
	if l := c.leader(); l.HighWatermark() < c.m.end || l.LogStartOffset() < c.m.start {
		c.t.Fatalf("log [%d, %d): records below %d were acknowledged, and the deletion of those below %d", l.LogStartOffset(), l.HighWatermark(), c.m.end, c.m.start)
	}
	for _, m := range c.up() {
		if m.HighWatermark() >= c.m.end { // not one that has died meanwhile
			c.m.checkOpen(m.Partition)
		}
	}
}

// step does one thing.
func (c *mixedRun) step(i int) {
	c.t.Helper()
	c.rng = rand.New(rand.NewPCG(c.seed, uint64(i)))
	c.now = c.now.Add(time.Second)
	for _, m := range c.nodes {
		if away := c.down[m]; away != nil {
			if away.steps--; away.steps < 0 {
				c.back(m)
			}
		}
	}
	switch n := c.rng.IntN(100); {
	case n < 18:
		c.plain()
	case n < 29:
		c.idempotent()
	case n < 35:
		c.retry()
	case n < 53:
		c.transaction()
	case n < 59:
		c.deleteRecords()
	case n < 66:
		c.retention()
	case n < 79:
		c.compact(c.nodes[c.rng.IntN(len(c.nodes))])
	case n < 83:
		for _, m := range c.nodes {
			c.compact(m)
		}
	case n < 87:
		c.transfer(c.nodes[c.rng.IntN(len(c.nodes))])
	case n < 91:
		c.cutOff()
	case n < 95:
		c.leaveOne()
	default:
		c.letTombstonesGo()
	}
}

// compactAll has nothing left to compact.
func (c *mixedRun) compactAll() {
	c.t.Helper()
	for _, m := range c.nodes {
		if err := m.log.Roll(); err != nil {
			c.t.Fatal(err)
		}
		for c.compact(m).To > 0 {
		}
	}
}

// finish checks what is to hold in the end: all agree, also after all have lost their power at once or were stopped,
// and hold the same when all has been compacted.
func (c *mixedRun) finish() {
	c.t.Helper()
	c.ends = true
	for _, m := range c.nodes {
		if m.rules = nil; m.rig != nil {
			m.inj.Clear()
		}
	}
	c.settled()
	for _, m := range c.nodes {
		away := &absence{mode: log.RecoverClean}
		if c.seed%2 == 0 {
			away.mode = c.crash(m, true)
		} else {
			c.stop(m)
		}
		c.down[m] = away
	}
	c.startAll()
	c.settled()
	c.endTransactions()
	for range 2 { // the first meets the tombstones
		b := c.m.last(c.now)
		c.m.acknowledged(b, c.put(b))
		c.settled()
		c.compactAll()
		c.now = c.now.Add(mixedRetention)
	}
	c.look()
	for _, m := range c.nodes {
		c.m.clean(m.Partition)
		if err := verify(m.Partition); err != nil {
			c.t.Fatalf("node %d: %v", m.node, err)
		}
	}
	c.did.snapshots.Add(c.wires.snapshots.Load())
}

const mixedSteps = 40

// mixed lives through one script, in which the target dies before its nth change of the disk, 0 for never. It returns
// how many of them there were.
func mixed(t *testing.T, seed uint64, nth int, did *mixedCounts) (changes int) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, uint64(nth)<<32))
		c := &mixedRun{
			seed: seed, rng: rng, m: newKeyModel(t, mixedRetention), now: time.Now(), deaths: make(chan death, 1), over: make(chan struct{}),
			down: map[*member]*absence{}, floor: map[*member]int64{}, seen: map[*rig]int64{}, writer: map[int64]*mixedWriter{}, did: did,
		}
		timing := Timing{Heartbeat: 100 * time.Millisecond, Election: time.Second, Commit: 20 * time.Millisecond}
		c.group = &group{t: t, settings: mixedSettings(rng), timing: timing, wires: newWires(), meanwhile: c.tend, messageEntries: 1 + rng.IntN(5)}
		c.makeNodes(3, 3)
		defer close(c.over)
		for i := range c.transactional {
			c.transactional[i].next.id = int64(10 + i)
		}
		c.target = c.nodes[0]
		if nth > 0 {
			c.arm(c.target, nth, rng)
		}
		for _, m := range c.nodes {
			c.start(m, log.RecoverClean)
		}
		for i := range mixedSteps {
			c.step(i)
			c.look()
		}
		if nth == 0 {
			changes = c.target.inj.Count(vfs.OpChanging)
		}
		c.finish()
	})
	return changes
}

// TestMixed has a group of three do all at once that its replicas can do: batches with and without a producer's sequence,
// tombstones, retries, transactions that are committed, aborted and fenced, DeleteRecords, retention, compaction, transfers, leaders cut off with entries of their own,
// replicas that die, stop, and are away until a snapshot has to begin them anew. Of each script it makes one run, and then
// one for every so many changes of the disk of one replica, which dies before that change (the process, or the power)
// and, in half of the runs, once more soon after. After each step all replicas are held against keyModel.
//
// GROUP_MODEL_SEED, GROUP_MODEL_SEEDS and GROUP_MODEL_STRIDE say which scripts, how many, and every how many changes; a
// stride of 1 is all of them. When a run fails, its name says how to have it again; elections are not drawn from the seed.
func TestMixed(t *testing.T) {
	first, seeds, stride := setting(t, "GROUP_MODEL_SEED", 1), setting(t, "GROUP_MODEL_SEEDS", 4), setting(t, "GROUP_MODEL_STRIDE", 30)
	if testing.Short() {
		seeds = min(seeds, 2)
	}
	var did mixedCounts
	t.Run("scripts", func(t *testing.T) {
		for seed := first; seed < first+seeds; seed++ {
			changes := mixed(t, uint64(seed), 0, &did)
			for n := 1 + seed%stride; n <= changes; n += stride {
				t.Run(fmt.Sprintf("seed=%d,change=%d", seed, n), func(t *testing.T) {
					t.Parallel()
					mixed(t, uint64(seed), n, &did)
				})
			}
		}
	})
	t.Logf("%d deaths, %d records removed, %d deletions, %d entries cut off, %d snapshots, %d transactions committed, %d aborted, %d producers fenced",
		did.deaths.Load(), did.removed.Load(), did.deletions.Load(), did.tails.Load(), did.snapshots.Load(), did.committed.Load(), did.aborted.Load(), did.fenced.Load())
	for what, n := range map[string]*atomic.Int64{
		"deaths": &did.deaths, "records removed": &did.removed, "deletions": &did.deletions, "entries cut off": &did.tails,
		"transactions committed": &did.committed, "transactions aborted": &did.aborted, "producers fenced": &did.fenced,
	} {
		if n.Load() == 0 && !t.Failed() {
			t.Errorf("no %s: the test shows nothing", what)
		}
	}
}

// setting is a number from the environment.
func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a number above 0", name, v)
	}
	return n
}

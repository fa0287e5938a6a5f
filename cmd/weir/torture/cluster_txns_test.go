//go:build torture

package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/torture/history"
)

// The topics of the chain, and those of who coordinates it.
var (
	chainIn  = topic{name: "chain-in", number: 11, partitions: 4}
	chainA   = topic{name: "chain-a", number: 12, partitions: 4}
	chainB   = topic{name: "chain-b", number: 13, partitions: 4}
	chainOut = topic{name: "chain-out", number: 14, partitions: 4}

	coordination = []topic{{name: "__transaction_state", partitions: 4}, {name: "__consumer_offsets", partitions: 4}}
)

const (
	processorsPerStage = 2
	firstProcess       = 10_000 // of processors in the history
	followerProcess    = 2_000
)

// chain is three stages from topic to topic, each a group of processors that read, write and commit in transactions.
type chain struct {
	c         *trio
	load      *load
	logFile   *os.File // of all processors
	running   sync.WaitGroup
	following context.CancelFunc

	mu      sync.Mutex      // guards the rest
	came    map[uint64]bool // out at the end, by what it began with
	current map[int]*runner // by transactional id: who has it
	all     map[*runner]bool
	next    int
	ended   bool
	tally   map[string]int
}

// runner is the process of a processor.
type runner struct {
	processor
	command *exec.Cmd
	in      io.WriteCloser
	exited  chan struct{}
	killed  bool // or asked to end
}

// beginChain puts a cluster under the load of a chain.
func (c *trio) beginChain() *chain {
	c.t.Helper()
	x := &chain{c: c, came: map[uint64]bool{}, current: map[int]*runner{}, all: map[*runner]bool{}, next: firstProcess, tally: map[string]int{}}
	c.chain, c.others = x, []topic{chainA, chainB, chainOut}
	x.load = c.beginOn([]topic{chainIn}, []style{
		{"idempotent", true, kgo.AllISRAcks(), kgo.NoCompression(), false, false},
	}, 300*time.Millisecond)
	c.attacked = slices.Concat(c.attacked, coordination, coordination)
	var err error
	if x.logFile, err = os.Create(filepath.Join(c.root, "processors.log")); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(x.end)
	ctx, cancel := context.WithCancel(context.Background())
	x.following = cancel
	x.running.Go(func() { x.follow(ctx) })
	for s := range stages {
		for i := range processorsPerStage {
			x.launch(s, 10*s+i)
		}
	}
	c.steady()
	return x
}

// launch starts a processor, which takes its transactional id from whoever has it.
func (x *chain) launch(stage, id int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return
	}
	r := &runner{exited: make(chan struct{}), processor: processor{Stage: stage, ID: id, Process: x.next, Seed: x.c.seed, Seeds: x.c.brokers[0].seeds}}
	x.next++
	task, err := json.Marshal(&r.processor)
	if err == nil {
		r.command = exec.Command(os.Args[0])
		r.command.Env = append(os.Environ(), processorEnv+"="+string(task))
		r.command.Stderr = x.logFile
		// Should the test die, nothing stays behind.
		r.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		r.in, err = r.command.StdinPipe()
	}
	var out io.ReadCloser
	if err == nil {
		out, err = r.command.StdoutPipe()
	}
	if err == nil {
		err = r.command.Start()
	}
	if err != nil {
		x.c.t.Errorf("a processor does not start: %v", err)
		return
	}
	x.current[id], x.all[r] = r, true
	x.tally["begun"]++
	x.running.Go(func() { x.serve(r, out) })
}

// serve notes what a processor tells, until it ends. One that ends by itself is followed by another.
func (x *chain) serve(r *runner, out io.Reader) {
	var batch []history.Event
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		if len(line) > 1 {
			var e history.Event
			if err := json.Unmarshal(line, &e); err != nil {
				x.c.t.Errorf("processor %d says %q: %v", r.Process, line, err)
			}
			batch = append(batch, e)
			continue
		}
		x.load.record.Add(batch...)
		batch = batch[:0]
		if _, err := r.in.Write([]byte{'\n'}); err != nil {
			break
		}
	}
	err := r.command.Wait()
	close(r.exited)
	x.mu.Lock()
	delete(x.all, r)
	again := x.current[r.ID] == r && !r.killed
	switch code := r.command.ProcessState.ExitCode(); {
	case r.killed:
	case code == exitFenced && !again:
		x.tally["fenced"]++
	case again:
		x.tally["gave up"]++
		x.c.t.Logf("processor %d gives up: %v", r.Process, err)
	}
	x.mu.Unlock()
	if again {
		x.launch(r.Stage, r.ID)
	}
}

// anybody is one of those that have their transactional ids.
func (x *chain) anybody(rng *rand.Rand) *runner {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.current[10*rng.IntN(len(stages))+rng.IntN(processorsPerStage)]
}

func (x *chain) count(what string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tally[what]++
}

// kill is kill -9.
func (x *chain) kill(r *runner) {
	x.mu.Lock()
	r.killed = true
	x.mu.Unlock()
	_ = r.command.Process.Kill() // it may have ended
	<-r.exited
}

func (r *runner) signal(s syscall.Signal) { _ = r.command.Process.Signal(s) } // it may have ended

// hunt kills, halts and robs processors until ctx ends.
func (x *chain) hunt(ctx context.Context) {
	rng := rand.New(rand.NewPCG(x.c.seed, 1))
	pause := func(most time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(rng.Int64N(int64(most)))):
		}
	}
	for pause(6 * time.Second); ctx.Err() == nil; pause(6 * time.Second) {
		r := x.anybody(rng)
		switch rng.IntN(5) {
		case 0, 1:
			x.kill(r)
			x.count("killed")
			pause(time.Second)
			x.launch(r.Stage, r.ID)
		case 2:
			x.launch(r.Stage, r.ID)
			x.count("robbed of the id")
		case 3:
			r.signal(syscall.SIGSTOP)
			pause(5 * time.Second)
			r.signal(syscall.SIGCONT)
			x.count("halted")
		case 4:
			r.signal(syscall.SIGSTOP)
			x.launch(r.Stage, r.ID)
			pause(5 * time.Second)
			r.signal(syscall.SIGCONT)
			x.count("halted and robbed of the id")
		}
	}
}

// follow reads all that is committed, and notes what it is told of last stable offsets. Whether anything is lost the history says:
// the client cannot, as it does not count markers to their epoch, and goes back over those of the last one.
func (x *chain) follow(ctx context.Context) {
	numbers := map[string]topic{}
	assigned := map[string]map[int32]kgo.Offset{}
	for _, to := range x.c.others {
		numbers[to.name], assigned[to.name] = to, map[int32]kgo.Offset{}
		for p := range to.partitions {
			assigned[to.name][p] = kgo.NewOffset().At(0)
		}
	}
	client := x.c.beside(-1, kgo.ConsumePartitions(assigned), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.KeepRetryableFetchErrors(), kgo.RequestTimeoutOverhead(time.Second))
	defer client.Close()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		var events []history.Event
		var out []uint64
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			to := numbers[f.Topic]
			if f.Err == nil && f.LastStableOffset >= 0 {
				events = append(events, history.Event{Op: history.Stable, Process: followerProcess, Partition: to.partition(f.Partition), Offset: f.LastStableOffset})
			}
			for _, r := range f.Records {
				events = append(events, polled(history.Poll, followerProcess, to, r))
				if to.name == chainOut.name {
					name, _ := origin(len(stages), r)
					out = append(out, name)
				}
			}
		})
		x.load.record.Add(events...)
		x.mu.Lock()
		for _, name := range out {
			x.came[name] = true
		}
		x.mu.Unlock()
	}
}

// steady waits until something that was sent from now on into each partition has come out at the end.
func (x *chain) steady() time.Duration {
	x.c.t.Helper()
	began := time.Now()
	sent := map[uint64]int32{}
	for from := len(x.load.record.Events()); ; time.Sleep(20 * time.Millisecond) {
		events := x.load.record.Events()
		for _, e := range events[from:] {
			if e.Op == history.Send && e.Partition/maxPartitions == chainIn.number {
				sent[e.Value] = e.Partition
			}
		}
		from = len(events)
		missing := map[int32]bool{}
		for p := range chainIn.partitions {
			missing[chainIn.partition(p)] = true
		}
		x.mu.Lock()
		for name, p := range sent {
			if x.came[name] {
				delete(missing, p)
			}
		}
		x.mu.Unlock()
		if len(missing) == 0 {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			x.c.t.Fatalf("%v after the fault nothing comes out of partitions %v", patience, missing)
		}
	}
}

// drain has all come out that has gone in, and the processors end in order.
func (x *chain) drain() {
	x.c.t.Helper()
	x.load.stopProducing()
	_, ends := x.c.brokers[0].bounds(chainIn.name)
	want := 0
	ends.Each(func(o kadm.ListedOffset) { want += int(o.Offset) })
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		x.mu.Lock()
		came := len(x.came)
		x.mu.Unlock()
		if came >= want {
			x.c.t.Logf("%d records have come through %v after the last was sent", came, time.Since(began).Round(time.Millisecond))
			break
		}
		if time.Since(began) > 2*patience {
			x.c.t.Errorf("of %d records only %d have come out", want, came)
			break
		}
	}
	x.mu.Lock()
	x.ended = true
	var left []*runner
	for r := range x.all {
		r.killed = true
		left = append(left, r)
	}
	x.mu.Unlock()
	for _, r := range left {
		r.signal(syscall.SIGTERM)
	}
	for _, r := range left {
		select {
		case <-r.exited:
		case <-time.After(patience):
			x.c.t.Errorf("processor %d does not end", r.Process)
		}
	}
	x.c.nothingOpen(x.c.others...)
	x.following()
	x.load.stopConsuming()
}

// nothingOpen waits until the last stable offsets are the ends.
func (c *trio) nothingOpen(topics ...topic) {
	c.t.Helper()
	c.admin("open transactions", func(ctx context.Context, a *kadm.Client) error {
		for _, to := range topics {
			stable, err := a.ListCommittedOffsets(ctx, to.name)
			if err := errors.Join(err, stable.Error()); err != nil {
				return err
			}
			ends, err := a.ListEndOffsets(ctx, to.name)
			if err := errors.Join(err, ends.Error()); err != nil {
				return err
			}
			for p := range to.partitions {
				s, _ := stable.Lookup(to.name, p)
				end, _ := ends.Lookup(to.name, p)
				if s.Offset != end.Offset {
					return fmt.Errorf("%s-%d: the last stable offset is %d, the end %d", to.name, p, s.Offset, end.Offset)
				}
			}
		}
		return nil
	})
}

// committed is all that is committed in a topic, and its control records.
func (c *trio) committed(to topic) (records []*kgo.Record) {
	c.t.Helper()
	_, ends := c.brokers[0].bounds(to.name)
	left := map[int32]int64{}
	assigned := map[int32]kgo.Offset{}
	for p := range to.partitions {
		if end, _ := ends.Lookup(to.name, p); end.Offset > 0 {
			left[p], assigned[p] = end.Offset, kgo.NewOffset().At(0)
		}
	}
	client := c.beside(-1, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{to.name: assigned}), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			c.t.Fatalf("%s cannot be read: %v, left: %v", to.name, err, left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] { // a marker
				delete(left, r.Partition)
			}
			records = append(records, r)
		})
	}
	return records
}

// positions notes what the groups have committed.
func (x *chain) positions() {
	x.c.t.Helper()
	for i, s := range stages {
		var committed kadm.OffsetResponses
		x.c.admin("offsets of "+groupOf(i), func(ctx context.Context, a *kadm.Client) (err error) {
			if committed, err = a.FetchOffsets(ctx, groupOf(i)); err != nil {
				return err
			}
			return committed.Error()
		})
		for p := range s.from.partitions {
			x.load.record.Add(history.Event{Op: history.Position, Partition: s.from.partition(p), Offset: max(committed[s.from.name][p].At, 0)})
		}
	}
}

// read notes all that is committed in a topic, and returns it by key, in its order.
func (x *chain) read(to topic, stage int) map[string][]fact {
	x.c.t.Helper()
	starts, ends := x.c.brokers[0].bounds(to.name)
	for p := range to.partitions {
		start, _ := starts.Lookup(to.name, p)
		end, _ := ends.Lookup(to.name, p)
		x.load.record.Add(history.Event{Op: history.Bounds, Partition: to.partition(p), Offset: start.Offset, End: end.Offset, Holes: stage > 0})
	}
	facts := map[string][]fact{}
	for _, r := range x.c.committed(to) {
		if r.Attrs.IsControl() {
			x.load.record.Add(history.Event{Op: history.Marker, Partition: to.partition(r.Partition), Offset: r.Offset})
			continue
		}
		x.load.record.Add(polled(history.Final, 0, to, r))
		name, _ := origin(stage, r)
		facts[string(r.Key)] = append(facts[string(r.Key)], fact{name, through(stage, r)})
	}
	return facts
}

// fact is what a record of the chain is at its end, and what it began as.
type fact struct {
	origin uint64
	sum    uint64
}

// through is the checksum of what comes out for a record that is read by a stage.
func through(stage int, r *kgo.Record) uint64 {
	for ; stage < len(stages); stage++ {
		r = transformed(stage, r, 0)
	}
	_, body := origin(stage, r)
	h := fnv.New64a()
	h.Write(body)
	return h.Sum64()
}

// judge compares what has come out with what has gone in, and passes the verdict over the history.
func (x *chain) judge() history.Report {
	x.c.t.Helper()
	x.positions()
	in := x.read(chainIn, 0)
	x.read(chainA, 1)
	x.read(chainB, 2)
	out := x.read(chainOut, len(stages))
	if len(in) != len(out) {
		x.c.t.Errorf("%d keys have gone in, %d have come out", len(in), len(out))
	}
	records, checksum := 0, fnv.New64a()
	for key, want := range in {
		records += len(want)
		got := out[key]
		if len(got) != len(want) {
			x.c.t.Errorf("of key %q %d records have gone in, %d have come out", key, len(want), len(got))
		} else if !slices.Equal(got, want) {
			x.c.t.Errorf("of key %q not the same has come out, in the same order, as has gone in", key)
		}
		fmt.Fprintln(checksum, key, got)
	}
	report := x.load.verdict()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.c.t.Logf("%d records through %d stages; transactions: %d committed, %d aborted, %d of unknown outcome, of which %d were committed; processors: %v",
		records, len(stages), report.Committed, report.Aborted, report.Unknown, report.UnknownCount, x.tally)
	return report
}

// end ends what is left.
func (x *chain) end() {
	x.following()
	x.mu.Lock()
	x.ended = true
	for r := range x.all {
		r.killed = true
		_ = r.command.Process.Kill() // it may have ended
	}
	x.mu.Unlock()
	x.running.Wait()
	said, _ := os.ReadFile(x.logFile.Name())
	if n := bytes.Count(said, []byte("\n")); n > 0 {
		x.c.t.Logf("processors said %d lines, the last ones:\n%s", n, tail(said, 2000))
	}
	x.logFile.Close()
}

// TestClusterTransactions has three stages of processors read, write and commit in transactions, while brokers and processors are
// killed, halted and cut off, and transactional ids are taken over. What comes out is the function of what has gone in.
func TestClusterTransactions(t *testing.T) {
	// Not over slow links: a transaction is a dozen round trips, and what gathers takes minutes to come out.
	// Nor is one awaited while the link between two brokers is cut that both go on: who coordinates has to reach who leads.
	all := slices.DeleteFunc(slices.Concat(processFaults, networkFaults), func(f fault) bool { return f.name == "one link of a leader" })
	c := newTrio(t, newProxies(t), "offsets.topic.num.partitions=4", "transaction.state.log.num.partitions=4",
		"group.initial.rebalance.delay.ms=200", "group.min.session.timeout.ms=1000",
		"group.consumer.min.session.timeout.ms=1000", "group.consumer.session.timeout.ms=3000",
		"group.consumer.min.heartbeat.interval.ms=100", "group.consumer.heartbeat.interval.ms=300")
	x := c.beginChain()
	ctx, cancel := context.WithCancel(context.Background())
	var hunting sync.WaitGroup
	hunting.Go(func() { x.hunt(ctx) })
	stopHunt := func() { cancel(); hunting.Wait() }
	t.Cleanup(stopHunt)
	for range setting(t, "WEIR_TORTURE_TRANSACTIONS", 4) {
		c.suffers(all[c.rng.IntN(len(all))])
	}
	stopHunt()
	c.heal()
	c.steady()
	x.drain()
	c.awaitEqual()
	x.judge()
	c.stopAll()
}

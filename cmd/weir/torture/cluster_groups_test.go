//go:build torture

package torture

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// shared is what the groups of TestClusterCoordinators read.
var shared = topic{name: "shared", number: 9, partitions: 6}

// protocol is how the members of a group share, and the states that such a group is in.
type protocol struct {
	name   string
	opts   []kgo.Opt
	states []string
}

var protocols = []protocol{
	{"eager", []kgo.Opt{kgo.Balancers(kgo.RangeBalancer())}, []string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"}},
	{"cooperative", []kgo.Opt{kgo.Balancers(kgo.CooperativeStickyBalancer())}, []string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"}},
	{"consumer", []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}, []string{"Empty", "Assigning", "Reconciling", "Stable"}},
}

// flock is a group with its members, and what is known of how far it has come.
type flock struct {
	c     *trio
	p     protocol
	group string

	members []*sheep // the one that has been in it for the longest first

	mu        sync.Mutex       // guards the rest
	processed []map[int64]bool // by partition: offsets that a member was given
	acked     map[int32]int64  // by partition: the highest offset of which a commit was confirmed
	seen      map[int32]int64  // by partition: the highest that was committed in the eyes of an observer
}

// sheep is a member.
type sheep struct {
	leave context.CancelFunc
	left  chan struct{} // closed when it has
}

func newFlock(c *trio, p protocol) *flock {
	f := &flock{c: c, p: p, group: p.name, acked: map[int32]int64{}, seen: map[int32]int64{}}
	for range shared.partitions {
		f.processed = append(f.processed, map[int64]bool{})
	}
	c.t.Cleanup(f.leaveAll)
	return f
}

// join adds a member. It is given records, notes them, and commits.
func (f *flock) join() {
	ctx, cancel := context.WithCancel(context.Background())
	m := &sheep{leave: cancel, left: make(chan struct{})}
	f.members = append(f.members, m)
	client := f.c.beside(-1, append([]kgo.Opt{
		kgo.ConsumerGroup(f.group), kgo.ConsumeTopics(shared.name), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.HeartbeatInterval(300 * time.Millisecond), kgo.SessionTimeout(10 * time.Second), kgo.RebalanceTimeout(20 * time.Second),
		kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(100 * time.Millisecond), kgo.RequestTimeoutOverhead(2 * time.Second),
	}, f.p.opts...)...)
	go func() {
		defer close(m.left)
		defer client.CloseAllowingRebalance()
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			f.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) { f.processed[r.Partition][r.Offset] = true })
			f.mu.Unlock()
			f.commit(ctx, client)
			client.AllowRebalance()
		}
	}()
}

// commit may fail, while the coordinator is away or the group shares anew: then it says nothing.
func (f *flock) commit(ctx context.Context, client *kgo.Client) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	offsets := client.UncommittedOffsets()[shared.name]
	if len(offsets) == 0 || client.CommitUncommittedOffsets(ctx) != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	committed := client.CommittedOffsets()[shared.name]
	for p, o := range offsets {
		if committed[p].Offset >= o.Offset { // confirmed for each partition by itself
			f.acked[p] = max(f.acked[p], o.Offset)
		}
	}
}

// leaveOne has a member leave, and does not wait for it.
func (f *flock) leaveOne() *sheep {
	m := f.members[0]
	f.members = f.members[1:]
	m.leave()
	return m
}

func (f *flock) leaveAll() {
	for len(f.members) > 0 {
		<-f.leaveOne().left
	}
}

// observe compares what is committed with what was before, with what members were told, and with what they
// were given.
func (f *flock) observe() {
	f.c.t.Helper()
	f.mu.Lock()
	floor := map[int32]int64{}
	for p := range shared.partitions {
		floor[p] = max(f.acked[p], f.seen[p])
	}
	f.mu.Unlock()
	var committed kadm.OffsetResponses
	f.c.admin("offsets of "+f.group, func(ctx context.Context, a *kadm.Client) (err error) {
		if committed, err = a.FetchOffsets(ctx, f.group); err != nil {
			return err
		}
		return committed.Error()
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range shared.partitions {
		at := max(committed[shared.name][p].At, 0)
		if at < floor[p] {
			f.c.t.Errorf("group %s, partition %d: committed is %d, which was %d", f.group, p, at, floor[p])
		}
		for offset := f.seen[p]; offset < at; offset++ {
			if !f.processed[p][offset] {
				f.c.t.Errorf("group %s, partition %d: offset %d is skipped: committed is %d, and nobody was given it", f.group, p, offset, at)
			}
		}
		f.seen[p] = max(f.seen[p], at)
	}
}

// reach waits until everything up to some offsets is committed.
func (f *flock) reach(ends map[int32]int64) {
	f.c.t.Helper()
	began := time.Now()
	for {
		f.observe()
		behind := 0
		for p, end := range ends {
			if f.seen[p] < end {
				behind++
			}
		}
		if behind == 0 {
			return
		}
		if time.Since(began) > patience {
			f.c.t.Fatalf("group %s has not come to %v, but to %v", f.group, ends, f.seen)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// state is the group's, empty while nobody says.
func (f *flock) state(a *kadm.Client) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	listed, err := a.ListGroups(ctx)
	if err != nil && len(listed) == 0 {
		return ""
	}
	return listed[f.group].State
}

// bring has the group come to a state, as far as it can be caught in it, and says in which it was last seen.
func (f *flock) bring(state string) (is string) {
	client := f.c.beside(-1)
	defer client.Close()
	a := kadm.NewClient(client)
	switch state {
	case "Empty":
		f.leaveAll()
	case "Stable":
	default: // a newcomer, or one that leaves, has the group share anew
		if len(f.members) > 3 {
			f.leaveOne()
		} else {
			f.join()
		}
	}
	for began := time.Now(); time.Since(began) < 5*time.Second; {
		if is = f.state(a); is == state {
			break
		}
	}
	return is
}

// coordinator is the broker that coordinates a group, from 0 on.
func (f *flock) coordinator() (i int) {
	f.c.t.Helper()
	f.c.admin("coordinator of "+f.group, func(ctx context.Context, a *kadm.Client) error {
		r, ok := a.FindGroupCoordinators(ctx, f.group)[f.group]
		if i = int(r.NodeID) - 1; !ok || r.Err != nil || i < 0 {
			return errors.Join(r.Err, errors.New("not known"))
		}
		return nil
	})
	return i
}

// pour produces to all partitions of the shared topic until ctx ends.
func (c *trio) pour(ctx context.Context) {
	client := c.beside(-1, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	defer client.Close()
	for n := int32(0); ctx.Err() == nil; n++ {
		client.Produce(ctx, &kgo.Record{Topic: shared.name, Partition: n % shared.partitions, Value: []byte("drop")}, nil)
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// ends are how far the shared topic goes now.
func (c *trio) ends() map[int32]int64 {
	c.t.Helper()
	ends := map[int32]int64{}
	c.admin("ends of "+shared.name, func(ctx context.Context, a *kadm.Client) error {
		listed, err := a.ListEndOffsets(ctx, shared.name)
		if err != nil {
			return err
		}
		listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
		return listed.Error()
	})
	return ends
}

// TestClusterCoordinators kills the coordinators of groups in all states that a group can be in. No committed
// offset goes back, nothing is skipped, and members go on by themselves.
func TestClusterCoordinators(t *testing.T) {
	c := newTrio(t, newProxies(t), "group.initial.rebalance.delay.ms=200", "group.consumer.heartbeat.interval.ms=300",
		"group.consumer.min.heartbeat.interval.ms=100")
	c.allVote()
	c.createTopic(shared)
	ctx, dry := context.WithCancel(context.Background())
	var pouring sync.WaitGroup
	pouring.Go(func() { c.pour(ctx) })
	t.Cleanup(func() { dry(); pouring.Wait() })
	var flocks []*flock
	for _, p := range protocols {
		flocks = append(flocks, newFlock(c, p))
	}
	gather := func() {
		for _, f := range flocks {
			for len(f.members) < 3 {
				f.join()
			}
		}
	}
	gather()
	for _, f := range flocks {
		f.reach(c.ends())
	}
	killed := map[string]int{}
	for cycle := range setting(t, "WEIR_TORTURE_COORDINATORS", 12) {
		f := flocks[cycle%len(flocks)]
		wanted := f.p.states[cycle/len(flocks)%len(f.p.states)]
		is := f.bring(wanted)
		i := f.coordinator()
		began := time.Now()
		c.kill(i)
		killed[f.group+" "+is]++
		gather()
		c.moment(time.Second)
		ends := c.ends()
		for _, f := range flocks {
			f.reach(ends)
		}
		t.Logf("broker %d, which coordinated %s in %s, is dead: all groups are past that after %v", i+1, f.group, is, time.Since(began).Round(time.Millisecond))
		c.heal()
	}
	dry()
	pouring.Wait()
	ends := c.ends()
	for _, f := range flocks {
		f.reach(ends)
		f.leaveAll()
		f.observe()
	}
	records := int64(0)
	for _, end := range ends {
		records += end
	}
	t.Logf("%d records, each given to somebody in %d groups; coordinators killed by state: %v", records, len(flocks), killed)
	for i, b := range c.brokers {
		c.stop(i)
		for _, line := range b.complaints() {
			t.Errorf("broker %d said: %s", i+1, line)
		}
	}
}

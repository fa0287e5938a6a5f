package partition

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"weir/log"
	"weir/segment/vfs"
)

// gate is a throttle that is open or shut, and counts what passes.
type gate struct {
	mu    sync.Mutex
	open  bool
	asked chan struct{} // one token when something was asked for
	bytes int
}

func newGate(open bool) *gate { return &gate{open: open, asked: make(chan struct{}, 1)} }

func (g *gate) Take(n int) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case g.asked <- struct{}{}:
	default:
	}
	if !g.open {
		return time.Hour
	}
	g.bytes += n
	return 0
}

func (g *gate) Return(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bytes -= n
}

func (g *gate) passed() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bytes
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = open
}

// sentTo counts the bytes of records that leave for each follower.
type sentTo struct {
	mu    sync.Mutex
	bytes map[raft.ServerID]int
}

func (s *sentTo) add(id raft.ServerID, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes == nil {
		s.bytes = map[raft.ServerID]int{}
	}
	s.bytes[id] += n
}

func (s *sentTo) to(id raft.ServerID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes[id]
}

// throttled is a group whose members share a gate.
func throttled(t *testing.T, n, voters int, gate *gate) *group {
	// A busy machine with one core is not to unseat the leader.
	g := newGroupTimed(t, n, 0, testSettings(), Timing{Heartbeat: 500 * time.Millisecond, Election: time.Second, Commit: 20 * time.Millisecond})
	g.throttle, g.sent = gate, new(sentTo)
	for _, m := range g.nodes[:voters] {
		g.voters = append(g.voters, m.id)
	}
	for _, m := range g.nodes[:voters] {
		g.start(m, log.RecoverClean)
	}
	return g
}

// learner adds the last node of a group without a vote.
func (g *group) learner() *member {
	g.t.Helper()
	m := g.nodes[len(g.nodes)-1]
	g.start(m, log.RecoverClean)
	g.do(func(l *member) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return l.AddLearner(ctx, m.id)
	})
	return m
}

// await waits until the throttle is asked.
func (g *gate) await(t *testing.T) {
	t.Helper()
	select {
	case <-g.asked:
	case <-time.After(patience):
		t.Fatal("the throttle is never asked")
	}
}

// TestThrottleOfNewReplica: the throttle is asked for the very bytes that a new replica is
// sent and for none that the others are; shut, it holds the new replica up and nobody else,
// and no heartbeat.
func TestThrottleOfNewReplica(t *testing.T) {
	gate := newGate(false)
	g := throttled(t, 4, 3, gate)
	rng := rand.New(rand.NewPCG(1, 1))
	write := func(n int) {
		for range n {
			g.put(makeBatch(t, rng, nobody, 20))
		}
	}
	write(50)
	if n := gate.passed(); n != 0 || len(gate.asked) != 0 {
		t.Fatalf("the throttle let %d bytes pass to replicas in sync", n)
	}
	m := g.learner()
	gate.await(t)
	write(50) // three voters go on
	if n := g.sent.to(m.id); n != 0 || m.LogEndOffset() != 0 {
		t.Fatalf("the new replica was sent %d bytes through a throttle that is shut", n)
	}
	l := g.leader()
	before := l.raft.Load().CurrentTerm()
	heard := func() time.Time {
		for _, f := range l.Followers() {
			if f.ID == m.id {
				return f.Heard
			}
		}
		return time.Time{}
	}
	first := heard()
	for deadline := time.Now().Add(patience); !heard().After(first); {
		if time.Now().After(deadline) {
			t.Fatal("the new replica gets no heartbeats while its records wait")
		}
		time.Sleep(time.Millisecond) // nothing tells of a heartbeat
	}
	g.ahead.Store(int64(time.Hour)) // now it stays behind to the end
	gate.set(true)
	g.same()
	if sent, passed := g.sent.to(m.id), gate.passed(); sent != passed || sent == 0 {
		t.Errorf("the new replica was sent %d bytes, the throttle was asked for %d", sent, passed)
	}
	if term := g.leader().raft.Load().CurrentTerm(); term != before && g.leader() == l {
		t.Errorf("the leader was unseated: term %d, then %d", before, term)
	}
}

// TestReplicaComesBackEmpty: a replica that was removed, and is added again with nothing, is
// as far as one that is new: what it had before gives it no vote, and its fill is throttled.
func TestReplicaComesBackEmpty(t *testing.T) {
	gate := newGate(true)
	g := throttled(t, 4, 3, gate)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		g.put(makeBatch(t, rng, nobody, 20))
	}
	m := g.learner()
	g.same()
	g.do(func(l *member) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return l.Remove(ctx, m.id)
	})
	g.stop(m)
	m.fs, m.stable = vfs.NewMem(), raft.NewInmemStore()
	gate.set(false)
	for len(gate.asked) > 0 {
		<-gate.asked
	}
	g.learner()
	gate.await(t)
	for _, f := range g.leader().Followers() {
		if f.ID == m.id && (f.Match > 0 || !f.CaughtUp.IsZero()) {
			t.Errorf("an empty replica has entries up to %d, all of them at %v", f.Match, f.CaughtUp)
		}
	}
	gate.set(true)
	g.same()
}

// TestThrottleEnds: a message that waits for the throttle ends with its leadership and with
// the group.
func TestThrottleEnds(t *testing.T) {
	gate := newGate(false)
	g := throttled(t, 4, 3, gate)
	rng := rand.New(rand.NewPCG(1, 1))
	g.put(makeBatch(t, rng, nobody, 20))
	g.learner()
	gate.await(t)
	old := g.leader()
	r := replicator{old.cfg.Replication.Transport, old.Partition}
	id := g.nodes[3].id
	waiting := func(args *raft.AppendEntriesRequest) chan error {
		done := make(chan error, 1)
		go func() {
			_, err := r.awaitTurn(id, args)
			done <- err
		}()
		return done
	}
	args := &raft.AppendEntriesRequest{Term: old.raft.Load().CurrentTerm(), Entries: []*raft.Log{{}}}
	ended := waiting(args)
	g.do(func(l *member) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return l.Transfer(ctx, "")
	})
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it was let go")
		}
	case <-time.After(patience):
		t.Fatal("it outlived the leadership")
	}
	l := g.leader()
	r = replicator{l.cfg.Replication.Transport, l.Partition}
	ended = waiting(&raft.AppendEntriesRequest{Term: l.raft.Load().CurrentTerm(), Entries: []*raft.Log{{}}})
	for _, m := range g.nodes {
		g.stop(m) // waits for the library's own message to the new replica
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it was let go")
		}
	case <-time.After(patience):
		t.Fatal("it outlived the group")
	}
}

// TestBehind: who is throttled. Times are given, no clock runs.
func TestBehind(t *testing.T) {
	g := newGroup(t, 4, 3, testSettings())
	g.put(makeBatch(t, rand.New(rand.NewPCG(1, 1)), nobody, 1))
	l := g.leader()
	var a, b raft.ServerID
	for _, m := range g.nodes[:3] {
		switch {
		case m == l:
		case a == "":
			a = m.id
		default:
			b = m.id
		}
	}
	c := g.nodes[3].id // no member
	p := &Partition{cfg: l.cfg}
	p.cfg.Now = time.Now
	p.raft.Store(l.raft.Load())
	long, now := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for name, x := range map[string]struct {
		leading, a, b time.Time
		behind        bool // a is
	}{
		"it keeps up":                            {long, now, now, false},
		"it does not, the other does":            {long, long, now, true},
		"neither does: it is needed":             {long, long, long, false},
		"never, under an old leadership":         {long, time.Time{}, now, true},
		"never, under a new one":                 {now, time.Time{}, now, false},
		"never, and the other one is not needed": {now, long, time.Time{}, true},
	} {
		p.since.Store(&x.leading)
		p.followers.byID = map[raft.ServerID]*follower{a: {caughtUp: x.a}, b: {caughtUp: x.b}}
		if got := p.behind(a); got != x.behind {
			t.Errorf("%s: %v", name, got)
		}
		if p.behind(c) {
			t.Errorf("%s: a replica that is no member waits", name)
		}
	}
}

// TestCaughtUpUnderLoad: a follower that is always one message behind keeps up.
func TestCaughtUpUnderLoad(t *testing.T) {
	var f followers
	start := time.Unix(1000, 0)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	for i, x := range []struct {
		match, last uint64
		want        time.Time
	}{
		{10, 20, time.Time{}}, // at 0
		{15, 30, time.Time{}}, // at 1: has not what there was at 0
		{25, 40, at(0)},       // at 2: has
		{35, 50, at(0)},       // at 3: has not what there was at 2
		{40, 60, at(2)},       // at 4
		{60, 60, at(5)},       // at 5: has all
		{0, 70, at(5)},        // at 6: a heartbeat
		{70, 80, at(6)},       // at 7
	} {
		f.heard("x", x.match, x.last, at(i))
		if got := f.byID["x"].caughtUp; !got.Equal(x.want) {
			t.Errorf("with %d of %d: caught up at %v, want %v", x.match, x.last, got, x.want)
		}
	}
}

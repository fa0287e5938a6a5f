package partition

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// standsUnder is a transport on which a follower stands.
type standsUnder struct {
	Transport
	number      atomic.Uint64
	ended, turn chan struct{}
	doubt       chan struct{}
	asleep      atomic.Int32
}

func (s *standsUnder) Sleep(raft.ServerAddress, uint64) (<-chan struct{}, func()) {
	s.asleep.Add(1)
	return s.doubt, func() { s.asleep.Add(-1) }
}

func (s *standsUnder) Stands(raft.ServerAddress, uint64) (uint64, <-chan struct{}, <-chan struct{}) {
	return s.number.Load(), s.ended, s.turn
}

// restRig is the leader of a group whose library sees no standing followers, and a follower
// that only the test talks to.
type restRig struct {
	t       *testing.T
	g       *group
	leader  *member
	stands  *standsUnder
	r       replicator
	outcome chan bool // whether the request was answered here
}

const restsHere = raft.ServerID("of the test")

func newRestRig(t *testing.T) *restRig {
	g := newGroup(t, 3, 3, testSettings())
	g.put(makeBatch(t, rand.New(rand.NewPCG(1, 1)), nobody, 3))
	l := g.leader()
	x := &restRig{t: t, g: g, leader: l, outcome: make(chan bool, 1)}
	x.stands = &standsUnder{Transport: l.cfg.Replication.Transport, ended: make(chan struct{}), turn: make(chan struct{}), doubt: make(chan struct{})}
	x.stands.number.Store(7)
	x.r = replicator{x.stands, l.Partition}
	return x
}

// newKnowingRig is one whose follower has answered to args when it stood under a number.
func newKnowingRig(t *testing.T, number uint64) (x *restRig, args *raft.AppendEntriesRequest) {
	x = newRestRig(t)
	args = x.tick()
	x.told(args, number)
	return x, args
}

// tick is what the library says to a follower that has everything.
func (x *restRig) tick() *raft.AppendEntriesRequest {
	r := x.leader.raft.Load()
	return &raft.AppendEntriesRequest{Term: r.CurrentTerm(), PrevLogEntry: x.leader.log.LastRaftIndex(), LeaderCommitIndex: r.CommitIndex()}
}

// told has the follower have answered to args when it stood under a number.
func (x *restRig) told(args *raft.AppendEntriesRequest, number uint64) {
	f := &x.leader.followers
	f.heard(restsHere, args.PrevLogEntry, args.PrevLogEntry, time.Now())
	f.told(restsHere, told{args.Term, args.PrevLogEntry, args.LeaderCommitIndex, number})
}

func (x *restRig) rest(args *raft.AppendEntriesRequest) {
	go func() {
		_, answered := x.r.rest(restsHere, "", args)
		x.outcome <- answered
	}()
}

func (x *restRig) want(answered bool) {
	x.t.Helper()
	select {
	case got := <-x.outcome:
		if got != answered {
			x.t.Errorf("answered here: %v, want %v", got, answered)
		}
	case <-time.After(patience):
		x.t.Fatal("it rests for ever")
	}
}

func (x *restRig) over(otherwise string) {
	x.t.Helper()
	select {
	case <-x.outcome:
	case <-time.After(patience):
		x.t.Fatal(otherwise)
	}
}

// TestRest: what a follower knows is not said again, until something happens.
func TestRest(t *testing.T) {
	t.Run("something is proposed", func(t *testing.T) {
		x, args := newKnowingRig(t, 7)
		x.rest(args)
		x.g.put(makeBatch(t, rand.New(rand.NewPCG(1, 2)), nobody, 1))
		x.want(true)
	})
	t.Run("it stands no more", func(t *testing.T) {
		x, args := newKnowingRig(t, 7)
		x.stands.number.Store(0)
		close(x.stands.ended)
		x.rest(args)
		x.want(false)
	})
	t.Run("its turn has come", func(t *testing.T) {
		x, args := newKnowingRig(t, 7)
		close(x.stands.doubt)
		close(x.stands.turn)
		x.rest(args)
		x.want(true)
		if x.leader.followers.resting(restsHere) == nil {
			t.Error("what looks up only does not rest any more")
		}
	})
	t.Run("its turn has come, and it stands no more", func(t *testing.T) {
		x, args := newKnowingRig(t, 7)
		close(x.stands.doubt)
		x.rest(args)
		x.stands.number.Store(8)
		close(x.stands.turn)
		x.want(false)
	})
	t.Run("it takes no turns, and a broker is in doubt", func(t *testing.T) {
		x, args := newKnowingRig(t, 7)
		close(x.stands.turn)
		x.rest(args)
		close(x.stands.doubt)
		x.want(true)
		if n := x.stands.asleep.Load(); n != 0 {
			t.Errorf("%d sleep on", n)
		}
	})
	t.Run("it was opened anew", func(t *testing.T) {
		x, args := newKnowingRig(t, 6)
		x.rest(args)
		x.want(false)
	})
	t.Run("another leads", func(t *testing.T) {
		x, args := newKnowingRig(t, 7)
		x.rest(args)
		x.g.do(func(l *member) error {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			return l.Transfer(ctx, "")
		})
		x.over("it outlived the leadership")
	})
	t.Run("the group closes", func(t *testing.T) {
		x, args := newKnowingRig(t, 7)
		x.rest(args)
		for _, m := range x.g.nodes {
			x.g.stop(m)
		}
		x.over("it outlived the group")
	})
}

// TestHeartbeatRests: a heartbeat rests with the request beside it, also while that looks up.
func TestHeartbeatRests(t *testing.T) {
	x, args := newKnowingRig(t, 7)
	close(x.stands.doubt)
	close(x.stands.turn)
	x.rest(args)
	x.want(true)
	over := make(chan struct{})
	go func() {
		x.r.restToo(restsHere, "", args.Term)
		close(over)
	}()
	x.rest(args)
	x.want(true)
	select {
	case <-over:
		t.Fatal("the heartbeat did not rest")
	default:
	}
	later := x.tick()
	later.LeaderCommitIndex++
	x.rest(later) // something to say
	x.want(false)
	select {
	case <-over:
	case <-time.After(patience):
		t.Fatal("the heartbeat rests for ever")
	}
	x.r.restToo(restsHere, "", args.Term) // nothing rests: nor does this
}

// TestNoRest: what a follower does not know is said at once.
func TestNoRest(t *testing.T) {
	x, args := newKnowingRig(t, 7)
	for name, other := range map[string]raft.AppendEntriesRequest{
		"entries":           {Term: args.Term, PrevLogEntry: args.PrevLogEntry, LeaderCommitIndex: args.LeaderCommitIndex, Entries: []*raft.Log{{}}},
		"a later commit":    {Term: args.Term, PrevLogEntry: args.PrevLogEntry, LeaderCommitIndex: args.LeaderCommitIndex + 1},
		"an earlier place":  {Term: args.Term, PrevLogEntry: args.PrevLogEntry - 1, LeaderCommitIndex: args.LeaderCommitIndex},
		"of another leader": {Term: args.Term + 1, PrevLogEntry: args.PrevLogEntry, LeaderCommitIndex: args.LeaderCommitIndex},
	} {
		if number, answered := x.r.rest(restsHere, "", &other); answered || number != 7 {
			t.Errorf("%s: answered here: %v, number %d", name, answered, number)
		}
	}
	if _, answered := x.r.rest("nobody", "", args); answered {
		t.Error("a follower of which nothing is known was answered for")
	}
}

// TestGaugeRests: the library's gauge of the oldest entry wakes no group that is led here, and outlives no leadership.
func TestGaugeRests(t *testing.T) {
	for name, end := range map[string]func(g *group, l *member){
		"another leads": func(g *group, l *member) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := l.Transfer(ctx, ""); err != nil {
				g.t.Error(err)
			}
		},
		"the replica leaves its group": func(_ *group, l *member) { l.leave(ErrClosed) },
		"the group closes": func(g *group, _ *member) {
			for _, m := range g.nodes {
				g.stop(m)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, 3, 3, testSettings())
			g.put(makeBatch(t, rand.New(rand.NewPCG(1, 1)), nobody, 3))
			l := g.leader()
			for _, m := range g.nodes {
				if m == l {
					continue
				}
				if first, err := (store{m.Partition}).FirstIndex(); err != nil || first != m.log.FirstRaftIndex() {
					t.Errorf("a follower's first entry is %d (%v), want %d", first, err, m.log.FirstRaftIndex())
				}
			}
			asked := make(chan uint64, 1)
			go func() {
				first, _ := store{l.Partition}.FirstIndex()
				asked <- first
			}()
			deadline := time.Now().Add(patience)
			for l.turned.set.Load() == nil {
				if time.Now().After(deadline) {
					t.Fatal("it does not rest")
				}
				time.Sleep(time.Millisecond)
			}
			end(g, l)
			select {
			case first := <-asked:
				if first != 0 {
					t.Errorf("the gauge goes on to read entry %d of a log that may be closed", first)
				}
			case <-time.After(patience):
				t.Fatal("it rests for ever")
			}
		})
	}
}

// TestTurns: of the followers that rest, as many take turns as the leader needs for a majority.
func TestTurns(t *testing.T) {
	members := raft.Configuration{Servers: []raft.Server{
		{ID: "leader"}, {ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d"}, {ID: "learner", Suffrage: raft.Nonvoter},
	}}
	voters, needed := leaseNeeds(members, "leader")
	if len(voters) != 4 || needed != 2 {
		t.Fatalf("voters %v, of which %d are needed", voters, needed)
	}
	if _, needed := leaseNeeds(raft.Configuration{Servers: members.Servers[1:4]}, "leader"); needed != 2 {
		t.Errorf("a leader that is no member any more needs %d of three", needed)
	}
	var f followers
	f.drop("learner")
	for _, id := range voters {
		f.drop(id)
	}
	for _, step := range []struct {
		begins, ends raft.ServerID
		turns        bool
	}{
		{begins: "learner"},
		{begins: "a", turns: true},
		{begins: "b", turns: true},
		{begins: "c"},
		{begins: "a", turns: true}, // again
		{ends: "a", turns: true},
		{ends: "c"},
		{begins: "d", turns: true},
		{begins: "a"},
		{begins: "unknown"},
	} {
		turns := false
		if step.ends != "" {
			turns = f.end(step.ends)
		} else {
			turns = f.begin(step.begins, voters, needed)
		}
		if turns != step.turns {
			t.Errorf("%+v: turns %v", step, turns)
		}
	}
	if f.resting("learner") == nil || f.resting("c") != nil {
		t.Error("who rests is not who has begun to, and not ended")
	}
}

func TestAlarm(t *testing.T) {
	var a alarm
	a.ring() // for nobody
	first, same := a.await(), a.await()
	select {
	case <-first:
		t.Fatal("it has rung before")
	default:
	}
	a.ring()
	<-first
	<-same
	select {
	case <-a.await():
		t.Error("it rings on")
	default:
	}
}

package controller

import (
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/metadata"
)

// imageOf registers brokers, each with the directory {id, incarnation 1}.
func imageOf(t *testing.T, brokers ...int32) *metadata.Machine {
	t.Helper()
	m := metadata.NewMachine()
	for _, id := range brokers {
		mustTake(t, m, metadata.RegisterBroker{ID: id, Directory: [16]byte{byte(id), 1},
			Endpoints: []metadata.Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 1}}})
	}
	return m
}

func mustTake(t *testing.T, m *metadata.Machine, c metadata.Command) {
	t.Helper()
	if _, err := m.Apply(m.Image().Index()+1, c); err != nil {
		t.Fatal(err)
	}
}

func epochOf(m *metadata.Machine, id int32) metadata.BrokerEpoch {
	b, _ := m.Image().Broker(id)
	return metadata.BrokerEpoch{ID: id, Epoch: b.Epoch}
}

// servers makes a configuration: a negative id does not vote.
func servers(ids ...int32) (out []raft.Server) {
	for _, id := range ids {
		s := raft.Server{Suffrage: raft.Voter}
		if id < 0 {
			id, s.Suffrage = -id, raft.Nonvoter
		}
		s.ID = ServerID(id, [16]byte{byte(id), 1})
		out = append(out, s)
	}
	return out
}

func TestPlanMembers(t *testing.T) {
	all := func(int32) bool { return true }
	not := func(ids ...int32) func(int32) bool { return func(id int32) bool { return !slices.Contains(ids, id) } }
	for name, c := range map[string]struct {
		servers  []raft.Server
		brokers  []int32
		caughtUp func(int32) bool
		kind     memberChangeKind
		id       int32
	}{
		"nobody is registered yet":           {servers(1), nil, all, noChange, 0},
		"a broker is new":                    {servers(1), []int32{1, 2}, all, addFollower, 2},
		"two voters are no better than one":  {servers(1, -2), []int32{1, 2}, all, noChange, 0},
		"two are ready":                      {servers(1, -2, -3), []int32{1, 2, 3}, all, promoteFollower, 2},
		"one of the two is behind":           {servers(1, -2, -3), []int32{1, 2, 3}, not(3), noChange, 0},
		"the second follows":                 {servers(1, 2, -3), []int32{1, 2, 3}, all, promoteFollower, 3},
		"the second is behind":               {servers(1, 2, -3), []int32{1, 2, 3}, not(3), noChange, 0},
		"five are enough":                    {servers(1, 2, 3, 4, 5, -6, -7), []int32{1, 2, 3, 4, 5, 6, 7}, all, noChange, 0},
		"four become five":                   {servers(1, 2, 3, 4, -5), []int32{1, 2, 3, 4, 5}, all, promoteFollower, 5},
		"one was unregistered":               {servers(1, 2, 3), []int32{1, 3}, all, removeMember, 2},
		"it goes before others come":         {servers(1, 2, 3), []int32{1, 3, 4}, all, removeMember, 2},
		"this one was unregistered":          {servers(1, 2, 3), []int32{2, 3}, all, leaveToOthers, 1},
		"this one was and is the last voter": {servers(1, -2), []int32{2}, all, noChange, 0},
	} {
		change := planMembers(c.servers, imageOf(t, c.brokers...).Image(), ServerID(1, [16]byte{1, 1}), c.caughtUp)
		if node, _ := nodeOf(change.id); change.kind != c.kind || node != c.id {
			t.Errorf("%s: %v %s", name, change.kind, change.id)
		}
	}
	m := imageOf(t, 1, 2, 3)
	mustTake(t, m, metadata.FenceBrokers{Brokers: []metadata.BrokerEpoch{epochOf(m, 2)}})
	mustTake(t, m, metadata.DrainBroker{ID: 3, Drain: true})
	self := ServerID(1, [16]byte{1, 1})
	if c := planMembers(servers(1, -3), m.Image(), self, all); c.kind != noChange {
		t.Errorf("a fenced broker: %v %s", c.kind, c.id)
	}
	if c := planMembers(servers(1, -2, -3), m.Image(), self, all); c.kind != noChange {
		t.Errorf("a fenced and a draining broker: %v %s", c.kind, c.id)
	}
	if c := planMembers(servers(1, 2, 3), m.Image(), ServerID(3, [16]byte{3, 1}), all); c.kind != leaveToOthers {
		t.Errorf("a draining broker that leads: %v %s", c.kind, c.id)
	}
	if c := planMembers(servers(2, 3), m.Image(), ServerID(3, [16]byte{3, 1}), all); c.kind == leaveToOthers {
		t.Error("a draining broker left the leadership to one that is fenced")
	}
	mustTake(t, m, metadata.RegisterBroker{ID: 2, Directory: [16]byte{2, 2}, Endpoints: []metadata.Endpoint{{Listener: "P", Host: "h", Port: 1}}})
	if c := planMembers(servers(1, 2, 3), m.Image(), self, all); c.kind != removeMember || c.id != ServerID(2, [16]byte{2, 1}) {
		t.Errorf("an incarnation that was replaced: %v %s", c.kind, c.id)
	}
	if _, ok := nodeOf("x.aa"); ok || registered(m.Image(), "x.aa") != nil {
		t.Error("a server that is no broker")
	}
}

func TestJudge(t *testing.T) {
	const timeout = 6 * time.Second
	m := imageOf(t, 1, 2, 3)
	l := newLiveness()
	start := time.Unix(1000, 0)
	judge := func(after time.Duration, fence, unfence []int32) {
		t.Helper()
		f, u := l.judge(m.Image(), 1, start.Add(after), timeout)
		if !slices.Equal(ids(f), fence) || !slices.Equal(ids(u), unfence) {
			t.Fatalf("after %v: fence %v, unfence %v", after, f, u)
		}
	}
	hear := func(id int32, after time.Duration) {
		l.hear(id, beat{epoch: epochOf(m, id).Epoch, last: 9, applied: 8}, 9, start.Add(after))
	}
	none := []int32{}
	judge(0, none, none) // a new leader gives everybody the whole time
	hear(2, 5*time.Second)
	judge(timeout-1, none, none)
	judge(timeout, []int32{3}, none) // never the leader itself
	mustTake(t, m, metadata.FenceBrokers{Brokers: []metadata.BrokerEpoch{epochOf(m, 3)}})
	judge(timeout+time.Second, none, none)
	hear(3, 8*time.Second)
	judge(8*time.Second, none, []int32{3})
	mustTake(t, m, metadata.UnfenceBroker(epochOf(m, 3)))
	judge(11*time.Second, []int32{2}, none)
	mustTake(t, m, metadata.RegisterBroker{ID: 2, Directory: [16]byte{2, 1}, Endpoints: []metadata.Endpoint{{Listener: "P", Host: "h", Port: 1}}})
	judge(11*time.Second, none, none) // a registration is a sign of life
	judge(17*time.Second, []int32{2, 3}, none)
	hear(2, 17*time.Second)
	if !l.caughtUp(2, start.Add(18*time.Second), timeout) || l.caughtUp(2, start.Add(23*time.Second), timeout) || l.caughtUp(9, start, timeout) {
		t.Fatal("caught up")
	}
	for _, b := range []beat{{last: 9, applied: 8}, {last: 8, applied: 9}} {
		if l.hear(4, b, 8+caughtUpEntries, start); !l.caughtUp(4, start, timeout) {
			t.Fatal("near enough")
		}
		if l.hear(4, b, 9+caughtUpEntries, start); l.caughtUp(4, start, timeout) {
			t.Fatal("too far behind")
		}
	}
	mustTake(t, m, metadata.FenceBrokers{Brokers: []metadata.BrokerEpoch{epochOf(m, 1)}})
	judge(17*time.Second, []int32{3}, []int32{1}) // who leads is alive
	l.reset()
	judge(17*time.Second, none, []int32{1})
}

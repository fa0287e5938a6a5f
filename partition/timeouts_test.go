package partition

import (
	"testing"
	"time"
)

// waits is how long a replica's library waits for a word of its leader, and for votes.
func (m *member) waits() (heartbeat, election time.Duration) {
	c := m.raft.Load().ReloadableConfig()
	return c.HeartbeatTimeout, c.ElectionTimeout
}

// A follower whose leader the transport hears waits long for a word of it, until it is not heard any more, or
// the follower stands for election.
func TestHeardTimeouts(t *testing.T) {
	const heartbeat, election = 300 * time.Millisecond, time.Second
	g := newGroupTimed(t, 3, 3, testSettings(), Timing{Heartbeat: heartbeat, Election: election, Commit: 20 * time.Millisecond})
	f := g.follower()
	want := func(when string, h, e time.Duration) {
		t.Helper()
		if heartbeat, election := f.waits(); heartbeat != h || election != e {
			t.Errorf("%s: waits %v for its leader and %v for votes, want %v and %v", when, heartbeat, election, h, e)
		}
	}
	want("at first", heartbeat, election)
	for range 2 {
		if !f.timeouts.heard(true, time.Now()) {
			t.Error("a follower has to be told by its library all the same")
		}
	}
	want("heard", heardFactor*heartbeat, heardFactor*election)
	f.LeaderLost() // not so
	f.timeouts.heard(false, time.Now())
	want("just not heard any more", heardFactor*heartbeat, heardFactor*election)
	f.timeouts.heard(true, time.Now()) // a hiccup
	f.timeouts.heard(false, time.Now())
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if h, _ := f.waits(); h == heartbeat {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it goes on to wait for long")
		}
	}
	want("not heard any more", heartbeat, election)
	f.timeouts.heard(true, time.Now())
	f.timeouts.changed()
	want("of another state", heartbeat, election)
	f.timeouts.heard(true, time.Now())
	want("a follower again", heardFactor*heartbeat, heardFactor*election)
	enough := g.leader().timeouts.heard(true, time.Now())
	if got, _ := g.leader().waits(); got != heartbeat || enough {
		t.Errorf("a leader waits %v for itself", got)
	}
}

// A follower that hears of its leader by the transport only stands when that is over.
func TestStandsWhenNotHeard(t *testing.T) {
	g := newGroupTimed(t, 3, 3, testSettings(), Timing{Heartbeat: 200 * time.Millisecond, Election: time.Second, Commit: 20 * time.Millisecond})
	l := g.leader()
	for _, m := range g.nodes {
		m.timeouts.heard(true, time.Now()) // the leader takes no notice
	}
	g.stop(l)
	for _, m := range g.nodes {
		if m != l {
			m.timeouts.heard(false, time.Now())
		}
	}
	if g.leader() == l {
		t.Error("who was stopped leads")
	}
}

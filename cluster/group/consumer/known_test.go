package consumer

import (
	"slices"
	"testing"
	"time"

	"weir/cluster/group/assignor"
)

// TestMatchesOfWhatMembersMayKnow: a regular expression gives a member only topics that it may know of, and the group hears of other rights.
func TestMatchesOfWhatMembersMayKnow(t *testing.T) {
	world := newFakeWorld()
	world.set("t", 2)
	world.set("u", 2)
	world.hidden, world.rights = map[string]string{"/10.0.0.8": "u"}, 1
	now := time.UnixMilli(1_000_000)
	g := New(world, now)
	regex := ".*"
	join := func(id, host string) {
		out := g.Beat(now, Request{Ticket: 1, MemberID: id, ClientHost: host, Rebalance: time.Minute, Regex: &regex, Owned: assignor.Assignment{}})
		for out.Write != nil {
			out = g.Stored(now, out.Write.Number, nil)
		}
	}
	for i, host := range []string{"/10.0.0.7", "/10.0.0.8"} {
		if join(host, host); i == 0 {
			g.Refresh(now, world.match(g.Patterns()))
		}
	}
	u, _, _ := world.Topic("u")
	targets := func() (all, hidden int) {
		for _, m := range g.Describe().Members {
			all += m.Target.Count()
			if m.ID == "/10.0.0.8" {
				hidden = len(m.Target[u])
			}
		}
		return all, hidden
	}
	if all, hidden := targets(); all != 4 || hidden != 0 {
		t.Errorf("%d partitions are to be read, %d by who may not know of them", all, hidden)
	}
	for host, want := range map[string]int{"/10.0.0.8": 2, "/10.0.0.7": 4} {
		join("/10.0.0.7", host)
		if all, hidden := targets(); all != want || hidden != 0 {
			t.Errorf("joined again from %s: %d partitions are to be read, %d by who may not know of them", host, all, hidden)
		}
	}
	epoch := g.Describe().Epoch
	world.hidden["/10.0.0.7"], world.rights = "u", 2
	g.Refresh(now, world.match(g.Patterns()))
	if all, hidden := targets(); all != 2 || hidden != 0 || g.Describe().Epoch != epoch+1 {
		t.Errorf("after other rights %d, and %d; epoch %d after %d", all, hidden, g.Describe().Epoch, epoch)
	}
	world.hidden = nil
	if names := g.topicsOf(g.members["/10.0.0.8"]); !slices.Equal(names, []string{"t", "u"}) {
		t.Errorf("without rights to look at: %v", names)
	}
}

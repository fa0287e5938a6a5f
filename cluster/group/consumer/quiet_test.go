package consumer

import (
	"fmt"
	"testing"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/assignor"
)

// TestQuietHeartbeat: one that says nothing new writes nothing, and takes an answer's worth of memory, in a large
// group, too.
func TestQuietHeartbeat(t *testing.T) {
	world := newFakeWorld()
	world.limits.Size = 1000
	world.set("t", 1000)
	now := time.UnixMilli(1_000_000)
	g := New(world, now)
	epochs := make(map[string]int32)
	settle := func(out group.Output) {
		for out.Write != nil || len(out.Answers) > 0 {
			for _, a := range out.Answers {
				if a.Beat.Err != nil {
					t.Fatal(a.Beat.Err)
				}
				epochs[a.Beat.MemberID] = a.Beat.Epoch
			}
			if out.Write == nil {
				break
			}
			out = g.Stored(now, out.Write.Number, nil)
		}
	}
	for round := range 4 {
		for i := range 200 {
			id := fmt.Sprint(i)
			r := Request{Ticket: 1, MemberID: id, Epoch: epochs[id], Rebalance: -1, Owned: assignor.Assignment{}}
			if round == 0 {
				r.Rebalance, r.Topics = time.Minute, []string{"t"}
			}
			settle(g.Beat(now, r))
		}
	}
	if g.State() != group.Stable {
		t.Fatal(g.State())
	}
	r := Request{Ticket: 1, MemberID: "7", Epoch: epochs["7"], Rebalance: -1}
	allocations := testing.AllocsPerRun(100, func() {
		if out := g.Beat(now, r); out.Write != nil || len(out.Answers) != 1 || out.Answers[0].Beat.Err != nil || out.Answers[0].Beat.Assignment != nil {
			t.Errorf("%+v", out)
		}
	})
	if allocations > 4 {
		t.Errorf("%v allocations", allocations)
	}
}

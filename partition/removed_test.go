package partition

import (
	"slices"
	"testing"

	"weir/log"
)

// TestRunCutByAnotherLeader: a leader that has compacted dies amid a run of removed entries which takes several messages
// to a follower that was away. The next leader has all of these entries still, and the follower goes on with it.
func TestRunCutByAnotherLeader(t *testing.T) {
	set := testSettings()
	set.Log.SegmentBytes, set.Compact = 64<<10, true
	g := newGroup(t, 3, 3, set)
	put := func(n int, key string) {
		for range n {
			g.put(keyedBatch(t, nobody, key, "x"))
		}
	}
	put(2, "before")
	g.settle()
	f := g.follower()
	g.stop(f)
	const run = 3 * maxAppendEntries
	put(run, "k")
	a := g.leader()
	first := entryOf(t, a.Partition, 2)
	if err := a.log.Roll(); err != nil {
		t.Fatal(err)
	}
	put(3, "k")
	g.settle()
	g.compacted(a)
	var other *member
	for _, m := range g.nodes {
		if m != a && m != f {
			other = m
		}
	}
	goOn := g.holdBack(f, a, first+maxAppendEntries)
	g.start(f, log.RecoverClean)
	g.until("no message of the run comes", func() bool { return f.log.LastRaftIndex() >= first+maxAppendEntries/2 })
	g.handTo(other)
	goOn()
	put(1, "after")
	g.settle()
	select {
	case err := <-f.fatal:
		t.Fatal(err)
	default:
	}
	g.handTo(f)
	put(1, "k")
	g.settle()
	for _, m := range g.nodes {
		if got := valuesOf(t, m.Partition, "after"); !slices.Equal(got, []string{"x"}) {
			t.Errorf("node %d shows %q", m.node, got)
		}
		if err := verify(m.Partition); err != nil {
			t.Errorf("node %d: %v", m.node, err)
		}
	}
}

package partition

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"weir/log"
	"weir/segment/vfs"
)

// forgets waits until the entries below an index are gone from the replica's log.
func (g *group) forgets(m *member, index uint64) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); m.log.FirstRaftIndex() < index; runtime.Gosched() {
		if time.Now().After(deadline) {
			g.t.Fatalf("node %d still has entry %d: the test shows nothing", m.node, m.log.FirstRaftIndex())
		}
	}
}

// maintainUntil has all replicas do, at the time given, what time asks for, until done says so.
func (g *group) maintainUntil(now time.Time, done func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); !done(); runtime.Gosched() {
		if time.Now().After(deadline) {
			for _, m := range g.nodes {
				if m.rig != nil {
					g.t.Logf("node %d: log [%d, %d), %d segments", m.node, m.LogStartOffset(), m.LogEndOffset(), m.Segments())
				}
			}
			g.t.Fatal("retention does not come to an end")
		}
		for _, m := range g.nodes {
			if m.rig == nil {
				continue
			}
			if err := m.Maintain(now); err != nil {
				g.t.Fatal(err)
			}
		}
	}
}

func (g *group) startsAt(offset int64) bool {
	return !slices.ContainsFunc(g.nodes, func(m *member) bool { return m.rig != nil && m.LogStartOffset() != offset })
}

// TestRetentionIsTheLeaders: where the log starts the leader decides for all replicas: it is the same on each, whatever
// their own segments are, and whether their clocks say that it is time or not.
func TestRetentionIsTheLeaders(t *testing.T) {
	set := testSettings()
	set.Log.DeleteByRetention, set.Log.RetentionBytes = true, 10<<10
	g := newGroup(t, 3, 3, set)
	rng := rand.New(rand.NewPCG(1, 1))
	start := func(m *member) int64 {
		to, err := m.log.RetentionStart(time.Now(), m.HighWatermark())
		if err != nil {
			t.Fatal(err)
		}
		return to
	}
	odd := g.follower()
	var want int64
	for want == 0 || want == start(odd) { // it is to have segments of its own
		for range 7 {
			g.put(makeBatch(t, rng, nobody, 2))
		}
		g.settle()
		if err := odd.log.Roll(); err != nil {
			t.Fatal(err)
		}
		want = start(g.leader())
	}
	if err := odd.Maintain(time.Now()); err != nil {
		t.Fatal(err)
	}
	if odd.LogStartOffset() != 0 {
		t.Error("a follower has moved its log start by itself")
	}
	g.maintainUntil(time.Now(), func() bool { return g.startsAt(want) })
	g.same()

	// All of it expires while nothing is written: nothing stays but the last entries.
	set.Log.RetentionAge = time.Hour
	for _, m := range g.nodes {
		m.SetSettings(set)
	}
	end := g.leader().LogEndOffset()
	g.maintainUntil(time.Now(), func() bool {
		return g.startsAt(end) && !slices.ContainsFunc(g.nodes, func(m *member) bool { return m.Segments() > 1 })
	})
	g.put(makeBatch(t, rng, nobody, 2))
	if got := g.same(); len(got) == 0 {
		t.Error("what is written then is not there")
	}
}

// TestStartIsToldByTheLeader: a replica that has deleted more than the others, since its disk was full, tells them when it leads.
func TestStartIsToldByTheLeader(t *testing.T) {
	set := testSettings()
	set.Log.DeleteByRetention = true
	g := newGroup(t, 3, 3, set)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 60 {
		g.put(makeBatch(t, rng, nobody, 2))
	}
	g.settle()
	ahead := g.follower()
	smaller := set
	smaller.Log.RetentionBytes = 10 << 10
	ahead.SetSettings(smaller)
	ahead.foundFull(syscall.ENOSPC)
	for deadline := time.Now().Add(patience); ahead.LogStartOffset() == 0; runtime.Gosched() { // until a checkpoint lets it go
		if err := ahead.Maintain(time.Now()); err != nil || time.Now().After(deadline) {
			t.Fatalf("a full disk keeps what retention gives back: %v", err)
		}
	}
	ahead.hasRoom([]log.Entry{{Kind: log.KindBatch}})
	start := ahead.LogStartOffset()
	if g.leader().LogStartOffset() != 0 {
		t.Fatal("the others have moved, too: the test shows nothing")
	}
	ahead.SetSettings(set)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g.do(func(l *member) error {
		if l == ahead {
			return nil
		}
		return l.Transfer(ctx, ahead.id)
	})
	g.maintainUntil(time.Now(), func() bool { return g.startsAt(start) })
	g.same()
}

// TestRetentionOnFullDisk: where there is no room for the entry that would order it, retention goes on, and makes room.
func TestRetentionOnFullDisk(t *testing.T) {
	inj := vfs.NewInjector()
	set := testSettings()
	set.Log.DeleteByRetention, set.Log.RetentionBytes = true, 10<<10
	r := open(t, vfs.Inject(vfs.NewMem(), inj), log.RecoverClean, set)
	defer r.syncer.Close()
	defer r.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 60 {
		if err := await(t, r.Propose(makeBatch(t, rng, nobody, 2), AcksAll)); err != nil {
			t.Fatal(err)
		}
	}
	inj.Add(vfs.Rule{Kinds: vfs.OpWrite | vfs.OpPreallocate | vfs.OpCreate, Path: "*.log", Times: -1, Err: syscall.ENOSPC})
	if err := await(t, r.Propose(makeBatch(t, rng, nobody, 2), AcksAll)); err == nil {
		t.Fatal("the disk is not full: the test shows nothing")
	}
	for deadline := time.Now().Add(patience); r.LogStartOffset() == 0; runtime.Gosched() {
		if err := r.Maintain(time.Now()); err != nil || time.Now().After(deadline) {
			t.Fatalf("nothing is deleted: %v", err)
		}
	}
}

package partition

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"weir/log"
	"weir/segment/vfs"
)

// TestFailingLeader (TR-11): a leader whose disk fails gives its leadership up, the node hears of it,
// and it does not lead again, whatever is asked of it and although the disk is well, until it is opened
// again.
func TestFailingLeader(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpWrite, vfs.OpSync} {
		t.Run(kind.String(), func(t *testing.T) {
			g := newGroup(t, 3, 3, testSettings())
			rng := rand.New(rand.NewPCG(1, 1))
			acked := records{}
			acked.put(g, makeBatch(t, rng, nobody, 2))
			bad := g.leader()
			bad.inj.Add(vfs.Rule{Kinds: kind, Path: "*.log", Err: syscall.EIO})
			var storage *StorageError
			if err := await(t, bad.Propose(makeBatch(t, rng, nobody, 1), AcksAll)); !errors.As(err, &storage) {
				t.Errorf("its producer hears %v", err)
			}
			if err := <-bad.fatal; !errors.Is(err, syscall.EIO) {
				t.Errorf("the node hears %v", err)
			}
			w := NewWaiter()
			for bad.Attach(w); bad.left.Load() == nil || bad.epoch.Load() >= 0; <-w.C() { // the node hears first
			}
			bad.Detach(w)
			if len(bad.reopen) > 0 {
				t.Error("it is to be opened again: the disk would say that all is well")
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			epoch := bad.LeaderEpoch()
			for round := range 6 {
				acked.put(g, makeBatch(t, rng, nobody, 2))
				if round%2 == 0 {
					_ = g.leader().Transfer(ctx, bad.id) // which cannot come about
				} else {
					g.do(func(l *member) error { // or it has been tried under this leadership
						if err := l.Transfer(ctx, ""); !errors.Is(err, ErrTransferred) {
							return err
						}
						return nil
					})
				}
				if g.leader() == bad || bad.LeaderEpoch() != epoch {
					t.Fatal("it stands again")
				}
			}
			acked.put(g, makeBatch(t, rng, nobody, 2))
			g.reboot(bad)
			acked.put(g, makeBatch(t, rng, nobody, 2))
			acked.areIn(t, g.same())
		})
	}
}

// alone has the leader write n batches that nobody else gets, kills it, and starts the others.
func (g *group) alone(n int, rng *rand.Rand) (old *member, mode log.RecoveryMode) {
	g.t.Helper()
	old = g.leader()
	modes := map[*member]log.RecoveryMode{}
	for _, m := range g.nodes {
		if m != old {
			modes[m] = g.crash(m, false)
		}
	}
	for i := range n {
		if err := old.put(makeBatch(g.t, rng, nobody, 1), AcksLeader).refused(); err != nil {
			g.t.Fatalf("only %d batches were written: %v", i, err)
		}
	}
	mode = g.crash(old, false)
	for m, mode := range modes {
		g.start(m, mode)
	}
	return old, mode
}

// TestFullDiskAfterACut: a follower cuts off what its leader does not have, and its disk has no room
// for what comes in place of that. Its library has the wrong picture of the log then: it leaves the
// group, and has caught up soon after there is room again.
func TestFullDiskAfterACut(t *testing.T) {
	for _, still := range []bool{false, true} { // full when it is opened again
		g := newGroupTimed(t, 3, 3, testSettings(), Timing{Heartbeat: 500 * time.Millisecond, Commit: 20 * time.Millisecond})
		rng := rand.New(rand.NewPCG(1, 1))
		acked := records{}
		for range 5 {
			acked.put(g, makeBatch(t, rng, nobody, 2))
		}
		g.settle()
		old, mode := g.alone(5, rng)
		acked.put(g, makeBatch(t, rng, nobody, 2))
		// Not OpWrite: the open writes over what the file has, which takes no room.
		old.rules = []vfs.Rule{{Kinds: vfs.OpPreallocate | vfs.OpCreate, Path: "*.log", Times: -1, Err: syscall.ENOSPC}}
		g.start(old, mode)
		if err := g.left(old); !vfs.IsNoSpace(err) {
			t.Errorf("left with %v", err)
		}
		if !still {
			old.rules = nil
		}
		g.openAgain(old)
		acked.put(g, makeBatch(t, rng, nobody, 2))
		old.inj.Clear()
		acked.put(g, makeBatch(t, rng, nobody, 2))
		acked.areIn(t, g.same())
		if len(old.reopen) > 0 {
			t.Error("it left a second time")
		}
		for _, m := range g.nodes {
			g.stop(m)
		}
	}
}

// TestSnapshotBelowADivergentTail (TR-5): what a leader wrote alone reaches to the first entry that
// the others have kept, or past it. Their snapshot begins its log anew, and the library believes in the old end
// of it (its issue 697) until the replica is opened again.
func TestSnapshotBelowADivergentTail(t *testing.T) {
	for _, past := range []bool{true, false} {
		g := newGroupTimed(t, 3, 3, testSettings(), Timing{Heartbeat: 500 * time.Millisecond, Commit: 20 * time.Millisecond})
		rng := rand.New(rand.NewPCG(1, 1))
		g.put(makeBatch(t, rng, nobody, 2))
		g.settle()
		old, mode := g.alone(150, rng)
		acked := records{}
		for range 80 {
			acked.put(g, makeBatch(t, rng, nobody, 2))
		}
		const start = 100
		g.do(func(l *member) error { _, err := l.DeleteRecords(context.Background(), start); return err })
		g.forgets(g.leader(), 20)
		for offset := range acked {
			if offset < start {
				delete(acked, offset)
			}
		}
		if !past {
			for _, m := range g.nodes {
				if m.rig != nil { // whoever leads next
					g.forgets(m, g.leader().log.FirstRaftIndex())
				}
			}
			old.endsAt(t, g.leader().log.FirstRaftIndex(), mode)
		}
		g.start(old, mode)
		if err := g.left(old); !errors.Is(err, errAhead) {
			t.Fatalf("left with %v", err)
		}
		g.openAgain(old)
		acked.put(g, makeBatch(t, rng, nobody, 2))
		acked.areIn(t, g.same())
		for _, m := range g.nodes {
			g.stop(m)
		}
	}
}

// endsAt cuts the log of a node that is down.
func (m *member) endsAt(t *testing.T, raftIndex uint64, mode log.RecoveryMode) {
	t.Helper()
	l, err := log.Open(log.Config{Dir: "/p", FS: m.fs, Recovery: mode, Settings: testSettings().Log})
	if err != nil {
		t.Fatal(err)
	}
	if l.LastRaftIndex() <= raftIndex {
		t.Fatalf("the log ends at %d: the test shows nothing", l.LastRaftIndex())
	}
	if err := errors.Join(l.TruncateSuffix(raftIndex+1), l.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestFullLeader: a leader whose disk has no room refuses a batch, and another leads, where it is
// taken; the full one does not lead while it is, whatever is asked of it. With room it catches up, and may.
func TestFullLeader(t *testing.T) {
	for _, path := range []string{"*.log", "*"} { // with and without room for a no-op
		g := newGroup(t, 3, 3, testSettings())
		rng := rand.New(rand.NewPCG(1, 1))
		acked := records{}
		for range 3 {
			acked.put(g, makeBatch(t, rng, nobody, 2))
		}
		g.settle()
		kinds := vfs.OpPreallocate | vfs.OpCreate
		if path == "*" {
			kinds |= vfs.OpWrite
		}
		var full *member
		for refused := false; !refused; { // one that lost its leadership first shows nothing
			full = g.leader()
			full.inj.Add(vfs.Rule{Kinds: kinds, Path: path, Times: -1, Err: syscall.ENOSPC})
			err := error(nil)
			for err == nil { // until the segment is full
				err = await(t, full.Propose(makeBatch(t, rng, nobody, 2), AcksAll))
			}
			var storage *StorageError
			if refused = errors.As(err, &storage) && vfs.IsNoSpace(err); !refused {
				full.inj.Clear()
			}
		}
		w := NewWaiter()
		for full.Attach(w); full.epoch.Load() >= 0; <-w.C() {
		}
		full.Detach(w)
		acked.put(g, makeBatch(t, rng, nobody, 2))
		other := g.leader()
		if other == full {
			t.Fatal("the full one leads again")
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = other.Transfer(ctx, full.id) // as a preferred election may ask for
		cancel()
		acked.put(g, makeBatch(t, rng, nobody, 2))
		if g.leader() == full {
			t.Error("the full one was told to lead, and does")
		}
		full.inj.Clear()
		acked.put(g, makeBatch(t, rng, nobody, 2))
		acked.areIn(t, g.same())
		if full.standsAside() {
			t.Error("it has been written, and still leaves leading to others")
		}
		for _, m := range g.nodes {
			g.stop(m)
		}
	}
}

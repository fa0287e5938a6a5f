package partition

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"weir/log"
	"weir/segment/vfs"
)

// installing is a group in a bubble, one of whose nodes is up, cut off, and about to be begun anew by a leader's snapshot.
func installing(t *testing.T) (g *group, away *member) {
	t.Helper()
	timing := Timing{Heartbeat: 100 * time.Millisecond, Election: time.Second, Commit: 20 * time.Millisecond}
	g = &group{t: t, settings: testSettings(), timing: timing, wires: newWires()}
	g.makeNodes(3, 3)
	for _, m := range g.nodes {
		g.start(m, log.RecoverClean)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		g.put(makeBatch(t, rng, nobody, 3))
	}
	g.settle()
	away = g.follower()
	mode := g.crash(away, false)
	for range 60 {
		g.put(makeBatch(t, rng, nobody, 3))
	}
	g.do(func(l *member) error { _, err := l.DeleteRecords(context.Background(), 200); return err })
	g.settle()
	for _, m := range g.nodes {
		if m != away {
			g.forgets(m, 50)
		}
	}
	g.wires.setCut(away.id, true)
	g.start(away, mode)
	synctest.Wait()
	return g, away
}

// tookOver waits until the node has all that the leader has, and checks it whole, now and after another start.
func (g *group) tookOver(away *member) {
	g.t.Helper()
	for range 2 {
		g.same()
		if start := away.LogStartOffset(); start != 200 {
			g.t.Fatalf("the log starts at %d", start)
		}
		g.stop(away)
		g.start(away, log.RecoverClean)
	}
	g.put(makeBatch(g.t, rand.New(rand.NewPCG(2, 2)), nobody, 1))
	g.same()
}

// installOps counts the operations of some kinds that an install has of the disk, up to where its file goes.
func installOps(t *testing.T, kinds vfs.OpKind) (n int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g, away := installing(t)
		before := len(away.inj.Trace())
		g.wires.setCut(away.id, false)
		g.same()
		for _, op := range away.inj.Trace()[before:] {
			if op.Kind&kinds != 0 {
				n++
			}
			if op.Kind == vfs.OpRemove && op.Path == "/p/"+installName {
				break
			}
		}
		if g.wires.snapshots.Load() == 0 {
			t.Error("no snapshot is installed: the test shows nothing")
		}
		g.tookOver(away)
	})
	if n < 5 {
		t.Errorf("only %d operations can fail", n)
	}
	return n
}

// TestInstallOnAFullDisk: wherever the disk is full while a leader's snapshot is taken over, the process goes on, and the
// replica comes back, whole, when there is room again: by itself, or when it is opened again.
func TestInstallOnAFullDisk(t *testing.T) {
	const kinds = vfs.OpWrite | vfs.OpPreallocate | vfs.OpCreate | vfs.OpTruncate | vfs.OpRename
	reopened := 0
	for n := range installOps(t, kinds) {
		name := fmt.Sprintf("operation %d", n+1)
		synctest.Test(t, func(t *testing.T) {
			g, away := installing(t)
			away.inj.Add(vfs.Rule{Kinds: kinds, Nth: n + 1, Times: -1, Err: syscall.ENOSPC})
			g.wires.setCut(away.id, false)
			time.Sleep(time.Second) // of the bubble
			synctest.Wait()
			select {
			case err := <-away.fatal:
				t.Fatalf("%s: the process ends: %v", name, err)
			case err := <-away.reopen:
				reopened++
				g.ended(away)
				away.rules = []vfs.Rule{{Kinds: kinds, Times: -1, Err: syscall.ENOSPC}}
				for range 2 {
					if again := g.tryStart(away, log.RecoverProcessCrash); !vfs.IsNoSpace(again) {
						t.Fatalf("%s: opened again on a full disk after %v: %v", name, err, again)
					}
				}
				away.rules = nil
				g.start(away, log.RecoverProcessCrash)
			default:
				away.inj.Clear()
			}
			g.tookOver(away)
		})
	}
	if reopened == 0 {
		t.Error("the replica was never opened again: the test shows nothing")
	}
}

// TestInstallFailingSync: wherever a sync fails while a leader's snapshot is taken over, the process ends, or goes on
// without what it was for, and the next one has a replica that is whole, also after a power loss.
func TestInstallFailingSync(t *testing.T) {
	died := 0
	for n := range installOps(t, vfs.OpSync|vfs.OpSyncDir) {
		for _, power := range []bool{false, true} {
			name := fmt.Sprintf("sync %d, power loss %t", n+1, power)
			synctest.Test(t, func(t *testing.T) {
				g, away := installing(t)
				away.inj.Add(vfs.Rule{Kinds: vfs.OpSync | vfs.OpSyncDir, Nth: n + 1, Err: syscall.EIO})
				g.wires.setCut(away.id, false)
				time.Sleep(time.Second) // of the bubble
				synctest.Wait()
				select {
				case err := <-away.fatal:
					died++
					if !errors.Is(err, syscall.EIO) {
						t.Fatalf("%s: the process ends: %v", name, err)
					}
				case err := <-away.reopen:
					t.Fatalf("%s: to be opened again: %v", name, err)
				default:
				}
				left, mode := away.leaves(power, vfs.CrashOptions{Seed: uint64(n)})
				g.ended(away)
				away.fs = left
				g.start(away, mode)
				g.tookOver(away)
			})
		}
	}
	if died == 0 {
		t.Error("no process ends: the test shows nothing")
	}
}

package partition

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"weir/log"
	"weir/segment/vfs"
)

// TestPowerLossAmidInstall: a replica that loses its power while it takes over a leader's snapshot opens again, from
// whatever is left.
func TestPowerLossAmidInstall(t *testing.T) {
	g := newGroup(t, 3, 3, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	for range 5 {
		g.put(makeBatch(t, rng, nobody, 3))
	}
	g.settle()
	away := g.follower()
	mode := g.crash(away, false)
	for range 60 {
		g.put(makeBatch(t, rng, nobody, 3))
	}
	g.do(func(l *member) error { _, err := l.DeleteRecords(context.Background(), 150); return err })
	g.forgets(g.leader(), 30)
	recording := away.fs.Record()
	g.start(away, mode)
	g.same()
	g.stop(away)
	amid := 0
	for state := range recording.Crashes(vfs.Enumeration{MaxStates: 800, Seed: 1}) {
		if _, err := state.FS.Stat("/p/" + installName); err == nil {
			amid++
		}
		syncer := log.NewSyncer(1, nil)
		p, err := Open(Config{
			Dir: "/p", FS: state.FS, Topic: "t", Recovery: log.RecoverPowerLoss, Syncer: syncer, Logger: g.logger(), Now: time.Now,
			Settings: testSettings(), Replication: Replication{Local: away.id, Voters: g.voters, Stable: away.stable},
		})
		if err != nil {
			t.Fatalf("%s: %v", state.Description, err)
		}
		if start := p.LogStartOffset(); start != 0 && start < 140 {
			t.Errorf("%s: the log starts at %d", state.Description, start)
		}
		if err := verify(p); err != nil {
			t.Errorf("%s: %v", state.Description, err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("%s: %v", state.Description, err)
		}
		syncer.Close()
	}
	if amid < 50 {
		t.Errorf("only %d states lie amid the snapshot", amid)
	}
}

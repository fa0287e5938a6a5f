package partition

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"weir/log"
	"weir/segment/vfs"
)

// cachingGroup has acknowledged n batches that are on no disk.
func cachingGroup(t *testing.T, members int) (*group, *rand.Rand) {
	t.Helper()
	set := testSettings()
	set.WriteCaching = true
	set.Log.SegmentBytes = 1 << 20 // no roll, which would sync
	return newGroup(t, members, members, set), rand.New(rand.NewPCG(1, 1))
}

// noLeader waits until replicas have stood often, and checks that none of those elections was won.
func (g *group) noLeader(members ...*member) {
	g.t.Helper()
	epoch := func() (e int32) {
		for _, m := range members {
			if _, leading := m.Leading(); leading {
				g.t.Fatalf("node %d leads, whose log ends at %d", m.node, m.LogEndOffset())
			}
			e = max(e, m.LeaderEpoch())
		}
		return e
	}
	first := epoch()
	for deadline := time.Now().Add(patience); epoch() < first+5; time.Sleep(time.Millisecond) { // terms have no signal
		if time.Now().After(deadline) {
			g.t.Fatal("nobody stands: the test shows nothing")
		}
	}
}

// follower is one that is up.
func (g *group) follower() *member {
	l := g.leader()
	for _, m := range g.nodes {
		if m.rig != nil && m != l {
			return m
		}
	}
	g.t.Fatal("no follower")
	return nil
}

// TestVoteGivenUp: with write caching, a replica whose machine goes down forgets what it has
// acknowledged. It does not make up a majority with one that never had it, not even after its process
// has died once more; and it does again once a leader has brought it up to date.
func TestVoteGivenUp(t *testing.T) {
	g, rng := cachingGroup(t, 3)
	acked := records{}
	acked.put(g, makeBatch(t, rng, nobody, 1))
	g.settle()
	missed := g.follower()
	missedMode := g.crash(missed, false)
	for range 10 {
		acked.put(g, makeBatch(t, rng, nobody, 1))
	}
	g.settle()
	leader, lost := g.leader(), g.follower()
	leaderMode := g.crash(leader, false)
	g.start(lost, g.crash(lost, true))
	if end := lost.LogEndOffset(); end > 1 {
		t.Fatalf("the log ends at %d: nothing was lost, and the test shows nothing", end)
	}
	g.start(missed, missedMode)
	g.noLeader(lost, missed)
	g.start(lost, g.crash(lost, false))
	g.noLeader(lost, missed)

	g.start(leader, leaderMode)
	acked.put(g, makeBatch(t, rng, nobody, 1))
	acked.areIn(t, g.same())
	for lost.abstains.Load() {
		time.Sleep(time.Millisecond) // once its answer has gone out; the test ends by its own limit
	}
	leaderMode = g.crash(leader, false) // whose vote the two others do not need
	acked.put(g, makeBatch(t, rng, nobody, 1))
	g.start(lost, g.crash(lost, false))
	acked.put(g, makeBatch(t, rng, nobody, 1))
	g.start(leader, leaderMode)
	acked.areIn(t, g.same())
}

// TestVoteBackUnderTheSameLeader: a replica that loses its tail while its leader goes on gets its vote
// back from that leader, without an election.
func TestVoteBackUnderTheSameLeader(t *testing.T) {
	g, rng := cachingGroup(t, 3)
	acked := records{}
	for range 10 {
		acked.put(g, makeBatch(t, rng, nobody, 1))
	}
	g.settle()
	lost := g.follower()
	g.start(lost, g.crash(lost, true))
	if !lost.abstains.Load() {
		t.Fatal("it kept its vote")
	}
	for deadline := time.Now().Add(patience); lost.abstains.Load(); time.Sleep(time.Millisecond) { // it has no signal
		if time.Now().After(deadline) {
			t.Fatal("it does not get its vote back")
		}
	}
	if end := lost.LogEndOffset(); end < 10 {
		t.Errorf("it has its vote with a log that ends at %d", end)
	}
	acked.areIn(t, g.same())
}

// TestAllLostPower: the machines of all replicas go down at once. Two of three elect nobody, for the
// third may have more; all three elect the one that has most.
func TestAllLostPower(t *testing.T) {
	g, rng := cachingGroup(t, 3)
	all := records{}
	for range 10 {
		all.put(g, makeBatch(t, rng, nobody, 1))
	}
	g.settle()
	most := g.follower()
	if err := most.log.Sync(); err != nil {
		t.Fatal(err)
	}
	var modes [3]log.RecoveryMode
	for i, m := range g.nodes {
		modes[i] = g.crash(m, true)
	}
	var two []*member
	for i, m := range g.nodes {
		if m != most {
			g.start(m, modes[i])
			two = append(two, m)
		}
	}
	g.noLeader(two...)
	for i, m := range g.nodes {
		if m == most {
			g.start(m, modes[i])
		}
	}
	all.put(g, makeBatch(t, rng, nobody, 1))
	all.areIn(t, g.same())
}

// TestVoteKept: a replica that has nothing on its mind that is not on its disk keeps its vote: without
// write caching, after the death of a process, and after a close.
func TestVoteKept(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, x := range []struct {
		name    string
		caching bool
		end     func(*vfs.Mem, *rig) (*vfs.Mem, log.RecoveryMode)
		kept    bool
	}{
		{"power loss", false, func(m *vfs.Mem, _ *rig) (*vfs.Mem, log.RecoveryMode) {
			return m.CrashClone(vfs.CrashOptions{}), log.RecoverPowerLoss
		}, true},
		{"power loss with caching", true, func(m *vfs.Mem, _ *rig) (*vfs.Mem, log.RecoveryMode) {
			return m.CrashClone(vfs.CrashOptions{}), log.RecoverPowerLoss
		}, false},
		{"death of the process", true, func(m *vfs.Mem, _ *rig) (*vfs.Mem, log.RecoveryMode) {
			return m.ProcessCrashClone(), log.RecoverProcessCrash
		}, true},
		{"power loss after a close", true, func(m *vfs.Mem, r *rig) (*vfs.Mem, log.RecoveryMode) {
			stopped(t, r)
			return m.CrashClone(vfs.CrashOptions{}), log.RecoverPowerLoss
		}, true},
	} {
		mem, set := vfs.NewMem(), testSettings()
		set.WriteCaching = x.caching
		r := open(t, mem, log.RecoverClean, set)
		if err := await(t, r.Propose(makeBatch(t, rng, nobody, 1), AcksAll)); err != nil {
			t.Fatal(err)
		}
		after, mode := x.end(mem, r)
		stopped(t, r)
		p := &Partition{cfg: r.cfg, logger: r.logger}
		p.cfg.FS, p.cfg.Recovery = after, mode
		if err := p.loadVote(); err != nil {
			t.Fatal(err)
		}
		if kept := !p.abstains.Load(); kept != x.kept {
			t.Errorf("%s: kept %v, want %v", x.name, kept, x.kept)
		}
	}
}

// TestReturnedReplica: one that was a member before, and comes back with nothing, votes for nobody until it has
// what the leader has. It begins no group, though it was of the first members.
func TestReturnedReplica(t *testing.T) {
	g := newGroup(t, 3, 3, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	acked := records{}
	for range 20 {
		acked.put(g, makeBatch(t, rng, nobody, 2))
	}
	g.settle()
	away := g.follower()
	g.stop(away)
	away.fs, away.stable, away.returned = vfs.NewMem(), raft.NewInmemStore(), true
	if err := away.fs.MkdirAll("/p", 0o755); err != nil {
		t.Fatal(err)
	}
	var others []*member
	var modes []log.RecoveryMode
	for _, m := range g.nodes {
		if m != away {
			others, modes = append(others, m), append(modes, g.crash(m, false))
		}
	}
	g.start(away, log.RecoverClean)
	if !away.abstains.Load() || away.LastRaftIndex() != 0 {
		t.Fatalf("it has its vote: %v, and entries up to %d", !away.abstains.Load(), away.LastRaftIndex())
	}
	g.stop(away)
	g.start(away, log.RecoverClean) // the next process knows
	g.start(others[0], modes[0])
	g.noLeader(away, others[0])
	g.start(others[1], modes[1])
	acked.put(g, makeBatch(t, rng, nobody, 2))
	acked.areIn(t, g.same())
	for deadline := time.Now().Add(patience); away.abstains.Load(); time.Sleep(time.Millisecond) { // nothing tells of it
		if time.Now().After(deadline) {
			t.Fatal("it has everything, and still no vote")
		}
	}
	g.stop(others[0])
	acked.put(g, makeBatch(t, rng, nobody, 2))
}

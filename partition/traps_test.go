package partition

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"weir/log"
	"weir/segment/vfs"
)

// These hold the library to what this package builds on (RELIABILITY.md, TR-1 to TR-19):
// a new release that behaves otherwise fails here.

// TestLibrarySettings (TR-8, TR-15): no snapshots of the library's own, no committed entries
// restored at start, and pre-votes are on.
func TestLibrarySettings(t *testing.T) {
	r := open(t, vfs.NewMem(), log.RecoverClean, testSettings())
	defer stopped(t, r)
	conf := r.raftConfig()
	if conf.RestoreCommittedLogs || conf.PreVoteDisabled {
		t.Errorf("committed logs restored: %v, pre-vote disabled: %v", conf.RestoreCommittedLogs, conf.PreVoteDisabled)
	}
	first := r.log.FirstRaftIndex()
	if _, err := (machine{r.Partition}).Snapshot(); err == nil {
		t.Fatal("the machine gives snapshots") // and the library would wait in FirstIndex, to cut the log
	}
	if err := r.raft.Load().Snapshot().Error(); err == nil {
		t.Error("the library took a snapshot")
	}
	if r.log.FirstRaftIndex() != first {
		t.Error("entries are gone")
	}
}

func stopped(t *testing.T, r *rig) {
	t.Helper()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// TestLibraryReadsBackWhatWasSent: the library advances a follower by what it finds in the
// request after the call, so a message may be cut. Entries that are together far larger than a
// message all arrive, in many.
func TestLibraryReadsBackWhatWasSent(t *testing.T) {
	set := testSettings()
	set.Log.SegmentBytes = 64 << 20
	g := newGroupTimed(t, 3, 3, set, Timing{Heartbeat: time.Second})
	rng := rand.New(rand.NewPCG(1, 1))
	l := g.leader()
	var all []*Append
	for range 40 {
		b := largeBatch(t, rng, 200<<10)
		all = append(all, l.Propose(b, AcksAll))
	}
	for _, a := range all {
		if err := await(t, a); err != nil {
			t.Fatal(err)
		}
	}
	g.same()
}

// TestManyProducersDrain (TR-13): with pipelining off nobody waits for the library's commit
// timeout, which is set to an hour: every producer is answered, and so is the last one.
func TestManyProducersDrain(t *testing.T) {
	g := newGroupTimed(t, 3, 3, testSettings(), Timing{Heartbeat: time.Second, Commit: time.Hour})
	l := g.leader()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for range 20 {
				if err := await(t, l.Propose(makeBatch(t, rng, nobody, 1), AcksAll)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestFirstEntryKept (TR-14): wherever the first entry kept lies, an empty replica, one that
// ends just before it and one that has it get the same records.
func TestFirstEntryKept(t *testing.T) {
	for _, cut := range []int64{1, 3, 30} {
		g := newGroup(t, 4, 3, testSettings())
		rng := rand.New(rand.NewPCG(uint64(cut), 1))
		g.put(makeBatch(t, rng, nobody, int(cut)))
		g.settle()
		var away *member
		for _, m := range g.nodes[:3] {
			if m != g.leader() {
				away = m
			}
		}
		mode := g.crash(away, false)
		for range 60 {
			g.put(makeBatch(t, rng, nobody, 2))
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		g.do(func(l *member) error { _, err := l.DeleteRecords(ctx, cut+90); return err })
		g.start(away, mode)
		g.start(g.nodes[3], log.RecoverClean)
		g.do(func(l *member) error { return l.AddLearner(ctx, g.nodes[3].id) })
		g.put(makeBatch(t, rng, nobody, 1))
		g.same()
		for _, m := range g.nodes {
			g.stop(m)
		}
	}
}

// TestRetentionRacesACatchUp (TR-6): a replica that is behind catches up although the log start follows
// closely on what is written meanwhile, with few snapshots.
func TestRetentionRacesACatchUp(t *testing.T) {
	g := newGroup(t, 3, 3, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	g.settle()
	away := g.follower()
	mode := g.crash(away, false)
	const kept = 200
	next := func() { // one batch, and what is too old goes
		end := g.put(makeBatch(t, rng, nobody, 2)) + 2
		g.do(func(l *member) error { _, err := l.DeleteRecords(context.Background(), max(end-kept, 0)); return err })
	}
	for range 2 * kept {
		next()
	}
	g.start(away, mode)
	rounds := 0
	for deadline := time.Now().Add(patience); away.HighWatermark() < g.leader().HighWatermark()-kept/4; rounds++ {
		if time.Now().After(deadline) {
			t.Fatalf("the replica is at %d of %d", away.HighWatermark(), g.leader().HighWatermark())
		}
		next()
	}
	snapshots := int64(0)
	for _, m := range g.nodes {
		snapshots += m.snapshots.Load()
	}
	if snapshots == 0 || snapshots > 2 {
		t.Errorf("%d snapshots in %d rounds, want one or two", snapshots, rounds)
	}
	g.same()
}

// TestFirstEntryIsRead (TR-14): where retention, which lets whole segments go, has made the first
// entry kept the first one that is read, a new replica has it, as it has what follows.
func TestFirstEntryIsRead(t *testing.T) {
	set := testSettings()
	set.Log.DeleteByRetention, set.Log.RetentionBytes = true, 8<<10
	g := newGroup(t, 4, 3, set)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 60 {
		g.put(makeBatch(t, rng, nobody, 2))
	}
	g.settle()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g.maintainUntil(time.Now(), func() bool { // a checkpoint lets them go
		return !slices.ContainsFunc(g.nodes[:3], func(m *member) bool { return m.log.FirstRaftIndex() < 20 })
	})
	for _, m := range g.nodes[:3] { // whoever leads later
		first, err := m.log.EntryHead(m.log.FirstRaftIndex())
		if err != nil || first.Kind != log.KindBatch || first.Offset != m.LogStartOffset() {
			t.Fatalf("node %d begins with %+v, %v, and is read from %d: the test shows nothing", m.node, first, err, m.LogStartOffset())
		}
	}
	added := g.nodes[3]
	g.start(added, log.RecoverClean)
	g.do(func(l *member) error { return l.AddLearner(ctx, added.id) })
	last := g.put(makeBatch(t, rng, nobody, 1))
	w := NewWaiter()
	added.Attach(w)
	defer added.Detach(w)
	for added.HighWatermark() <= last {
		select {
		case <-w.C():
		case <-ctx.Done():
			t.Fatalf("the new replica stays at %d", added.HighWatermark())
		}
	}
	start := added.LogStartOffset()
	_, got := readAll(t, added.Partition, start)
	for _, m := range g.nodes[:3] {
		if m.LogStartOffset() > start || m.HighWatermark() < added.HighWatermark() {
			continue
		}
		if _, want := readAll(t, m.Partition, start); !bytes.Equal(got, want) {
			t.Errorf("the new replica has %d bytes from %d on, node %d has %d", len(got), start, m.node, len(want))
		}
	}
}

// TestFailedConfiguration (TR-18): a membership that could not be stored is nobody's: the
// process ends, for the library would believe in it.
func TestFailedConfiguration(t *testing.T) {
	inj := vfs.NewInjector()
	r := open(t, vfs.Inject(vfs.NewMem(), inj), log.RecoverClean, testSettings())
	inj.Add(vfs.Rule{Kinds: vfs.OpWrite | vfs.OpPreallocate, Path: "*.log", Times: -1, Err: syscall.EIO})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.AddLearner(ctx, "2"); err == nil {
		t.Error("a member was added without a disk")
	}
	select {
	case <-r.fatal:
	case <-ctx.Done():
		t.Error("the node has not heard of it")
	}
	inj.Clear()
	stopped(t, r)
}

// TestLostLog (TR-12, TR-19): a replica whose log is gone, and whose votes are not, does not
// open: it would vote, and vouch for what it has forgotten.
func TestLostLog(t *testing.T) {
	g := newGroup(t, 3, 3, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	g.put(makeBatch(t, rng, nobody, 1))
	g.settle()
	m := g.nodes[0]
	g.stop(m)
	m.fs = vfs.NewMem()
	syncer := log.NewSyncer(1, nil)
	defer syncer.Close()
	_, err := Open(Config{
		Dir: "/p", FS: m.fs, Topic: "t", Recovery: log.RecoverPowerLoss, Syncer: syncer, Logger: g.logger(), Now: time.Now,
		Settings: testSettings(), Replication: Replication{Local: m.id, Voters: g.voters, Stable: m.stable},
	})
	var lost *LostError
	if !errors.As(err, &lost) {
		t.Fatalf("got %v, want a *LostError", err)
	}
}

// TestTransferOnce (TR-9): a leadership is handed over once; after that, and after a transfer
// that nobody took, writes are accepted by whoever leads.
func TestTransferOnce(t *testing.T) {
	g := newGroup(t, 3, 3, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range 5 {
		g.do(func(l *member) error { return l.Transfer(ctx, "") })
		g.put(makeBatch(t, rng, nobody, 1))
	}
	l := g.leader()
	var down []*member
	for _, m := range g.nodes {
		if m != l {
			g.stop(m)
			down = append(down, m)
		}
	}
	_ = l.Transfer(ctx, down[0].id) // to nobody: it fails, or ends with the lease
	if err := l.Transfer(ctx, down[0].id); err == nil {
		t.Error("a second transfer of one leadership")
	}
	for _, m := range down {
		g.start(m, log.RecoverClean)
	}
	g.put(makeBatch(t, rng, nobody, 1))
	l = g.leader()
	epoch, _ := l.Leading()
	l.Retire(ErrTransferred) // which ends it in another way
	if err := g.left(l); !errors.Is(err, ErrTransferred) {
		t.Errorf("left with %v", err)
	}
	g.openAgain(l)
	g.put(makeBatch(t, rng, nobody, 1))
	if now, _ := g.leader().Leading(); now <= epoch {
		t.Errorf("after the leadership of epoch %d there is one of %d", epoch, now)
	}
	g.same()
}

// TestLeaderAgainWhileTransferring (TR-9): a replica is elected again before its library has
// noticed that it had handed the leadership over. It refuses entries until then, and tells
// nobody; the first one of the new leadership is proposed until it is taken.
func TestLeaderAgainWhileTransferring(t *testing.T) {
	g := newGroup(t, 3, 3, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	notice := make(chan struct{})
	for _, m := range g.nodes {
		m.handed = func() { <-notice }
	}
	first := g.leader()
	g.do(func(l *member) error { return l.Transfer(ctx, "") })
	g.do(func(l *member) error {
		if l == first {
			return nil // a busy machine has unseated the second one
		}
		return l.Transfer(ctx, first.id)
	})
	for first.raft.Load().State() != raft.Leader && first.Leader() == "" {
		time.Sleep(time.Millisecond) // the library's state has no signal
	}
	if _, leading := first.Leading(); leading {
		t.Error("the library takes entries: the test shows nothing")
	}
	close(notice)
	g.put(makeBatch(t, rng, nobody, 1))
	g.same()
}

// TestNoElectionWhileAFollowerStalls (TR-16): a follower whose main loop hangs for longer than
// its timeout does not unseat a leader that is well.
func TestNoElectionWhileAFollowerStalls(t *testing.T) {
	g := newGroupTimed(t, 3, 3, testSettings(), Timing{Heartbeat: 500 * time.Millisecond})
	rng := rand.New(rand.NewPCG(1, 1))
	g.put(makeBatch(t, rng, nobody, 1))
	l := g.leader()
	epoch, _ := l.Leading()
	for _, m := range g.nodes {
		if m == l {
			continue
		}
		gate := vfs.NewGate()
		m.inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Gate: gate})
		a := l.Propose(makeBatch(t, rng, nobody, 1), AcksAll)
		<-gate.Entered()
		time.Sleep(1500 * time.Millisecond) // three timeouts: the stall is what is tested
		gate.Open()
		m.inj.Clear()
		if err := await(t, a); err != nil {
			t.Fatal(err)
		}
		g.settle()
	}
	if now, leading := l.Leading(); !leading || now != epoch {
		t.Errorf("epoch %d, leading %v; was %d", now, leading, epoch)
	}
}

// TestStartAppliesOnlyWhatFollows (TR-7, small): a start applies again what comes after the
// checkpoint, and knows the producers from before it.
func TestStartAppliesOnlyWhatFollows(t *testing.T) {
	mem := vfs.NewMem()
	rng := rand.New(rand.NewPCG(1, 1))
	r := open(t, mem, log.RecoverClean, testSettings())
	who := identity{id: 3}
	for range 50 {
		if err := await(t, r.Propose(makeBatch(t, rng, who, 1), AcksAll)); err != nil {
			t.Fatal(err)
		}
		who.sequence++
	}
	_, want := readAll(t, r.Partition, 0)
	stopped(t, r)
	r = open(t, mem, log.RecoverClean, testSettings())
	defer stopped(t, r)
	if at := r.checkpointOnDisk.Load(); at < 50 {
		t.Errorf("the checkpoint is at entry %d", at)
	}
	if _, got := readAll(t, r.Partition, 0); !bytes.Equal(got, want) {
		t.Error("other records than before")
	}
	var gap *SequenceError
	if err := await(t, r.Propose(makeBatch(t, rng, identity{id: 3, sequence: 51}, 1), AcksAll)); !errors.As(err, &gap) {
		t.Errorf("a gap: %v", err)
	}
}

// TestProposalsOfAnotherLeadership: what waits in the library's queue when a leadership ends is
// not written under the next one.
func TestProposalsOfAnotherLeadership(t *testing.T) {
	r := open(t, vfs.NewMem(), log.RecoverClean, testSettings())
	defer stopped(t, r)
	rng := rand.New(rand.NewPCG(1, 1))
	b := makeBatch(t, rng, nobody, 1)
	x, _, a := r.check(b, nil, AcksAll)
	r.forsake(r.notLeader()) // before the library has it
	var deposed *NotLeaderError
	if err := await(t, a); !errors.As(err, &deposed) {
		t.Fatalf("got %v", err)
	}
	if err := r.raft.Load().ApplyLog(raft.Log{Data: b.Data, Extensions: x.key[:]}, 0).Error(); err != nil {
		t.Fatal(err)
	}
	if err := await(t, r.Propose(makeBatch(t, rng, nobody, 1), AcksAll)); err != nil {
		t.Fatal(err)
	}
	if end := r.LogEndOffset(); end != 1 {
		t.Errorf("the log ends at %d, want 1", end)
	}
}

// TestElectsWhoJoinedMeanwhile: a replica that was away while another member was replaced does not know
// the new one as a voter. It votes for it all the same, by its log: with the leader gone nobody else
// could be elected.
func TestElectsWhoJoinedMeanwhile(t *testing.T) {
	for _, promoted := range []bool{false, true} { // the one that was away knows of it, without a vote
		g := newGroup(t, 4, 3, testSettings())
		rng := rand.New(rand.NewPCG(1, 1))
		acked := records{}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		acked.put(g, makeBatch(t, rng, nobody, 2))
		added := g.nodes[3]
		g.start(added, log.RecoverProcessCrash)
		if promoted {
			g.do(func(l *member) error { return l.AddLearner(ctx, added.id) })
			g.settle()
		}
		away := g.follower()
		mode := g.crash(away, false)
		g.do(func(l *member) error { return l.AddLearner(ctx, added.id) })
		g.do(func(l *member) error { return l.Promote(ctx, added.id) })
		rest := slices.DeleteFunc(slices.Clone(g.nodes[:3]), func(m *member) bool { return m == away })
		if rest[0] == g.leader() {
			slices.Reverse(rest)
		}
		replaced, third := rest[0], rest[1]
		g.do(func(l *member) error { return l.Remove(ctx, replaced.id) })
		g.stop(replaced)
		acked.put(g, makeBatch(t, rng, nobody, 2))
		was := g.crash(third, false)
		g.start(away, mode)
		acked.put(g, makeBatch(t, rng, nobody, 2)) // of the three, this one and the added one are there
		if g.leader() != added {
			t.Error("led by one that lacks something")
		}
		g.start(third, was)
		acked.put(g, makeBatch(t, rng, nobody, 2))
		acked.areIn(t, g.same())
		for _, m := range g.nodes {
			g.stop(m)
		}
	}
}

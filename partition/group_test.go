package partition

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/transport"
	"weir/log"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// group is the replicas of one partition, each on a disk and a transport of its own,
// over real sockets.
type group struct {
	t        testing.TB
	settings Settings
	timing   Timing
	voters   []raft.ServerID
	throttle Throttle
	sent     *sentTo      // nil: not counted
	ahead    atomic.Int64 // by how much the members' clocks are
	watchdog *Watchdog
	wires    *wires // nil: they talk over sockets
	// messageEntries is as in Config.
	messageEntries int
	// meanwhile, if not nil, runs again and again while a leader is waited for.
	meanwhile func()

	mu        sync.Mutex // guards addresses
	addresses map[int32]string

	nodes []*member
}

// member is one node of a group and, when it is up, its replica.
type member struct {
	id     raft.ServerID
	node   int32
	fs     *vfs.Mem
	inj    *vfs.Injector
	stable *raft.InmemStore
	net    io.Closer
	// handed, if not nil, is asked what becomes of the answer when this node has told
	// another one to stand.
	handed func()
	// alter, if not nil, changes the entries that this node sends to another one.
	alter atomic.Pointer[func(to raft.ServerID, entries []*raft.Log)]
	// snapshots is how many of this node have been installed.
	snapshots atomic.Int64
	rules     []vfs.Rule // of its disk at the next start
	returned  bool       // it was a member before, with another disk
	bad       bool       // its log is known to be damaged, at the next start
	reopen    chan error // holds why the replica wants to be opened again
	*rig                 // nil when it is down
}

// handOver is a transport whose answers to TimeoutNow pass by the member's handed, what it sends
// by its alter, and that counts that.
type handOver struct {
	Transport
	m    *member
	sent *sentTo
}

func (h handOver) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	err := h.Transport.TimeoutNow(id, target, args, resp)
	if h.m.handed != nil {
		h.m.handed()
	}
	return err
}

func (h handOver) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if h.sent != nil {
		h.sent.add(id, recordBytes(args.Entries))
	}
	if alter := h.m.alter.Load(); alter != nil {
		(*alter)(id, args.Entries)
	}
	return h.Transport.AppendEntries(id, target, args, resp)
}

func (h handOver) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	err := h.Transport.InstallSnapshot(id, target, args, resp, data)
	if err == nil && resp.Success {
		h.m.snapshots.Add(1)
	}
	return err
}

func (h handOver) SetTerm(term func() uint64) { h.Transport.(*transport.Group).SetTerm(term) }

func (h handOver) SetMembers(f func() raft.Configuration) {
	h.Transport.(*transport.Group).SetMembers(f)
}

func directory(node int32) (d [16]byte) {
	d[15] = byte(node)
	return d
}

// newGroup makes n nodes and starts the first ones, which are the group's first members. The
// time for an election is what the library gives a transfer, too.
func newGroup(t testing.TB, n, voters int, s Settings) *group {
	return newGroupTimed(t, n, voters, s, Timing{Heartbeat: 100 * time.Millisecond, Election: time.Second, Commit: 20 * time.Millisecond})
}

func newGroupTimed(t testing.TB, n, voters int, s Settings, timing Timing) *group {
	return newGroupWatched(t, n, voters, s, timing, nil)
}

func newGroupWatched(t testing.TB, n, voters int, s Settings, timing Timing, dog *Watchdog) *group {
	g := &group{t: t, settings: s, timing: timing, watchdog: dog}
	g.makeNodes(n, voters)
	for _, m := range g.nodes[:voters] {
		g.start(m, log.RecoverClean)
	}
	return g
}

// makeNodes makes n nodes, which are stopped when the test ends, and the first ones the group's first members.
func (g *group) makeNodes(n, voters int) {
	g.addresses = map[int32]string{}
	for i := range int32(n) {
		m := &member{id: raft.ServerID(transport.Address(i+1, directory(i+1))), node: i + 1, fs: vfs.NewMem(), stable: raft.NewInmemStore()}
		g.nodes = append(g.nodes, m)
		if int(i) < voters {
			g.voters = append(g.voters, m.id)
		}
	}
	g.t.Cleanup(func() {
		for _, m := range g.nodes {
			g.stop(m)
		}
	})
}

func (g *group) resolve(node int32) (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, ok := g.addresses[node]
	return a, ok
}

// join gives a node its place in the network, and its memory of votes.
func (g *group) join(m *member) (Transport, raft.StableStore) {
	g.t.Helper()
	if g.wires != nil {
		w := g.wires.join(m.id)
		m.net = w
		return w, votes{m.stable, w}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	g.mu.Lock()
	g.addresses[m.node] = listener.Addr().String()
	g.mu.Unlock()
	trans, err := transport.Open(transport.Config{
		ClusterID: "test", Node: m.node, Directory: directory(m.node), Listener: listener, Resolve: g.resolve,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	m.net = trans
	handle, err := trans.Group(transport.GroupID{1})
	if err != nil {
		g.t.Fatal(err)
	}
	return handOver{handle, m, g.sent}, m.stable
}

func (g *group) start(m *member, mode log.RecoveryMode) {
	g.t.Helper()
	if err := g.tryStart(m, mode); err != nil {
		g.t.Fatalf("node %d: %v", m.node, err)
	}
}

func (g *group) tryStart(m *member, mode log.RecoveryMode) error {
	g.t.Helper()
	trans, stable := g.join(m)
	r := &rig{fatal: make(chan error, 1)}
	fatal := func(err error) {
		select {
		case r.fatal <- err:
		default:
		}
	}
	r.syncer = log.NewSyncer(2, fatal)
	rep := Replication{Local: m.id, Stable: stable, Transport: trans, Timing: g.timing, Throttle: g.throttle, Returned: m.returned}
	for _, id := range g.voters {
		if id == m.id {
			rep.Voters = g.voters
		}
	}
	m.inj, m.reopen = vfs.NewInjector(m.rules...), make(chan error, 1)
	var err error
	r.Partition, err = Open(Config{
		Dir: "/p", FS: vfs.Inject(m.fs, m.inj), Topic: "t", Recovery: mode, Syncer: r.syncer, Replication: rep,
		Logger: g.logger(), Now: func() time.Time { return time.Now().Add(time.Duration(g.ahead.Load())) }, Settings: g.settings, Fatal: fatal,
		Reopen: func(err error) { m.reopen <- err }, Watchdog: g.watchdog, Damaged: m.bad, messageEntries: g.messageEntries,
	})
	if err != nil {
		r.syncer.Close()
		return errors.Join(err, m.net.Close())
	}
	m.rig = r
	return nil
}

func (g *group) logger() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// stop ends a node in order.
func (g *group) stop(m *member) {
	if m.rig == nil {
		return
	}
	if err := errors.Join(m.rig.stop(), m.net.Close()); err != nil {
		g.t.Errorf("node %d: %v", m.node, err)
	}
	m.rig = nil
}

// left waits until a replica has left its group by itself.
func (g *group) left(m *member) error {
	g.t.Helper()
	select {
	case err := <-m.reopen:
		return err
	case <-time.After(patience):
		g.t.Fatalf("node %d does not leave its group", m.node)
		return nil
	}
}

// openAgain is what a node does with a replica that has left its group, and reboot what an
// operator does with a node whose disk has failed.
func (g *group) openAgain(m *member) { g.reopenAs(m, log.RecoverProcessCrash) }

func (g *group) reboot(m *member) {
	m.fs = m.fs.CrashClone(vfs.CrashOptions{})
	g.reopenAs(m, log.RecoverPowerLoss)
}

func (g *group) reopenAs(m *member, mode log.RecoveryMode) {
	g.t.Helper()
	g.ended(m)
	g.start(m, mode)
}

// ended closes a replica that has left its group, or whose process ends.
func (g *group) ended(m *member) {
	g.t.Helper()
	if err := m.Abandon(); err != nil {
		g.t.Logf("node %d: %v", m.node, err)
	}
	<-m.Gone()
	m.syncer.Close()
	if err := m.net.Close(); err != nil {
		g.t.Error(err)
	}
	m.rig = nil
}

// crash ends a node as the death of its process or of its machine does.
func (g *group) crash(m *member, power bool) (mode log.RecoveryMode) {
	g.t.Helper()
	if err := m.net.Close(); err != nil { // nothing that happens from here on is heard by anybody
		g.t.Error(err)
	}
	left, mode := m.leaves(power, vfs.CrashOptions{})
	g.bury(m, left)
	return mode
}

// leaves is what a node finds that dies now, and starts again.
func (m *member) leaves(power bool, opts vfs.CrashOptions) (*vfs.Mem, log.RecoveryMode) {
	if power {
		return m.fs.CrashClone(opts), log.RecoverPowerLoss
	}
	return m.fs.ProcessCrashClone(), log.RecoverProcessCrash
}

// bury ends what is left of a node that has died, and puts in place what it finds when it starts again.
func (g *group) bury(m *member, left *vfs.Mem) {
	g.t.Helper()
	if err := errors.Join(m.rig.stop(), m.net.Close()); err != nil {
		g.t.Errorf("node %d: %v", m.node, err)
	}
	m.fs, m.rig = left, nil
}

// leader waits until a member serves as the leader.
func (g *group) leader() *member {
	g.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if g.meanwhile != nil {
			g.meanwhile()
		}
		var up *member
		for _, m := range g.nodes {
			if m.rig == nil {
				continue
			}
			if _, leading := m.Leading(); leading {
				return m
			}
			up = m
		}
		w := NewWaiter()
		up.Attach(w)
		select {
		case <-w.C():
		case <-time.After(10 * time.Millisecond): // another one may have become it
		}
		up.Detach(w)
	}
	g.t.Fatal("no leader")
	return nil
}

// put has a batch committed by whoever leads, sent again when leadership is lost, as
// a producer that is not idempotent does. It returns where.
func (g *group) put(b Batch) (offset int64) {
	g.t.Helper()
	data := bytes.Clone(b.Data)
	g.do(func(l *member) error {
		a := l.Propose(parsed(g.t, bytes.Clone(data)), AcksAll)
		err := await(g.t, a)
		offset = a.BaseOffset
		return err
	})
	return offset
}

// do has the leader do something, whoever that is by then: a busy machine may unseat one.
func (g *group) do(f func(l *member) error) {
	g.t.Helper()
	for range 100 {
		l := g.leader()
		w := NewWaiter()
		l.Attach(w)
		err := f(l)
		var deposed *NotLeaderError
		if err == nil {
			l.Detach(w)
			return
		}
		if !errors.As(err, &deposed) {
			g.t.Fatal(err)
		}
		select {
		case <-w.C():
		case <-time.After(50 * time.Millisecond): // heard of already
		}
		l.Detach(w)
	}
	g.t.Fatal("no leader keeps its leadership for long enough")
}

// settle waits until every member that is up has applied what the leader has, and carried
// it out.
func (g *group) settle() {
	g.t.Helper()
	l := g.leader()
	end, start := l.LogEndOffset(), l.LogStartOffset()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, m := range g.nodes {
		if m.rig == nil {
			continue
		}
		w := NewWaiter()
		m.Attach(w)
		for m.HighWatermark() < end || m.LogStartOffset() < start {
			select {
			case <-w.C():
			case <-ctx.Done():
				g.t.Fatalf("node %d stays at %d of %d, log end %d", m.node, m.HighWatermark(), end, m.LogEndOffset())
			}
		}
		m.Detach(w)
	}
}

// same checks that all members that are up hold the same records, whole logs included,
// and returns them.
func (g *group) same() []byte {
	g.t.Helper()
	g.settle()
	var want []byte
	var of *member
	for _, m := range g.nodes {
		if m.rig == nil {
			continue
		}
		_, got := readAll(g.t, m.Partition, m.LogStartOffset())
		if of == nil {
			want, of = got, m
		}
		if !bytes.Equal(got, want) {
			g.t.Fatalf("nodes %d and %d differ: %d bytes from %d and %d from %d", of.node, m.node,
				len(want), of.LogStartOffset(), len(got), m.LogStartOffset())
		}
		at := m.LastRaftIndex()
		err := verify(m.Partition)
		for err != nil && m.LastRaftIndex() != at { // a new leader's first entry came amid that
			g.settle()
			at = m.LastRaftIndex()
			err = verify(m.Partition)
		}
		if err != nil {
			g.t.Fatalf("node %d: %v", m.node, err)
		}
		select {
		case err := <-m.fatal:
			g.t.Fatalf("node %d: %v", m.node, err)
		default:
		}
	}
	return want
}

// TestReplicated: what is acknowledged is on every replica, the same, also after
// leaders die one after the other and come back.
func TestReplicated(t *testing.T) {
	g := newGroup(t, 3, 3, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	acked := records{}
	write := func(n int) {
		for range n {
			acked.put(g, makeBatch(t, rng, nobody, 1+rng.IntN(4)))
		}
	}
	write(30)
	for round := range 4 {
		l := g.leader()
		mode := g.crash(l, round%2 == 1)
		write(15)
		g.start(l, mode)
		write(10)
	}
	acked.areIn(t, g.same())
}

// records are batches that have been acknowledged, by offset, without their heads.
type records map[int64]string

func (r records) put(g *group, b Batch) {
	value := string(b.Data[61:])
	r[g.put(b)] = value
}

// areIn checks that all of them are among the batches.
func (r records) areIn(t testing.TB, all []byte) {
	t.Helper()
	found := 0
	for len(all) > 0 {
		b := parsed(t, all)
		if want, ok := r[b.Header.BaseOffset]; ok {
			if want != string(all[61:b.Header.SizeBytes()]) {
				t.Fatalf("the batch at %d is another one than was acknowledged", b.Header.BaseOffset)
			}
			found++
		}
		all = all[b.Header.SizeBytes():]
	}
	if found != len(r) {
		t.Errorf("of %d acknowledged batches, %d are there", len(r), found)
	}
}

// TestMinorityRefuses: a leader that has lost its followers acknowledges nothing, and
// says so when its lease has run out.
func TestMinorityRefuses(t *testing.T) {
	g := newGroup(t, 3, 3, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	g.put(makeBatch(t, rng, nobody, 1))
	l := g.leader()
	for _, m := range g.nodes {
		if m != l {
			g.crash(m, false)
		}
	}
	hw := l.HighWatermark()
	a := l.Propose(makeBatch(t, rng, nobody, 1), AcksAll)
	var deposed *NotLeaderError
	if err := await(t, a); !errors.As(err, &deposed) {
		t.Fatalf("a minority acknowledged: %v", err)
	}
	if l.HighWatermark() != hw {
		t.Errorf("the high watermark went from %d to %d", hw, l.HighWatermark())
	}
}

// TestAloneNoMore: the only voter commits by itself until another one is promoted, and again
// when that one is gone from the group.
func TestAloneNoMore(t *testing.T) {
	for _, caching := range []bool{false, true} {
		set := testSettings()
		set.WriteCaching = caching
		g := newGroup(t, 2, 1, set)
		rng := rand.New(rand.NewPCG(1, 1))
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		l, other := g.nodes[0], g.nodes[1]
		for range 20 {
			g.put(makeBatch(t, rng, nobody, 1))
		}
		g.start(other, log.RecoverClean)
		g.do(func(l *member) error { return l.AddLearner(ctx, other.id) })
		g.put(makeBatch(t, rng, nobody, 1))
		g.do(func(l *member) error { return l.Promote(ctx, other.id) })
		g.do(func(*member) error { return l.AwaitLeader(ctx) })
		for g.leader() != l {
			g.do(func(m *member) error { return m.Transfer(ctx, l.id) })
		}
		g.put(makeBatch(t, rng, nobody, 1))
		g.same()
		mode := g.crash(other, false)
		highWatermark := l.HighWatermark()
		var deposed *NotLeaderError
		if err := await(t, l.Propose(makeBatch(t, rng, nobody, 1), AcksAll)); !errors.As(err, &deposed) {
			t.Fatalf("one of two acknowledged: %v", err)
		}
		if got := l.HighWatermark(); got != highWatermark {
			t.Errorf("the high watermark went from %d to %d", highWatermark, got)
		}
		g.start(other, mode)
		for g.leader() != l {
			g.do(func(m *member) error { return m.Transfer(ctx, l.id) })
		}
		g.do(func(l *member) error { return l.Remove(ctx, other.id) })
		g.stop(other)
		for range 20 {
			g.put(makeBatch(t, rng, nobody, 1))
		}
		g.same()
		g.stop(l)
	}
}

// TestReplicaBehindTheStart (TR-4): a replica that is new, or was away until retention
// had passed it, gets all records from the log start on, and the same bytes.
func TestReplicaBehindTheStart(t *testing.T) {
	g := newGroup(t, 4, 3, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		g.put(makeBatch(t, rng, nobody, 3))
	}
	g.settle()
	l := g.leader()
	var away *member
	for _, m := range g.nodes[:3] {
		if m != l {
			away = m
			break
		}
	}
	mode := g.crash(away, false)
	for i := range 60 {
		g.put(makeBatch(t, rng, identity{id: 5, sequence: int32(i)}, 1))
		g.put(makeBatch(t, rng, nobody, 3))
	}
	g.do(func(l *member) error { _, err := l.DeleteRecords(context.Background(), 200); return err })
	g.forgets(g.leader(), 50)
	g.start(away, mode)
	g.start(g.nodes[3], log.RecoverClean)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g.do(func(l *member) error { return l.AddLearner(ctx, g.nodes[3].id) })
	g.put(makeBatch(t, rng, nobody, 3))
	g.settle()
	for _, m := range g.nodes {
		if start := m.LogStartOffset(); start != 200 {
			t.Errorf("node %d begins at %d, want 200", m.node, start)
		}
	}
	g.same()
	// Whoever leads next knows the producer.
	g.do(func(l *member) error { return l.Promote(ctx, g.nodes[3].id) })
	g.settle()
	g.do(func(l *member) error { return l.Transfer(ctx, g.nodes[3].id) })
	n := g.leader()
	if n != g.nodes[3] {
		t.Fatalf("node %d leads after the transfer", n.node)
	}
	var gap *SequenceError
	if err := await(t, n.Propose(makeBatch(t, rng, identity{id: 5, sequence: 61}, 1), AcksAll)); !errors.As(err, &gap) {
		t.Errorf("a gap of a producer: %v", err)
	}
	if err := await(t, n.Propose(makeBatch(t, rng, identity{id: 5, sequence: 60}, 1), AcksAll)); err != nil {
		t.Errorf("the next batch of a producer: %v", err)
	}
	g.same()
}

// TestDivergentTail (TR-5): what a leader wrote alone is cut off again when it comes
// back, and it takes part as before.
func TestDivergentTail(t *testing.T) {
	g := newGroup(t, 3, 3, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	for range 10 {
		g.put(makeBatch(t, rng, nobody, 2))
	}
	g.settle()
	old := g.leader()
	var modes [3]log.RecoveryMode
	for i, m := range g.nodes {
		if m != old {
			modes[i] = g.crash(m, false)
		}
	}
	for i := range 300 { // more than one message to a follower has
		if err := old.put(makeBatch(t, rng, nobody, 1), AcksLeader).refused(); err != nil {
			if i < 10 {
				t.Fatalf("only %d batches were written: %v", i, err)
			}
			break
		}
	}
	end := old.LogEndOffset()
	mode := g.crash(old, false)
	for i, m := range g.nodes {
		if m != old {
			g.start(m, modes[i])
		}
	}
	for range 5 {
		g.put(makeBatch(t, rng, nobody, 1))
	}
	g.start(old, mode)
	g.put(makeBatch(t, rng, nobody, 1))
	g.same()
	if got := old.LogEndOffset(); got != 26 {
		t.Errorf("the log ends at %d (%d before), want 26", got, end)
	}
}

// TestRetryAcrossLeaders: a batch of an idempotent producer that is sent again to the
// next leader is found to be there, or is written once.
func TestRetryAcrossLeaders(t *testing.T) {
	g := newGroup(t, 3, 3, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	who := identity{id: 9}
	for round := range 6 {
		b := makeBatch(t, rng, who, 2)
		data := bytes.Clone(b.Data)
		l := g.leader()
		a := l.Propose(b, AcksAll)
		if round%2 == 0 {
			var deposed *NotLeaderError // which a busy machine may bring about
			if err := await(t, a); err != nil && !errors.As(err, &deposed) {
				t.Fatal(err)
			}
		}
		mode := g.crash(l, false)
		offset := g.put(parsed(t, data))
		if want := int64(who.sequence); offset != want {
			t.Fatalf("round %d: the retry lies at %d, want %d", round, offset, want)
		}
		g.start(l, mode)
		who.sequence += 2
	}
	g.same()
}

// TestFollowerCompares: a follower that is sent a batch with another place in the log than its own log has
// for it takes it not, and ends its process rather than to hide that the two differ.
func TestFollowerCompares(t *testing.T) {
	g := newGroup(t, 3, 3, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	g.put(makeBatch(t, rng, nobody, 2))
	g.settle()
	f, before := g.follower(), int64(2)
	alter := func(to raft.ServerID, entries []*raft.Log) {
		for _, e := range entries {
			if h, err := recordbatch.ParseHeader(e.Data); to == f.id && e.Type == raft.LogCommand && err == nil {
				e.Data = bytes.Clone(e.Data)
				recordbatch.SetBaseOffset(e.Data, h.BaseOffset+1)
			}
		}
	}
	for _, m := range g.nodes {
		m.alter.Store(&alter)
	}
	g.put(makeBatch(t, rng, nobody, 1))
	w := NewWaiter()
	f.Attach(w)
	defer f.Detach(w)
	for waits := true; waits; {
		select {
		case err := <-f.fatal:
			var diverged *log.DivergedError
			if waits = false; !errors.As(err, &diverged) || diverged.GotOffset != before+1 || diverged.WantOffset != before {
				t.Errorf("the process ends with %v", err)
			}
		case <-w.C():
			if f.HighWatermark() > before {
				t.Fatalf("it took a batch with another offset, and shows records up to %d", f.HighWatermark())
			}
		case <-time.After(patience):
			t.Fatal("the process goes on")
		}
	}
	for _, m := range g.nodes {
		m.alter.Store(nil)
	}
	g.openAgain(f)
	g.put(makeBatch(t, rng, nobody, 1))
	g.same()
}

// TestWaitGivesBytesBack: a producer whose time is up may use its buffer again, and
// what is committed is what it sent.
func TestWaitGivesBytesBack(t *testing.T) {
	inj, gate := vfs.NewInjector(), vfs.NewGate()
	r := open(t, vfs.Inject(vfs.NewMem(), inj), log.RecoverClean, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Gate: gate})
	first := r.Propose(makeBatch(t, rng, nobody, 1), AcksAll)
	<-gate.Entered() // the main loop hangs
	b := makeBatch(t, rng, nobody, 1)
	want := bytes.Clone(b.Data[61:])
	late := r.Propose(b, AcksAll)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := late.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	clear(b.Data)
	gate.Open()
	if err := errors.Join(await(t, first), await(t, late)); err != nil {
		t.Fatal(err)
	}
	if _, all := readAll(t, r.Partition, late.BaseOffset); !bytes.Equal(all[61:], want) {
		t.Error("what is committed is not what was sent")
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// machine keeps what was applied.
type machine struct {
	mu      sync.Mutex
	applied [][]byte
}

func (m *machine) Apply(l *raft.Log) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.applied = append(m.applied, bytes.Clone(l.Data))
	return nil
}

func (m *machine) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("none") }
func (m *machine) Restore(r io.ReadCloser) error       { return r.Close() }

// commands is what has been applied so far.
func (m *machine) commands() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.applied)
}

func (m *machine) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.applied)
}

// copyingStore keeps nothing of a receive buffer, as the transport asks of every LogStore.
type copyingStore struct{ *raft.InmemStore }

func (s copyingStore) StoreLogs(logs []*raft.Log) error {
	own := make([]*raft.Log, len(logs))
	for i, l := range logs {
		c := *l
		c.Data, c.Extensions = bytes.Clone(l.Data), bytes.Clone(l.Extensions)
		own[i] = &c
	}
	return s.InmemStore.StoreLogs(own)
}

func (s copyingStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// replica is one node with one group's raft.
type replica struct {
	net   *network
	tr    *Transport
	raft  *raft.Raft
	fsm   *machine
	store copyingStore
}

func (r *replica) shutdown(t testing.TB) {
	t.Helper()
	if err := r.raft.Shutdown().Error(); err != nil {
		t.Error(err)
	}
	if err := r.tr.Close(); err != nil {
		t.Error(err)
	}
}

// startReplicas makes a group of three.
func startReplicas(t testing.TB, n *network) []*replica {
	t.Helper()
	return startReplicasOver(t, n, func(g *Group) raft.Transport { return g })
}

// startReplicasOver has each replica's raft use what over makes of its handle.
func startReplicasOver(t testing.TB, n *network, over func(*Group) raft.Transport) []*replica {
	t.Helper()
	var servers []raft.Server
	replicas := make([]*replica, 3)
	for i := range replicas {
		tr := n.open(int32(i+1), func(c *Config) { c.HeartbeatInterval = 5 * time.Millisecond; c.BackoffMax = 50 * time.Millisecond })
		replicas[i] = &replica{net: n, tr: tr, fsm: &machine{}, store: copyingStore{raft.NewInmemStore()}}
		servers = append(servers, raft.Server{ID: raft.ServerID(tr.address), Address: tr.address})
	}
	for _, r := range replicas {
		g := openGroup(t, r.tr, groupA)
		cfg := raft.DefaultConfig()
		cfg.LocalID = raft.ServerID(r.tr.address)
		cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout, cfg.CommitTimeout = 400*time.Millisecond, 400*time.Millisecond, 300*time.Millisecond, 20*time.Millisecond
		cfg.MaxAppendEntries = 256
		cfg.Logger = hclog.NewNullLogger()
		cfg.NoLegacyTelemetry = true
		snapshots := raft.NewInmemSnapshotStore()
		if err := raft.BootstrapCluster(cfg, r.store, r.store, snapshots, g, raft.Configuration{Servers: servers}); err != nil {
			t.Fatal(err)
		}
		var err error
		if r.raft, err = raft.NewRaft(cfg, r.fsm, r.store, r.store, snapshots, over(g)); err != nil {
			t.Fatal(err)
		}
		g.SetTerm(r.raft.CurrentTerm)
		t.Cleanup(func() { r.raft.Shutdown().Error() })
	}
	return replicas
}

// leader is the one that all who are asked agree on, with the highest term.
func leader(t testing.TB, replicas ...*replica) *replica {
	t.Helper()
	var found *replica
	defer func() {
		if t.Failed() {
			for _, r := range replicas {
				t.Logf("node %d: %v", r.tr.self.node, r.raft.Stats())
			}
		}
	}()
	eventually(t, "a leader", func() bool {
		found = nil
		replicas[0].net.enforce()
		for _, r := range replicas {
			if r.raft.State() == raft.Leader && (found == nil || r.raft.CurrentTerm() > found.raft.CurrentTerm()) {
				found = r
			}
		}
		return found != nil && found.raft.VerifyLeader().Error() == nil
	})
	return found
}

func without(all []*replica, one *replica) []*replica {
	return slices.DeleteFunc(slices.Clone(all), func(r *replica) bool { return r == one })
}

// applyAll proposes count commands to the leader among the replicas, begun together, and waits for all. On a
// busy machine it may stop to lead meanwhile; then the next one gets them all again.
func applyAll(t testing.TB, from, count int, replicas ...*replica) *replica {
	t.Helper()
	deadline := time.Now().Add(long)
	for {
		r := leader(t, replicas...)
		futures := make([]raft.ApplyFuture, count)
		for i := range futures {
			futures[i] = r.raft.Apply(binary.BigEndian.AppendUint64(bytes.Repeat([]byte{byte(i)}, 100), uint64(from+i)), 0)
		}
		var failed error
		for _, f := range futures {
			failed = errors.Join(failed, f.Error())
		}
		if failed == nil {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatal(failed)
		}
	}
}

// same checks that the replicas' logs and states are equal.
func same(t testing.TB, replicas ...*replica) {
	t.Helper()
	eventually(t, "equal logs", func() bool {
		last, count := replicas[0].raft.LastIndex(), replicas[0].fsm.count()
		for _, r := range replicas {
			if r.raft.LastIndex() != last || r.raft.AppliedIndex() != last || r.fsm.count() != count {
				return false
			}
		}
		return true
	})
	for index := uint64(1); index <= replicas[0].raft.LastIndex(); index++ {
		var first raft.Log
		for i, r := range replicas {
			var l raft.Log
			if err := r.store.GetLog(index, &l); err != nil {
				t.Fatalf("entry %d: %v", index, err)
			}
			if i == 0 {
				first = l
			} else if l.Term != first.Term || l.Type != first.Type || !bytes.Equal(l.Data, first.Data) {
				t.Fatalf("entry %d differs: term %d and %d, types %v and %v", index, l.Term, first.Term, l.Type, first.Type)
			}
		}
	}
	first := replicas[0].fsm.commands()
	for _, r := range replicas[1:] {
		for i, b := range r.fsm.commands() {
			if i < len(first) && !bytes.Equal(b, first[i]) {
				t.Fatalf("command %d was applied differently", i)
			}
		}
	}
}

// Three nodes elect, apply, lose their leader, elect and apply again, and never differ.
func TestRaftGroup(t *testing.T) {
	if _, ok := any(&Group{}).(raft.WithPreVote); !ok {
		t.Fatal("pre-votes are off")
	}
	all := startReplicas(t, newNetwork(t))
	first := applyAll(t, 0, 1000, all...)
	same(t, all...)
	rest := without(all, first)
	first.shutdown(t)
	second := applyAll(t, 1000, 200, rest...)
	same(t, rest...)
	seen := map[uint64]bool{}
	for _, c := range second.fsm.commands() {
		seen[binary.BigEndian.Uint64(c[100:])] = true
	}
	if len(seen) != 1200 {
		t.Errorf("%d commands applied, want 1200", len(seen))
	}
	if s := all[0].tr.Stats().HeartbeatsConfirmed + all[1].tr.Stats().HeartbeatsConfirmed + all[2].tr.Stats().HeartbeatsConfirmed; s == 0 {
		t.Error("no heartbeat was confirmed")
	}
}

// Leadership moves when it is asked to.
func TestRaftTransfer(t *testing.T) {
	all := startReplicas(t, newNetwork(t))
	first := applyAll(t, 0, 10, all...)
	if err := first.raft.LeadershipTransfer().Error(); err != nil {
		t.Fatal(err)
	}
	leader(t, without(all, first)...)
	applyAll(t, 10, 10, all...)
	same(t, all...)
}

// TR-1, small: a leader is cut off with appends under way, another is elected and appends, and the old one,
// still busy with its own, hears of it. Afterwards the logs are equal, entry by entry.
func TestHealedLeader(t *testing.T) {
	repeats := 20
	if testing.Short() {
		repeats = 3
	}
	n := newNetwork(t)
	all := startReplicas(t, n)
	for round := range repeats {
		old := applyAll(t, 0, 20, all...)
		n.isolate(old.tr.self.node, true)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for w := range 3 { // queued for nobody, until it steps down; many end in its log only
			wg.Go(func() {
				tick := time.NewTicker(2 * time.Millisecond)
				defer tick.Stop()
				for i := 0; ; i++ {
					old.raft.Apply(fmt.Appendf(nil, "lost %d %d %d", round, w, i), 0)
					select {
					case <-stop:
						return
					case <-tick.C:
					}
				}
			})
		}
		rest := without(all, old)
		applyAll(t, 0, 20, rest...)
		n.isolate(old.tr.self.node, false)
		applyAll(t, 0, 5, all...)
		close(stop)
		wg.Wait()
		same(t, all...)
	}
}

// filter is a handle some of whose requests are lost on their way.
type filter struct {
	*Group
	loses func(from, to raft.ServerAddress, heartbeat bool) bool
}

var errFiltered = errors.New("lost by the test")

func (f filter) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if f.loses(f.LocalAddr(), target, isHeartbeat(args)) {
		return errFiltered
	}
	return f.Group.AppendEntries(id, target, args, resp)
}

func (f filter) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if f.loses(f.LocalAddr(), target, false) {
		return errFiltered
	}
	return f.Group.RequestVote(id, target, args, resp)
}

// TR-1: the first that a leader hears of the next one is a heartbeat, while it waits for commands. It leads
// no more before it is in the next one's term: no entry of its own is ever stamped with that.
func TestHeartbeatOfTheNextLeader(t *testing.T) {
	const rounds = 3
	n := newNetwork(t)
	var deaf atomic.Pointer[raft.ServerAddress] // hears of others, and they of it, by heartbeats only
	all := startReplicasOver(t, n, func(g *Group) raft.Transport {
		return filter{g, func(from, to raft.ServerAddress, heartbeat bool) bool {
			a := deaf.Load()
			return a != nil && !heartbeat && (*a == from || *a == to)
		}}
	})
	seen := 0
	for round := range rounds {
		old := applyAll(t, round, 1, all...)
		same(t, all...)
		term := old.raft.CurrentTerm()
		next := without(all, old)[0]
		deaf.Store(&old.tr.address)
		told := raft.TimeoutNowRequest{RPCHeader: header(old.tr)}
		if err := old.tr.group(groupA).TimeoutNow(raft.ServerID(next.tr.address), next.tr.address, &told, new(raft.TimeoutNowResponse)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the next leader has been heard of, or the old one has given up", func() bool {
			return old.raft.CurrentTerm() > term || old.raft.State() != raft.Leader
		})
		if old.raft.CurrentTerm() > term {
			seen++
		}
		old.raft.Apply([]byte("of the old leader"), 0) // most likely refused
		eventually(t, "the old leader has stepped down", func() bool { return old.raft.State() != raft.Leader })
		deaf.Store(nil)
		applyAll(t, round, 1, all...)
		same(t, all...)
	}
	if seen == 0 {
		t.Error("the old leader's lease was over first each time: the test shows nothing")
	}
}

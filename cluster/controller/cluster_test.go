package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/metadata"
)

// simpleTransport is the library's in-memory transport without what ours does not have.
type simpleTransport struct{ *raft.InmemTransport }

func (simpleTransport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// testCluster is several controllers in one process and one synctest bubble: files are real, time
// is not.
type testCluster struct {
	t      *testing.T
	dir    string
	change func(*Config) // of every member's configuration

	mu      sync.Mutex // guards all below
	members map[int32]*testMember
	random  *rand.Rand // nil: calls do not fail
}

type testMember struct {
	*Controller
	link simpleTransport
	cut  bool // reaches nobody and is reached by nobody
}

func inBubble(t *testing.T, test func(t *testing.T, k *testCluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &testCluster{t: t, dir: t.TempDir(), members: map[int32]*testMember{}}
		defer k.closeAll()
		test(t, k)
	})
}

func (k *testCluster) closeAll() {
	for _, m := range k.all() {
		if err := m.Close(); err != nil {
			k.t.Error(err)
		}
	}
	time.Sleep(2 * time.Minute) // calls to those that are gone run out, in the bubble's time
}

func (k *testCluster) all() (out []*testMember) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := int32(1); id <= 9; id++ {
		if m := k.members[id]; m != nil {
			out = append(out, m)
		}
	}
	return out
}

func (k *testCluster) member(id int32) *testMember {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.members[id]
}

// start opens the member with that directory; the first incarnation of broker 1 begins the cluster.
func (k *testCluster) start(id int32, incarnation byte) *testMember {
	k.t.Helper()
	config := Config{
		Dir: filepath.Join(k.dir, fmt.Sprint(id, "-", incarnation), "controller"), NodeID: id, Directory: [16]byte{byte(id), incarnation},
		New: true, Bootstrap: id == 1 && incarnation == 1,
	}
	_, link := raft.NewInmemTransport(raft.ServerAddress(config.serverID()))
	m := &testMember{link: simpleTransport{link}}
	config.Transport = m.link
	config.Forward = func(ctx context.Context, node int32, request []byte) ([]byte, error) {
		return k.call(m, node, func(to *testMember) ([]byte, error) { return to.HandleForward(ctx, id, request) })
	}
	config.Heartbeat = func(ctx context.Context, node int32, request []byte) ([]byte, error) {
		return k.call(m, node, func(to *testMember) ([]byte, error) { return to.HandleHeartbeat(ctx, id, request) })
	}
	if k.change != nil {
		k.change(&config)
	}
	c, err := Open(context.Background(), config)
	if err != nil {
		k.t.Fatal(err)
	}
	m.Controller = c
	k.mu.Lock()
	defer k.mu.Unlock()
	k.members[id] = m
	k.wire()
	return m
}

// wire connects all that are not cut off. It is called with mu held.
func (k *testCluster) wire() {
	for _, a := range k.members {
		a.link.DisconnectAll()
		for _, b := range k.members {
			if a != b && !a.cut && !b.cut {
				a.link.Connect(b.link.LocalAddr(), b.link.InmemTransport)
			}
		}
	}
}

func (k *testCluster) setCut(id int32, cut bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if m := k.members[id]; m != nil {
		m.cut = cut
		k.wire()
	}
}

func (k *testCluster) stop(id int32) {
	k.t.Helper()
	m := k.member(id)
	if err := m.Close(); err != nil {
		k.t.Fatal(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.members, id)
	k.wire()
}

// call carries a call between two members. It is lost where the dice say so, on either way.
func (k *testCluster) call(from *testMember, node int32, handle func(to *testMember) ([]byte, error)) ([]byte, error) {
	k.mu.Lock()
	to := k.members[node]
	lost := to == nil || from.cut || to.cut
	lostAnswer := k.random != nil && k.random.IntN(10) == 0
	k.mu.Unlock()
	if lost {
		return nil, fmt.Errorf("no way to %d: %w", node, ErrNotSent)
	}
	answer, err := handle(to)
	if lostAnswer {
		return nil, errors.New("the answer is lost")
	}
	return answer, err
}

// join registers a member by any of the others and waits until it knows.
func (k *testCluster) join(m *testMember) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := m.Register(ctx, registration(m), k.seeds(m)...); err != nil {
		k.t.Fatal(err)
	}
	if err := m.AwaitReady(ctx); err != nil {
		k.t.Fatal(err)
	}
}

func registration(m *testMember) metadata.RegisterBroker {
	id := m.config.NodeID
	return metadata.RegisterBroker{ID: id, Directory: m.config.Directory, Internal: fmt.Sprintf("b%d:9093", id),
		Endpoints: []metadata.Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 1}}}
}

func (k *testCluster) seeds(m *testMember) (seeds []Seed) {
	for _, other := range k.all() {
		if other != m {
			node := other.config.NodeID
			seeds = append(seeds, func(ctx context.Context, request []byte) ([]byte, error) {
				return m.config.Forward(ctx, node, request)
			})
		}
	}
	return seeds
}

// grow starts members 1 to n and waits until as many of them vote as should, and all of them know it: one
// that has not heard yet that it votes would stand for no election when the leader goes.
func (k *testCluster) grow(n int32) {
	k.t.Helper()
	for id := int32(1); id <= n; id++ {
		k.join(k.start(id, 1))
	}
	k.until("the voters are complete", func() bool {
		for _, m := range k.all() {
			if voters(m) != min(int(n-1)|1, maxVoters) {
				return false
			}
		}
		return true
	})
}

// until waits in the bubble's time.
func (k *testCluster) until(what string, condition func() bool) {
	k.t.Helper()
	for range 6000 {
		if condition() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, m := range k.all() {
		k.t.Logf("%d: %+v, image at %d", m.config.NodeID, m.Status(), m.Image().Index())
	}
	k.t.Fatalf("in two minutes not: %s", what)
}

// leader returns the member that leads and can, nil when there is none.
func (k *testCluster) leader() *testMember {
	for _, m := range k.all() {
		if m.leads() && !m.cut {
			return m
		}
	}
	return nil
}

// voters is how many vote as far as m knows, 0 when it is nil.
func voters(m *testMember) (n int) {
	if m == nil {
		return 0
	}
	for _, member := range m.Status().Members {
		if member.Voter {
			n++
		}
	}
	return n
}

func (k *testCluster) follower() *testMember {
	for _, m := range k.all() {
		if m != k.leader() {
			return m
		}
	}
	return nil
}

// settle waits until all members have the same image, and compares the bytes.
func (k *testCluster) settle() {
	k.t.Helper()
	k.until("all images are at one index", func() bool {
		leader := k.leader()
		for _, m := range k.all() {
			if leader == nil || m.Image().Index() != leader.Image().Index() {
				return false
			}
		}
		return true
	})
	members := k.all()
	for _, m := range members[1:] {
		if !bytes.Equal(m.Image().Encode(), members[0].Image().Encode()) {
			k.t.Fatalf("images of %d and %d differ", m.config.NodeID, members[0].config.NodeID)
		}
	}
}

func TestThreeJoinAndTheLeaderStops(t *testing.T) {
	inBubble(t, func(t *testing.T, k *testCluster) {
		k.grow(3)
		createTopics(t, k.follower().Controller, 0, 5)
		createTopics(t, k.leader().Controller, 5, 6)
		k.settle()
		old := k.leader().config.NodeID
		before := time.Now()
		k.stop(old)
		createTopics(t, k.all()[0].Controller, 6, 10)
		createTopics(t, k.all()[1].Controller, 10, 12)
		if took := time.Since(before); took > time.Second {
			t.Errorf("a leader that hands over was missed for %v", took)
		}
		m := k.start(old, 1)
		k.join(m) // registers by the leader that the others know
		createTopics(t, m.Controller, 12, 13)
		k.settle()
		if n := len(m.Image().Topics()); n != 13 {
			t.Fatalf("%d topics", n)
		}
	})
}

func TestLeaderIsCutOff(t *testing.T) {
	inBubble(t, func(t *testing.T, k *testCluster) {
		k.grow(3)
		old := k.leader()
		k.setCut(old.config.NodeID, true)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		// A proposal to the one that is cut off may have been written to its log.
		_, err := old.Propose(ctx, topicCommand(0))
		var unknown *UnknownOutcomeError
		if !errors.As(err, &unknown) {
			t.Fatal(err)
		}
		// One that begins when it has noticed waits for a leader, and nothing happens.
		k.until("it has noticed", func() bool { _, known := old.Leader(); return !known })
		short, end := context.WithTimeout(ctx, time.Second)
		_, err = old.Propose(short, topicCommand(1))
		end()
		var notLeader *NotLeaderError
		if !errors.As(err, &notLeader) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		k.until("another leads", func() bool { return k.leader() != nil })
		createTopics(t, k.leader().Controller, 2, 4)
		k.setCut(old.config.NodeID, false)
		createTopics(t, old.Controller, 4, 5)
		k.settle()
		if _, ok := old.Image().Topic("topic-1"); ok {
			t.Fatal("what did not happen happened")
		}
	})
}

func TestVotersAreOdd(t *testing.T) {
	inBubble(t, func(t *testing.T, k *testCluster) {
		for id, want := range []int{1: 1, 2: 1, 3: 3, 4: 3, 5: 5, 6: 5} {
			if want == 0 {
				continue
			}
			k.join(k.start(int32(id), 1))
			time.Sleep(5 * time.Second) // more than it needs, of the bubble's time
			if got := voters(k.leader()); got != want {
				t.Fatalf("%d brokers: %d voters, want %d", id, got, want)
			}
		}
		createTopics(t, k.member(6).Controller, 0, 1) // a follower that does not vote
		k.settle()
	})
}

func TestLateJoinerGetsASnapshot(t *testing.T) {
	inBubble(t, func(t *testing.T, k *testCluster) {
		k.change = func(c *Config) { c.SnapshotThreshold, c.TrailingEntries = 8, 2 }
		k.grow(3)
		createTopics(t, k.leader().Controller, 0, 40)
		k.settle()
		for _, m := range k.all() {
			if err := m.Snapshot(); err != nil {
				t.Fatal(err)
			}
		}
		m := k.start(4, 1)
		k.join(m)
		createTopics(t, m.Controller, 40, 42)
		k.settle()
		if m.waiting.skippedTo() == 0 {
			t.Fatal("no snapshot was installed")
		}
		k.stop(4) // and it can be opened again
		k.join(k.start(4, 1))
		k.settle()
	})
}

// A proposal that is committed while this broker is far behind, and which it then gets in a
// snapshot, has an unknown outcome.
func TestProposalInASnapshot(t *testing.T) {
	inBubble(t, func(t *testing.T, k *testCluster) {
		k.grow(1)
		c := k.member(1)
		id := c.nextID()
		result := c.waiting.add(id)
		c.waiting.skip(7)
		_, err := c.awaitApplied(t.Context(), result, 7)
		if !errors.Is(err, ErrSkipped) {
			t.Fatal(err)
		}
		c.waiting.deliver(id, applied{result: "before the snapshot"})
		if r, err := c.awaitApplied(t.Context(), result, 7); err != nil || r != "before the snapshot" {
			t.Fatal(r, err)
		}
	})
}

func TestWipedBrokerComesBackAsAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, k *testCluster) {
		k.grow(3)
		k.stop(2)
		m := k.start(2, 2)
		began := time.Now()
		k.join(m) // waits until the old one is fenced
		if waited := time.Since(began); waited < 5*time.Second {
			t.Fatalf("it took the id over after %v", waited)
		}
		k.until("it votes", func() bool {
			leader := k.leader()
			if leader == nil {
				return false
			}
			members := leader.raft.GetConfiguration().Configuration().Servers
			old, now := ServerID(2, [16]byte{2, 1}), ServerID(2, [16]byte{2, 2})
			return !hasServer(members, old) && hasServer(members, now) && voters(k.leader()) == 3
		})
		createTopics(t, m.Controller, 0, 3)
		k.settle()
	})
}

func TestUnregisteredBrokerLeavesTheGroup(t *testing.T) {
	inBubble(t, func(t *testing.T, k *testCluster) {
		k.grow(4)
		gone := k.leader() // the leader hands over before it is removed
		propose(t, k.follower().Controller, metadata.UnregisterBroker{ID: gone.config.NodeID})
		k.until("it is no member", func() bool {
			leader := k.leader()
			return leader != nil && leader != gone && len(leader.Status().Members) == 3 && voters(k.leader()) == 3
		})
		k.stop(gone.config.NodeID)
		propose(t, k.follower().Controller, metadata.SetBrokerConfigs{Broker: metadata.AllBrokers, Expected: metadata.AnyIndex})
		k.settle()
	})
}

func TestSilentBrokersAreFencedTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, k *testCluster) {
		k.grow(5)
		leader := k.leader()
		createTopics(t, leader.Controller, 0, 1) // changes of the group's members have taken indexes
		var silent []int32
		for _, m := range k.all() {
			if m != leader && len(silent) < 2 {
				silent = append(silent, m.config.NodeID)
				k.setCut(m.config.NodeID, true)
			}
		}
		began, index := time.Now(), leader.Image().Index()
		fenced := func(want bool) func() bool {
			return func() bool {
				a, _ := leader.Image().Broker(silent[0])
				b, _ := leader.Image().Broker(silent[1])
				return a.Fenced == want && b.Fenced == want
			}
		}
		k.until("both are fenced", fenced(true))
		if took := time.Since(began); took < 5*time.Second || took > 8*time.Second {
			t.Fatalf("fenced after %v", took)
		}
		if leader.Image().Index()-index != 1 {
			t.Fatalf("%d commands fenced two brokers", leader.Image().Index()-index)
		}
		for _, id := range silent {
			k.setCut(id, false)
		}
		k.until("both are back", fenced(false))
		k.settle()
	})
}

// A leader that is cut off hears nobody, and must not fence the majority that goes on without it.
func TestNobodyIsFencedByAStaleLeader(t *testing.T) {
	inBubble(t, func(t *testing.T, k *testCluster) {
		k.change = func(c *Config) { c.SessionTimeout = 1200 * time.Millisecond }
		k.grow(3)
		old := k.leader()
		k.setCut(old.config.NodeID, true)
		k.until("another leads, and fences the old one only", func() bool {
			leader := k.leader()
			if leader == nil || leader == old {
				return false
			}
			b, _ := leader.Image().Broker(old.config.NodeID)
			return b.Fenced
		})
		k.setCut(old.config.NodeID, false)
		k.until("it is unfenced", func() bool { b, _ := old.Image().Broker(old.config.NodeID); return !b.Fenced })
		k.settle()
		if n := len(old.Image().UsableBrokers()); n != 3 {
			t.Fatalf("%d usable brokers", n)
		}
	})
}

func TestTransferIsTriedOncePerTerm(t *testing.T) {
	inBubble(t, func(t *testing.T, k *testCluster) {
		k.grow(3)
		old := k.leader()
		if err := old.TransferLeadership(t.Context()); err != nil {
			t.Fatal(err)
		}
		k.until("another leads", func() bool { l := k.leader(); return l != nil && l != old })
		var notLeader *NotLeaderError
		if err := old.TransferLeadership(t.Context()); !errors.As(err, &notLeader) {
			t.Fatal(err)
		}
		leader := k.leader()
		leader.mu.Lock()
		leader.transferTerm = leader.raft.CurrentTerm()
		leader.mu.Unlock()
		if err := leader.TransferLeadership(t.Context()); !errors.Is(err, ErrNoSuccessor) {
			t.Fatal(err)
		}
		s := leader.Status()
		if !s.Known || s.Leader != leader.config.NodeID || len(s.Members) != 3 || s.Term == 0 {
			t.Fatalf("%+v", s)
		}
		createTopics(t, leader.Controller, 0, 1)
		k.until("the leader knows how far the others are", func() bool {
			for _, m := range leader.Status().Members {
				if m.LastIndex < leader.Image().Index() || m.LastContact.IsZero() {
					return false
				}
			}
			return true
		})
	})
}

func TestRegistrationIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, k *testCluster) {
		k.grow(3)
		m := k.start(4, 1)
		bad := registration(m)
		bad.Endpoints = nil
		var refused *JoinRefusedError
		if err := m.Register(t.Context(), bad, k.seeds(m)...); !errors.As(err, &refused) || refused.Taken {
			t.Fatal(err)
		}
		if err := k.member(2).Register(t.Context(), bad); !errors.As(err, &refused) {
			t.Fatal(err)
		}
		taken := registration(m)
		taken.ID = 3
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := m.Register(ctx, taken, k.seeds(m)...); !errors.As(err, &refused) || !refused.Taken {
			t.Fatal(err)
		}
		if _, err := m.HandleForward(t.Context(), 1, nil); err == nil {
			t.Fatal("an empty request was taken")
		}
		b, err := k.leader().HandleForward(t.Context(), 4, encodeRequest([]byte{99}))
		var malformed *MalformedError
		if _, refusal := decodeAnswer(b); err != nil || !errors.As(refusal, &malformed) {
			t.Fatal(err, refusal)
		}
	})
}

func encodeRequest(entry []byte) []byte { return append([]byte{forwardVersion, 0}, entry...) }

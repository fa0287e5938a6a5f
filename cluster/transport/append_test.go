//lint:file-ignore SA1019 the library still fills in, and reads, the fields it calls deprecated

package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// What arrives is what was sent, to the byte and the field.
func TestAppendEntries(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1), n.open(2)
	ga, gb := openGroup(t, a, groupA), openGroup(t, b, groupA)
	random := rand.NewChaCha8([32]byte{1})
	data := make([][]byte, 0, 70)
	for range 63 {
		d := make([]byte, 1<<20)
		random.Read(d)
		data = append(data, d)
	}
	rest := make([]byte, 1<<20-7)
	random.Read(rest)
	data = append(data, nil, rest, []byte("7 bytes"))
	sent := entries(a, data...) // 64 MiB
	sent.PrevLogEntry, sent.PrevLogTerm, sent.LeaderCommitIndex = 0, 5, 6
	sent.Entries[0].Extensions = []byte("extensions")
	same := make(chan error, 1)
	consume(t, gb, func(rpc raft.RPC) (any, error) {
		r := rpc.Command.(*raft.AppendEntriesRequest)
		same <- equalRequests(r, sent)
		return &raft.AppendEntriesResponse{RPCHeader: header(b), Term: 9, LastLog: 8, Success: true, NoRetryBackoff: true}, nil
	})
	resp := mustAppend(t, ga, b, sent)
	if err := receive(t, "the request", same); err != nil {
		t.Error(err)
	}
	if resp.Term != 9 || resp.LastLog != 8 || !resp.Success || !resp.NoRetryBackoff || string(resp.ID) != string(b.address) {
		t.Errorf("answer %+v", resp)
	}
	if b.received.Load() != 0 || gb.held.Load() != 0 {
		t.Errorf("%d bytes are still held", b.received.Load())
	}
}

func equalRequests(got, want *raft.AppendEntriesRequest) error {
	if got.Term != want.Term || got.PrevLogEntry != want.PrevLogEntry || got.PrevLogTerm != want.PrevLogTerm || got.LeaderCommitIndex != want.LeaderCommitIndex ||
		!bytes.Equal(got.Leader, want.Leader) || !bytes.Equal(got.ID, want.ID) || !bytes.Equal(got.Addr, want.Addr) || got.ProtocolVersion != want.ProtocolVersion {
		return fmt.Errorf("header %+v", got)
	}
	if len(got.Entries) != len(want.Entries) {
		return fmt.Errorf("%d entries, want %d", len(got.Entries), len(want.Entries))
	}
	for i, g := range got.Entries {
		if w := want.Entries[i]; g.Index != w.Index || g.Term != w.Term || g.Type != w.Type || !bytes.Equal(g.Data, w.Data) || !bytes.Equal(g.Extensions, w.Extensions) {
			return fmt.Errorf("entry %d differs", i)
		}
	}
	return nil
}

// Every other kind of request, and a commit index without entries, which is no heartbeat.
func TestOtherRequests(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1), n.open(2)
	ga := openGroup(t, a, groupA)
	seen := make(chan any, 1)
	consume(t, openGroup(t, b, groupA), func(rpc raft.RPC) (any, error) {
		seen <- rpc.Command
		return accept(rpc)
	})
	id := raft.ServerID(b.address)
	var vote raft.RequestVoteResponse
	if err := ga.RequestVote(id, b.address, &raft.RequestVoteRequest{Term: 3, LeadershipTransfer: true}, &vote); err != nil || !vote.Granted || vote.Term != 3 {
		t.Errorf("vote: %+v, %v", vote, err)
	}
	if r := (<-seen).(*raft.RequestVoteRequest); !r.LeadershipTransfer {
		t.Error("the transfer was lost")
	}
	var preVote raft.RequestPreVoteResponse
	if err := ga.RequestPreVote(id, b.address, &raft.RequestPreVoteRequest{Term: 4}, &preVote); err != nil || !preVote.Granted || preVote.Term != 4 {
		t.Errorf("pre-vote: %+v, %v", preVote, err)
	}
	<-seen
	if err := ga.TimeoutNow(id, b.address, &raft.TimeoutNowRequest{RPCHeader: header(a)}, &raft.TimeoutNowResponse{}); err != nil {
		t.Errorf("timeout now: %v", err)
	}
	<-seen
	commit := heartbeat(a, 3)
	commit.LeaderCommitIndex, commit.PrevLogEntry = 7, 9
	if resp := mustAppend(t, ga, b, commit); resp.LastLog != 9 {
		t.Errorf("commit index: %+v", resp)
	}
	if r := (<-seen).(*raft.AppendEntriesRequest); r.LeaderCommitIndex != 7 {
		t.Errorf("commit index %d", r.LeaderCommitIndex)
	}
	if s := a.Stats(); s.EntriesBytesSent != 0 || s.Dials != 1 {
		t.Errorf("not on the control connection: %+v", s)
	}
	if _, err := ga.AppendEntriesPipeline(id, b.address); !errors.Is(err, raft.ErrPipelineReplicationNotSupported) {
		t.Errorf("pipeline: %v", err)
	}
}

func TestErrors(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1), n.open(2, func(c *Config) { c.GroupQueue = 1 })
	ga := openGroup(t, a, groupA)
	if _, err := a.Group(groupA); !errors.Is(err, ErrGroupOpen) {
		t.Errorf("second handle: %v", err)
	}
	x := entries(a, []byte("x"))
	if _, err := appendTo(ga, b, x); !errors.Is(err, ErrUnknownGroup) {
		t.Errorf("unknown group: %v", err)
	}
	if _, err := appendTo(ga, b, heartbeat(a, 1)); !errors.Is(err, ErrUnknownGroup) {
		t.Errorf("heartbeat of an unknown group: %v", err)
	}
	if _, err := appendToAddress(ga, "elsewhere", x); !errors.Is(err, ErrAddress) {
		t.Errorf("not an address: %v", err)
	}
	var unreachable *UnreachableError
	if _, err := appendToAddress(ga, Address(5, directory(5)), x); !errors.As(err, &unreachable) || unreachable.Node != 5 {
		t.Errorf("no such node: %v", err)
	}
	big := entries(a, make([]byte, a.cfg.MaxFrameBytes))
	var tooLarge *FrameTooLargeError
	if _, err := appendTo(ga, b, big); !errors.As(err, &tooLarge) || tooLarge.Limit != a.cfg.MaxFrameBytes {
		t.Errorf("too large: %v", err)
	}
	gb := openGroup(t, b, groupA)
	first := make(chan error, 1)
	go func() { _, err := appendTo(ga, b, x); first <- err }()
	eventually(t, "the request is queued", func() bool { return len(gb.consumer) == 1 })
	if _, err := appendTo(ga, b, x); !errors.Is(err, ErrBusy) {
		t.Errorf("full queue: %v", err)
	}
	respond(t, gb, nil, errors.New("raft says no"))
	var remote *RemoteError
	if err := receive(t, "the answer", first); !errors.As(err, &remote) || remote.Text != "raft says no" || remote.Node != 2 || remote.Err != nil {
		t.Errorf("raft's error: %v", err)
	}
	gone := make(chan error, 1)
	go func() { _, err := appendTo(ga, b, x); gone <- err }()
	eventually(t, "the request is queued", func() bool { return len(gb.consumer) == 1 })
	gb.Close()
	if err := receive(t, "the refusal", gone); !errors.Is(err, ErrGroupClosed) {
		t.Errorf("closed over there: %v", err)
	}
	openGroup(t, b, groupA)
}

// Many groups at once over the same connections, each answer to its own question.
func TestConcurrentGroups(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1), n.open(2)
	var wg sync.WaitGroup
	for i := range 40 {
		id := PartitionGroup([16]byte{3}, int32(i))
		ga := openGroup(t, a, id)
		consume(t, openGroup(t, b, id), func(rpc raft.RPC) (any, error) {
			r := rpc.Command.(*raft.AppendEntriesRequest)
			last := r.PrevLogEntry
			for _, e := range r.Entries {
				if !bytes.Equal(e.Data, bytes.Repeat([]byte{byte(i)}, len(e.Data))) {
					return nil, errors.New("another group's data")
				}
				last = e.Index
			}
			return &raft.AppendEntriesResponse{Term: uint64(i), LastLog: last, Success: true}, nil
		})
		wg.Go(func() {
			for k := range 10 {
				r := entries(a, bytes.Repeat([]byte{byte(i)}, 1000*k+1))
				if k%3 == 0 {
					r = heartbeat(a, uint64(i+1))
				}
				resp, err := appendTo(ga, b, r)
				if err != nil || resp.Term != uint64(i) || resp.LastLog != uint64(len(r.Entries)) {
					t.Errorf("group %d: %+v, %v", i, resp, err)
				}
			}
		})
	}
	wg.Wait()
	if s := a.Stats(); s.Dials != 2 {
		t.Errorf("%d connections for all, want 2", s.Dials)
	}
}

// A group that takes nothing out keeps its own queue full, and nobody else's; its heartbeats still fit.
func TestStuckGroup(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1), n.open(2, func(c *Config) { c.GroupQueue = 2 })
	stuck, other := openGroup(t, a, groupA), openGroup(t, a, groupB)
	sb := openGroup(t, b, groupA)
	consume(t, openGroup(t, b, groupB), accept)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { appendTo(stuck, b, entries(a, make([]byte, 1<<20))) })
	}
	eventually(t, "the queue is full", func() bool { return len(sb.consumer) == 2 })
	if _, err := appendTo(stuck, b, entries(a, make([]byte, 1<<20))); !errors.Is(err, ErrBusy) {
		t.Errorf("a third request: %v", err)
	}
	wg.Go(func() { appendTo(stuck, b, heartbeat(a, 1)) })
	eventually(t, "the heartbeat is queued behind", func() bool { return len(sb.consumer) == 3 })
	for range 20 {
		mustAppend(t, other, b, heartbeat(a, 1))
		mustAppend(t, other, b, entries(a, []byte("x")))
	}
	if len(sb.consumer) != 3 {
		t.Errorf("%d requests in the stuck queue", len(sb.consumer))
	}
	for _, want := range []int{1, 1, 0} { // in the order they came
		r := (<-sb.Consumer()).Command.(*raft.AppendEntriesRequest)
		if len(r.Entries) != want {
			t.Errorf("%d entries, want %d", len(r.Entries), want)
		}
	}
	stuck.Close()
	wg.Wait()
	if _, err := appendTo(stuck, b, entries(a, nil)); !errors.Is(err, ErrGroupClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// While a peer takes in no entries at all, control goes on: the bulk connection is full to the brim, and
// heartbeats, votes and calls are answered all the same.
func TestFloodDelaysNoControl(t *testing.T) {
	n := newNetwork(t)
	a := n.open(1, func(c *Config) { c.AppendTimeout, c.ControlTimeout = 4*long, long })
	b := n.open(2, func(c *Config) {
		c.AppendTimeout = 4 * long
		c.Listener = &stallBulk{Listener: c.Listener, stalled: make(chan struct{})}
	})
	stall := b.cfg.Listener.(*stallBulk)
	ga, gb := openGroup(t, a, groupA), openGroup(t, b, groupA)
	consume(t, gb, accept)
	b.Handle(1, func(_ context.Context, _ int32, r []byte) ([]byte, error) { return r, nil })
	var wg sync.WaitGroup
	for i := range 6 {
		g := openGroup(t, a, PartitionGroup([16]byte{9}, int32(i)))
		consume(t, openGroup(t, b, g.id), accept)
		wg.Go(func() { mustAppend(t, g, b, entries(a, make([]byte, 8<<20))) })
	}
	eventually(t, "the flood is being written", func() bool {
		for _, c := range a.connections() {
			if c.purpose == purposeBulk && len(c.turn) == 0 {
				return true
			}
		}
		return false
	})
	for range 15 {
		mustAppend(t, ga, b, heartbeat(a, 1))
		if _, err := a.Call(t.Context(), 2, 1, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if err := ga.RequestVote("", b.address, &raft.RequestVoteRequest{Term: 1}, &raft.RequestVoteResponse{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := a.Stats().EntriesBytesSent; got != 0 {
		t.Errorf("%d bytes of the flood were answered before the control messages were done", got)
	}
	close(stall.stalled)
	wg.Wait()
}

// stallBulk is a listener whose second connection and later ones are not read past the handshake until
// stalled is closed.
type stallBulk struct {
	net.Listener
	stalled chan struct{}
}

func (l *stallBulk) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &stallConn{Conn: nc, stalled: l.stalled}, nil
}

// stallConn stops reading after a greeting for bulk.
type stallConn struct {
	net.Conn
	stalled chan struct{}
	reads   int
	bulk    bool
}

func (c *stallConn) Read(p []byte) (int, error) {
	if c.reads++; c.reads > 2 && c.bulk {
		<-c.stalled
	}
	n, err := c.Conn.Read(p)
	if c.reads == 2 && n > 0 {
		c.bulk = purpose(p[0]) == purposeBulk
	}
	return n, err
}

// The race detector sees any read of the entries after AppendEntries has returned, however it ended: the
// peer does not read, so that every write is caught half way.
func TestDataIsLeftAlone(t *testing.T) {
	for name, end := range map[string]func(*Group){
		"timeout": func(*Group) {},
		"close":   func(g *Group) { g.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			a := n.open(1, func(c *Config) {
				c.AppendTimeout, c.ControlTimeout, c.MinRate = 200*time.Millisecond, 200*time.Millisecond, 1<<40
				if name == "close" {
					c.AppendTimeout, c.ControlTimeout = long, long
				}
			})
			b := n.open(2, func(c *Config) { c.Listener = &stallBulk{Listener: c.Listener, stalled: make(chan struct{})} })
			ga := openGroup(t, a, groupA)
			openGroup(t, b, groupA)
			data := make([]byte, 32<<20)
			done := make(chan error, 1)
			go func() {
				_, err := appendTo(ga, b, entries(a, data))
				clear(data)
				done <- err
			}()
			eventually(t, "the write has begun", func() bool {
				for _, c := range a.connections() {
					c.mu.Lock()
					writing := c.writing
					c.mu.Unlock()
					if writing == ga {
						return true
					}
				}
				return len(done) > 0
			})
			end(ga)
			if err := receive(t, "the end", done); err == nil {
				t.Error("appended")
			}
			if used := a.room(b); used != 0 {
				t.Errorf("%d bytes are still counted", used)
			}
			close(b.cfg.Listener.(*stallBulk).stalled)
		})
	}
}

// room is what is in flight to a peer.
func (t *Transport) room(to *Transport) int64 {
	p, err := t.peer(to.self)
	if err != nil {
		return -1
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return p.room.used
}

// Backpressure: what does not fit in flight waits, and goes in turn; a group's Close ends its wait.
func TestBytesInFlight(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1, func(c *Config) { c.InFlightBytes = 1 << 20 }), n.open(2)
	ga, other, gb, gc := openGroup(t, a, groupA), openGroup(t, a, groupB), openGroup(t, b, groupA), openGroup(t, b, groupB)
	var wg sync.WaitGroup
	wg.Go(func() { mustAppend(t, ga, b, entries(a, make([]byte, 900<<10))) })
	eventually(t, "the first is there", func() bool { return len(gb.consumer) == 1 })
	waits := make(chan error, 1)
	go func() { _, err := appendTo(other, b, entries(a, make([]byte, 900<<10))); waits <- err }()
	p, err := a.peer(b.self)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second waits", func() bool { p.room.mu.Lock(); defer p.room.mu.Unlock(); return len(p.room.waiting) == 1 })
	mustNotHave(t, gc)
	other.Close()
	if err := receive(t, "the end of the wait", waits); !errors.Is(err, ErrGroupClosed) {
		t.Errorf("wait: %v", err)
	}
	respond(t, gb, &raft.AppendEntriesResponse{Success: true}, nil)
	wg.Wait()
	if used := a.room(b); used != 0 {
		t.Errorf("%d bytes are still counted", used)
	}
	// One above the limit goes alone.
	consume(t, gb, accept)
	mustAppend(t, ga, b, entries(a, make([]byte, 3<<20)))
}

func mustNotHave(t *testing.T, g *Group) {
	t.Helper()
	if n := len(g.consumer); n != 0 {
		t.Errorf("%d requests came", n)
	}
}

// What a receiver may hold is bounded, whatever the senders think.
func TestReceivedBytes(t *testing.T) {
	n := newNetwork(t)
	limits := func(c *Config) { c.MaxFrameBytes, c.ReceivedBytes = 2<<20, 8<<20 }
	a, b := n.open(1, limits), n.open(2, limits)
	ga, gb := openGroup(t, a, groupA), openGroup(t, b, groupA)
	go appendTo(ga, b, entries(a, make([]byte, 1<<20)))
	eventually(t, "the first is there", func() bool { return len(gb.consumer) == 1 })
	if _, err := appendTo(ga, b, entries(a, make([]byte, 1<<20+1))); !errors.Is(err, ErrBusy) {
		t.Errorf("more than the group's share: %v", err)
	}
	respond(t, gb, &raft.AppendEntriesResponse{Success: true}, nil)
	eventually(t, "nothing is held", func() bool { return b.received.Load() == 0 && gb.held.Load() == 0 })
}

// A peer that comes back is found again, by who knew it before, and by who has given up dialling.
func TestReconnect(t *testing.T) {
	n := newNetwork(t)
	changes := make(chan bool, 100)
	a := n.open(1, func(c *Config) { c.BackoffMin, c.BackoffMax = time.Hour, time.Hour })
	a.OnPeer(func(node int32, connected bool) {
		if node == 2 {
			changes <- connected
		}
	})
	b := n.open(2)
	ga := openGroup(t, a, groupA)
	stop := consume(t, openGroup(t, b, groupA), accept)
	mustAppend(t, ga, b, heartbeat(a, 1))
	mustAppend(t, ga, b, entries(a, []byte("x")))
	if !receive(t, "the first change", changes) {
		t.Error("lost before it was made")
	}
	b.Close()
	stop()
	if receive(t, "the second change", changes) {
		t.Error("connected to a closed peer")
	}
	for range 3 { // the second and third find the back-off
		if _, err := appendTo(ga, b, heartbeat(a, 1)); err == nil {
			t.Error("answered by a closed peer")
		}
	}
	again := n.open(2)
	consume(t, openGroup(t, again, groupA), accept)
	// It calls, so it can be called.
	if _, err := again.Call(t.Context(), 1, 1, nil); !errors.Is(err, ErrUnknownService) {
		t.Fatal(err)
	}
	mustAppend(t, ga, again, heartbeat(a, 1))
	if !receive(t, "the third change", changes) {
		t.Error("lost again")
	}
	mustAppend(t, ga, again, entries(a, []byte("y")))
}

//lint:file-ignore SA1019 the library still fills in, and reads, the fields it calls deprecated

package transport

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// Heartbeats of many groups share frames, and each gets its own answer.
func TestHeartbeatsShareFrames(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1, func(c *Config) { c.HeartbeatInterval = 50 * time.Millisecond }), n.open(2)
	const groups, rounds = 50, 4
	handles := make([]*Group, groups)
	for i := range handles {
		id := PartitionGroup([16]byte{5}, int32(i))
		handles[i] = openGroup(t, a, id)
		consume(t, openGroup(t, b, id), func(rpc raft.RPC) (any, error) {
			r := rpc.Command.(*raft.AppendEntriesRequest)
			if !isHeartbeat(r) || string(r.Leader) != string(a.address) || string(r.ID) != string(a.address) || string(r.Addr) != string(a.address) || r.ProtocolVersion != 3 {
				return nil, fmt.Errorf("not the heartbeat: %+v", r)
			}
			if i == 7 {
				return nil, errors.New("seven says no")
			}
			return &raft.AppendEntriesResponse{Term: r.Term + 1, LastLog: uint64(i)}, nil
		})
	}
	for round := range rounds {
		var wg sync.WaitGroup
		for i, g := range handles {
			wg.Go(func() {
				resp, err := appendTo(g, b, heartbeat(a, uint64(i+1)))
				switch {
				case i == 7:
					var remote *RemoteError
					if !errors.As(err, &remote) || remote.Text != "seven says no" {
						t.Errorf("group 7: %v", err)
					}
				case err != nil || resp.Term != uint64(i+2) || resp.LastLog != uint64(i) || resp.Success:
					t.Errorf("round %d, group %d: %+v, %v", round, i, resp, err)
				}
			})
		}
		wg.Wait()
	}
	s := a.Stats()
	if s.HeartbeatsSent != groups*rounds || s.HeartbeatFramesSent >= s.HeartbeatsSent/4 {
		t.Errorf("%d heartbeats in %d frames", s.HeartbeatsSent, s.HeartbeatFramesSent)
	}
	if got := b.Stats(); got.HeartbeatsConfirmed != 0 {
		t.Errorf("%d confirmed without SetTerm", got.HeartbeatsConfirmed)
	}
}

// TR-2: while the main loop is busy, a heartbeat of the group's own term is confirmed, one of an older or a
// newer term waits for raft's own answer, and one heartbeat at most is queued for it.
func TestConfirmsItsOwnTermOnly(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1), n.open(2)
	ga, gb := openGroup(t, a, groupA), openGroup(t, b, groupA)
	var term atomic.Uint64
	term.Store(5)
	gb.SetTerm(term.Load)
	first := make(chan error, 1)
	go func() { _, err := appendTo(ga, b, heartbeat(a, 5)); first <- err }()
	respond(t, gb, &raft.AppendEntriesResponse{Term: 5, Success: true}, nil) // the first is raft's: nothing is known of it yet
	if err := receive(t, "the first answer", first); err != nil {
		t.Fatal(err)
	}
	for range 10 { // raft does nothing
		if resp := mustAppend(t, ga, b, heartbeat(a, 5)); !resp.Success || resp.Term != 5 || string(resp.ID) != string(b.address) {
			t.Fatalf("answer %+v", resp)
		}
	}
	if s := b.Stats(); s.HeartbeatsConfirmed != 10 || s.HeartbeatsQueued != 2 || len(gb.consumer) != 1 {
		t.Errorf("%d confirmed, %d queued, %d wait", s.HeartbeatsConfirmed, s.HeartbeatsQueued, len(gb.consumer))
	}
	for _, other := range []uint64{4, 6} {
		answers := make(chan raft.AppendEntriesResponse, 1)
		go func() {
			resp, err := appendTo(ga, b, heartbeat(a, other))
			if err != nil {
				t.Errorf("term %d: %v", other, err)
			}
			answers <- resp
		}()
		eventually(t, "it is queued", func() bool { return len(gb.consumer) == 2 })
		relieved := <-gb.Consumer()
		if r := relieved.Command.(*raft.AppendEntriesRequest); r.Term != 5 {
			t.Fatalf("term %d in the queue, want the confirmed heartbeat", r.Term)
		}
		relieved.Respond(&raft.AppendEntriesResponse{Term: 99}, nil) // discarded
		select {
		case resp := <-answers:
			t.Fatalf("term %d was answered without raft: %+v", other, resp)
		default:
		}
		respond(t, gb, &raft.AppendEntriesResponse{Term: 6, LastLog: 3}, nil)
		if resp := receive(t, "raft's answer", answers); resp.Success || resp.Term != 6 || resp.LastLog != 3 {
			t.Errorf("term %d: %+v", other, resp)
		}
		mustAppend(t, ga, b, heartbeat(a, 5)) // queues one for the next round
	}
	term.Store(6) // raft has moved on
	moved := make(chan raft.AppendEntriesResponse, 1)
	go func() { resp, _ := appendTo(ga, b, heartbeat(a, 5)); moved <- resp }()
	respond(t, gb, &raft.AppendEntriesResponse{Term: 6}, nil) // the one of before
	respond(t, gb, &raft.AppendEntriesResponse{Term: 6}, nil)
	if resp := receive(t, "raft's answer", moved); resp.Success || resp.Term != 6 {
		t.Errorf("the term that was left: %+v", resp)
	}
}

// A group whose main loop has not answered for AliveFor does not look healthy.
func TestHungGroupIsNotConfirmed(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1, func(c *Config) { c.ControlTimeout = long }), n.open(2)
	ga, gb := openGroup(t, a, groupA), openGroup(t, b, groupA)
	gb.SetTerm(func() uint64 { return 5 })
	gb.lived(time.Now())
	mustAppend(t, ga, b, heartbeat(a, 5))
	// The heartbeat in the queue is answered only now, late: it proves life at the time it was queued.
	gb.mu.Lock()
	gb.queuedAt = time.Now().Add(-b.cfg.AliveFor - time.Second)
	gb.mu.Unlock()
	gb.alive.Store(gb.queuedAt.UnixNano())
	respond(t, gb, &raft.AppendEntriesResponse{Term: 5, Success: true}, nil)
	waits := make(chan error, 1)
	go func() { _, err := appendTo(ga, b, heartbeat(a, 5)); waits <- err }()
	eventually(t, "it is queued", func() bool { return len(gb.consumer) == 1 })
	if len(waits) != 0 || b.Stats().HeartbeatsConfirmed != 1 {
		t.Errorf("answered for a hung group: %d confirmed, want 1", b.Stats().HeartbeatsConfirmed)
	}
	respond(t, gb, &raft.AppendEntriesResponse{Term: 5, Success: true}, nil) // a sign of life
	if err := receive(t, "raft's answer", waits); err != nil {
		t.Error(err)
	}
	mustAppend(t, ga, b, heartbeat(a, 5))
	if got := b.Stats().HeartbeatsConfirmed; got != 2 {
		t.Errorf("%d confirmed, want 2", got)
	}
}

// A hung group leaves nothing behind in the connection, and does not cost the others theirs.
func TestUnansweredHeartbeats(t *testing.T) {
	n := newNetwork(t)
	a := n.open(1, func(c *Config) { c.ControlTimeout = 500 * time.Millisecond })
	b := n.open(2)
	ga := openGroup(t, a, groupA)
	openGroup(t, b, groupA) // never answers
	for range 4 {
		var timeout *TimeoutError
		if _, err := appendTo(ga, b, heartbeat(a, 1)); !errors.As(err, &timeout) || timeout.Stage != "answer" {
			t.Fatalf("got %v", err)
		}
	}
	for _, c := range a.connections() {
		c.mu.Lock()
		if len(c.pending) > 2 || len(c.beats) > 2 {
			t.Errorf("%d requests, %d frames are remembered", len(c.pending), len(c.beats))
		}
		c.mu.Unlock()
	}
	if got := a.Stats().Dials; got != 1 {
		t.Errorf("%d dials, want 1", got)
	}
}

// A peer that has stopped without a word is given up.
func TestSilentPeerIsCut(t *testing.T) {
	n := newNetwork(t)
	a := n.open(1, func(c *Config) { c.ControlTimeout = 50 * time.Millisecond })
	silent := n.open(2, func(c *Config) { c.Listener = &silentListener{c.Listener} })
	ga := openGroup(t, a, groupA)
	if _, err := appendTo(ga, silent, heartbeat(a, 1)); err == nil {
		t.Fatal("answered")
	}
	eventually(t, "the connection is cut", func() bool { return len(a.connections()) == 0 })
}

// silentListener's connections write nothing after the handshake.
type silentListener struct{ net.Listener }

func (l *silentListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return &silentConn{Conn: nc}, err
}

type silentConn struct {
	net.Conn
	greeted atomic.Bool
}

func (c *silentConn) Write(p []byte) (int, error) {
	if c.greeted.Swap(true) {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// What does not look like raft's own heartbeat goes as it is.
func TestUnusualHeartbeatGoesAlone(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1), n.open(2)
	ga := openGroup(t, a, groupA)
	seen := make(chan *raft.AppendEntriesRequest, 1)
	consume(t, openGroup(t, b, groupA), func(rpc raft.RPC) (any, error) {
		seen <- rpc.Command.(*raft.AppendEntriesRequest)
		return accept(rpc)
	})
	r := heartbeat(a, 1)
	r.Leader = []byte("somebody else")
	mustAppend(t, ga, b, r)
	if got := receive(t, "the request", seen); string(got.Leader) != "somebody else" {
		t.Errorf("leader %s", got.Leader)
	}
	if s := a.Stats(); s.HeartbeatsSent != 0 {
		t.Errorf("%d heartbeats", s.HeartbeatsSent)
	}
}

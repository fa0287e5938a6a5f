//lint:file-ignore SA1019 the library still fills in, and reads, the fields it calls deprecated

package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// pair is a leader's and a follower's end of one group, between which heartbeats may stand.
type pair struct {
	a, b        *Transport
	ga, gb      *Group
	term, taken atomic.Uint64 // the follower's; heartbeats that its raft was given
	ledTerm     atomic.Uint64
	leads       atomic.Bool
	stop        func() // has the follower\'s raft hang
}

func newPair(t *testing.T) *pair {
	t.Parallel() // it is time that these tests take
	n := newNetwork(t)
	p := &pair{a: n.open(1), b: n.open(2)}
	p.ga, p.gb = openGroup(t, p.a, groupA), openGroup(t, p.b, groupA)
	p.term.Store(5)
	p.ledTerm.Store(5)
	p.leads.Store(true)
	p.gb.SetTerm(p.term.Load)
	p.ga.SetTerm(p.ledTerm.Load)
	p.ga.LetStand(p.leads.Load, LeastTimeout, LeastLease)
	p.stop = consume(t, p.gb, func(rpc raft.RPC) (any, error) {
		r := rpc.Command.(*raft.AppendEntriesRequest)
		p.taken.Add(1)
		if !isHeartbeat(r) || string(r.Leader) != string(p.a.address) {
			t.Errorf("raft was given %+v", r)
		}
		return &raft.AppendEntriesResponse{RPCHeader: header(p.b), Term: p.term.Load(), Success: r.Term == p.term.Load()}, nil
	})
	return p
}

// stand sends heartbeats as the library does until several in a row have cost no message.
func (p *pair) stand(t *testing.T) {
	t.Helper()
	for quiet, tries := 0, 0; quiet < 3; tries++ {
		sent := p.a.Stats().HeartbeatsSent
		resp := mustAppend(t, p.ga, p.b, heartbeat(p.a, 5))
		if !resp.Success || resp.Term != 5 || string(resp.ID) != string(p.b.address) || resp.ProtocolVersion != 3 {
			t.Fatalf("answer %+v", resp)
		}
		if quiet++; p.a.Stats().HeartbeatsSent > sent {
			quiet = 0
		}
		if tries > 1000 {
			t.Fatal("heartbeats do not come to stand")
		}
	}
}

// agreed is how many heartbeats stand at the leader's end.
func (p *pair) agreed() int {
	to, _ := parseTarget(p.b.address)
	peer, err := p.a.peer(to)
	if err != nil {
		return 0
	}
	c := peer.control.live()
	if c == nil {
		return 0
	}
	c.standing.mu.Lock()
	defer c.standing.mu.Unlock()
	return len(c.standing.agreed) + len(c.standing.fresh)
}

// number is that under which a heartbeat of a term stands, 0 for none.
func (p *pair) number(term uint64) uint64 { return number(p.ga, p.b, term) }

func number(from *Group, to *Transport, term uint64) uint64 {
	n, _, _ := from.Stands(to.address, term)
	return n
}

// Heartbeats of a group that rests cost no messages, and its follower's raft hears of its leader all the same.
func TestHeartbeatsStand(t *testing.T) {
	p := newPair(t)
	p.stand(t)
	if p.number(5) == 0 || p.number(4) > 0 || p.number(6) > 0 || number(p.gb, p.a, 5) > 0 {
		t.Error("what stands is the leader's heartbeat of its term, and nothing else")
	}
	taken, sent := p.taken.Load(), p.a.Stats().HeartbeatsSent
	eventually(t, "raft hears of its leader", func() bool { return p.taken.Load() >= taken+2 })
	if p.a.Stats().HeartbeatsSent != sent {
		t.Error("heartbeats were sent")
	}
}

// TR-2: a follower that has left the term confirms nothing more, and the leader gets its raft's own answer.
func TestStandsForItsTermOnly(t *testing.T) {
	p := newPair(t)
	p.stand(t)
	p.term.Store(6)
	eventually(t, "the leader hears of it", func() bool {
		resp := mustAppend(t, p.ga, p.b, heartbeat(p.a, 5))
		return !resp.Success && resp.Term == 6
	})
	if p.agreed() != 0 {
		t.Error("it still stands")
	}
}

// A leader that leads no more, or in another term, or is closed, is not heard for any more, whatever its library
// still does.
func TestWithdrawn(t *testing.T) {
	for name, end := range map[string]func(*pair){
		"no leader any more": func(p *pair) { p.leads.Store(false) },
		"another term":       func(p *pair) { p.ledTerm.Store(6) },
		"closed":             func(p *pair) { p.ga.Close() },
		"silent":             func(*pair) {},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.stand(t)
			_, ended, _ := p.ga.Stands(p.b.address, 5)
			end(p)
			eventually(t, "it is withdrawn", func() bool { return p.agreed() == 0 })
			if p.number(5) > 0 {
				t.Error("it still stands")
			}
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Error("nobody is told that it ended")
			}
		})
	}
}

// What stood ends with the connection, and with the follower's handle.
func TestStandsNoLonger(t *testing.T) {
	for name, end := range map[string]func(*pair){
		"connection cut": func(p *pair) { p.a.cut(func(*conn) bool { return true }, errors.New("cut by the test")) },
		"group closed":   func(p *pair) { p.gb.Close() },
		"main loop hung": func(p *pair) {
			p.stop()
			p.gb.mu.Lock()
			defer p.gb.mu.Unlock()
			select {
			case <-p.gb.relieved: // a sign of life from just before
				p.gb.waiting = false
			default:
			}
			p.gb.alive.Store(1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.stand(t)
			sent := p.a.Stats().HeartbeatsSent
			_, ended, _ := p.ga.Stands(p.b.address, 5)
			end(p)
			eventually(t, "the next heartbeat is sent", func() bool {
				_, _ = appendTo(p.ga, p.b, heartbeat(p.a, 5)) // which may fail
				return p.a.Stats().HeartbeatsSent > sent
			})
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Error("nobody is told that it ended")
			}
		})
	}
}

// A follower that was opened anew between two pulses is not taken for what it was.
func TestStandsAnew(t *testing.T) {
	p := newPair(t)
	p.stand(t)
	before := p.number(5)
	p.stop()
	p.gb.Close()
	p.gb = openGroup(t, p.b, groupA)
	p.gb.SetTerm(p.term.Load)
	consume(t, p.gb, func(rpc raft.RPC) (any, error) {
		return &raft.AppendEntriesResponse{RPCHeader: header(p.b), Term: 5, Success: true}, nil
	})
	eventually(t, "it does not stand", func() bool { return p.number(5) != before })
	p.stand(t)
	if after := p.number(5); after <= before {
		t.Errorf("number %d, then %d", before, after)
	}
}

// A group that waits less than what stands takes is heard for each time.
func TestImpatientGroupsDoNotStand(t *testing.T) {
	p := newPair(t)
	g := openGroup(t, p.a, groupB)
	g.LetStand(func() bool { return true }, LeastTimeout, LeastLease-1)
	g.LetStand(func() bool { return true }, LeastTimeout-1, LeastLease)
	if g.leads.Load() != nil {
		t.Error("it may stand")
	}
}

// FuzzPulse: what a peer says changes what it says, and no more.
func FuzzPulse(f *testing.F) {
	id := bytes.Repeat([]byte{7}, groupIDBytes)
	entry := append(binary.BigEndian.AppendUint64(append([]byte{0, 0, 0, 1}, id...), 9), 3)
	f.Add(entry)
	f.Add(append(bytes.Clone(entry), id...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		stands := map[GroupID]followed{{1}: {term: 1}}
		if _, err := takePulse(stands, b); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		if len(stands) > 1+len(b)/pulseEntryBytes {
			t.Fatalf("%d stand after %d bytes", len(stands), len(b))
		}
	})
}

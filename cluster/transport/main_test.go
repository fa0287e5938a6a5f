//lint:file-ignore SA1019 the library still fills in, and reads, the fields it calls deprecated

package transport

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// long is far beyond what anything here takes; reaching it is a failure.
const long = 20 * time.Second

// network is where the transports of one test find each other.
type network struct {
	t         testing.TB
	mu        sync.Mutex
	addresses map[int32]string
	cut       map[int32]bool // nobody can dial it, and it can dial nobody
	all       []*Transport
}

func newNetwork(t testing.TB) *network {
	return &network{t: t, addresses: map[int32]string{}, cut: map[int32]bool{}}
}

func directory(n byte) [16]byte { return [16]byte{15: n} }

// open starts a node with directory(node) and what mutate says.
func (n *network) open(node int32, mutate ...func(*Config)) *Transport {
	n.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	cfg := Config{ClusterID: "test-cluster", Node: node, Directory: directory(byte(node)), Listener: listener}
	cfg.Resolve = func(to int32) (string, bool) {
		n.mu.Lock()
		defer n.mu.Unlock()
		address, ok := n.addresses[to]
		return address, ok && !n.cut[to] && !n.cut[node]
	}
	for _, m := range mutate {
		m(&cfg)
	}
	n.mu.Lock()
	n.addresses[node] = listener.Addr().String()
	n.mu.Unlock()
	tr, err := Open(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { tr.Close() })
	n.mu.Lock()
	n.all = append(n.all, tr)
	n.mu.Unlock()
	return tr
}

// isolate cuts a node off, connections that stand included, or heals it.
func (n *network) isolate(node int32, cut bool) {
	n.mu.Lock()
	n.cut[node] = cut
	n.mu.Unlock()
	n.enforce()
}

// enforce cuts the connections of isolated nodes. It is called again and again, since a dial may have begun
// before the node was isolated.
func (n *network) enforce() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range n.all {
		t.cut(func(c *conn) bool { return n.cut[c.peer.node] || n.cut[t.self.node] }, errors.New("cut by the test"))
	}
}

func openGroup(t testing.TB, tr *Transport, id GroupID) *Group {
	t.Helper()
	g, err := tr.Group(id)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// consume plays raft: it answers what comes until the test ends or stop is called.
func consume(t testing.TB, g *Group, answer func(raft.RPC) (any, error)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case rpc := <-g.Consumer():
				rpc.Respond(answer(rpc))
			case <-ctx.Done():
				return
			}
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// respond takes one request out of the queue and answers it.
func respond(t testing.TB, g *Group, response any, err error) {
	t.Helper()
	rpc := receive(t, "a request", g.Consumer())
	rpc.Respond(response, err)
}

// accept answers entries and heartbeats with success.
func accept(rpc raft.RPC) (any, error) {
	switch r := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		last := r.PrevLogEntry
		if n := len(r.Entries); n > 0 {
			last = r.Entries[n-1].Index
		}
		return &raft.AppendEntriesResponse{Term: r.Term, LastLog: last, Success: true}, nil
	case *raft.RequestVoteRequest:
		return &raft.RequestVoteResponse{Term: r.Term, Granted: true}, nil
	case *raft.RequestPreVoteRequest:
		return &raft.RequestPreVoteResponse{Term: r.Term, Granted: true}, nil
	case *raft.TimeoutNowRequest:
		return &raft.TimeoutNowResponse{}, nil
	}
	return nil, errors.New("unexpected command")
}

func header(tr *Transport) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: 3, ID: []byte(tr.address), Addr: []byte(tr.address)}
}

func heartbeat(tr *Transport, term uint64) *raft.AppendEntriesRequest {
	return &raft.AppendEntriesRequest{RPCHeader: header(tr), Term: term, Leader: []byte(tr.address)}
}

// entries is a request with one entry per data, the first of index 1.
func entries(tr *Transport, data ...[]byte) *raft.AppendEntriesRequest {
	r := &raft.AppendEntriesRequest{RPCHeader: header(tr), Term: 1, Leader: []byte(tr.address)}
	for i, d := range data {
		r.Entries = append(r.Entries, &raft.Log{Index: uint64(i + 1), Term: 1, Data: d})
	}
	return r
}

func appendTo(g *Group, to *Transport, r *raft.AppendEntriesRequest) (raft.AppendEntriesResponse, error) {
	var resp raft.AppendEntriesResponse
	err := g.AppendEntries(raft.ServerID(to.address), to.address, r, &resp)
	return resp, err
}

func mustAppend(t testing.TB, g *Group, to *Transport, r *raft.AppendEntriesRequest) raft.AppendEntriesResponse {
	t.Helper()
	resp, err := appendTo(g, to, r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// eventually polls for what another goroutine is about to do and does not tell.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(long); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", long, what)
		}
	}
}

func receive[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(long):
		t.Fatalf("not within %v: %s", long, what)
		panic("unreachable")
	}
}

// logBuffer is a log to look into.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

var (
	groupA = PartitionGroup([16]byte{1}, 0)
	groupB = PartitionGroup([16]byte{1}, 1)
)

// Package transport carries the Raft messages of many groups, and plain calls, between the brokers of a
// cluster over one port. Two connections lead to each peer, one for small urgent messages and one for
// entries, so that a flood of entries delays no heartbeat; snapshots have a connection each.
//
// Nothing here is durable, and nothing here changes a group's state: what arrives is put into the group's
// queue, for raft's own goroutine to take out.
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// Transport is one node's end of all connections. All methods may be called from any goroutine.
type Transport struct {
	cfg      Config
	self     identity
	address  raft.ServerAddress // of self
	refusals *refusalLog
	counters counters
	doubts   doubts
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup // every goroutine of this package

	received atomic.Int64  // bytes of entries held for groups here
	inbound  atomic.Int64  // accepted connections
	stands   atomic.Uint64 // heartbeats that have come to stand

	observerMu sync.Mutex // guards observer, also while it runs, and connected
	observer   func(node int32, connected bool)
	connected  map[int32]int // control connections to each node

	groupsMu sync.RWMutex // guards groups
	groups   map[GroupID]*Group

	handlersMu sync.RWMutex // guards handlers
	handlers   map[Service]Handler

	mu          sync.Mutex // guards the rest
	closed      bool
	peers       map[identity]*peer
	directories map[int32][16]byte // the newest data directory seen of each node
	conns       map[*conn]struct{}
	sockets     map[net.Conn]struct{} // everything that Close must cut
}

// Open starts to accept peers. It dials nobody before there is something to say. cfg.Listener belongs to
// the transport from here on, also when Open fails.
func Open(cfg Config) (*Transport, error) {
	if err := cfg.Validate(); err != nil {
		if cfg.Listener != nil {
			err = errors.Join(err, cfg.Listener.Close())
		}
		return nil, err
	}
	cfg = cfg.withDefaults()
	t := &Transport{
		cfg: cfg, self: identity{cfg.Node, cfg.Directory}, address: Address(cfg.Node, cfg.Directory),
		refusals: newRefusalLog(cfg.Logger),
		groups:   map[GroupID]*Group{}, handlers: map[Service]Handler{}, peers: map[identity]*peer{}, connected: map[int32]int{},
		directories: map[int32][16]byte{}, conns: map[*conn]struct{}{}, sockets: map[net.Conn]struct{}{},
	}
	t.doubts.begun = make(chan struct{})
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.wg.Go(t.accept)
	return t, nil
}

// Close cuts every connection, fails what is in flight with ErrClosed, closes every group, and waits for
// every goroutine, handlers included, whose context it ends. Calling it again waits likewise and returns nil.
func (t *Transport) Close() error {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	t.mu.Unlock()
	var err error
	if first {
		t.cancel()
		err = t.cfg.Listener.Close()
		for _, g := range t.openGroups() {
			g.Close()
		}
		t.cut(func(*conn) bool { return true }, ErrClosed)
		t.mu.Lock()
		for nc := range t.sockets {
			closeNow(nc)
		}
		t.mu.Unlock()
	}
	t.wg.Wait()
	return err
}

// cut ends the connections that match.
func (t *Transport) cut(match func(*conn) bool, err error) {
	for _, c := range t.connections() {
		if match(c) {
			c.kill(err)
		}
	}
}

func (t *Transport) connections() []*conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*conn, 0, len(t.conns))
	for c := range t.conns {
		all = append(all, c)
	}
	return all
}

// Addr is where the transport listens.
func (t *Transport) Addr() net.Addr { return t.cfg.Listener.Addr() }

// OnPeer has f told when this node's control connection to a peer is made (true) and lost (false), in
// that order for each peer, from goroutines of the transport, which wait for it: f must not block. There is
// one observer; it hears of nothing that was before.
func (t *Transport) OnPeer(f func(node int32, connected bool)) {
	t.observerMu.Lock()
	t.observer = f
	t.observerMu.Unlock()
}

// observe counts, for a node that came back with another data directory may be connected twice for a while.
func (t *Transport) observe(node int32, connected bool) {
	t.observerMu.Lock()
	defer t.observerMu.Unlock()
	before := t.connected[node]
	after := before + 1
	if !connected {
		after = before - 1
	}
	t.connected[node] = after
	if (before == 0) != (after == 0) && t.observer != nil {
		t.observer(node, connected)
	}
}

// start runs f on a goroutine that Close waits for. It reports false, and runs nothing, after Close.
func (t *Transport) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.wg.Go(f)
	return true
}

// track has Close cut nc; it closes it at once after Close, and reports false.
func (t *Transport) track(nc net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		closeNow(nc)
		return false
	}
	t.sockets[nc] = struct{}{}
	return true
}

// drop closes what was tracked.
func (t *Transport) drop(nc net.Conn) {
	t.mu.Lock()
	delete(t.sockets, nc)
	t.mu.Unlock()
	closeNow(nc)
}

// closeNow closes without a word: TLS would wait up to 5 s to say goodbye to a peer that does not read.
func closeNow(nc net.Conn) {
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	nc.Close()
}

// Group opens the handle of one group, which the group's raft takes as its transport. ErrGroupOpen when it
// is open already, ErrClosed after Close.
func (t *Transport) Group(id GroupID) (*Group, error) {
	g := newGroup(t, id)
	t.groupsMu.Lock()
	defer t.groupsMu.Unlock()
	if t.ctx.Err() != nil {
		g.cancel()
		return nil, ErrClosed
	}
	if t.groups[id] != nil {
		g.cancel()
		return nil, ErrGroupOpen
	}
	t.groups[id] = g
	return g, nil
}

func (t *Transport) group(id GroupID) *Group {
	t.groupsMu.RLock()
	defer t.groupsMu.RUnlock()
	return t.groups[id]
}

func (t *Transport) openGroups() []*Group {
	t.groupsMu.RLock()
	defer t.groupsMu.RUnlock()
	all := make([]*Group, 0, len(t.groups))
	for _, g := range t.groups {
		all = append(all, g)
	}
	return all
}

// unregister forgets g, unless the id is another handle's by now.
func (t *Transport) unregister(g *Group) {
	t.groupsMu.Lock()
	defer t.groupsMu.Unlock()
	if t.groups[g.id] == g {
		delete(t.groups, g.id)
	}
}

package transport

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// groupShare is the part of Config.ReceivedBytes that one group may hold, one in so many.
const groupShare = 4

// Group is one group's handle on the transport: a raft.Transport with pre-votes that can be closed. It has
// no goroutine and no timer of its own.
type Group struct {
	t      *Transport
	id     GroupID
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	// consumer is the queue. Its first GroupQueue places are anybody's, the rest is for small requests, so
	// that entries cannot keep heartbeats out.
	consumer chan raft.RPC
	held     atomic.Int64 // bytes of entries that wait here or are being worked on
	alive    atomic.Int64 // when the main loop was last known to have answered, unix nanoseconds
	term     atomic.Pointer[func() uint64]
	leads    atomic.Pointer[func() bool] // see LetStand
	members  atomic.Pointer[func() raft.Configuration]

	mu       sync.Mutex // guards the rest, and the order of what is put into consumer
	closed   bool
	relieved chan raft.RPCResponse // one slot: raft's answer to a heartbeat that was confirmed for it
	waiting  bool                  // that answer is outstanding
	queuedAt time.Time             // the heartbeat it is for
	sockets  map[net.Conn]struct{} // snapshots on their way out

	tellHeard func(heard bool, at time.Time) bool // see SetHeard; nil: nobody asks
	heardOn   *conn                               // where the leader's heartbeats stand, nil for nowhere
}

var (
	_ raft.Transport   = (*Group)(nil)
	_ raft.WithPreVote = (*Group)(nil)
	_ raft.WithClose   = (*Group)(nil)
)

func newGroup(t *Transport, id GroupID) *Group {
	g := &Group{t: t, id: id, consumer: make(chan raft.RPC, t.cfg.GroupQueue+t.cfg.ControlQueue), relieved: make(chan raft.RPCResponse, 1)}
	g.ctx, g.cancel = context.WithCancel(t.ctx)
	return g
}

// Close ends the handle: requests to the group are refused, calls of the group return ErrGroupClosed at
// once (one whose bytes are being written after writeGrace at the latest), and the id may be opened
// again. What is still queued is never answered by raft and is refused instead. It always returns nil.
func (g *Group) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	sockets := g.sockets
	g.sockets = nil
	g.mu.Unlock()
	g.t.unregister(g)
	g.cancel()
	for nc := range sockets {
		closeNow(nc)
	}
	for _, c := range g.t.connections() {
		c.hurry(g)
	}
	return nil
}

// Done is closed by Close, and by that of the transport.
func (g *Group) Done() <-chan struct{} { return g.ctx.Done() }

// SetTerm has heartbeats of the term that f reports, Raft.CurrentTerm, confirmed without waiting for the
// main loop, which may be busy with a sync. The heartbeat still reaches raft. f is called from the
// transport's goroutines and must not block. Without it every heartbeat waits for raft.
func (g *Group) SetTerm(f func() uint64) { g.term.Store(&f) }

// SetMembers has candidates judged by their logs alone, as Raft has it. The library refuses its vote to
// one that is no voter in its own configuration, which may be an old one: of a group of three, a replica
// that was away while another member was replaced would not elect that, and with the third gone nobody
// leads. So f, the newest configuration of this replica, gives such a candidate the id of a voter; its
// address, which is what the vote is kept by, stays. f is called from the transport's goroutines and must
// not block.
func (g *Group) SetMembers(f func() raft.Configuration) { g.members.Store(&f) }

// judge makes a voter of a candidate: see SetMembers.
func (g *Group) judge(command any) {
	members := g.members.Load()
	var candidate *raft.RPCHeader
	switch r := command.(type) {
	case *raft.RequestVoteRequest:
		candidate = &r.RPCHeader
	case *raft.RequestPreVoteRequest:
		candidate = &r.RPCHeader
	}
	if members == nil || candidate == nil {
		return
	}
	var voter raft.ServerID
	for _, s := range (*members)().Servers {
		switch {
		case s.Suffrage != raft.Voter:
		case string(s.ID) == string(candidate.ID):
			return
		default:
			voter = s.ID
		}
	}
	if voter != "" {
		candidate.ID = []byte(voter)
	}
}

// SetHeartbeatHandler does nothing. The library would have heartbeats handled on the transport's goroutine,
// where they change the term beside its main loop: a leader in the middle of an append may then stamp it
// with a term that it does not lead (hashicorp/raft issue 695). Heartbeats go through Consumer like
// everything else.
func (g *Group) SetHeartbeatHandler(func(raft.RPC)) {}

// Consumer is the queue of requests. The Data, Extensions, Leader, ID and Addr of an AppendEntriesRequest
// are parts of a receive buffer which is used again once raft has answered: a LogStore copies what it keeps.
func (g *Group) Consumer() <-chan raft.RPC { return g.consumer }

// LocalAddr is this node's Address.
func (g *Group) LocalAddr() raft.ServerAddress { return g.t.address }

// EncodePeer and DecodePeer leave addresses as they are.
func (g *Group) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }

// DecodePeer undoes EncodePeer.
func (g *Group) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

// AppendEntriesPipeline is not supported: the library's pipeline sends one request per wake-up and merges
// wake-ups, so that a busy leader leaves entries waiting for CommitTimeout.
func (g *Group) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

func (g *Group) patience(node int32, limit time.Duration) *patience {
	return newPatience(node, limit, g.ctx.Done(), g.cause)
}

func (g *Group) cause() error {
	if g.t.ctx.Err() != nil {
		return ErrClosed
	}
	return ErrGroupClosed
}

// AppendEntries sends entries on the bulk connection, a commit index on the control connection, and a
// heartbeat among those of other groups. The entries' bytes are read until it returns and not after,
// however it ends. More than MaxFrameBytes is refused with a *FrameTooLargeError: the caller cuts
// args.Entries.
func (g *Group) AppendEntries(_ raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	to, err := parseTarget(target)
	if err != nil {
		return err
	}
	if isHeartbeat(args) && g.t.coalesces(args) {
		return g.heartbeat(to, args, resp)
	}
	if len(args.Entries) == 0 {
		return g.ask(to, kindAppend, func(b []byte) []byte { return appendEntriesTable(b, args) },
			func(b []byte) error { return decodeAppendEntriesResponse(b, resp) })
	}
	return g.appendEntries(to, args, resp)
}

func parseTarget(target raft.ServerAddress) (identity, error) {
	node, directory, ok := ParseAddress(target)
	if !ok {
		return identity{}, fmt.Errorf("%w: %.80q", ErrAddress, target)
	}
	return identity{node, directory}, nil
}

// vectors are the parts of vectored writes.
var vectors = sync.Pool{New: func() any { return new(net.Buffers) }}

func (g *Group) appendEntries(to identity, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	table, dataBytes := entriesRequestBytes(args)
	total := int64(groupIDBytes) + table + dataBytes
	if total > g.t.cfg.MaxFrameBytes {
		return &FrameTooLargeError{Bytes: total, Limit: g.t.cfg.MaxFrameBytes}
	}
	p, err := g.t.peer(to)
	if err != nil {
		return err
	}
	w := g.patience(to.node, g.t.cfg.appendTimeout(total))
	defer w.stop()
	if g.ctx.Err() != nil {
		return g.cause()
	}
	if err := p.room.take(total, w); err != nil {
		return err
	}
	defer p.room.give(total)
	c, err := p.bulk.get(w)
	if err != nil {
		return err
	}
	head := newBuffer(frameHeaderBytes + groupIDBytes + int(table))
	defer head.release()
	frame := append(beginFrame(head.b[:0], kindAppend), g.id[:]...)
	frame = appendEntriesTable(frame, args)
	parts := vectors.Get().(*net.Buffers)
	*parts = append(*parts, frame)
	for _, e := range args.Entries {
		if len(e.Data) > 0 {
			*parts = append(*parts, e.Data)
		}
	}
	a, err := c.roundTrip(g, w, *parts, dataBytes)
	clear(*parts)
	*parts = (*parts)[:0]
	vectors.Put(parts)
	if err != nil {
		return err
	}
	g.t.counters.entriesBytesSent.Add(uint64(total))
	if a.status != statusOK {
		return answerError(to.node, a.status, a.body)
	}
	return decodeAppendEntriesResponse(a.body, resp)
}

// ask makes one small request on the control connection.
func (g *Group) ask(to identity, kind frameKind, encode func([]byte) []byte, decode func([]byte) error) error {
	p, err := g.t.peer(to)
	if err != nil {
		return err
	}
	w := g.patience(to.node, g.t.cfg.ControlTimeout)
	defer w.stop()
	if g.ctx.Err() != nil {
		return g.cause()
	}
	c, err := p.control.get(w)
	if err != nil {
		return err
	}
	frame := encode(append(beginFrame(make([]byte, 0, 256), kind), g.id[:]...))
	a, err := c.roundTrip(g, w, net.Buffers{frame}, 0)
	if err != nil {
		return err
	}
	if a.status != statusOK {
		return answerError(to.node, a.status, a.body)
	}
	return decode(a.body)
}

// RequestVote asks for a vote.
func (g *Group) RequestVote(_ raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	to, err := parseTarget(target)
	if err != nil {
		return err
	}
	return g.ask(to, kindVote, func(b []byte) []byte { return appendVote(b, args) },
		func(b []byte) error { return decodeVoteResponse(b, resp) })
}

// RequestPreVote asks whether there would be a vote. A transport without it has pre-votes off, silently.
func (g *Group) RequestPreVote(_ raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	to, err := parseTarget(target)
	if err != nil {
		return err
	}
	return g.ask(to, kindPreVote, func(b []byte) []byte { return appendPreVote(b, args) },
		func(b []byte) error { return decodePreVoteResponse(b, resp) })
}

// TimeoutNow tells the target to stand for election.
func (g *Group) TimeoutNow(_ raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	to, err := parseTarget(target)
	if err != nil {
		return err
	}
	return g.ask(to, kindTimeoutNow, func(b []byte) []byte { return appendHeader(b, args.RPCHeader) },
		func(b []byte) error { return decodeTimeoutNowResponse(b, resp) })
}

// deliver puts a request into the queue, or says why not. It never blocks.
func (g *Group) deliver(rpc raft.RPC, entries bool) error {
	room := cap(g.consumer)
	if entries {
		room = g.t.cfg.GroupQueue
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrGroupClosed
	}
	if len(g.consumer) >= room {
		return ErrBusy
	}
	g.consumer <- rpc // has room: only raft takes out, and only this lock's holder puts in
	return nil
}

// confirm reports whether a heartbeat may be answered with success without waiting for raft: its term is
// the group's, and the main loop answered something not long ago. The heartbeat is queued for raft all
// the same, unless one is already, or was not long ago when it is one that stands on a connection. It changes no
// state of raft's, and never speaks for another term.
func (g *Group) confirm(heartbeat uint64, version uint8, leader []byte, now time.Time, stands *conn) bool {
	term := g.term.Load()
	if term == nil || *term == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting {
		select {
		case <-g.relieved:
			g.waiting = false
			g.lived(g.queuedAt)
		default:
		}
	}
	if g.closed || now.UnixNano()-g.alive.Load() > int64(g.t.cfg.AliveFor) || (*term)() != heartbeat {
		return false
	}
	var relay time.Duration
	if stands != nil {
		relay = g.hear(stands, now)
	}
	if !g.waiting && now.Sub(g.queuedAt) >= relay && len(g.consumer) < cap(g.consumer) {
		g.consumer <- raft.RPC{Command: heartbeatRequest(heartbeat, version, leader), RespChan: g.relieved}
		g.waiting, g.queuedAt = true, now
		g.t.counters.heartbeatsQueued.Add(1)
	}
	return true
}

// lived notes that the main loop was at work at a time.
func (g *Group) lived(at time.Time) {
	for {
		old := g.alive.Load()
		if at.UnixNano() <= old || g.alive.CompareAndSwap(old, at.UnixNano()) {
			return
		}
	}
}

// admit takes room for a frame of entries that is about to be read. release gives it back.
func (g *Group) admit(n int64) error {
	if len(g.consumer) >= g.t.cfg.GroupQueue {
		return ErrBusy
	}
	held, received := g.held.Add(n), g.t.received.Add(n)
	if held > g.t.cfg.ReceivedBytes/groupShare || received > g.t.cfg.ReceivedBytes {
		g.release(n)
		return ErrBusy
	}
	return nil
}

func (g *Group) release(n int64) {
	g.t.received.Add(-n)
	g.held.Add(-n)
}

// rpcAnswer waits for what raft answers to one request.
type rpcAnswer struct {
	g  *Group
	ch chan raft.RPCResponse
}

func newRPCAnswer(g *Group) *rpcAnswer { return &rpcAnswer{g, make(chan raft.RPCResponse, 1)} }

// wait is raft's answer as it travels. answered is false when the group was closed first, and raft may
// still be using the request.
func (r *rpcAnswer) wait() (s status, body []byte, answered bool) {
	select {
	case response := <-r.ch:
		r.g.lived(time.Now())
		if response.Error != nil {
			return statusError, []byte(response.Error.Error()), true
		}
		body, known := appendResponse(make([]byte, 0, 160), response.Response)
		if !known {
			return statusError, fmt.Appendf(nil, "raft answered with %T", response.Response), true
		}
		return statusOK, body, true
	case <-r.g.ctx.Done():
		return statusGroupClosed, []byte(ErrGroupClosed.Error()), false
	}
}

// own has Close cut nc; after Close it does so at once and reports false.
func (g *Group) own(nc net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		closeNow(nc)
		return false
	}
	if g.sockets == nil {
		g.sockets = map[net.Conn]struct{}{}
	}
	g.sockets[nc] = struct{}{}
	return true
}

func (g *Group) disown(nc net.Conn) {
	g.mu.Lock()
	delete(g.sockets, nc)
	g.mu.Unlock()
}

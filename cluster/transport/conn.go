package transport

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// readerBytes is what each connection reads ahead.
const readerBytes = 32 << 10

// writeGrace is how long a group that closes lets a write of its bytes go on before it cuts the
// connection under it, which the other groups on it pay for with a new one.
const writeGrace = 100 * time.Millisecond

// conn is one connection after the handshake, either side's.
type conn struct {
	t       *Transport
	nc      net.Conn
	peer    identity // who is at the other end
	purpose purpose
	reader  *bufio.Reader
	ctx     context.Context // ends with the connection
	cancel  context.CancelFunc
	gone    chan struct{} // closed when its reader has ended

	turn     chan struct{} // holding its one token is the right to write
	lastRead atomic.Int64  // unix nanoseconds

	// What follows is used by the side that dialled.
	mu      sync.Mutex // guards the rest
	err     error      // why it is dead
	writing *Group     // whose bytes are being written
	pending map[uint64]*request
	beats   []beatFrame // sent and not all answered, oldest first
	lastID  uint64
	pinged  bool

	standing standing // of the control connection, as a leader

	// What follows is used by the side that accepted.
	late      lateBeats
	calls     atomic.Int64 // handlers running
	following following
}

// request is what waits for an answer. It is finished by who takes it out of conn.pending.
type request struct {
	done  chan answer // one slot: finishing never blocks
	beats []*beat     // of a frame of heartbeats, which are finished one by one; nil once they are
}

// answer is a status and a body, or the error that came in their place.
type answer struct {
	status status
	body   []byte
	err    error
}

// newConn takes over nc, which has shaken hands and is tracked.
func (t *Transport) newConn(nc net.Conn, peer identity, p purpose) *conn {
	c := &conn{
		t: t, nc: nc, peer: peer, purpose: p, reader: bufio.NewReaderSize(nc, readerBytes),
		gone: make(chan struct{}), turn: make(chan struct{}, 1), pending: map[uint64]*request{},
	}
	c.ctx, c.cancel = context.WithCancel(t.ctx)
	c.turn <- struct{}{}
	t.mu.Lock()
	closed := t.closed
	if !closed {
		t.conns[c] = struct{}{}
	}
	t.mu.Unlock()
	if closed {
		c.kill(ErrClosed)
	}
	return c
}

// kill ends the connection and fails everything that waits for it. The first error is the one that
// counts.
func (c *conn) kill(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	pending := c.pending
	c.pending, c.beats = nil, nil
	c.mu.Unlock()
	c.cancel()
	c.t.mu.Lock()
	delete(c.t.conns, c)
	c.t.mu.Unlock()
	c.t.drop(c.nc)
	c.standing.endAll()
	c.following.end(c)
	for _, r := range pending {
		r.fail(c.unreachable(err))
	}
}

func (r *request) fail(err error) {
	if r.beats == nil {
		r.done <- answer{err: err}
		return
	}
	for _, b := range r.beats {
		if b != nil {
			b.finish(answer{err: err})
		}
	}
}

func (c *conn) unreachable(err error) error {
	return &UnreachableError{Node: c.peer.node, Err: err}
}

func (c *conn) dead() bool { return c.ctx.Err() != nil }

// begin makes r wait for an answer, under a new id.
func (c *conn) begin(r *request) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.unreachable(c.err)
	}
	c.lastID++
	c.pending[c.lastID] = r
	return c.lastID, nil
}

// forget gives up on an answer, which is dropped should it come.
func (c *conn) forget(id uint64) {
	c.mu.Lock()
	delete(c.pending, id)
	c.mu.Unlock()
}

// takePending is the request with that id, which the caller has to finish.
func (c *conn) takePending(id uint64) *request {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.pending[id]
	if r == nil || r.beats != nil {
		return nil
	}
	delete(c.pending, id)
	return r
}

// write sends one frame in its turn. The parts are read until it returns, and never after. A write that
// has begun and fails leaves half a frame, and the connection is killed; so that one which waited long for
// its turn does not do that, each gets ControlTimeout and its bytes' time at least. g, which may be nil, is
// the group whose bytes they are: its Close cuts the write short.
func (c *conn) write(g *Group, w *patience, parts net.Buffers) error {
	if err := c.takeTurn(w); err != nil {
		return err
	}
	defer func() { c.turn <- struct{}{} }()
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return c.unreachable(c.err)
	}
	c.writing = g
	c.nc.SetWriteDeadline(c.writeDeadline(w, parts))
	c.mu.Unlock()
	if g != nil && g.ctx.Err() != nil { // closed before it could see us write
		c.stopWriting()
		return ErrGroupClosed
	}
	_, err := parts.WriteTo(c.nc)
	c.stopWriting()
	if err != nil {
		c.kill(err)
		return c.unreachable(err)
	}
	c.t.counters.framesSent.Add(1)
	return nil
}

func (c *conn) writeDeadline(w *patience, parts net.Buffers) time.Time {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	least := time.Now().Add(c.t.cfg.ControlTimeout + c.t.cfg.transferTime(int64(n)))
	if least.After(w.deadline) {
		return least
	}
	return w.deadline
}

func (c *conn) stopWriting() {
	c.mu.Lock()
	c.writing = nil
	c.mu.Unlock()
}

// takeTurn waits for the right to write.
func (c *conn) takeTurn(w *patience) error {
	select {
	case <-c.turn:
		return nil
	default:
	}
	select {
	case <-c.turn:
		return nil
	case <-c.ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.unreachable(c.err)
	case <-w.timer.C:
		return w.expired("turn")
	case <-w.quit:
		return w.cause()
	}
}

// hurry ends a write of g's bytes soon.
func (c *conn) hurry(g *Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing == g {
		c.nc.SetWriteDeadline(time.Now().Add(writeGrace))
	}
}

// readHeader waits, for ever if need be, for the next frame.
func (c *conn) readHeader() (frameHeader, error) {
	var b [frameHeaderBytes]byte
	if _, err := io.ReadFull(c.reader, b[:]); err != nil {
		return frameHeader{}, err
	}
	c.lastRead.Store(time.Now().UnixNano())
	return parseFrameHeader(b[:]), nil
}

// expectBody gives a body of n bytes its time to come. done ends that.
func (c *conn) expectBody(n int64) (done func()) {
	if n <= int64(c.reader.Buffered()) {
		return func() {}
	}
	c.nc.SetReadDeadline(time.Now().Add(c.t.cfg.AppendTimeout + c.t.cfg.transferTime(n)))
	return func() { c.nc.SetReadDeadline(time.Time{}) }
}

// readControl reads the body of a frame that is not entries. Answers to heartbeats may be as many as there
// are groups, and as long as raft makes them.
func (c *conn) readControl(h frameHeader) ([]byte, error) {
	limit := c.t.cfg.MaxControlBytes + controlOverhead
	if h.kind == kindHeartbeatAnswers {
		limit = c.t.cfg.MaxFrameBytes
	}
	if h.length > limit {
		return nil, fmt.Errorf("%w: a frame of kind %d and %d bytes, at most %d", ErrMalformed, h.kind, h.length, limit)
	}
	defer c.expectBody(h.length)()
	return appendRead(c.reader, int(h.length))
}

// controlOverhead is what a control frame may have beside MaxControlBytes of payload.
const controlOverhead = 64

// discard reads n bytes into nowhere.
func (c *conn) discard(n int64) error {
	defer c.expectBody(n)()
	for n > 0 {
		step, err := c.reader.Discard(int(min(n, stepBytes)))
		if err != nil {
			return err
		}
		n -= int64(step)
	}
	return nil
}

// readAnswers is the reader of a connection that this side dialled.
func (c *conn) readAnswers() error {
	for {
		h, err := c.readHeader()
		if err != nil {
			return err
		}
		body, err := c.readControl(h)
		if err != nil {
			return err
		}
		switch h.kind {
		case kindAnswer:
			if len(body) == 0 {
				return fmt.Errorf("%w: an empty answer", ErrMalformed)
			}
			if r := c.takePending(h.id); r != nil {
				r.done <- answer{status: status(body[0]), body: body[1:]}
			}
		case kindHeartbeatAnswers:
			if err := c.takeBeatAnswers(body); err != nil {
				return err
			}
		case kindPong:
		default:
			return fmt.Errorf("%w: kind %d among the answers", ErrMalformed, h.kind)
		}
	}
}

// roundTrip sends one frame, made by beginFrame and continued by the other parts, moreBytes long, and waits
// for its answer. No part is touched after it has returned.
func (c *conn) roundTrip(g *Group, w *patience, parts net.Buffers, moreBytes int64) (answer, error) {
	r := &request{done: make(chan answer, 1)}
	id, err := c.begin(r)
	if err != nil {
		return answer{}, err
	}
	endFrame(parts[0], id, moreBytes)
	sent := time.Now()
	if err := c.write(g, w, parts); err != nil {
		c.forget(id)
		return answer{}, err
	}
	select {
	case a := <-r.done:
		return a, a.err
	case <-w.timer.C:
		c.forget(id)
		c.suspect(sent)
		return answer{}, w.expired("answer")
	case <-w.quit:
		c.forget(id)
		return answer{}, w.cause()
	}
}

// suspect is told that a request sent at since has had no answer. A connection on which nothing at all has
// come since then is asked for a sign of life, and killed without one: a group that hangs must not cost
// the others theirs, and a peer whose machine is gone must not be waited for by each.
func (c *conn) suspect(since time.Time) {
	if c.lastRead.Load() > since.UnixNano() {
		return
	}
	c.mu.Lock()
	again := c.pinged || c.err != nil
	c.pinged = true
	c.mu.Unlock()
	if again {
		return
	}
	c.t.start(func() {
		w := newPatience(c.peer.node, c.t.cfg.ControlTimeout, c.ctx.Done(), c.ctx.Err)
		defer w.stop()
		defer func() {
			c.mu.Lock()
			c.pinged = false
			c.mu.Unlock()
		}()
		asked := time.Now().UnixNano()
		if c.write(nil, w, net.Buffers{beginFrame(nil, kindPing)}) != nil {
			return
		}
		if w.on(c.ctx.Done(), "sign of life") != nil && c.lastRead.Load() < asked {
			c.kill(w.expired("sign of life"))
		}
	})
}

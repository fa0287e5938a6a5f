package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/protocol"
)

// Conn is one client connection.
type Conn struct {
	// State is the handler's own. The server does not touch it; only Handle
	// may, which is never called twice at once for one connection.
	State any

	id       uint64
	srv      *Server
	nc       net.Conn
	raw      syscall.RawConn // nil: no descriptor to write to (TLS, pipes)
	ip       netip.Addr      // counted under
	listener net.Addr
	ctx      context.Context
	cancel   context.CancelCauseFunc
	waits    waits
	reader   frameReader
	heard    bool        // more than ApiVersions has been asked; of the reading goroutine, as is the next
	oneByOne bool        // nothing is read ahead of an answer
	gone     atomic.Bool // no more reading or writing
	writer   func()      // writeReplies, bound once: it starts often

	mu              sync.Mutex // guards the rest; a leaf
	changed         sync.Cond  // the queue became shorter, or the connection is gone or draining
	head, tail      *Request   // handled and not yet taken up by the writer, in order
	unanswered      int        // those, and the one that the writer answers
	unansweredBytes int64
	writing         bool // the writer goroutine runs
	lingering       bool // the read deadline is linger's
	mute            mute
	reason          error
}

func newConn(s *Server, nc net.Conn, listener net.Addr, ip netip.Addr) *Conn {
	c := &Conn{id: s.nextID.Add(1), srv: s, nc: nc, ip: ip, listener: listener, raw: rawConnOf(nc)}
	c.changed.L = &c.mu
	c.writer = c.writeReplies
	c.ctx, c.cancel = context.WithCancelCause(s.ctx)
	c.reader.src, c.reader.arena = nc, &s.arena
	return c
}

// ID is unique within the server.
func (c *Conn) ID() uint64 { return c.id }

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// LocalAddr is the address that the peer connected to.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// ListenerAddr is the address of the listener that accepted the connection.
func (c *Conn) ListenerAddr() net.Addr { return c.listener }

// NetConn is the connection below, for its TLS state. It must not be read,
// written or closed.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Context ends when the peer or the server has closed the connection, with the
// reason as its cause. It outlives the begin of Shutdown.
func (c *Conn) Context() context.Context { return c.ctx }

// serve runs the connection from its first byte to the end of its goroutines.
func (c *Conn) serve() {
	defer c.srv.forget(c)
	err := c.handshake()
	if err == nil {
		err = c.readRequests()
	}
	switch {
	case errors.Is(err, io.EOF):
		// The peer may have closed one direction only: what is ready is still
		// written, what waits is told to stop.
		c.cancel(ErrPeerClosed)
		c.awaitAnswered()
		c.fail(ErrPeerClosed)
	case errors.Is(err, errDraining):
		c.awaitAnswered()
		if c.heard {
			c.linger()
		} else {
			resetOnClose(c.nc)
		}
		c.fail(err)
	default:
		c.fail(err)
		c.awaitAnswered()
	}
	c.logEnd()
}

// handshake runs that of TLS, where there is one.
func (c *Conn) handshake() error {
	h, ok := c.nc.(interface{ HandshakeContext(context.Context) error })
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.srv.cfg.HandshakeTimeout)
	defer cancel()
	return h.HandshakeContext(ctx)
}

// readRequests reads and hands on requests until it may not read any more, and
// returns the reason.
func (c *Conn) readRequests() (err error) {
	defer c.recovered(&err)
	for {
		if c.srv.isStopping() {
			return errDraining
		}
		r, err := c.reader.next(c)
		c.waits.idleSince.Store(0)
		c.waits.readSince.Store(0)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && c.srv.isStopping():
			return errDraining // no other deadline is ever set
		case err != nil:
			return err
		}
		r.Conn = c
		r.timing.arrived = c.srv.clock.exact()
		if err := r.parse(); err != nil {
			r.Release()
			return err
		}
		c.heard = c.heard || r.Header.Key != protocol.KeyApiVersions
		if c.handle(r); c.gone.Load() {
			return c.endReason()
		}
	}
}

// handle passes r to the handler and its reply on: answered here if it is
// ready and nothing is before it, else queued for the writer.
func (c *Conn) handle(r *Request) {
	c.srv.stats.Requests.Add(1)
	reply, err := c.call(r)
	if err != nil {
		c.fail(err)
		r.Release()
		return
	}
	r.timing.handled = c.srv.clock.exact()
	c.mu.Lock()
	if !c.writing && isReady(reply) {
		c.mu.Unlock()
		c.answer(r, reply, r.timing.handled)
		return
	}
	r.reply = reply
	c.enqueue(r)
	c.mu.Unlock()
}

func (c *Conn) call(r *Request) (reply Reply, err error) {
	defer c.recovered(&err)
	reply = c.srv.handler.Handle(r)
	if reply == nil {
		err = errNoReply
	}
	return reply, err
}

// recovered turns a panic into the error that closes this connection only.
func (c *Conn) recovered(err *error) {
	v := recover()
	if v == nil {
		return
	}
	c.srv.stats.HandlerPanics.Add(1)
	c.srv.logger.Error("panic while serving a connection", "remote", c.RemoteAddr(),
		"err", v, "stack", string(debug.Stack()))
	*err = &panicError{value: v}
}

// fail ends the connection at once. The first reason counts.
func (c *Conn) fail(reason error) {
	c.mu.Lock()
	if c.reason == nil {
		c.reason = reason
	}
	c.gone.Store(true)
	c.mute.end()
	c.changed.Broadcast()
	c.mu.Unlock()
	c.cancel(reason)
	c.nc.Close()
}

func (c *Conn) endReason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

// drain makes the reading goroutine stop before its next request.
func (c *Conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lingering {
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
	c.changed.Broadcast()
}

// resetOnClose is for a connection on which nothing has been answered but which APIs there are: some clients
// take its orderly end for a server that wants TLS or SASL, and give up where they would try again.
func resetOnClose(nc net.Conn) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		tcp.SetLinger(0) // best effort: it closes all the same
	}
}

// Bounds of linger.
const (
	lingerTime  = time.Second
	lingerBytes = 4 << 20
)

// linger closes the sending direction and reads what the peer had sent before
// it noticed: closing with unread bytes would reset the connection, and the
// peer could lose the last replies.
func (c *Conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.mu.Lock()
	c.lingering = true
	c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	c.mu.Unlock()
	io.CopyN(io.Discard, c.nc, lingerBytes)
}

func (c *Conn) logEnd() {
	reason := c.endReason()
	var foreign *ForeignProtocolError
	var short *ShortFileError
	switch {
	case errors.As(reason, &foreign):
		c.srv.gates.foreign.warn(c.srv, "connection closed", "remote", c.RemoteAddr(), "err", reason)
	case errors.As(reason, &short):
		c.srv.gates.shortFile.warn(c.srv, "connection closed", "remote", c.RemoteAddr(), "err", reason)
	default:
		c.srv.logger.Debug("connection closed", "remote", c.RemoteAddr(), "err", reason)
	}
}

// What the frame reader asks for.

func (c *Conn) waiting() {
	c.waits.idleSince.Store(c.srv.clock.now())
}

func (c *Conn) started() {
	c.waits.idleSince.Store(0)
	c.waits.readSince.Store(c.srv.clock.now())
}

func (c *Conn) received(n int) {
	c.srv.stats.BytesIn.Add(int64(n))
}

func (c *Conn) limit(key int16) int {
	return min(c.srv.cfg.RequestLimit(c, key), c.srv.cfg.MaxRequestBytes)
}

func (c *Conn) reserve(l *lease, n int64) error {
	// This wait is ours, not the peer's.
	since, before := c.waits.readSince.Swap(0), c.srv.clock.now()
	if !c.srv.arena.budget.take(l, n, c.ctx.Done(), c.srv.draining) {
		if reason := c.endReason(); reason != nil {
			return reason
		}
		return errDraining
	}
	c.waits.readSince.Store(since + c.srv.clock.now() - before)
	return nil
}

package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// acceptPause is the wait after an accept failed for want of file descriptors or the like.
const acceptPause = 50 * time.Millisecond

// accept is the listener's goroutine.
func (t *Transport) accept() {
	for {
		nc, err := t.cfg.Listener.Accept()
		switch {
		case t.ctx.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return
		case errors.Is(err, net.ErrClosed):
			t.cfg.Logger.Error("transport: the listener was closed by somebody else", "err", err)
			return
		case err != nil:
			t.refusals.warn("accept failed", "err", err)
			select {
			case <-time.After(acceptPause):
			case <-t.ctx.Done():
			}
			continue
		}
		if t.inbound.Add(1) > int64(t.cfg.MaxConnections) {
			t.inbound.Add(-1)
			t.counters.handshakesRefused.Add(1)
			t.refusals.warn("connection refused", "remote", nc.RemoteAddr(), "err", fmt.Sprintf("more than %d connections", t.cfg.MaxConnections))
			nc.Close()
			continue
		}
		t.wg.Go(func() {
			defer t.inbound.Add(-1)
			t.serve(nc)
		})
	}
}

// serve is the goroutine of one accepted connection.
func (t *Transport) serve(nc net.Conn) {
	remote := nc.RemoteAddr()
	if t.cfg.TLS != nil {
		nc = tls.Server(nc, t.cfg.TLS)
	}
	if !t.track(nc) {
		return
	}
	h, err := t.welcome(nc, time.Now().Add(t.cfg.HandshakeTimeout))
	if err != nil {
		t.drop(nc)
		if t.ctx.Err() == nil && err != errProbe {
			t.refusals.warn("connection refused", "remote", remote, "err", err)
			t.counters.handshakesRefused.Add(1)
		}
		return
	}
	t.seen(h.from, true)
	c := t.newConn(nc, h.from, h.purpose)
	if h.purpose == purposeSnapshot {
		err = c.serveSnapshot()
	} else {
		err = c.serveRequests()
	}
	if err != nil && errors.Is(err, ErrMalformed) {
		t.refusals.warn("connection cut", "peer", h.from, "remote", remote, "err", err)
	}
	c.kill(err)
	close(c.gone)
}

// errDone ends a connection that has done its work.
var errDone = errors.New("done")

// serveRequests is the reader of an accepted connection. It waits for no group, and for no handler.
func (c *conn) serveRequests() error {
	for {
		h, err := c.readHeader()
		if err != nil {
			return err
		}
		switch h.kind {
		case kindAppend:
			err = c.serveEntries(h)
		case kindVote, kindPreVote, kindTimeoutNow:
			err = c.serveVote(h)
		case kindHeartbeats:
			err = c.serveHeartbeats(h)
		case kindPulse:
			err = c.servePulse(h)
		case kindCall:
			err = c.serveCall(h)
		case kindPing:
			if h.length != 0 {
				return fmt.Errorf("%w: a ping of %d bytes", ErrMalformed, h.length)
			}
			err = c.answerFrame(beginFrame(nil, kindPong), h.id)
		default:
			return fmt.Errorf("%w: kind %d among the requests", ErrMalformed, h.kind)
		}
		if err != nil {
			return err
		}
	}
}

// readGroup reads the id that the body of a request to a group begins with.
func (c *conn) readGroup(h frameHeader) (GroupID, error) {
	var id GroupID
	if h.length < int64(groupIDBytes) {
		return id, fmt.Errorf("%w: a frame of kind %d and %d bytes, without a group", ErrMalformed, h.kind, h.length)
	}
	defer c.expectBody(int64(groupIDBytes))()
	_, err := io.ReadFull(c.reader, id[:])
	return id, err
}

// serveEntries takes in an AppendEntries. A request that cannot be delivered costs no memory.
func (c *conn) serveEntries(h frameHeader) error {
	if h.length > c.t.cfg.MaxFrameBytes {
		return fmt.Errorf("%w: a frame of %d bytes, at most %d", ErrMalformed, h.length, c.t.cfg.MaxFrameBytes)
	}
	id, err := c.readGroup(h)
	if err != nil {
		return err
	}
	n := h.length - int64(groupIDBytes)
	g := c.t.group(id)
	if g == nil {
		err = ErrUnknownGroup
	} else {
		err = g.admit(n)
	}
	if err != nil {
		if err := c.discard(n); err != nil {
			return err
		}
		return c.refuse(h, id, err)
	}
	buf, err := c.readEntries(n)
	if err != nil {
		g.release(n)
		return err
	}
	args, err := decodeAppendEntries(buf.b[:n])
	if err == nil {
		err = checkEntries(args)
	}
	response := newRPCAnswer(g)
	if err == nil {
		err = g.deliver(raft.RPC{Command: args, RespChan: response.ch}, len(args.Entries) > 0)
	}
	if err != nil {
		buf.release()
		g.release(n)
		return c.refuse(h, id, err)
	}
	c.t.wg.Go(func() {
		s, body, answered := response.wait()
		if answered {
			buf.release() // else raft may still read it
		}
		g.release(n)
		c.answer(h.id, s, body)
	})
	return nil
}

func (c *conn) readEntries(n int64) (*buffer, error) {
	defer c.expectBody(n)()
	return readBuffer(c.reader, int(n))
}

// serveVote takes in a small request to a group.
func (c *conn) serveVote(h frameHeader) error {
	body, err := c.readControl(h)
	if err != nil {
		return err
	}
	var id GroupID
	if len(body) < groupIDBytes {
		return fmt.Errorf("%w: a frame of kind %d and %d bytes, without a group", ErrMalformed, h.kind, h.length)
	}
	copy(id[:], body)
	g := c.t.group(id)
	if g == nil {
		return c.refuse(h, id, ErrUnknownGroup)
	}
	var command any
	switch body = body[groupIDBytes:]; h.kind {
	case kindVote:
		command, err = decodeVote(body)
	case kindPreVote:
		command, err = decodePreVote(body)
	default:
		command, err = decodeTimeoutNow(body)
	}
	response := newRPCAnswer(g)
	if err == nil {
		g.judge(command)
		err = g.deliver(raft.RPC{Command: command, RespChan: response.ch}, false)
	}
	if err != nil {
		return c.refuse(h, id, err)
	}
	c.t.wg.Go(func() {
		s, body, _ := response.wait()
		c.answer(h.id, s, body)
	})
	return nil
}

// refuse answers a request that was not delivered. What makes no sense is logged: a peer that shook hands
// should not send it.
func (c *conn) refuse(h frameHeader, id GroupID, why error) error {
	c.t.counters.requestsRefused.Add(1)
	if errors.Is(why, ErrMalformed) {
		c.t.refusals.warn("request refused", "peer", c.peer, "group", id, "kind", h.kind, "err", why)
	}
	return c.answer(h.id, refusalStatus(why), []byte(why.Error()))
}

// maxErrorBytes is how much of an error's text travels.
const maxErrorBytes = 4096

func (c *conn) answer(id uint64, s status, body []byte) error {
	if s != statusOK {
		body = body[:min(len(body), maxErrorBytes)]
	}
	frame := beginFrame(make([]byte, 0, frameHeaderBytes+1+len(body)), kindAnswer)
	frame = append(frame, byte(s))
	return c.answerFrame(append(frame, body...), id)
}

// answerFrame writes a frame of the side that accepted. An error has killed the connection or found it dead.
func (c *conn) answerFrame(frame []byte, id uint64) error {
	endFrame(frame, id, 0)
	w := newPatience(c.peer.node, c.t.cfg.ControlTimeout+c.t.cfg.transferTime(int64(len(frame))), c.ctx.Done(), c.ctx.Err)
	defer w.stop()
	err := c.write(nil, w, net.Buffers{frame})
	if err != nil {
		c.kill(err) // the other side waits for an answer that will not come
	}
	return err
}

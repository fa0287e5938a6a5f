package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// peer is one replica's address as seen from here: the two links to it, and what is under way on them.
type peer struct {
	t       *Transport
	to      identity // a zero directory until the first handshake, when only the node was known
	control link
	bulk    link
	room    budget // for entries in flight
	beats   beatQueue
}

// peer is the one for an address. Without a directory it is the newest that the node was seen with.
func (t *Transport) peer(to identity) (*peer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	if to.directory == ([16]byte{}) {
		to.directory = t.directories[to.node]
	}
	if p := t.peers[to]; p != nil {
		return p, nil
	}
	p := &peer{t: t, to: to, room: budget{limit: t.cfg.InFlightBytes}}
	p.control = link{peer: p, purpose: purposeControl}
	p.bulk = link{peer: p, purpose: purposeBulk}
	p.beats.signal = make(chan struct{}, 1)
	t.peers[to] = p
	t.wg.Go(p.sendHeartbeats)
	return p, nil
}

// seen notes which directory a node has, and that it can be dialled again: it has just been heard from.
func (t *Transport) seen(who identity, calledUs bool) {
	t.mu.Lock()
	t.directories[who.node] = who.directory
	var back []*peer
	if calledUs {
		for id, p := range t.peers {
			if id.admits(who) {
				back = append(back, p)
			}
		}
	}
	t.mu.Unlock()
	for _, p := range back {
		p.control.hopeful()
		p.bulk.hopeful()
	}
}

// mistaken forgets a directory that turned out not to be the node's.
func (t *Transport) mistaken(who identity) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if who.directory != ([16]byte{}) && t.directories[who.node] == who.directory {
		delete(t.directories, who.node)
	}
}

// link is one connection to a peer, made when it is wanted and again when it broke.
type link struct {
	peer    *peer
	purpose purpose

	mu        sync.Mutex // guards the rest
	conn      *conn
	dialling  *attempt
	failures  int
	notBefore time.Time
	lastErr   error
}

// attempt is one dial, which all who want the link wait for.
type attempt struct {
	done chan struct{}
	conn *conn
	err  error
}

// get is the live connection. It dials when there is none, unless the last dial failed a moment ago: then
// its error comes at once.
func (l *link) get(w *patience) (*conn, error) {
	l.mu.Lock()
	old := l.conn
	if old != nil && !old.dead() {
		l.mu.Unlock()
		return old, nil
	}
	a := l.dialling
	if a == nil {
		if time.Now().Before(l.notBefore) {
			defer l.mu.Unlock()
			return nil, l.lastErr
		}
		a = &attempt{done: make(chan struct{})}
		if !l.peer.t.start(func() { l.dial(a, old) }) {
			l.mu.Unlock()
			return nil, ErrClosed
		}
		l.dialling = a
	}
	l.mu.Unlock()
	if err := w.on(a.done, "connection"); err != nil {
		return nil, err
	}
	return a.conn, a.err
}

// hopeful ends the wait before the next dial.
func (l *link) hopeful() {
	l.mu.Lock()
	l.notBefore, l.failures = time.Time{}, 0
	l.mu.Unlock()
}

func (l *link) dial(a *attempt, old *conn) {
	if old != nil {
		<-old.gone // so that the observer hears of the loss first
	}
	t := l.peer.t
	nc, who, err := t.dial(l.peer.to, l.purpose)
	if err == nil {
		a.conn = t.newConn(nc, who, l.purpose)
		t.wg.Go(func() { l.read(a.conn) })
		if l.purpose == purposeControl {
			t.observe(who.node, true)
		}
	} else {
		a.err = &UnreachableError{Node: l.peer.to.node, Err: err, NotSent: true}
	}
	l.mu.Lock()
	l.dialling = nil
	if a.err == nil {
		l.conn, l.failures = a.conn, 0
	} else {
		l.notBefore = time.Now().Add(t.backoff(l.failures))
		l.failures++
		l.lastErr = a.err
	}
	l.mu.Unlock()
	close(a.done)
}

// read owns the connection until it ends.
func (l *link) read(c *conn) {
	err := c.readAnswers()
	c.kill(err)
	c.mu.Lock()
	why := c.err
	c.mu.Unlock()
	if l.purpose == purposeControl {
		l.peer.t.observe(c.peer.node, false)
	}
	if !errors.Is(why, ErrClosed) {
		l.peer.t.cfg.Logger.Info("transport: connection lost", "peer", c.peer, "err", why)
	}
	close(c.gone)
}

func (t *Transport) backoff(failures int) time.Duration {
	return min(t.cfg.BackoffMin<<min(failures, 20), t.cfg.BackoffMax)
}

// dial connects and shakes hands. The connection is tracked.
func (t *Transport) dial(to identity, p purpose) (net.Conn, identity, error) {
	address, ok := t.cfg.Resolve(to.node)
	if !ok {
		return nil, identity{}, errors.New("no address is known")
	}
	dialer := net.Dialer{Timeout: t.cfg.DialTimeout}
	nc, err := dialer.DialContext(t.ctx, "tcp", address)
	if err != nil {
		return nil, identity{}, err
	}
	if nc, err = t.secure(nc, address); err != nil {
		return nil, identity{}, err
	}
	if !t.track(nc) {
		return nil, identity{}, ErrClosed
	}
	who, err := t.greet(nc, p, to, time.Now().Add(t.cfg.HandshakeTimeout))
	if err != nil {
		t.drop(nc)
		var wrong *IdentityError
		if errors.As(err, &wrong) {
			t.mistaken(to)
			t.refusals.warn("handshake failed", "peer", to, "address", address, "err", err)
		}
		return nil, identity{}, fmt.Errorf("%s: %w", address, err)
	}
	t.seen(who, false)
	t.counters.dials.Add(1)
	return nc, who, nil
}

// secure wraps what was dialled in TLS, whose handshake the first write makes.
func (t *Transport) secure(nc net.Conn, address string) (net.Conn, error) {
	return secured(nc, t.cfg.TLS, address)
}

func secured(nc net.Conn, cfg *tls.Config, address string) (net.Conn, error) {
	if cfg == nil {
		return nc, nil
	}
	if cfg.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			nc.Close()
			return nil, err
		}
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	return tls.Client(nc, cfg), nil
}

// connectionTo is the control connection to a node of whatever directory. It is dialled without one when none is
// known, and then belongs to the peer that answered. A directory that turns out not to be the node's any
// more is forgotten, and the node asked once again.
func (t *Transport) connectionTo(node int32, w *patience) (*conn, error) {
	for again := true; ; again = false {
		p, err := t.peer(identity{node: node})
		if err != nil {
			return nil, err
		}
		c, err := p.control.get(w)
		var wrong *IdentityError
		switch {
		case err != nil && again && p.to.directory != [16]byte{} && errors.As(err, &wrong):
			t.mistaken(p.to)
			continue
		case err != nil:
			return nil, err
		case p.to.directory == [16]byte{}:
			err = p.handOver(c)
		}
		return c, err
	}
}

// handOver gives the connection of a peer known by its node only to the peer it turned out to be.
func (p *peer) handOver(c *conn) error {
	known, err := p.t.peer(c.peer)
	if err != nil {
		return err
	}
	p.control.mu.Lock()
	mine := p.control.conn == c
	if mine {
		p.control.conn = nil
	}
	p.control.mu.Unlock()
	if !mine {
		return nil
	}
	known.control.mu.Lock()
	free := known.control.conn == nil && known.control.dialling == nil
	if free {
		known.control.conn = c
	}
	known.control.mu.Unlock()
	if !free { // it has its own: nobody else will use this one
		p.control.mu.Lock()
		if p.control.conn == nil {
			p.control.conn = c
		}
		p.control.mu.Unlock()
	}
	return nil
}

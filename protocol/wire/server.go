// Package wire serves Kafka request frames over stream connections: framing,
// limits, order of replies, backpressure and file ranges by sendfile. It knows
// the request header and nothing of what requests mean.
package wire

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Server accepts connections and hands their requests to a Handler. Its
// methods may be called side by side.
type Server struct {
	cfg     Config
	handler Handler
	logger  *slog.Logger
	stats   Stats
	arena   arena
	clock   clock
	gates   gates

	ctx      context.Context // ends with Close; parent of the connections' contexts
	cancel   context.CancelCauseFunc
	draining chan struct{}  // closed by Shutdown
	served   sync.WaitGroup // accept loops and connections
	sweeper  sync.WaitGroup
	nextID   atomic.Uint64

	mu        sync.Mutex // guards the rest; taken before Conn.mu
	state     serverState
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
	perIP     map[netip.Addr]int
	sweeping  bool
}

type serverState int

const (
	stateOpen serverState = iota
	stateDraining
	stateClosed
)

// NewServer returns a server that does nothing yet. Zero fields of cfg get
// their defaults; what Config.Validate refuses must not be passed.
func NewServer(cfg Config, h Handler, logger *slog.Logger) *Server {
	s := &Server{
		cfg:       cfg.withDefaults(),
		handler:   h,
		logger:    logger,
		draining:  make(chan struct{}),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*Conn]struct{}),
		perIP:     make(map[netip.Addr]int),
	}
	s.arena = arena{budget: budget{limit: s.cfg.MemoryBytes, stats: &s.stats}, stats: &s.stats}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.stats.init()
	s.clock.start()
	return s
}

// Stats returns the live counters.
func (s *Server) Stats() *Stats { return &s.stats }

// Serve accepts connections from ln until Shutdown, Close or an error that
// does not pass. It closes ln. Several listeners may be served at once.
//
// Errors: ErrServerClosed after Shutdown or Close; else that of Accept.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	if s.state != stateOpen {
		s.mu.Unlock()
		return errors.Join(ErrServerClosed, ln.Close())
	}
	s.listeners[ln] = struct{}{}
	if !s.sweeping {
		s.sweeping = true
		s.sweeper.Go(s.sweepLoop)
	}
	s.served.Add(1)
	s.mu.Unlock()

	defer s.served.Done()
	err := s.acceptLoop(ln)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
	if s.state != stateOpen {
		return ErrServerClosed // the listener was closed with the state
	}
	return errors.Join(err, ln.Close())
}

// Pauses after an Accept that failed for want of something (descriptors,
// buffers): doubling, so that waiting for room does not burn a core.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

func (s *Server) acceptLoop(ln net.Listener) error {
	pause := acceptPauseMin
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = acceptPauseMin
			s.admit(nc, ln.Addr())
			continue
		case s.isStopping():
			return ErrServerClosed
		case !passes(err):
			return err
		}
		s.gates.acceptError.warn(s, "accepting connections fails, trying again", "err", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-s.draining:
			timer.Stop()
		}
		pause = min(2*pause, acceptPauseMax)
	}
}

// passes reports whether an error of Accept says nothing about the listener.
func passes(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.EPERM, syscall.EINTR, syscall.EPROTO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *Server) isStopping() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// admit starts to serve nc, or closes it if a limit is reached.
func (s *Server) admit(nc net.Conn, listener net.Addr) {
	ip := ipOf(nc.RemoteAddr())
	total, perIP := s.connectionLimits()
	s.mu.Lock()
	refusal, stopping := "", s.state != stateOpen
	switch {
	case stopping:
		refusal = "server is shutting down"
	case len(s.conns) >= total:
		refusal = "too many connections"
	case s.perIP[ip] >= perIP:
		refusal = "too many connections from this address"
	}
	if refusal != "" {
		open := len(s.conns)
		s.mu.Unlock()
		s.stats.ConnectionsRejected.Add(1)
		s.gates.rejected.warn(s, "connection refused", "reason", refusal, "remote", nc.RemoteAddr(), "open", open)
		if stopping {
			resetOnClose(nc)
		}
		nc.Close()
		return
	}
	c := newConn(s, nc, listener, ip)
	s.conns[c] = struct{}{}
	s.perIP[ip]++
	s.served.Add(1)
	s.mu.Unlock()
	s.stats.ConnectionsOpen.Add(1)
	s.stats.ConnectionsTotal.Add(1)
	go c.serve()
}

func (s *Server) connectionLimits() (total, perIP int) {
	switch {
	case s.cfg.ConnectionLimits != nil:
		return s.cfg.ConnectionLimits()
	case s.cfg.MaxConnectionsPerIP == 0:
		return s.cfg.MaxConnections, math.MaxInt
	}
	return s.cfg.MaxConnections, s.cfg.MaxConnectionsPerIP
}

// forget removes a connection whose goroutines have ended, but for the caller.
func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	if s.perIP[c.ip]--; s.perIP[c.ip] == 0 {
		delete(s.perIP, c.ip)
	}
	s.mu.Unlock()
	s.stats.ConnectionsOpen.Add(-1)
	s.served.Done()
}

// ipOf returns the address that connections are counted under: an IPv4 address
// or an IPv6 /64; the zero address for other networks.
func ipOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := tcp.AddrPort().Addr().Unmap()
	if ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

// Shutdown stops accepting and reading, lets the requests that were handed to
// the handler be answered, and closes each connection after its last reply.
// Requests that were not read completely are dropped: their clients have no
// answer and try again. When ctx ends first, what is left is closed as by
// Close, and ctx's error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	for _, c := range s.stop(stateDraining) {
		c.drain()
	}
	done := make(chan struct{})
	go func() {
		s.served.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	err = errors.Join(err, s.Close())
	<-done
	return err
}

// Close ends everything at once and returns when all goroutines of the server
// have ended. Handle and Await calls under way are waited for; their context
// is ended.
func (s *Server) Close() error {
	conns := s.stop(stateClosed)
	s.cancel(ErrServerClosed)
	for _, c := range conns {
		c.fail(ErrServerClosed)
	}
	s.served.Wait()
	s.sweeper.Wait()
	return nil
}

// stop moves the server to a later state, closes its listeners and returns the
// connections it has.
func (s *Server) stop(to serverState) []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateOpen {
		close(s.draining)
	}
	s.state = max(s.state, to)
	for ln := range s.listeners {
		ln.Close()
		delete(s.listeners, ln)
	}
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

package wire

import (
	"sync/atomic"
	"time"
)

// Timeouts cost the request path two atomic stores and no timer: connections
// note when they began to wait, and one goroutine per server looks for those
// that wait too long. A timeout is late by at most one tick.
const (
	sweepTickMax = time.Second
	sweepTickMin = 10 * time.Millisecond
	ticksPerWait = 8
)

// clock is the server's coarse time: nanoseconds since its start, never zero,
// moved on by the sweeper.
type clock struct {
	started time.Time
	coarse  atomic.Int64
}

func (c *clock) start() {
	c.started = time.Now()
	c.coarse.Store(1)
}

func (c *clock) now() int64 { return c.coarse.Load() }

// exact is the fine time since the server's start.
func (c *clock) exact() time.Duration { return time.Since(c.started) }

func (s *Server) sweepLoop() {
	shortest := min(s.cfg.IdleTimeout, s.cfg.ReadTimeout, s.cfg.WriteTimeout)
	ticker := time.NewTicker(min(max(shortest/ticksPerWait, sweepTickMin), sweepTickMax))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.sweep(time.Since(s.clock.started))
		case <-s.ctx.Done():
			return
		}
	}
}

// sweep sets the clock and closes the connections that are late by it.
func (s *Server) sweep(elapsed time.Duration) {
	now := int64(elapsed) + 1
	s.clock.coarse.Store(now)
	type late struct {
		conn   *Conn
		reason error
	}
	var found []late
	s.mu.Lock()
	for c := range s.conns {
		if reason := c.late(now); reason != nil {
			found = append(found, late{c, reason})
		}
	}
	s.mu.Unlock()
	for _, l := range found {
		l.conn.fail(l.reason)
	}
}

// waits are the moments, by the coarse clock, since which a connection waits
// for its peer. Zero: it does not.
type waits struct {
	idleSince  atomic.Int64 // for a request to begin
	readSince  atomic.Int64 // for a request to be complete
	writeSince atomic.Int64 // for a byte of the response to be taken
}

// late returns the timeout that c has run into, if any.
func (c *Conn) late(now int64) error {
	over := func(since int64, limit time.Duration) bool { return since != 0 && now-since > int64(limit) }
	switch cfg := &c.srv.cfg; {
	case over(c.waits.writeSince.Load(), cfg.WriteTimeout):
		return errWriteTimeout
	case over(c.waits.readSince.Load(), cfg.ReadTimeout):
		return errReadTimeout
	case over(c.waits.idleSince.Load(), cfg.IdleTimeout) && !c.hasUnanswered():
		return errIdleTimeout
	}
	return nil
}

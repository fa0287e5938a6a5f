package wire

import "time"

// A muted connection is not read from, so that a client cannot do more than it is to (KIP-219). What was read before is
// answered. No goroutine waits for the end of it but the reader, if there is something to read; a connection where that is
// so for IdleTimeout is closed, since its peer may have gone.

// mute is guarded by Conn.mu.
type mute struct {
	until time.Duration // since the server's start
	timer *time.Timer   // nil: not muted
}

func (m *mute) on() bool { return m.timer != nil }

// end is harmless when there is no mute.
func (m *mute) end() {
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
}

// OneByOne has requests be read only when those before them are answered, or ahead as usual. It is for Handle.
func (c *Conn) OneByOne(on bool) { c.oneByOne = on }

// Mute has no further request be handled for d from now on, or for longer if the connection is muted for longer already. At
// most the first bytes of one are read. The end of the connection, or of the server, does not wait for it.
func (c *Conn) Mute(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.srv.clock.exact() + d
	if c.gone.Load() || c.mute.on() && until <= c.mute.until {
		return
	}
	c.mute.end()
	c.mute.until = until
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.mute.timer == timer {
			c.unmute()
		}
	})
	c.mute.timer = timer
}

// unmute has the reader go on. c.mu is held.
func (c *Conn) unmute() {
	c.mute.end()
	c.changed.Broadcast()
}

// Unmute ends the mutes of all connections.
func (s *Server) Unmute() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.mu.Lock()
		c.unmute()
		c.mu.Unlock()
	}
}

package wire

import (
	"sync"
	"time"
)

// gateInterval is how often one kind of warning is logged at most.
const gateInterval = time.Minute

// gates are the warnings that peers can provoke at will.
type gates struct {
	acceptError, rejected, foreign, shortFile gate
}

// gate lets one warning through per interval and counts the others.
type gate struct {
	mu         sync.Mutex // guards the rest
	last       int64      // coarse time; 0: never
	suppressed int64
}

func (g *gate) warn(s *Server, msg string, args ...any) {
	now := s.clock.now()
	g.mu.Lock()
	if g.last != 0 && now-g.last < int64(gateInterval) {
		g.suppressed++
		g.mu.Unlock()
		return
	}
	suppressed := g.suppressed
	g.last, g.suppressed = now, 0
	g.mu.Unlock()
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	s.logger.Warn(msg, args...)
}

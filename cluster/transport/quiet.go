package transport

import (
	"log/slog"
	"sync"
	"time"
)

// Refusals are logged as they come up to refusalBurst, then one each refusalEvery.
const (
	refusalBurst = 10
	refusalEvery = time.Second
)

// refusalLog keeps strangers from filling the log.
type refusalLog struct {
	logger *slog.Logger

	mu      sync.Mutex // guards the rest
	left    float64
	last    time.Time
	dropped int
}

func newRefusalLog(logger *slog.Logger) *refusalLog {
	return &refusalLog{logger: logger, left: refusalBurst, last: time.Now()}
}

func (l *refusalLog) warn(msg string, args ...any) {
	l.mu.Lock()
	now := time.Now()
	l.left = min(refusalBurst, l.left+float64(now.Sub(l.last))/float64(refusalEvery))
	l.last = now
	if l.left < 1 {
		l.dropped++
		l.mu.Unlock()
		return
	}
	l.left--
	if l.dropped > 0 {
		args = append(args, "unlogged", l.dropped)
		l.dropped = 0
	}
	l.mu.Unlock()
	l.logger.Warn("transport: "+msg, args...)
}

package transport

import (
	"time"
)

// patience is how long one request may take altogether, and what ends it early. It is used by the
// goroutine that made the request only.
type patience struct {
	node     int32
	limit    time.Duration
	deadline time.Time
	timer    *time.Timer
	quit     <-chan struct{}
	cause    func() error // why quit was closed
}

func newPatience(node int32, limit time.Duration, quit <-chan struct{}, cause func() error) *patience {
	return &patience{node: node, limit: limit, deadline: time.Now().Add(limit), timer: time.NewTimer(limit), quit: quit, cause: cause}
}

func (p *patience) stop() { p.timer.Stop() }

// on waits for something named stage to be closed.
func (p *patience) on(done <-chan struct{}, stage string) error {
	select {
	case <-done:
		return nil
	case <-p.timer.C:
		return p.expired(stage)
	case <-p.quit:
		return p.cause()
	}
}

func (p *patience) expired(stage string) error {
	return &TimeoutError{Node: p.node, After: p.limit, Stage: stage}
}

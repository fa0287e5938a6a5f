package cluster

import (
	"context"
	"sync"
)

// slots bound how many do something at a time. Their number may change; who has one keeps it.
type slots struct {
	mu    sync.Mutex // guards the rest; a leaf lock
	most  int
	taken int
	freed chan struct{} // closed when one may have become free
}

func (s *slots) setMost(most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = most
	s.wake()
}

// take waits for a slot. Its error is ctx's.
func (s *slots) take(ctx context.Context) error {
	for {
		s.mu.Lock()
		if s.taken < s.most {
			s.taken++
			s.mu.Unlock()
			return nil
		}
		freed := s.freed
		s.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	s.wake()
}

// wake is called with mu held.
func (s *slots) wake() {
	close(s.freed)
	s.freed = make(chan struct{})
}

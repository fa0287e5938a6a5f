package cluster

import (
	"context"
	"errors"
	"testing"
)

// TestSlots: no more than so many have one, who waits gets the next, also when there are more than before, and who has
// one keeps it when there are fewer.
func TestSlots(t *testing.T) {
	s := &slots{freed: make(chan struct{})}
	s.setMost(1)
	ctx := context.Background()
	got := make(chan error)
	take := func() { got <- s.take(ctx) }
	full := func() {
		t.Helper()
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := s.take(ended); !errors.Is(err, context.Canceled) {
			t.Fatalf("one more: %v", err)
		}
	}
	for range 2 {
		go take()
	}
	<-got
	full()
	s.setMost(2)
	<-got
	full()
	go take()
	s.setMost(1)
	s.give()
	full()
	s.give()
	if err := <-got; err != nil {
		t.Error(err)
	}
	full()
}

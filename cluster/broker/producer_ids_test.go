package broker

import (
	"context"
	"errors"
	"testing"

	"weir/cluster/metadata"
)

// TestProducerIDsWait: who waits for a block that somebody else asks for hears that its client has gone.
func TestProducerIDsWait(t *testing.T) {
	p := newProducerIDs(nil)
	p.block = metadata.ProducerIDBlock{First: 7, Count: 1}
	p.turn <- struct{}{}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if id, err := p.next(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("id %d, %v", id, err)
	}
	<-p.turn
	if id, err := p.next(t.Context()); id != 7 || err != nil {
		t.Errorf("id %d, %v", id, err)
	}
}

// TestSideBySidePanics: a panic is that of who called, and the others are done.
func TestSideBySidePanics(t *testing.T) {
	done := make([]bool, 20)
	places := make([]int, len(done))
	for i := range places {
		places[i] = i
	}
	defer func() {
		if v := recover(); v != "seven" {
			t.Errorf("panicked with %v", v)
		}
		for i, d := range done {
			if d != (i != 7) {
				t.Errorf("%d: %v", i, d)
			}
		}
	}()
	sideBySide(3, places, func(i int) {
		if i == 7 {
			panic("seven")
		}
		done[i] = true
	})
	t.Error("it returned")
}

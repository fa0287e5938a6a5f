package partition

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A node's replicas stand in turns, and a turn that was not given back ends by itself.
func TestElections(t *testing.T) {
	node := NewElections(1)
	a, b := candidacy{all: node}, candidacy{all: node}
	closing := make(chan struct{})
	if !a.begin(patience, time.Hour, closing) || !a.begin(0, time.Hour, closing) {
		t.Fatal("no turn for the first, or not for the second vote of its election")
	}
	if b.begin(time.Millisecond, time.Hour, closing) {
		t.Fatal("two at the same time")
	}
	got := make(chan bool)
	go func() { got <- b.begin(patience, time.Millisecond, closing) }()
	a.end()
	a.end() // once is enough
	if !<-got {
		t.Fatal("no turn for the next")
	}
	if !a.begin(patience, time.Hour, closing) { // b's has run out
		t.Fatal("a turn was kept for ever")
	}
	b.end() // has none
	if b.begin(time.Millisecond, time.Hour, closing) {
		t.Fatal("one gave back the turn of another")
	}
	first, second := &raft.RequestPreVoteRequest{}, &raft.RequestPreVoteRequest{}
	a.refused(first, 2)
	if a.refused(second, 2); b.begin(time.Millisecond, time.Hour, closing) {
		t.Fatal("a turn was lost by one refusal of two in each of two rounds")
	}
	a.refused(second, 2)
	if !b.begin(patience, time.Hour, closing) {
		t.Fatal("who cannot be elected keeps the turn")
	}
	b.end()
	if !a.begin(patience, time.Hour, closing) {
		t.Fatal("no turn")
	}
	close(closing)
	if b.begin(patience, time.Hour, closing) {
		t.Error("a turn for one that is closed")
	}
	var free candidacy
	if !free.begin(0, 0, closing) {
		t.Error("a bound that nobody has set")
	}
	free.end()
}

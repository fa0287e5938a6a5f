package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
)

// TestHeard: who waits for an answer after those counted before is woken by the first one, also when
// that came before the waiting began.
func TestHeard(t *testing.T) {
	h := &heard{of: make(map[raft.ServerAddress]*answers)}
	before := h.count("a")
	one, two := h.more("a", before), h.more("a", before)
	h.answered("b")
	select {
	case <-one:
		t.Fatal("woken by another's answer")
	default:
	}
	h.answered("a")
	<-one
	<-two
	<-h.more("a", before)
	select {
	case <-h.more("a", h.count("a")):
		t.Fatal("woken without an answer")
	default:
	}
}

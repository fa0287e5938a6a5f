//go:build interop

package interop

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// moment is when a processor is cut off all brokers, both ways.
type moment string

const (
	commitHeld moment = "cut off with the commit that it sends" // which arrives when it is let back
	answerHeld moment = "cut off with the answer to its commit"
)

// cutOff is of one processor, whose requests and their answers are held back from its next commit on.
type cutOff struct {
	clientID string
	at       moment
	begun    chan struct{} // closed with the commit
	healed   chan struct{} // closed when it is let back

	mu     sync.Mutex          // held to begin
	commit *kmsg.EndTxnRequest // with which it began, of commitHeld
}

// cuts oversee the proxies of a chain's brokers.
type cuts struct {
	ctx context.Context // of the test: nothing is held back longer
	t   *testing.T

	mu  sync.Mutex         // guards off
	off map[string]*cutOff // by client id
}

func newCuts(t *testing.T) *cuts {
	return &cuts{ctx: t.Context(), t: t, off: map[string]*cutOff{}}
}

// order cuts a processor off at the moment of its next commit.
func (c *cuts) order(clientID string, at moment) *cutOff {
	c.mu.Lock()
	defer c.mu.Unlock()
	off := &cutOff{clientID: clientID, at: at, begun: make(chan struct{}), healed: make(chan struct{})}
	c.off[clientID] = off
	return off
}

// letBack has all that was held back arrive.
func (c *cuts) letBack(off *cutOff) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.off, off.clientID)
	close(off.healed)
}

func (c *cuts) of(r *request) *cutOff {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.off[r.clientID]
}

func (c *cuts) asks(r *request) error {
	off := c.of(r)
	if off == nil {
		return nil
	}
	if kmsg.Key(r.key) == kmsg.EndTxn {
		if err := off.notes(r); err != nil {
			return err
		}
	}
	c.hold(off)
	return nil
}

// notes begins the cut with a commit, or notes that it is to begin with the answer to it.
func (off *cutOff) notes(r *request) error {
	end := kmsg.NewPtrEndTxnRequest()
	if err := r.decode(end); err != nil {
		return err
	}
	off.mu.Lock()
	defer off.mu.Unlock()
	if isClosed(off.begun) || !end.Commit {
		return nil
	}
	r.cut = off
	if off.at == commitHeld {
		off.commit = end
		close(off.begun)
	}
	return nil
}

// begin begins the cut with an answer.
func (off *cutOff) begin() {
	off.mu.Lock()
	defer off.mu.Unlock()
	if !isClosed(off.begun) {
		close(off.begun)
	}
}

func (c *cuts) answers(r *request, answer []byte) error {
	if off := r.cut; off != nil {
		ended := kmsg.NewPtrEndTxnResponse()
		if err := r.decodeAnswer(answer, ended); err != nil {
			return err
		}
		switch {
		case off.at == answerHeld:
			off.begin()
		case ended.ErrorCode == 0:
			return fmt.Errorf("%s has committed what was aborted", off.clientID)
		}
	}
	if off := c.of(r); off != nil {
		c.hold(off)
	}
	return nil
}

// hold waits for the end of a cut that has begun.
func (c *cuts) hold(off *cutOff) {
	select {
	case <-off.begun:
	default:
		return
	}
	select {
	case <-off.healed:
	case <-c.ctx.Done():
	}
}

func (c *cuts) complain(format string, args ...any) { c.t.Errorf(format, args...) }

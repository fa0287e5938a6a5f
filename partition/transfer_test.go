package partition

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// TestSequenceAcrossFailedTransfer: while a leadership is being handed over the library
// refuses writes and tells nobody. When the handing over fails and the leadership goes
// on, nothing of a producer that was checked against what was refused may be stored:
// its sequence would have a gap that a retry can never fill.
func TestSequenceAcrossFailedTransfer(t *testing.T) {
	for range 5 {
		g := newGroup(t, 3, 3, testSettings())
		rng := rand.New(rand.NewPCG(1, 1))
		l := g.leader()
		var dead *member
		for _, m := range g.nodes {
			if m != l {
				dead = m
			}
		}
		mode := g.crash(dead, false)
		g.put(makeBatch(t, rng, nobody, 1)) // the dead one lacks something
		who := identity{id: 9}
		g.put(makeBatch(t, rng, who, 1)) // of one that is not known, any sequence is taken
		who.sequence++
		moved := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			moved <- l.Transfer(ctx, dead.id)
		}()
		rest := -1
		var all []*Append
		for rest != 0 {
			all = append(all, l.Propose(makeBatch(t, rng, who, 1), AcksAll))
			who.sequence++
			select {
			case <-moved: // without an error when the third was elected meanwhile
				rest = 20
			case <-time.After(100 * time.Microsecond):
				rest--
			}
		}
		g.put(makeBatch(t, rng, nobody, 1)) // what was refused before is told
		var refusal error
		refused := 0
		for i, a := range all {
			err := await(t, a)
			switch {
			case err != nil && refusal == nil:
				refused, refusal = i, err
			case err == nil && refusal != nil:
				t.Fatalf("of %d batches, %d is stored after %d was refused with: %v", len(all), i, refused, refusal)
			}
		}
		t.Logf("%d batches, refused from %d on: %v", len(all), refused, refusal)
		g.start(dead, mode)
		g.same()
		for _, m := range g.nodes {
			g.stop(m)
		}
	}
}

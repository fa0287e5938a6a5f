package partition

import (
	"bytes"
	"context"
	"errors"
	"testing/synctest"
	"time"

	"weir/log"
)

// What a mixedRun does in a step.

// plain has several batches on their way at once; those that no leader takes are sent again.
func (c *mixedRun) plain() {
	c.t.Helper()
	var batches []Batch
	var appends []*Append
	l := c.leader()
	for range 1 + c.rng.IntN(4) {
		b := c.m.batch(c.rng, nobody, 1+c.rng.IntN(4), c.now)
		batches = append(batches, b)
		appends = append(appends, l.Propose(parsed(c.t, bytes.Clone(b.Data)), AcksAll))
	}
	for i, a := range appends {
		err := await(c.t, a)
		base := a.BaseOffset
		if deposed := new(NotLeaderError); errors.As(err, &deposed) {
			base = c.put(batches[i])
		} else if err != nil {
			c.t.Fatal(err)
		}
		c.m.acknowledged(batches[i], base)
	}
}

func (c *mixedRun) idempotent() {
	c.t.Helper()
	id := c.rng.Int64N(3)
	w := c.writer[id]
	if w == nil {
		w = &mixedWriter{next: identity{id: id}}
		c.writer[id] = w
	}
	n := 1 + c.rng.IntN(4)
	b := c.m.batch(c.rng, w.next, n, c.now)
	w.last, w.next.sequence = b.Data, w.next.sequence+int32(n)
	w.offset = c.put(b)
	c.m.acknowledged(b, w.offset)
}

// retry sends a producer's last batch again: it is known wherever it went meanwhile.
func (c *mixedRun) retry() {
	c.t.Helper()
	w := c.writer[c.rng.Int64N(3)]
	if w == nil {
		return
	}
	if offset := c.put(parsed(c.t, w.last)); offset != w.offset {
		c.t.Fatalf("the last batch of producer %d is at %d, again at %d", w.next.id, w.offset, offset)
	}
}

func (c *mixedRun) deleteRecords() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	share := c.rng.Float64()
	c.do(func(l *member) error {
		to := l.LogStartOffset() + int64(share*share*float64(l.HighWatermark()-l.LogStartOffset()))
		c.m.ordered(to)
		_, err := l.DeleteRecords(ctx, to)
		if err == nil {
			c.m.deleted(to)
			c.did.deletions.Add(1)
		}
		return err
	})
}

// retention has each replica do what time asks for.
func (c *mixedRun) retention() {
	c.t.Helper()
	for range 1 + c.rng.IntN(3) {
		synctest.Wait()
		for _, m := range c.up() {
			to, err := m.log.RetentionStart(c.now, m.HighWatermark())
			if err != nil {
				c.t.Fatal(err)
			}
			c.m.ordered(to)
			if err := m.Maintain(c.now); err != nil {
				c.t.Fatal(err)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *mixedRun) compact(m *member) (done log.Compacted) {
	c.t.Helper()
	c.look() // what it may remove is known then, and nothing moves until it has begun
	if m.rig == nil {
		return done
	}
	c.m.compacts(m.LastStableOffset(), c.now)
	done, err := m.Compact(context.Background(), c.now, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.did.removed.Add(done.Records)
	return done
}

// transfer may fail: a replica that is asked to lead may die, or be behind.
func (c *mixedRun) transfer(to *member) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if l := c.leader(); l != to {
		_ = l.Transfer(ctx, to.id)
	}
}

// cutOff has a leader write what nobody else hears of, while the others go on; then it comes back. What it wrote, an
// order to delete among it, must be gone.
func (c *mixedRun) cutOff() {
	c.t.Helper()
	c.settled()
	if c.rng.IntN(2) == 0 {
		c.transfer(c.target)
		c.settled()
	}
	old := c.leader()
	c.wires.setCut(old.id, true)
	var alone []*Append
	for range 1 + c.rng.IntN(8) {
		alone = append(alone, c.alone(old))
	}
	alone = append(alone, old.propose(advanceStartTo(old.HighWatermark())))
	for _, a := range alone {
		if await(c.t, a) == nil {
			c.did.tails.Add(1)
		}
	}
	c.until("the others elect one of theirs", func() bool {
		for _, m := range c.up() {
			if _, leading := m.Leading(); leading && m != old {
				return true
			}
		}
		return false
	})
	for range c.rng.IntN(3) {
		c.plain()
	}
	c.wires.setCut(old.id, false)
}

// leaveOne has a node that is not the target die, or stop, for a while, in which the others may compact what it lacks.
func (c *mixedRun) leaveOne() {
	c.t.Helper()
	c.startAll()
	m := c.nodes[1+c.rng.IntN(len(c.nodes)-1)]
	away := &absence{log.RecoverClean, c.rng.IntN(6)}
	switch c.rng.IntN(3) {
	case 0:
		c.stop(m)
	case 1:
		away.mode = c.crash(m, false)
	default:
		away.mode = c.crash(m, true)
	}
	c.down[m] = away
	if c.rng.IntN(2) == 0 {
		return
	}
	c.endTransactions() // above an open one nothing is compacted
	for range 4 {
		c.plain()
	}
	for _, m := range c.nodes {
		c.compact(m)
	}
}

// letTombstonesGo lets as much time pass as tombstones stay, which all replicas have to have by then: one that was
// away for longer may miss them for ever (DESIGN.md).
func (c *mixedRun) letTombstonesGo() {
	c.t.Helper()
	c.settled()
	c.now = c.now.Add(mixedRetention)
}

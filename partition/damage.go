package partition

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"weir/log"
)

// A leader checks what it reads for its followers before it sends it. Where its own log has
// bad bytes it is no leader: it hands over to a follower that has everything, or just
// leaves, and stands at no election of this process any more. It still votes, and takes what
// comes: what it votes by, the end of its log, is not what is damaged.

// errDamaged is the answer to a leader that wants to hand over.
var errDamaged = errors.New("partition: the log of this replica is damaged")

// Damaged says that bad bytes have been found in this replica's log.
func (p *Partition) Damaged() bool { return p.damaged.Load() }

// checkDamage looks again at what a read from an entry on has found: while the end of the log
// is cut off and written anew, whole entries look damaged.
func (p *Partition) checkDamage(err error, from uint64) {
	var corrupt *log.CorruptError
	if !errors.As(err, &corrupt) {
		return
	}
	m := messages.Get().(*message)
	defer m.release()
	again := m.read(p.log, from, maxAppendEntries)
	if errors.As(again, &corrupt) {
		p.damage(corrupt)
	}
}

// damage gives up the leadership for good. It does not wait.
func (p *Partition) damage(corrupt *log.CorruptError) {
	if p.damaged.Swap(true) {
		return
	}
	p.logger.Error("bad bytes in the log; this replica sends them to nobody and gives up its leadership",
		"file", corrupt.Path, "position", corrupt.Position, "offset", corrupt.Offset, "err", corrupt)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return
	}
	p.background.Go(func() {
		p.handOver()
		p.retire(corrupt) // opened again it refuses to be told to stand, too
	})
}

// successor is a follower that had all that this leader has a moment ago; empty for none.
func (p *Partition) successor() (id raft.ServerID) {
	var latest time.Time
	for _, f := range p.Followers() {
		if f.Voter && f.Match > 0 && f.CaughtUp.After(latest) && time.Since(f.CaughtUp) < handOverTimeout {
			id, latest = f.ID, f.CaughtUp
		}
	}
	return id
}

package partition

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// timeouts is how long the library waits: for a word of the leader, and for votes. While the transport hears the
// leader, and will say when it does not, the library need not be told all the time, nor look whether it has been: it
// waits heardFactor times as long.
type timeouts struct {
	mu      sync.Mutex // guards the rest, and the order of what the library is told; a leaf lock
	raft    *raft.Raft // nil before it has begun
	logger  *slog.Logger
	base    raft.ReloadableConfig
	isHeard bool
	early   *time.Timer // has the library look whether to stand; nil when nothing has asked for that
	ended   bool
}

const (
	heardFactor = 10
	// standSpread is by how much the replicas that a dead leader leaves behind may differ in
	// when they stand: the one that does first wins.
	standSpread = 150 * time.Millisecond
	// eagerDelay is how long an eager replica gives the others of a new partition to open
	// theirs: one that is asked for its vote before that answers nothing, and then a whole
	// election timeout has to go by.
	eagerDelay = 150 * time.Millisecond
)

func (t *timeouts) begin(r *raft.Raft, logger *slog.Logger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.raft, t.logger, t.base = r, logger, r.ReloadableConfig()
}

func (t *timeouts) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.forgetEarly()
}

// standEarly has a replica that need not wait for a leader stand early: the only voter at
// once, an eager one when the others are likely to be there.
func (p *Partition) standEarly(r *raft.Raft) {
	t := &p.timeouts
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case soleVoter(r.GetConfiguration().Configuration(), p.cfg.Replication.Local):
		t.look()
	case p.cfg.Replication.Eager && p.state.at.raftIndex == 0:
		t.lookAfter(eagerDelay)
	}
}

// LeaderLost tells a follower that the node of its leader is not to be reached any more.
// The library looks at its timer at random, up to three timeouts after the last word of
// the leader; this has it look when one has gone by, or at once.
func (p *Partition) LeaderLost() {
	t := &p.timeouts
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.isHeard { // else the transport tells, if it is so
		t.lookAfter(t.rest(t.raft.LastContact()))
	}
}

// rest is what is left of the timeout of a leader that was last heard at a time.
func (t *timeouts) rest(at time.Time) time.Duration {
	return max(t.base.HeartbeatTimeout-time.Since(at), 0) + rand.N(standSpread)
}

// heard is told by the transport, again and again, that it hears the leader, or that it does so no more, and last
// did at a time. It says whether the library goes by that: a candidate's does not.
func (t *timeouts) heard(is bool, at time.Time) (enough bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case is && t.raft.State() == raft.Follower:
		t.forgetEarly()
		t.set(true)
	case !is && t.isHeard:
		t.lookAfter(t.rest(at))
	}
	return t.isHeard
}

// changed is told by the library that it is in another state.
func (t *timeouts) changed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set(false)
}

// lookAfter is called with mu held, as all that follows.
func (t *timeouts) lookAfter(d time.Duration) {
	if t.ended {
		return
	}
	t.forgetEarly()
	var own *time.Timer
	own = time.AfterFunc(d, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.early == own { // and nothing else has come meanwhile
			t.look()
		}
	})
	t.early = own
}

func (t *timeouts) forgetEarly() {
	if t.early != nil {
		t.early.Stop()
		t.early = nil
	}
}

// look makes the library look at once whether its time to stand has come, by a shorter
// timeout, which then is what it was.
func (t *timeouts) look() {
	t.isHeard = false
	shorter := t.config()
	shorter.HeartbeatTimeout -= time.Millisecond
	t.reload(shorter)
	t.reload(t.config())
}

func (t *timeouts) set(heard bool) {
	if t.isHeard != heard {
		t.isHeard = heard
		t.reload(t.config())
	}
}

func (t *timeouts) config() raft.ReloadableConfig {
	c := t.base
	if t.isHeard {
		c.HeartbeatTimeout *= heardFactor
		c.ElectionTimeout *= heardFactor
	}
	return c
}

func (t *timeouts) reload(c raft.ReloadableConfig) {
	if err := t.raft.ReloadConfig(c); err != nil {
		t.logger.Error("the timeouts stay as they were", "err", err)
	}
}

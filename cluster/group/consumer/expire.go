package consumer

import (
	"time"

	"weir/cluster/group"
)

// Deadline is when Expire is to be called next; zero: nothing is due.
func (g *Group) Deadline() (earliest time.Time) {
	note := func(t time.Time) {
		if !t.IsZero() && (earliest.IsZero() || t.Before(earliest)) {
			earliest = t
		}
	}
	for _, m := range g.members {
		if m.waiting == 0 {
			note(m.session)
			note(m.revokeBy)
		}
	}
	if g.store.ahead == nil && len(g.store.changed) > 0 {
		note(g.store.retryAt)
	}
	return earliest
}

// Expire does what is due: members are removed that were not heard from for a session, or have not
// given up in time what they were to, and what could not be written is tried again.
func (g *Group) Expire(now time.Time) group.Output {
	expired := false
	for _, m := range g.sorted() {
		if m.waiting == 0 && (due(m.session, now) || due(m.revokeBy, now)) {
			g.remove(now, m)
			expired = true
		}
	}
	if expired {
		g.bump()
	}
	return g.take(now)
}

func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

package group

import "time"

// Deadline is when Expire is to be called next; zero: nothing is due.
func (g *Classic) Deadline() (earliest time.Time) {
	note := func(t time.Time) {
		if !t.IsZero() && (earliest.IsZero() || t.Before(earliest)) {
			earliest = t
		}
	}
	note(g.joinDeadline)
	note(g.syncDeadline)
	for _, until := range g.pending {
		note(until)
	}
	for _, m := range g.members {
		note(m.deadline)
	}
	return earliest
}

// Expire does what is due.
func (g *Classic) Expire(now time.Time) Output {
	for id, until := range g.pending {
		if due(until, now) {
			delete(g.pending, id)
			g.joinIfComplete(now)
		}
	}
	for _, m := range g.sorted() {
		if due(m.deadline, now) && g.members[m.id] == m {
			g.remove(m)
			g.afterRemoval(now)
		}
	}
	if due(g.joinDeadline, now) {
		g.expireJoin(now)
	}
	if due(g.syncDeadline, now) {
		g.expireSync(now)
	}
	return g.take()
}

func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// expireJoin ends the wait for members to join, unless a new group may still get more.
func (g *Classic) expireJoin(now time.Time) {
	if !g.initial || !g.newcomers || g.initialLeft == 0 {
		g.completeJoin(now)
		return
	}
	delay := min(g.limits.InitialRebalanceDelay, g.initialLeft)
	g.newcomers, g.initialLeft = false, max(g.initialLeft-g.initialDelay, 0)
	g.initialDelay, g.joinDeadline = delay, now.Add(delay)
}

// expireSync removes who has joined and not synced.
func (g *Classic) expireSync(now time.Time) {
	g.syncDeadline = time.Time{}
	for _, m := range g.sorted() {
		if !m.synced {
			g.remove(m)
		}
	}
	g.prepareRebalance(now)
}

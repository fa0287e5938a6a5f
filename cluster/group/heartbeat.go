package group

import "time"

// Heartbeat keeps a member in the group.
func (g *Classic) Heartbeat(now time.Time, memberID, instanceID string, generation int32) error {
	m, err := g.find(memberID, instanceID)
	if err != nil {
		return err
	}
	if generation != g.generation {
		return ErrIllegalGeneration
	}
	g.keep(now, m)
	if g.state == PreparingRebalance {
		return ErrRebalanceInProgress
	}
	return nil
}

// keep begins a member's session anew, unless it is parked: then it does not run.
func (g *Classic) keep(now time.Time, m *member) {
	if m.join == 0 && m.sync == 0 {
		m.deadline = now.Add(m.session)
	}
}

// Commit says whether a commit of offsets is to be taken. One of a member keeps it in the
// group like a heartbeat. Without a member (generation -1) only a group that nobody is in
// takes commits.
func (g *Classic) Commit(now time.Time, memberID, instanceID string, generation int32) error {
	if generation < 0 && g.state == Empty {
		return nil
	}
	if generation < 0 && memberID == "" && instanceID == "" {
		return ErrUnknownMember
	}
	m, err := g.find(memberID, instanceID)
	switch {
	case err != nil:
		return err
	case generation != g.generation:
		return ErrIllegalGeneration
	case g.state == CompletingRebalance:
		return ErrRebalanceInProgress
	}
	g.keep(now, m) // also in PreparingRebalance: cooperative members commit what they give up
	return nil
}

// Leave removes members, each for itself.
func (g *Classic) Leave(now time.Time, leavers []Leaver) ([]error, Output) {
	errs := make([]error, len(leavers))
	left := false
	for i, l := range leavers {
		errs[i] = g.leave(l)
		left = left || errs[i] == nil
	}
	if left {
		g.afterRemoval(now)
	}
	return errs, g.take()
}

func (g *Classic) leave(l Leaver) error {
	if _, pending := g.pending[l.MemberID]; pending {
		delete(g.pending, l.MemberID)
		return nil
	}
	if l.MemberID == "" && l.InstanceID != "" {
		l.MemberID = g.static[l.InstanceID]
	}
	m, err := g.find(l.MemberID, l.InstanceID)
	if err != nil {
		return err
	}
	g.remove(m)
	return nil
}

// Drop is told of a parked request whose connection is lost. Its member has not joined, or
// synced, and its session runs; one that does not know its id is gone.
func (g *Classic) Drop(now time.Time, t Ticket) Output {
	if t == 0 {
		return Output{}
	}
	for _, m := range g.members {
		switch t {
		case m.join:
			if m.join, m.storing = 0, 0; m.anonymous {
				g.remove(m)
				g.afterRemoval(now)
			} else {
				m.deadline = now.Add(m.session)
			}
			return g.take()
		case m.sync:
			m.sync, m.deadline = 0, now.Add(m.session)
			return g.take()
		}
	}
	return Output{}
}

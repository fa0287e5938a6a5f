package group

import "time"

// Sync handles a SyncRequest. It is answered by this or a later output.
func (g *Classic) Sync(now time.Time, r SyncRequest) Output {
	if err := g.sync(now, &r); err != nil {
		g.out.Answers = append(g.out.Answers, Answer{Ticket: r.Ticket, Sync: &SyncAnswer{Err: err}})
	}
	return g.take()
}

func (g *Classic) sync(now time.Time, r *SyncRequest) error {
	m, err := g.find(r.MemberID, r.InstanceID)
	switch {
	case err != nil:
		return err
	case r.Generation != g.generation:
		return ErrIllegalGeneration
	case differs(r.ProtocolType, g.protocolType) || differs(r.Protocol, g.protocol):
		return ErrInconsistentProtocol
	case g.state == PreparingRebalance:
		return ErrRebalanceInProgress
	}
	m.synced = true
	if g.allSynced() {
		g.syncDeadline = time.Time{}
	}
	g.answerSync(m, SyncAnswer{Err: ErrRebalanceInProgress}) // an earlier request, whose client asks again
	m.sync = r.Ticket
	if g.state == Stable {
		g.answerSync(m, g.syncAnswer(m))
		g.keep(now, m)
		return nil
	}
	m.deadline = time.Time{}
	if g.leader == m.id && g.assigning == 0 {
		g.assignments = make(map[string][]byte, len(g.members))
		for id := range g.members {
			g.assignments[id] = r.Assignments[id]
		}
		g.stateSince = now.UnixMilli()
		g.assigning = g.write(g.assignments)
	}
	return nil
}

// differs says that somebody who says something says something else.
func differs(said *string, is string) bool { return said != nil && *said != is }

func (g *Classic) allSynced() bool {
	for _, m := range g.members {
		if !m.synced {
			return false
		}
	}
	return true
}

func (g *Classic) syncAnswer(m *member) SyncAnswer {
	return SyncAnswer{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}

// answerSync answers a member's parked sync; false when there is none.
func (g *Classic) answerSync(m *member, a SyncAnswer) bool {
	if m.sync == 0 {
		return false
	}
	g.out.Answers = append(g.out.Answers, Answer{Ticket: m.sync, Sync: &a})
	m.sync = 0
	return true
}

// Stored reports a write: durable, or failed with err.
func (g *Classic) Stored(now time.Time, number uint64, err error) Output {
	if number == g.assigning {
		g.assigned(now, err)
	}
	for _, m := range g.sorted() {
		if m.storing == number && m.join != 0 {
			g.answerReturned(m, err)
			g.keep(now, m)
		}
	}
	return g.take()
}

// assigned ends the rebalance, or has it begin again.
func (g *Classic) assigned(now time.Time, err error) {
	assignments := g.assignments
	g.assigning, g.assignments = 0, nil
	for _, m := range g.sorted() {
		answer := SyncAnswer{Err: err}
		if m.assignment = nil; err == nil {
			m.assignment = assignments[m.id]
			answer = g.syncAnswer(m)
		}
		if g.answerSync(m, answer) {
			g.keep(now, m)
		}
	}
	if err != nil {
		g.prepareRebalance(now)
		return
	}
	g.state = Stable
}

// answerReturned answers a static member that has come back into a stable group. One that
// leads and cannot skip the assigning is told of its old id as the leader, so that it does not
// assign.
func (g *Classic) answerReturned(m *member, err error) {
	if err != nil {
		g.answerJoin(m, JoinAnswer{Err: err})
		return
	}
	a := g.joinAnswer(m)
	if leads := g.leader == m.id; leads && m.skip {
		a.SkipAssignment = true
	} else if leads {
		a.Leader, a.Members = m.formerID, nil
	}
	m.fresh, m.anonymous = false, false
	g.answerJoin(m, a)
}

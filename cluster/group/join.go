package group

import (
	"slices"
	"time"
)

// Join handles a JoinRequest. It is answered by this or a later output.
func (g *Classic) Join(now time.Time, r JoinRequest) Output {
	id, err := g.admit(now, &r)
	if err != nil {
		g.answer(r.Ticket, JoinAnswer{Err: err, MemberID: id})
	}
	return g.take()
}

// admit refuses the request with an error and the id to tell with it, or takes it in.
func (g *Classic) admit(now time.Time, r *JoinRequest) (id string, err error) {
	if g.state == Dead {
		return r.MemberID, g.closed
	}
	if r.Session < g.limits.MinSession || r.Session > g.limits.MaxSession {
		return r.MemberID, ErrSessionTimeout
	}
	r.Protocols = distinct(r.Protocols)
	if g.tooLarge(r) {
		return r.MemberID, ErrMetadataTooLarge
	}
	if !g.hasRoom(r) {
		if m := g.members[r.MemberID]; m != nil {
			g.remove(m)
			g.afterRemoval(now)
		}
		return "", ErrGroupFull
	}
	if !g.agrees(r.ProtocolType, r.Protocols) {
		return r.MemberID, ErrInconsistentProtocol
	}
	if r.MemberID == "" {
		return g.joinNew(now, r)
	}
	return r.MemberID, g.joinKnown(now, r)
}

// distinct drops protocols without a name and those named before.
func distinct(protocols []Protocol) []Protocol {
	seen := make(map[string]bool, len(protocols))
	return slices.DeleteFunc(protocols, func(p Protocol) bool {
		drop := p.Name == "" || seen[p.Name]
		seen[p.Name] = true
		return drop
	})
}

func (g *Classic) tooLarge(r *JoinRequest) bool {
	return protocolBytes(r.Protocols) > g.limits.MemberBytes ||
		slices.ContainsFunc(r.Protocols, func(p Protocol) bool { return len(p.Metadata) > g.limits.ProtocolBytes })
}

// hasRoom says whether the request may be taken in. While members join, those who have count,
// so that a group that has become too large gets rid of the last to come.
func (g *Classic) hasRoom(r *JoinRequest) bool {
	m := g.members[r.MemberID]
	if m == nil && r.InstanceID != "" {
		m = g.members[g.static[r.InstanceID]] // its place is taken over
	}
	if !g.canStore(m, r) {
		return false
	}
	_, pending := g.pending[r.MemberID]
	if m == nil && !pending && len(g.pending) >= g.limits.Size {
		return false
	}
	switch g.state {
	case PreparingRebalance:
		joined := 0
		for _, m := range g.members {
			if m.join != 0 {
				joined++
			}
		}
		return m != nil && m.join != 0 || joined < g.limits.Size
	case CompletingRebalance, Stable:
		return m != nil || len(g.members) < g.limits.Size
	default:
		return true
	}
}

// canStore says whether the group with the request in the place of m, which may be nil, can
// be made durable.
func (g *Classic) canStore(m *member, r *JoinRequest) bool {
	if m != nil && m.says(r.Protocols) {
		return true // no more than before
	}
	bytes := memberRecordBytes + len(r.MemberID) + len(r.NewMemberID) + len(r.InstanceID) + len(r.ClientID) + len(r.ClientHost) + largest(r.Protocols)
	for _, other := range g.members {
		if other != m {
			bytes += other.recordBytes()
		}
	}
	return bytes <= g.limits.GroupBytes
}

// joinNew takes in a newcomer, or a static member that begins anew.
func (g *Classic) joinNew(now time.Time, r *JoinRequest) (id string, err error) {
	if r.InstanceID != "" {
		if old := g.members[g.static[r.InstanceID]]; old != nil {
			g.replaceStatic(now, old, r)
		} else {
			g.addJoining(now, r.NewMemberID, r)
		}
		return "", nil
	}
	if r.RequireKnownID {
		g.pending[r.NewMemberID] = now.Add(r.Session)
		return r.NewMemberID, ErrMemberIDRequired
	}
	g.addJoining(now, r.NewMemberID, r)
	return "", nil
}

// addJoining adds a member that joins.
func (g *Classic) addJoining(now time.Time, id string, r *JoinRequest) {
	delete(g.pending, id)
	if len(g.members) == 0 {
		g.protocolType, g.leader = r.ProtocolType, ""
	}
	m := &member{id: id, instance: r.InstanceID, clientID: r.ClientID, clientHost: r.ClientHost, fresh: true, anonymous: r.MemberID == ""}
	g.add(m)
	if g.state == PreparingRebalance && g.initial {
		g.newcomers = true
	}
	g.park(now, m, r)
	g.rebalance(now)
}

// park updates a member by its request, which waits for the end of the rebalance.
func (g *Classic) park(now time.Time, m *member, r *JoinRequest) {
	g.answerJoin(m, JoinAnswer{Err: ErrRebalanceInProgress, MemberID: m.id}) // an earlier request, whose client asks again
	m.session, m.rebalance, m.protocols, m.skip = r.Session, r.Rebalance, r.Protocols, r.SkipAssignment
	m.join, m.storing, m.deadline = r.Ticket, 0, time.Time{}
	if m.fresh {
		m.deadline = now.Add(newcomerTimeout)
	}
}

// joinKnown takes in who has an id.
func (g *Classic) joinKnown(now time.Time, r *JoinRequest) error {
	if _, pending := g.pending[r.MemberID]; pending && r.InstanceID == "" {
		g.addJoining(now, r.MemberID, r)
		return nil
	}
	m, err := g.find(r.MemberID, r.InstanceID)
	if err != nil {
		return err
	}
	// Who asks again for what it knows has missed the answer. A leader of a stable group has
	// a reason of its own, such as a topic that has more partitions.
	told := g.state == CompletingRebalance || g.state == Stable && g.leader != m.id
	if told && m.says(r.Protocols) {
		g.answer(r.Ticket, g.joinAnswer(m))
		return nil
	}
	g.park(now, m, r)
	g.rebalance(now)
	return nil
}

// replaceStatic puts a static member that has come back under a new id in its own old place.
func (g *Classic) replaceStatic(now time.Time, old *member, r *JoinRequest) {
	g.answerJoin(old, JoinAnswer{Err: ErrFencedInstance, MemberID: old.id})
	g.answerSync(old, SyncAnswer{Err: ErrFencedInstance})
	m := new(member)
	*m = *old
	m.id, m.formerID, m.clientID, m.clientHost = r.NewMemberID, old.id, r.ClientID, r.ClientHost
	delete(g.members, old.id)
	g.members[m.id], g.static[m.instance] = m, m.id
	if g.leader == old.id {
		g.leader = m.id
	}
	g.park(now, m, r)
	switch {
	case g.state == CompletingRebalance:
		g.prepareRebalance(now) // the leader may be assigning to the old id
	case g.state != Stable:
		g.joinIfComplete(now)
	case g.choose() != g.protocol:
		g.prepareRebalance(now)
	default:
		m.storing = g.write(nil)
	}
}

// joinAnswer tells a member of the present generation.
func (g *Classic) joinAnswer(m *member) JoinAnswer {
	a := JoinAnswer{
		MemberID: m.id, Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader,
	}
	if g.leader == m.id {
		a.Members = g.joinedMembers()
	}
	return a
}

func (g *Classic) joinedMembers() (members []Joined) {
	for _, m := range g.sorted() {
		members = append(members, Joined{MemberID: m.id, InstanceID: m.instance, Metadata: m.metadata(g.protocol)})
	}
	return members
}

func (g *Classic) answer(t Ticket, a JoinAnswer) {
	g.out.Answers = append(g.out.Answers, Answer{Ticket: t, Join: &a})
}

// answerJoin answers a member's parked join, if there is one.
func (g *Classic) answerJoin(m *member, a JoinAnswer) {
	if m.join == 0 {
		return
	}
	g.answer(m.join, a)
	m.join, m.storing = 0, 0
}

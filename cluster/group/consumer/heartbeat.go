package consumer

import (
	"slices"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/assignor"
)

// Request is a heartbeat. The group keeps its slices. What is not said is as before.
type Request struct {
	Ticket     group.Ticket
	MemberID   string // chosen by the client
	InstanceID string // empty: not said
	Rack       string // empty: not said
	ClientID   string
	ClientHost string
	Epoch      int32               // 0 joins, -1 leaves, -2 leaves and will come back as the same instance
	Rebalance  time.Duration       // how long it may take to give up partitions; negative: not said
	Topics     []string            // nil: not said
	Regex      *string             // nil: not said; empty: none. It has to compile
	Assignor   string              // empty: not said
	Owned      assignor.Assignment // what it uses; nil: not said
	Classic    *group.ClassicFact  // of a member that joins by the classic protocol; nil: it does not
}

// full says that the client has told everything, and wants to be told everything.
func (r *Request) full() bool {
	return r.Rebalance >= 0 && (r.Topics != nil || r.Regex != nil) && r.Owned != nil
}

// Beat handles a heartbeat. It is answered by this or a later output.
func (g *Group) Beat(now time.Time, r Request) group.Output {
	if err := g.beat(now, &r); err != nil {
		g.out.Answers = append(g.out.Answers, group.Answer{Ticket: r.Ticket, Beat: &group.BeatAnswer{Err: err}})
	}
	return g.take(now)
}

func (g *Group) beat(now time.Time, r *Request) error {
	switch {
	case g.dead:
		return g.closed
	case r.Epoch < joinEpoch:
		return g.leave(now, r)
	}
	if r.Topics != nil {
		slices.Sort(r.Topics)
		r.Topics = slices.Compact(r.Topics)
	}
	if err := g.check(r); err != nil {
		return err
	}
	count := len(g.members)
	m, err := g.admit(r)
	if err != nil {
		return err
	}
	g.update(m, r, len(g.members) > count)
	before, had := m.epoch, m.assigned
	if g.reconcile(now, m, r.Owned); m.epoch != before {
		m.previous = r.Epoch
	}
	g.keep(now, m)
	a := group.BeatAnswer{MemberID: m.id, Epoch: m.epoch}
	if r.Epoch != before || r.Epoch == joinEpoch || r.full() || !had.Equal(m.assigned) {
		a.Assignment = m.assigned
	}
	g.park(m, group.Answer{Ticket: r.Ticket, Beat: &a})
	return nil
}

// keep begins a member's session anew.
func (g *Group) keep(now time.Time, m *member) {
	session := g.world.Limits().Session
	if m.classic != nil {
		session = m.classic.Session
	}
	m.session = now.Add(session)
}

// update takes what a member says of itself; it begins another epoch if that matters to the assignment.
func (g *Group) update(m *member, r *Request, fresh bool) {
	var before []string
	if r.Epoch == joinEpoch {
		before = g.topicsOf(m)
	}
	changed, subscribed := m.update(r)
	if r.Epoch == joinEpoch && !slices.Equal(before, g.topicsOf(m)) {
		subscribed = true // it joins again from another host, which may know of other topics
	}
	if changed {
		g.touch(m, group.FactMember)
	}
	if subscribed {
		g.subscribe(m)
	}
	if subscribed || fresh {
		g.bump()
	}
}

// check refuses what a group does not take, whoever says it.
func (g *Group) check(r *Request) error {
	limits := g.world.Limits()
	if r.Assignor != "" && !slices.Contains(limits.Assignors, r.Assignor) {
		return group.ErrUnsupportedAssignor
	}
	size := recordBytes(r)
	if size > limits.MemberBytes {
		return group.ErrMetadataTooLarge
	}
	if r.Regex != nil && *r.Regex != "" && g.patterns[*r.Regex] == nil && len(g.patterns) >= limits.Patterns {
		return group.ErrGroupFull
	}
	if r.Topics == nil && r.Regex == nil {
		return nil
	}
	stored := g.recorded
	if m := g.members[r.MemberID]; m != nil {
		stored -= m.recorded
	} else if m := g.members[g.static[r.InstanceID]]; m != nil {
		stored -= m.recorded // its place is taken over
	}
	if stored+size > limits.GroupBytes {
		return group.ErrGroupFull
	}
	return nil
}

// admit finds the member that a heartbeat is from, or takes it in.
func (g *Group) admit(r *Request) (*member, error) {
	m := g.members[r.MemberID]
	if r.InstanceID != "" {
		owner := g.members[g.static[r.InstanceID]]
		switch {
		case owner == nil && r.Epoch != joinEpoch:
			return nil, group.ErrUnknownMember
		case owner != nil && owner != m && r.Epoch != joinEpoch:
			return nil, group.ErrFencedInstance
		case owner != nil && owner != m && owner.epoch != leftEpoch:
			return nil, group.ErrUnreleasedInstance
		case owner != nil && owner != m && m != nil, owner == nil && m != nil:
			return nil, group.ErrFencedInstance // the id is that of another instance, or of none
		case owner != nil && owner != m:
			return g.replace(owner, r.MemberID), nil
		}
	}
	switch {
	case m == nil && r.Epoch != joinEpoch:
		return nil, group.ErrUnknownMember
	case m == nil:
		return g.add(r)
	case r.Epoch == joinEpoch:
		g.restart(m)
		return m, nil
	case m.classic != nil:
		return nil, group.ErrUnknownMember
	}
	return m, checkEpoch(m, r)
}

// checkEpoch takes the member's epoch, or the last that it is known to have heard of, if its answers
// since were lost: then it can only have less than is its.
func checkEpoch(m *member, r *Request) error {
	if r.Epoch == m.epoch || r.Epoch == m.previous && r.Owned != nil && r.Owned.Within(m.assigned.Plus(m.revoking)) {
		return nil
	}
	return group.ErrFencedEpoch
}

func (g *Group) add(r *Request) (*member, error) {
	if len(g.members) >= g.world.Limits().Size {
		return nil, group.ErrGroupFull
	}
	m := &member{id: r.MemberID, instance: r.InstanceID, previous: noneEpoch}
	g.members[m.id] = m
	if m.instance != "" {
		g.static[m.instance] = m.id
	}
	g.emptySince = 0
	g.touch(m, group.FactMember, group.FactCurrent)
	return m, nil
}

// restart has a member begin again that joins under an id that the group knows: it has nothing.
func (g *Group) restart(m *member) {
	g.move(m, joinEpoch, nil, nil)
	m.epoch, m.previous, m.state, m.revokeBy = joinEpoch, noneEpoch, group.MemberStable, time.Time{}
	g.touch(m, group.FactCurrent)
}

// replace has a static member that left, or one of the classic protocol that does not say when, go on under another
// id, with what was kept for it. What it was to give up is free: nobody uses it any more.
func (g *Group) replace(old *member, id string) *member {
	g.forget(old)
	m := *old
	g.move(old, joinEpoch, nil, nil) // owners are members, not ids
	m.id, m.epoch, m.previous, m.waiting = id, joinEpoch, noneEpoch, 0
	m.state, m.revokeBy, m.revoking = group.MemberStable, time.Time{}, nil
	g.members[id] = &m
	g.static[m.instance] = id
	g.move(&m, joinEpoch, m.assigned, nil)
	g.touch(&m, group.FactMember, group.FactTargetMember, group.FactCurrent)
	return &m
}

// leave removes a member, or notes that it will come back.
func (g *Group) leave(now time.Time, r *Request) error {
	m := g.members[r.MemberID]
	if r.InstanceID != "" {
		owner := g.members[g.static[r.InstanceID]]
		if owner != nil && owner != m {
			return group.ErrFencedInstance
		}
		m = owner
	}
	if m == nil {
		return group.ErrUnknownMember
	}
	if r.Epoch == leftEpoch && m.instance != "" {
		g.move(m, m.epoch, m.assigned, nil)
		m.epoch, m.state, m.revokeBy = leftEpoch, group.MemberStable, time.Time{}
		g.keep(now, m)
		g.touch(m, group.FactCurrent)
	} else {
		g.remove(now, m)
		g.bump()
	}
	g.park(m, group.Answer{Ticket: r.Ticket, Beat: &group.BeatAnswer{MemberID: m.id, Epoch: r.Epoch}})
	return nil
}

// remove forgets a member; the epoch is to be bumped.
func (g *Group) remove(now time.Time, m *member) {
	g.forget(m)
	g.move(m, joinEpoch, nil, nil)
	g.dropPatterns()
	if len(g.members) == 0 {
		g.emptySince = now.UnixMilli()
	}
}

// forget takes a member out of the group, but for what it owns and subscribes to.
func (g *Group) forget(m *member) {
	delete(g.members, m.id)
	if m.instance != "" && g.static[m.instance] == m.id {
		delete(g.static, m.instance)
	}
	g.touch(m, group.FactMember, group.FactTargetMember, group.FactCurrent)
}

package consumer

import (
	"slices"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/assignor"
)

// Join handles a JoinGroup of a member of the classic protocol, of consumers. It goes on as ever, but that its
// generation is its epoch, that nobody leads, and that it is answered without waiting for the others; what it
// subscribes to and has is in its metadata.
func (g *Group) Join(now time.Time, r group.JoinRequest) group.Output {
	if id, err := g.join(now, &r); err != nil {
		g.out.Answers = append(g.out.Answers, group.Answer{Ticket: r.Ticket, Join: &group.JoinAnswer{Err: err, MemberID: id}})
	}
	return g.take(now)
}

func (g *Group) join(now time.Time, r *group.JoinRequest) (id string, err error) {
	limits := g.world.Limits()
	if g.dead {
		return r.MemberID, g.closed
	}
	if r.Session < limits.MinSession || r.Session > limits.MaxSession {
		return r.MemberID, group.ErrSessionTimeout
	}
	said, ok := g.subscription(r)
	if !ok {
		return r.MemberID, group.ErrInconsistentProtocol
	}
	if r.MemberID == "" && r.InstanceID == "" && r.RequireKnownID {
		return r.NewMemberID, group.ErrMemberIDRequired
	}
	if err := g.check(said); err != nil {
		return r.MemberID, err
	}
	count := len(g.members)
	m, err := g.admitClassic(said, r.MemberID == "")
	if err != nil {
		return r.MemberID, err
	}
	g.update(m, said, len(g.members) > count)
	if m.state != group.MemberUnrevoked {
		m.revokeBy = time.Time{} // it has come
	}
	g.reconcile(now, m, said.Owned)
	g.keep(now, m)
	g.park(m, group.Answer{Ticket: r.Ticket, Join: &group.JoinAnswer{
		MemberID: m.id, Generation: m.epoch, ProtocolType: group.ConsumerType, Protocol: m.classic.Protocols[0].Name,
	}})
	return m.id, nil
}

// subscription is a JoinGroup as a heartbeat says it; false unless it is one of consumers that have a protocol
// in common with the group's other classic members.
func (g *Group) subscription(r *group.JoinRequest) (*Request, bool) {
	if r.ProtocolType != group.ConsumerType || len(r.Protocols) == 0 || !g.agrees(r) {
		return nil, false
	}
	s, ok := group.ParseSubscription(r.Protocols[0].Metadata)
	if !ok {
		return nil, false
	}
	none := ""
	said := &Request{
		MemberID: r.MemberID, InstanceID: r.InstanceID, ClientID: r.ClientID, ClientHost: r.ClientHost, Epoch: joinEpoch, Rebalance: r.Rebalance,
		Topics: normal(s.Topics), Regex: &none, Owned: g.identified(s.Owned), Classic: &group.ClassicFact{Session: r.Session, Protocols: r.Protocols},
	}
	if said.MemberID == "" {
		said.MemberID = r.NewMemberID
	}
	return said, true
}

// normal is topics in order, each once; not nil.
func normal(topics []string) []string {
	topics = append([]string{}, topics...)
	slices.Sort(topics)
	return slices.Compact(topics)
}

func (g *Group) agrees(r *group.JoinRequest) bool {
	return slices.ContainsFunc(r.Protocols, func(p group.Protocol) bool {
		for _, m := range g.members {
			if m.classic != nil && m.id != r.MemberID && !slices.ContainsFunc(m.classic.Protocols, func(q group.Protocol) bool { return q.Name == p.Name }) {
				return false
			}
		}
		return true
	})
}

// admitClassic is admit for a JoinGroup. A static member that comes back takes its own place, since it does
// not say when it leaves; a dynamic one goes on with what it says that it has.
func (g *Group) admitClassic(r *Request, newcomer bool) (*member, error) {
	m := g.members[r.MemberID]
	if owner := g.members[g.static[r.InstanceID]]; r.InstanceID != "" && owner != nil && owner != m {
		switch {
		case !newcomer:
			return nil, group.ErrFencedInstance
		case owner.classic == nil && owner.epoch != leftEpoch:
			return nil, group.ErrUnreleasedInstance
		}
		return g.replace(owner, r.MemberID), nil
	}
	switch {
	case m == nil && len(r.Owned) > 0:
		return nil, group.ErrUnknownMember // it was removed, and what it has may be others'
	case m == nil:
		return g.add(r)
	case m.instance != r.InstanceID:
		return nil, group.ErrFencedInstance
	case m.classic == nil:
		g.restart(m)
	}
	return m, nil
}

// Sync handles a SyncGroup of a classic member: it is told what is assigned to it.
func (g *Group) Sync(now time.Time, r group.SyncRequest) group.Output {
	if err := g.sync(now, &r); err != nil {
		g.out.Answers = append(g.out.Answers, group.Answer{Ticket: r.Ticket, Sync: &group.SyncAnswer{Err: err}})
	}
	return g.take(now)
}

func (g *Group) sync(now time.Time, r *group.SyncRequest) error {
	m, err := g.classicMember(r.MemberID, r.InstanceID, r.Generation)
	if err != nil {
		return err
	}
	protocol := m.classic.Protocols[0]
	if r.ProtocolType != nil && *r.ProtocolType != group.ConsumerType || r.Protocol != nil && *r.Protocol != protocol.Name {
		return group.ErrInconsistentProtocol
	}
	g.keep(now, m)
	if m.epoch < g.epoch && m.state != group.MemberUnrevoked {
		return group.ErrRebalanceInProgress
	}
	g.park(m, group.Answer{Ticket: r.Ticket, Sync: &group.SyncAnswer{
		ProtocolType: group.ConsumerType, Protocol: protocol.Name, Assignment: g.embedded(m),
	}})
	return nil
}

// classicMember finds the member that a request of the classic protocol is from.
func (g *Group) classicMember(id, instance string, generation int32) (*member, error) {
	if instance != "" {
		switch owner := g.static[instance]; {
		case owner == "":
			return nil, group.ErrUnknownMember
		case owner != id:
			return nil, group.ErrFencedInstance
		}
	}
	m := g.members[id]
	switch {
	case m == nil || m.classic == nil:
		return nil, group.ErrUnknownMember
	case generation != m.epoch:
		return nil, group.ErrIllegalGeneration
	}
	return m, nil
}

// Heartbeat keeps a classic member in the group: ErrRebalanceInProgress when it has to join again, to hear of
// its assignment or to give something up. It has its rebalance timeout for that.
func (g *Group) Heartbeat(now time.Time, memberID, instanceID string, generation int32) error {
	m, err := g.classicMember(memberID, instanceID, generation)
	if err != nil {
		return err
	}
	g.keep(now, m)
	if m.epoch == g.epoch && (m.state == group.MemberStable || m.state == group.MemberUnreleased && g.waits(m)) {
		return nil
	}
	if m.revokeBy.IsZero() {
		m.revokeBy = now.Add(m.rebalance)
	}
	return group.ErrRebalanceInProgress
}

// waits says that nothing of what the member is to have is free for it.
func (g *Group) waits(m *member) bool {
	for id, partitions := range m.target {
		for _, p := range partitions {
			if g.owners[id][p].member == nil {
				return false
			}
		}
	}
	return true
}

// Leave removes members, each for itself: classic ones, and by the instance id alone, an administrator's way,
// any.
func (g *Group) Leave(now time.Time, leavers []group.Leaver) ([]error, group.Output) {
	errs := make([]error, len(leavers))
	left := false
	for i, l := range leavers {
		admin := l.MemberID == "" && l.InstanceID != ""
		if admin {
			l.MemberID = g.static[l.InstanceID]
		}
		m := g.members[l.MemberID]
		switch {
		case m == nil || m.classic == nil && !admin:
			errs[i] = group.ErrUnknownMember
		case l.InstanceID != "" && m.instance != l.InstanceID:
			errs[i] = group.ErrFencedInstance
		default:
			g.remove(now, m)
			left = true
		}
	}
	if left {
		g.bump()
	}
	return errs, g.take(now)
}

// identified is partitions by the ids of topics; those of topics that are gone are not in it.
func (g *Group) identified(partitions map[string][]int32) assignor.Assignment {
	a := make(assignor.Assignment, len(partitions))
	for name, list := range partitions {
		if id, _, ok := g.world.Topic(name); ok {
			a[id] = list
		}
	}
	return assignor.Normal(a)
}

// embedded is what is assigned to a classic member, as its own protocol writes it.
func (g *Group) embedded(m *member) []byte {
	partitions := make(map[string][]int32)
	for _, name := range m.topics {
		if id, _, ok := g.world.Topic(name); ok && len(m.assigned[id]) > 0 {
			partitions[name] = m.assigned[id]
		}
	}
	s, _ := group.ParseSubscription(m.classic.Protocols[0].Metadata)
	return group.AppendAssignment(nil, s.Version, partitions)
}

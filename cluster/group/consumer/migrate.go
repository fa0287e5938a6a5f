package consumer

import (
	"time"

	"weir/cluster/group"
)

// Upgrade makes a group of the consumer protocol of a stable one of consumers of the classic protocol, who go on
// by that (Join, Sync, Heartbeat). false when it cannot be: a member is not understood, or there is too much.
// The classic one is left alone.
func Upgrade(world World, from *group.Classic, now time.Time) (*Group, bool) {
	limits := world.Limits()
	members := from.Members()
	if from.ProtocolType() != group.ConsumerType || from.State() != group.Stable || len(members) > limits.Size {
		return nil, false
	}
	g := New(world, now)
	g.epoch = max(from.Generation(), 1)
	g.targetEpoch, g.emptySince = g.epoch, 0
	g.dirty(group.FactGroup, "")
	g.dirty(group.FactTarget, "")
	for _, x := range members {
		if !g.upgrade(now, x) || g.recorded > limits.GroupBytes {
			return nil, false
		}
	}
	g.hash = g.hashTopics()
	return g, true
}

func (g *Group) upgrade(now time.Time, x group.ClassicMember) bool {
	s, ok := group.ParseSubscription(x.Subscription)
	partitions, known := group.ParseAssignment(x.Assignment)
	if !ok || !known {
		return false
	}
	m := &member{
		id: x.ID, instance: x.InstanceID, clientID: x.ClientID, clientHost: x.ClientHost, topics: normal(s.Topics), rebalance: x.Rebalance,
		classic: &group.ClassicFact{Session: x.Session, Protocols: x.Protocols}, epoch: g.epoch, previous: noneEpoch,
	}
	g.members[m.id] = m
	if m.instance != "" {
		g.static[m.instance] = m.id
	}
	m.target = g.unowned(g.identified(partitions))
	g.move(m, m.epoch, m.target, nil)
	g.keep(now, m)
	g.touch(m, group.FactMember, group.FactTargetMember, group.FactCurrent)
	return true
}

// Downgradable says that all members speak the classic protocol, and nothing is on its way to where it is
// stored.
func (g *Group) Downgradable() bool {
	for _, m := range g.members {
		if m.classic == nil {
			return false
		}
	}
	return len(g.members) > 0 && g.store.clean()
}

// Downgrade makes a group of the classic protocol of a downgradable one, of the generation that its members know.
// They join again.
func (g *Group) Downgrade(limits *group.Limits, now time.Time) (*group.Classic, group.Output) {
	protocol, generation := "", int32(0)
	var members []group.ClassicMember
	for _, m := range g.sorted() {
		p := m.classic.Protocols[0]
		protocol, generation = p.Name, max(generation, m.epoch)
		members = append(members, group.ClassicMember{Protocols: m.classic.Protocols, SnapshotMember: group.SnapshotMember{
			ID: m.id, InstanceID: m.instance, ClientID: m.clientID, ClientHost: m.clientHost, Session: m.classic.Session, Rebalance: m.rebalance,
			Subscription: p.Metadata, Assignment: g.embedded(m),
		}})
	}
	return group.Downgrade(limits, protocol, generation, members, now)
}

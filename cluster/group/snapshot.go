package group

import (
	"math"
	"time"
)

// Snapshot is what of a group survives its coordinator.
type Snapshot struct {
	ProtocolType string
	Generation   int32
	Protocol     string // empty: none was chosen
	Leader       string // empty: none
	StateSince   int64  // unix ms
	Members      []SnapshotMember
}

// SnapshotMember is a member of a stored generation.
type SnapshotMember struct {
	ID, InstanceID       string
	ClientID, ClientHost string
	Session, Rebalance   time.Duration
	Subscription         []byte // metadata of the chosen protocol
	Assignment           []byte
}

// snapshot is the group as it is now, with assignments from elsewhere unless that is nil.
func (g *Classic) snapshot(assignments map[string][]byte) Snapshot {
	s := Snapshot{
		ProtocolType: g.protocolType, Generation: g.generation, Protocol: g.protocol, Leader: g.leader, StateSince: g.stateSince,
	}
	for _, m := range g.sorted() {
		assignment := m.assignment
		if assignments != nil {
			assignment = assignments[m.id]
		}
		s.Members = append(s.Members, SnapshotMember{
			ID: m.id, InstanceID: m.instance, ClientID: m.clientID, ClientHost: m.clientHost,
			Session: m.session, Rebalance: m.rebalance, Subscription: m.metadata(g.protocol), Assignment: assignment,
		})
	}
	return s
}

// Restore makes a group of what was stored of it. Sessions begin now. Should the group have
// become larger than it may be, it rebalances, and the last to come are refused.
func Restore(limits *Limits, s Snapshot, now time.Time) *Classic {
	g := New(limits)
	g.protocolType, g.generation, g.protocol, g.stateSince = s.ProtocolType, max(s.Generation, 0), s.Protocol, s.StateSince
	for _, x := range s.Members {
		if g.members[x.ID] != nil || g.static[x.InstanceID] != "" {
			continue // no broker has written that
		}
		m := &member{
			id: x.ID, instance: x.InstanceID, clientID: x.ClientID, clientHost: x.ClientHost,
			session:   min(max(x.Session, limits.MinSession), limits.MaxSession),
			rebalance: min(max(x.Rebalance, 0), math.MaxInt32*time.Millisecond),
			protocols: []Protocol{{Name: s.Protocol, Metadata: x.Subscription}}, assignment: x.Assignment, synced: true,
		}
		g.add(m)
		m.deadline = now.Add(m.session)
	}
	if len(g.members) == 0 {
		return g
	}
	g.state = Stable
	if g.members[s.Leader] != nil {
		g.leader = s.Leader
	}
	if len(g.members) > limits.Size {
		g.prepareRebalance(now)
	}
	return g
}

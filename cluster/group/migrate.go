package group

import "time"

// ClassicMember is a member with all that it has said.
type ClassicMember struct {
	SnapshotMember
	Protocols []Protocol
}

// Members lists the members of the present generation; what they have said must not be changed.
func (g *Classic) Members() []ClassicMember {
	var members []ClassicMember
	s := g.snapshot(nil)
	for i, m := range g.sorted() {
		members = append(members, ClassicMember{s.Members[i], m.protocols})
	}
	return members
}

// Downgrade makes a group of the members that one of the consumer protocol has left, all of which speak the
// classic protocol, and has them join again.
func Downgrade(limits *Limits, protocol string, generation int32, members []ClassicMember, now time.Time) (*Classic, Output) {
	s := Snapshot{ProtocolType: ConsumerType, Protocol: protocol, Generation: generation, StateSince: now.UnixMilli()}
	for _, m := range members {
		s.Members = append(s.Members, m.SnapshotMember)
	}
	g := Restore(limits, s, now)
	for _, m := range members {
		if known := g.members[m.ID]; known != nil {
			known.protocols = m.Protocols
		}
	}
	if g.state == Stable {
		g.prepareRebalance(now)
	}
	return g, g.take()
}

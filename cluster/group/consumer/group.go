// Package consumer is the state machine of a group of the consumer protocol (KIP-848): members say in
// heartbeats what they subscribe to and have, the group says what is theirs. It is pure, see
// cluster/group/DESIGN.md.
package consumer

import (
	"maps"
	"slices"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/assignor"
)

// States of a group that only this protocol has, by Kafka's names.
const (
	Assigning   group.State = "Assigning"   // the target assignment is not of the group's epoch yet
	Reconciling group.State = "Reconciling" // members are on their way to it
)

// Limits bounds a group.
type Limits struct {
	Size        int // members
	Patterns    int // different regular expressions
	MemberBytes int // what a member says of itself
	GroupBytes  int // what is stored of all members, assignments aside
	Session     time.Duration

	MinSession, MaxSession time.Duration // what members of the classic protocol may ask for
	Assignors              []string      // that members may ask for; the first is the default
}

// World is what a group asks about its surroundings, when it needs to.
type World interface {
	Limits() Limits
	// Topic is a topic's id and number of partitions; false when there is none.
	Topic(name string) (id assignor.TopicID, partitions int32, ok bool)
	// Knows says which topics a member from a client's host may know of; nil: all.
	Knows(clientHost string) func(topic string) bool
	// Rights is a number that is another when what Knows says may be.
	Rights() uint64
}

// Group is a group of the consumer protocol. It is not safe for concurrent use. Times handed in must
// not go back.
//
// Its state in memory is ahead of what is stored; an answer leaves when all that it tells of is stored.
type Group struct {
	world World

	epoch       int32 // goes up with every change of members, subscriptions or topics
	targetEpoch int32 // the epoch that the members' targets are of
	hash        uint64
	members     map[string]*member
	static      map[string]string // instance id to member id
	owners      map[assignor.TopicID]map[int32]owner
	patterns    map[string]*pattern
	emptySince  int64 // unix ms; 0 while there are members
	bytes       int64 // of members and patterns
	recorded    int   // bytes of the records of members, assignments aside

	store  store
	dead   bool
	closed error // what Close was told
	out    group.Output
}

// New returns a group without members.
func New(world World, now time.Time) *Group {
	return &Group{
		world: world, members: make(map[string]*member), static: make(map[string]string), owners: make(map[assignor.TopicID]map[int32]owner),
		patterns: make(map[string]*pattern), store: newStore(), emptySince: now.UnixMilli(),
	}
}

// State is what the group is doing.
func (g *Group) State() group.State {
	switch {
	case g.dead:
		return group.Dead
	case len(g.members) == 0:
		return group.Empty
	case g.targetEpoch < g.epoch:
		return Assigning
	}
	for _, m := range g.members {
		if !g.settled(m) {
			return Reconciling
		}
	}
	return group.Stable
}

// settled says that a member has all of its target and nothing else.
func (g *Group) settled(m *member) bool {
	return m.state == group.MemberStable && (m.epoch == g.targetEpoch || m.epoch == leftEpoch)
}

// Epoch is the group's.
func (g *Group) Epoch() int32 { return g.epoch }

// ProtocolType is what kind of group it is.
func (g *Group) ProtocolType() string { return group.ConsumerType }

// StateSince is when the group has become empty, or was loaded as such, unix ms; 0 while it has members.
func (g *Group) StateSince() int64 { return g.emptySince }

// Idle says that nothing is kept of anybody, nor to be written: the group may be forgotten.
func (g *Group) Idle() bool { return len(g.members) == 0 && g.store.clean() }

// groupBytes is about what a group takes without members.
const groupBytes = 1024

// Size is the number of members.
func (g *Group) Size() int { return len(g.members) }

// Bytes is about what the group takes in memory.
func (g *Group) Bytes() int64 { return groupBytes + g.bytes }

// Subscribed is the topics that members subscribe to, also by what regular expressions match; it is
// always known.
func (g *Group) Subscribed() (topics map[string]bool, known bool) {
	topics = make(map[string]bool)
	for _, m := range g.members {
		for _, name := range m.topics {
			topics[name] = true
		}
	}
	for _, p := range g.patterns {
		for _, name := range p.topics {
			topics[name] = true
		}
	}
	return topics, true
}

// Description is a group as administrators see it.
type Description struct {
	State              group.State
	Epoch, TargetEpoch int32
	Assignor           string
	Members            []MemberDescription
}

// MemberDescription is a member as administrators see it. Empty strings: not said.
type MemberDescription struct {
	ID                                     string
	InstanceID, Rack, ClientID, ClientHost string
	Epoch                                  int32
	Topics                                 []string
	Regex                                  string
	Classic                                bool // it speaks the classic protocol
	Assigned, Target                       assignor.Assignment
}

// Describe describes the group; slices and maps must not be changed.
func (g *Group) Describe() Description {
	d := Description{State: g.State(), Epoch: g.epoch, TargetEpoch: g.targetEpoch, Assignor: g.assignorName()}
	for _, m := range g.sorted() {
		d.Members = append(d.Members, MemberDescription{
			ID: m.id, InstanceID: m.instance, Rack: m.rack, ClientID: m.clientID, ClientHost: m.clientHost,
			Epoch: m.epoch, Topics: m.topics, Regex: m.regex, Classic: m.classic != nil, Assigned: m.assigned, Target: m.target,
		})
	}
	return d
}

// Close ends the group here: whatever is parked is answered with err, and so is every heartbeat that
// comes after.
func (g *Group) Close(err error) group.Output {
	for _, p := range g.store.parked {
		p.fail(err)
		g.out.Answers = append(g.out.Answers, p.answer)
	}
	g.dead, g.closed, g.store = true, err, newStore()
	clear(g.members)
	clear(g.static)
	clear(g.owners)
	clear(g.patterns)
	out := g.out
	g.out = group.Output{}
	return out
}

// sorted lists the members by id.
func (g *Group) sorted() []*member {
	ids := slices.Sorted(maps.Keys(g.members))
	members := make([]*member, len(ids))
	for i, id := range ids {
		members[i] = g.members[id]
	}
	return members
}

package group

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

// State is what a classic group is doing, by Kafka's name for it.
type State string

const (
	Empty               State = "Empty"               // it has no members
	PreparingRebalance  State = "PreparingRebalance"  // members join
	CompletingRebalance State = "CompletingRebalance" // they wait for the leader's assignments
	Stable              State = "Stable"
	Dead                State = "Dead" // this coordinator does not have it any more
)

// Limits bounds every group of a coordinator.
type Limits struct {
	Size                   int // members, and as many ids again that have not joined yet
	ProtocolBytes          int // metadata of one protocol of a member
	MemberBytes            int // all protocols of a member
	GroupBytes             int // all members as they are stored, assignments aside
	InitialRebalanceDelay  time.Duration
	MinSession, MaxSession time.Duration
}

// newcomerTimeout is how long a newcomer stays parked in Join: its client cannot send
// heartbeats, and nobody may hear of its end.
const newcomerTimeout = 5 * time.Minute

// Classic is a group of the classic protocol: its members elect a leader, which assigns. It
// is not safe for concurrent use. Times handed in must not go back.
type Classic struct {
	limits       *Limits
	state        State
	protocolType string // empty until the first member has joined
	generation   int32
	protocol     string // that of the generation; empty: none
	leader       string
	stateSince   int64 // unix ms

	members map[string]*member
	static  map[string]string    // instance id to member id
	pending map[string]time.Time // ids given to newcomers, and until when they are kept
	joined  uint64               // members ever added

	joinDeadline time.Time // end of PreparingRebalance; zero: none
	syncDeadline time.Time // until when members may sync; zero: all have
	initial      bool      // PreparingRebalance began from Empty
	newcomers    bool      // some came since initialDelay began
	initialDelay time.Duration
	initialLeft  time.Duration // that the delay may still be extended by

	writes      uint64            // numbers given out
	assigning   uint64            // number of the write of the leader's assignments; 0: none is under way
	assignments map[string][]byte // those
	closed      error             // what Close was told
	out         Output
}

// New returns a group without members.
func New(limits *Limits) *Classic {
	return &Classic{
		limits: limits, state: Empty,
		members: make(map[string]*member), static: make(map[string]string), pending: make(map[string]time.Time),
	}
}

// State is what the group is doing.
func (g *Classic) State() State { return g.state }

// Generation is the present one.
func (g *Classic) Generation() int32 { return g.generation }

// ProtocolType is what kind of group it is, empty as long as nobody has joined.
func (g *Classic) ProtocolType() string { return g.protocolType }

// StateSince is when the group last became Stable or Empty, unix ms; 0 when it never has.
func (g *Classic) StateSince() int64 { return g.stateSince }

// Size counts the members.
func (g *Classic) Size() int { return len(g.members) }

// Idle says that nothing is kept of anybody: the group may be forgotten.
func (g *Classic) Idle() bool { return g.state == Empty && len(g.pending) == 0 }

// groupBytes is about what a group takes without members, an id without a member pendingBytes.
const (
	groupBytes   = 512
	pendingBytes = 256
)

// Bytes is about what the group takes in memory.
func (g *Classic) Bytes() int64 {
	n := int64(groupBytes + pendingBytes*len(g.pending))
	for _, m := range g.members {
		n += m.bytes()
	}
	return n
}

// Description is a group as administrators see it.
type Description struct {
	State        State
	ProtocolType string
	Protocol     string // empty unless it is Stable, as are the members' metadata
	Members      []MemberDescription
}

// MemberDescription is a member as administrators see it.
type MemberDescription struct {
	ID, InstanceID, ClientID, ClientHost string
	Metadata, Assignment                 []byte
}

// Describe describes the group; the slices must not be changed.
func (g *Classic) Describe() Description {
	d := Description{State: g.state, ProtocolType: g.protocolType}
	if g.state == Stable {
		d.Protocol = g.protocol
	}
	for _, m := range g.sorted() {
		x := MemberDescription{ID: m.id, InstanceID: m.instance, ClientID: m.clientID, ClientHost: m.clientHost, Assignment: m.assignment}
		if g.state == Stable {
			x.Metadata = m.metadata(g.protocol)
		}
		d.Members = append(d.Members, x)
	}
	return d
}

// Close ends the group here: whatever is parked is answered with err, and so is every Join
// that comes after.
func (g *Classic) Close(err error) Output {
	for _, m := range g.sorted() {
		g.answerJoin(m, JoinAnswer{Err: err, MemberID: m.id})
		g.answerSync(m, SyncAnswer{Err: err})
	}
	g.state, g.closed, g.assigning, g.assignments = Dead, err, 0, nil
	clear(g.members)
	clear(g.static)
	clear(g.pending)
	g.joinDeadline, g.syncDeadline = time.Time{}, time.Time{}
	return g.take()
}

// take hands out what has gathered since the input came.
func (g *Classic) take() Output {
	out := g.out
	g.out = Output{}
	return out
}

// sorted lists the members as they have joined.
func (g *Classic) sorted() []*member {
	return slices.SortedFunc(maps.Values(g.members), func(a, b *member) int { return cmp.Compare(a.order, b.order) })
}

func (g *Classic) add(m *member) {
	g.joined++
	m.order = g.joined
	g.members[m.id] = m
	if m.instance != "" {
		g.static[m.instance] = m.id
	}
	if g.leader == "" {
		g.leader = m.id
	}
}

// remove drops a member. What it has parked is answered: the client is there, and may
// come again.
func (g *Classic) remove(m *member) {
	g.answerJoin(m, JoinAnswer{Err: ErrUnknownMember})
	g.answerSync(m, SyncAnswer{Err: ErrUnknownMember})
	delete(g.members, m.id)
	if m.instance != "" && g.static[m.instance] == m.id {
		delete(g.static, m.instance)
	}
	if g.leader == m.id {
		g.leader = ""
		if rest := g.sorted(); len(rest) > 0 {
			g.leader = rest[0].id
		}
	}
}

// find finds the member that a request is from.
func (g *Classic) find(id, instance string) (*member, error) {
	if instance != "" {
		switch owner := g.static[instance]; {
		case owner == "":
			return nil, ErrUnknownMember
		case owner != id:
			return nil, ErrFencedInstance
		}
	}
	m := g.members[id]
	if m == nil {
		return nil, ErrUnknownMember
	}
	return m, nil
}

// allJoined says that nobody is waited for in PreparingRebalance.
func (g *Classic) allJoined() bool {
	for _, m := range g.members {
		if m.join == 0 {
			return false
		}
	}
	return len(g.pending) == 0
}

// rebalanceTimeout is what the most patient member gives the others.
func (g *Classic) rebalanceTimeout() (longest time.Duration) {
	for _, m := range g.members {
		longest = max(longest, m.rebalance)
	}
	return longest
}

// prepareRebalance has every member join again.
func (g *Classic) prepareRebalance(now time.Time) {
	if g.state == CompletingRebalance {
		for _, m := range g.sorted() {
			m.assignment = nil
			if g.answerSync(m, SyncAnswer{Err: ErrRebalanceInProgress}) {
				g.keep(now, m)
			}
		}
	}
	g.assigning, g.assignments, g.syncDeadline = 0, nil, time.Time{}
	for _, m := range g.members {
		m.storing = 0 // a static member that has come back meanwhile joins with the rest
	}
	g.initial = g.state == Empty
	g.state = PreparingRebalance
	switch {
	case g.initial:
		g.newcomers, g.initialDelay = false, g.limits.InitialRebalanceDelay
		g.initialLeft = max(g.rebalanceTimeout()-g.initialDelay, 0)
		if g.joinDeadline = now.Add(g.initialDelay); g.initialDelay == 0 {
			g.completeJoin(now)
		}
	case g.allJoined():
		g.completeJoin(now)
	default:
		g.joinDeadline = now.Add(g.rebalanceTimeout())
	}
}

// rebalance begins one, or looks whether the one under way is complete.
func (g *Classic) rebalance(now time.Time) {
	if g.state != PreparingRebalance {
		g.prepareRebalance(now)
	} else {
		g.joinIfComplete(now)
	}
}

func (g *Classic) joinIfComplete(now time.Time) {
	if g.state == PreparingRebalance && !g.initial && g.allJoined() {
		g.completeJoin(now)
	}
}

// afterRemoval goes on when members or pending ids have gone.
func (g *Classic) afterRemoval(now time.Time) {
	if g.state == Stable || g.state == CompletingRebalance {
		g.prepareRebalance(now)
	} else {
		g.joinIfComplete(now)
	}
}

// completeJoin begins the next generation with those who have joined.
func (g *Classic) completeJoin(now time.Time) {
	g.joinDeadline = time.Time{}
	for _, m := range g.sorted() {
		if m.join == 0 && m.instance == "" {
			g.remove(m)
		}
	}
	if len(g.members) > 0 && !g.electJoined() {
		g.joinDeadline = now.Add(max(g.rebalanceTimeout(), time.Second)) // only static members are left; their sessions will end
		return
	}
	if g.generation == math.MaxInt32 {
		g.generation = 0
	}
	g.generation++
	g.initial = false
	if len(g.members) == 0 {
		g.protocol, g.leader, g.state, g.stateSince = "", "", Empty, now.UnixMilli()
		g.write(nil)
		return
	}
	g.protocol, g.state = g.choose(), CompletingRebalance
	for _, m := range g.sorted() {
		m.synced, m.fresh, m.anonymous = false, false, false
		m.deadline = now.Add(m.session)
		g.answerJoin(m, g.joinAnswer(m))
	}
	g.syncDeadline = now.Add(g.rebalanceTimeout())
}

// electJoined keeps the leader if it has joined, else elects who has joined first; false
// when nobody has.
func (g *Classic) electJoined() bool {
	if m := g.members[g.leader]; m != nil && m.join != 0 {
		return true
	}
	for _, m := range g.sorted() {
		if m.join != 0 {
			g.leader = m.id
			return true
		}
	}
	return false
}

// write asks for the group to be made durable, with assignments that are not in force yet
// unless that is nil.
func (g *Classic) write(assignments map[string][]byte) uint64 {
	g.writes++
	g.out.Write = &Write{Number: g.writes, Snapshot: g.snapshot(assignments)}
	return g.writes
}

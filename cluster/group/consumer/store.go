package consumer

import (
	"maps"
	"math"
	"slices"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/assignor"
)

// retryDelay is how long a group waits after a write that has failed.
const retryDelay = time.Second

// maxPatternBytes bounds a stored list of matches; a longer one is not stored, and found again by the next
// coordinator.
const maxPatternBytes = 4 << 10

// store is what of the group is on its way to where it is durable. One write is under way at a time; what
// changes meanwhile goes with the next, so that what is stored is always the group as it was at one moment.
type store struct {
	changed map[group.FactKey]bool // since the last write began
	ahead   map[group.FactKey]bool // with the write under way; nil: there is none
	written uint64                 // number of the last write that has begun
	retryAt time.Time              // before which none begins; zero: at once
	parked  []parked
}

// parked is an answer that waits for a write.
type parked struct {
	answer group.Answer
	member string
	number uint64
}

// fail has an answer be an error.
func (p *parked) fail(err error) {
	switch {
	case p.answer.Join != nil:
		p.answer.Join = &group.JoinAnswer{Err: err, MemberID: p.member}
	case p.answer.Sync != nil:
		p.answer.Sync = &group.SyncAnswer{Err: err}
	default:
		p.answer.Beat = &group.BeatAnswer{Err: err}
	}
}

func newStore() store { return store{changed: make(map[group.FactKey]bool)} }

func (s *store) clean() bool { return len(s.changed) == 0 && s.ahead == nil }

// dirty notes that a fact is another, which the next write will have.
func (g *Group) dirty(kind group.FactKind, name string) {
	g.store.changed[group.FactKey{Kind: kind, Name: name}] = true
}

// touch is dirty for facts of a member, which is accounted for.
func (g *Group) touch(m *member, kinds ...group.FactKind) {
	for _, kind := range kinds {
		g.dirty(kind, m.id)
	}
	m.stored = g.store.written + 1
	g.account(m)
}

// account counts what a member takes, if it is one still.
func (g *Group) account(m *member) {
	g.bytes, g.recorded = g.bytes-m.bytes, g.recorded-m.recorded
	if m.bytes, m.recorded = 0, 0; g.members[m.id] == m {
		m.bytes, m.recorded = m.size(), m.recordBytes()
	}
	g.bytes, g.recorded = g.bytes+m.bytes, g.recorded+m.recorded
}

// park answers a request once the last change of its member is durable, or at once if it is.
func (g *Group) park(m *member, a group.Answer) {
	s := &g.store
	if m.stored > s.written || m.stored == s.written && s.ahead != nil {
		s.parked = append(s.parked, parked{a, m.id, m.stored})
		if g.members[m.id] == m {
			m.waiting++
		}
		return
	}
	g.out.Answers = append(g.out.Answers, a)
}

// take hands out what has gathered since the input came, and begins a write if there is need and room.
func (g *Group) take(now time.Time) group.Output {
	out := g.out
	g.out = group.Output{}
	s := &g.store
	if s.ahead != nil || len(s.changed) == 0 || now.Before(s.retryAt) {
		return out
	}
	s.written++
	s.ahead, s.changed, s.retryAt = s.changed, make(map[group.FactKey]bool), time.Time{}
	facts := make(group.Facts, len(s.ahead))
	for key := range s.ahead {
		facts[key] = g.fact(key)
	}
	out.Write = &group.Write{Number: s.written, Facts: facts.List()}
	return out
}

// fact is a fact as it is now; nil: it is none.
func (g *Group) fact(key group.FactKey) any {
	m := g.members[key.Name]
	switch key.Kind {
	case group.FactGroup:
		return group.GroupFact{Epoch: g.epoch, Hash: g.hash}
	case group.FactTarget:
		return group.TargetFact{Epoch: g.targetEpoch}
	case group.FactPattern:
		if p := g.patterns[key.Name]; p != nil && p.storable() {
			return group.PatternFact{Topics: p.topics, Timestamp: p.since}
		}
		return nil
	}
	switch {
	case m == nil:
		return nil
	case key.Kind == group.FactMember:
		return m.fact()
	case key.Kind == group.FactTargetMember:
		return m.target
	}
	return m.current()
}

func (p *pattern) storable() bool {
	n := 0
	for _, t := range p.topics {
		n += len(t) + 2
	}
	return p.since != 0 && n <= maxPatternBytes
}

// Stored reports a write: durable, or failed with err. What has failed is written again later; its
// answers are the error, so their clients ask again.
func (g *Group) Stored(now time.Time, number uint64, err error) group.Output {
	s := &g.store
	if g.dead || number != s.written || s.ahead == nil {
		return g.take(now)
	}
	if err != nil {
		maps.Copy(s.changed, s.ahead)
		s.retryAt = now.Add(retryDelay)
		for _, m := range g.members {
			if m.stored == number {
				m.stored++
			}
		}
	}
	s.ahead = nil
	s.parked = slices.DeleteFunc(s.parked, func(p parked) bool {
		if p.number > number {
			return false
		}
		if err != nil {
			p.fail(err)
		}
		g.out.Answers = append(g.out.Answers, p.answer)
		g.release(now, p.member)
		return true
	})
	return g.take(now)
}

// release has the times of a member run again that waited for an answer: it could neither say anything
// nor know what it is to give up.
func (g *Group) release(now time.Time, id string) {
	m := g.members[id]
	if m == nil || m.waiting == 0 {
		return
	}
	m.waiting--
	g.keep(now, m)
	if m.state == group.MemberUnrevoked {
		m.revokeBy = now.Add(m.rebalance)
	}
}

// Drop is told of a parked request whose connection is lost.
func (g *Group) Drop(now time.Time, ticket group.Ticket) group.Output {
	g.store.parked = slices.DeleteFunc(g.store.parked, func(p parked) bool {
		if p.answer.Ticket == ticket {
			g.release(now, p.member)
		}
		return p.answer.Ticket == ticket
	})
	return g.take(now)
}

// maxEpoch is the highest that a group is loaded with, so that there are always some left.
const maxEpoch = math.MaxInt32 / 2

// Restore makes a group of what was stored of it. Sessions, and the times to give up partitions,
// begin now. Refresh is to follow, since topics may have changed.
func Restore(world World, facts group.Facts, now time.Time) *Group {
	g := New(world, now)
	if f, ok := facts[group.FactKey{Kind: group.FactGroup}].(group.GroupFact); ok {
		g.epoch, g.hash = min(max(f.Epoch, 0), maxEpoch), f.Hash
	}
	if f, ok := facts[group.FactKey{Kind: group.FactTarget}].(group.TargetFact); ok {
		g.targetEpoch = min(max(f.Epoch, 0), g.epoch)
	}
	for _, x := range facts.List() {
		if f, ok := x.Value.(group.MemberFact); ok {
			g.restoreMember(x.Key.Name, f, facts, now)
		}
	}
	g.restorePatterns(facts)
	if len(g.members) > 0 {
		g.emptySince = 0
	}
	return g
}

func (g *Group) restoreMember(id string, f group.MemberFact, facts group.Facts, now time.Time) {
	m := &member{
		id: id, instance: f.InstanceID, rack: f.Rack, clientID: f.ClientID, clientHost: f.ClientHost, topics: f.Topics, regex: f.Regex,
		rebalance: f.Rebalance, assignor: f.Assignor, classic: f.Classic, previous: noneEpoch,
	}
	if m.classic != nil && len(m.classic.Protocols) == 0 {
		m.classic = nil // nobody writes such
	}
	g.keep(now, m)
	m.target, _ = facts[group.FactKey{Kind: group.FactTargetMember, Name: id}].(assignor.Assignment)
	g.members[id] = m
	if m.instance != "" {
		g.static[m.instance] = id
	}
	if c, ok := facts[group.FactKey{Kind: group.FactCurrent, Name: id}].(group.CurrentFact); ok {
		m.epoch, m.previous, m.state = min(c.Epoch, g.epoch), c.Previous, c.State
		g.move(m, m.epoch, g.unowned(c.Assigned), g.unowned(c.Revoking))
		if m.state == group.MemberUnrevoked {
			m.revokeBy = now.Add(m.rebalance)
		}
	}
	g.account(m)
}

// unowned is what of a stored assignment no other member has: nobody writes such, and nothing must
// come of it.
func (g *Group) unowned(a assignor.Assignment) assignor.Assignment {
	return a.Where(func(id assignor.TopicID, p int32) bool { return g.owners[id][p].member == nil })
}

func (g *Group) restorePatterns(facts group.Facts) {
	for _, m := range g.members {
		if m.regex == "" || g.patterns[m.regex] != nil {
			continue
		}
		p := &pattern{}
		g.patterns[m.regex] = p
		if f, ok := facts[group.FactKey{Kind: group.FactPattern, Name: m.regex}].(group.PatternFact); ok {
			p.topics, p.since = f.Topics, f.Timestamp
		}
		p.lost = p.since == 0
	}
}

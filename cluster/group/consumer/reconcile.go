package consumer

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/assignor"
)

// bump begins another epoch, with new targets.
func (g *Group) bump() {
	g.epoch++
	g.hash = g.hashTopics()
	g.dirty(group.FactGroup, "")
	g.retarget()
}

// Refresh takes what regular expressions match now, by expression, and follows what has become
// of topics.
func (g *Group) Refresh(now time.Time, matches map[string][]string) group.Output {
	if g.dead {
		return g.take(now)
	}
	changed := false
	for regex, p := range g.patterns {
		topics, known := matches[regex]
		if !known {
			continue
		}
		if !slices.Equal(topics, p.topics) || p.since == 0 {
			g.setPattern(p, regex, topics, now)
			changed = true
		}
		changed = changed || p.lost
		p.lost = false
	}
	if len(g.members) > 0 && (changed || g.hashTopics() != g.hash) {
		g.bump()
	}
	return g.take(now)
}

// hashTopics is a number that is another when topics that are subscribed to are, or who may know of them.
func (g *Group) hashTopics() uint64 {
	names, _ := g.Subscribed()
	h := fnv.New64a()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		id, n, ok := g.world.Topic(name)
		if !ok {
			continue
		}
		var b [20]byte
		copy(b[:], id[:])
		binary.BigEndian.PutUint32(b[16:], uint32(n))
		_, _ = h.Write(b[:]) // never fails
	}
	if rights := g.world.Rights(); rights > 0 && len(g.patterns) > 0 {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, rights))
	}
	return h.Sum64()
}

// assignorName is what most members ask for, or the default.
func (g *Group) assignorName() string {
	available := g.world.Limits().Assignors
	votes := make(map[string]int)
	for _, m := range g.members {
		if slices.Contains(available, m.assignor) {
			votes[m.assignor]++
		}
	}
	best := available[0]
	for _, name := range available {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// retarget has the assignor say what each member is to have, unless what a regular expression
// matches was not stored, and is not known again yet.
func (g *Group) retarget() {
	for _, p := range g.patterns {
		if p.lost {
			return
		}
	}
	topics := make(map[assignor.TopicID]int32)
	ids := make(map[string]assignor.TopicID)
	members := make([]assignor.Member, 0, len(g.members))
	for _, m := range g.members {
		x := assignor.Member{ID: m.id, Instance: m.instance, Owned: m.target}
		for _, name := range g.topicsOf(m) {
			id, seen := ids[name]
			if !seen {
				var n int32
				if id, n, seen = g.world.Topic(name); seen {
					topics[id] = n
				}
				ids[name] = id
			}
			if topics[id] > 0 {
				x.Topics = append(x.Topics, id)
			}
		}
		members = append(members, x)
	}
	for id, target := range assignor.Named(g.assignorName())(members, topics) {
		if m := g.members[id]; m.target == nil || !m.target.Equal(target) {
			m.target = target
			g.touch(m, group.FactTargetMember)
		}
	}
	g.targetEpoch = g.epoch
	g.dirty(group.FactTarget, "")
}

// topicsOf is all that a member subscribes to, each once. A regular expression matches only what the member may know of; names
// were looked at when it said them.
func (g *Group) topicsOf(m *member) []string {
	p := g.patterns[m.regex]
	if p == nil || len(p.topics) == 0 {
		return m.topics
	}
	all := slices.Concat(m.topics, p.topics)
	if knows := g.world.Knows(m.clientHost); knows != nil {
		all = slices.DeleteFunc(all, func(name string) bool { return !slices.Contains(m.topics, name) && !knows(name) })
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// reconcile brings a member one step nearer to its target. owned is what it uses, nil when it does not
// say. A member's epoch is the target's when it has nothing to give up any more.
func (g *Group) reconcile(now time.Time, m *member, owned assignor.Assignment) {
	switch m.state {
	case group.MemberStable:
		if m.epoch != g.targetEpoch {
			g.advance(now, m, m.epoch, owned)
		}
	case group.MemberUnrevoked:
		if owned != nil && !owned.Meets(m.revoking) {
			g.advance(now, m, m.epoch+1, owned)
		}
	case group.MemberUnreleased:
		g.advance(now, m, m.epoch, owned)
	}
}

// advance works out a member's next step from what it is assigned. It is at epoch unless it can go to
// the target's: what it was to give up has been given up by then.
func (g *Group) advance(now time.Time, m *member, epoch int32, owned assignor.Assignment) {
	assigned, revoking := m.assigned.And(m.target), m.assigned.Minus(m.target)
	next, by := group.MemberStable, time.Time{}
	if len(revoking) > 0 && (owned == nil || owned.Meets(revoking)) {
		next, by = group.MemberUnrevoked, now.Add(m.rebalance)
	} else {
		epoch, revoking = g.targetEpoch, nil
		wanted := m.target.Minus(assigned)
		free := wanted.Where(func(id assignor.TopicID, p int32) bool {
			owner := g.owners[id][p].member
			return owner == nil || owner == m
		})
		if free.Count() < wanted.Count() {
			next = group.MemberUnreleased
		}
		assigned = assigned.Plus(free)
	}
	if epoch == m.epoch && next == m.state && assigned.Equal(m.assigned) && revoking.Equal(m.revoking) {
		return
	}
	g.move(m, epoch, assigned, revoking)
	if epoch != m.epoch {
		m.epoch = epoch
	}
	m.state, m.revokeBy = next, by
	g.touch(m, group.FactCurrent)
}

// owner is the one member that has a partition, and the epoch it got it at.
type owner struct {
	member *member
	since  int32
}

// move makes a member the owner of what it is assigned and of what it is to give up, and of
// nothing else. What it did not have before it has since epoch.
func (g *Group) move(m *member, epoch int32, assigned, revoking assignor.Assignment) {
	before := []assignor.Assignment{m.assigned, m.revoking}
	m.assigned, m.revoking = assigned, revoking
	for _, a := range []assignor.Assignment{assigned, revoking} {
		for id, partitions := range a {
			of := g.owners[id]
			if of == nil {
				of = make(map[int32]owner, len(partitions))
				g.owners[id] = of
			}
			for _, p := range partitions {
				if of[p].member != m {
					of[p] = owner{m, epoch}
				}
			}
		}
	}
	for _, a := range before {
		for id, partitions := range a {
			for _, p := range partitions {
				if of := g.owners[id]; of[p].member == m && !assigned.Has(id, p) && !revoking.Has(id, p) {
					if delete(of, p); len(of) == 0 {
						delete(g.owners, id)
					}
				}
			}
		}
	}
}

// pattern is a regular expression that members subscribe by.
type pattern struct {
	topics []string // that it matches, sorted
	since  int64    // when they were found, unix ms; 0: not yet
	lost   bool     // they were found by another coordinator, and not stored
	bytes  int64    // as accounted
}

// subscribe follows a member to another regular expression.
func (g *Group) subscribe(m *member) {
	if m.regex != "" && g.patterns[m.regex] == nil {
		g.patterns[m.regex] = &pattern{}
		g.out.Match = true
	}
	g.dropPatterns()
}

// dropPatterns forgets regular expressions that nobody has any more.
func (g *Group) dropPatterns() {
	if len(g.patterns) == 0 {
		return
	}
	used := make(map[string]bool)
	for _, m := range g.members {
		used[m.regex] = true
	}
	for regex, p := range g.patterns {
		if !used[regex] {
			delete(g.patterns, regex)
			g.bytes -= p.bytes
			g.dirty(group.FactPattern, regex)
		}
	}
}

func (g *Group) setPattern(p *pattern, regex string, topics []string, now time.Time) {
	p.topics, p.since = topics, cmp.Or(now.UnixMilli(), 1)
	g.bytes -= p.bytes
	p.bytes = int64(memberBytes + len(regex) + topicBytes*len(topics)) // names are the topics' own
	g.bytes += p.bytes
	g.dirty(group.FactPattern, regex)
}

// Patterns lists the regular expressions that members subscribe by, sorted.
func (g *Group) Patterns() []string { return slices.Sorted(maps.Keys(g.patterns)) }

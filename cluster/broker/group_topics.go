package broker

import (
	"maps"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/cluster/group/assignor"
	"weir/cluster/group/consumer"
	"weir/protocol"
)

// consumerWorld is what a group of the consumer protocol asks about this broker.
type consumerWorld struct {
	node  *cluster.Node
	group string
	rules func() *acl.Table
}

// Bounds of groups of the consumer protocol beside those of configuration and of classic groups.
const (
	maxPatterns     = 50       // different regular expressions of a group
	maxPatternBytes = 4 << 10  // one of them
	maxPatternSteps = 5_000    // of its program, each of which costs as much as a byte of a name has
	maxBeatSize     = 64 << 10 // what a member says of itself
)

// Limits implements consumer.World.
func (w consumerWorld) Limits() consumer.Limits {
	classic := &w.node.Config().Groups
	cfg := &classic.Consumer
	return consumer.Limits{
		Size: cfg.MaxSize, Patterns: maxPatterns, MemberBytes: maxBeatSize, GroupBytes: maxGroupBytes,
		Session: w.node.GroupConfig(w.group).SessionTimeout, Assignors: cfg.Assignors,
		MinSession: classic.MinSessionTimeout, MaxSession: classic.MaxSessionTimeout,
	}
}

// Topic implements consumer.World.
func (w consumerWorld) Topic(name string) (assignor.TopicID, int32, bool) {
	t := w.node.Topic(name)
	if t == nil {
		return assignor.TopicID{}, 0, false
	}
	return t.ID, int32(t.NumPartitions()), true
}

// Knows implements consumer.World. Members are told apart by their hosts, as long as nobody is asked who they are.
func (w consumerWorld) Knows(clientHost string) func(topic string) bool {
	rules := w.rules()
	if rules == nil {
		return nil
	}
	address, _ := netip.ParseAddr(strings.TrimPrefix(clientHost, "/")) // if it is none, no ACL but those for all hosts is about it
	client := acl.NewClient(acl.Anonymous, address)
	return func(topic string) bool { return rules.Allows(client, acl.Describe, acl.Topic(topic)) }
}

// Rights implements consumer.World.
func (w consumerWorld) Rights() uint64 {
	if rules := w.rules(); rules != nil {
		return rules.Index()
	}
	return 0
}

// checkPattern refuses what is no regular expression, or costs too much: INVALID_REGULAR_EXPRESSION.
func checkPattern(pattern string) error {
	if len(pattern) > maxPatternBytes {
		return protocol.CodeInvalidRegularExpression
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return protocol.CodeInvalidRegularExpression
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) > maxPatternSteps {
		return protocol.CodeInvalidRegularExpression
	}
	return nil
}

// match has regular expressions be matched, and groups look at topics, soon.
func (c *coordinator) match() {
	select {
	case c.rematch <- struct{}{}:
	default:
	}
}

// followTopics is the goroutine that tells groups of the consumer protocol what has become of topics, and
// which ones their regular expressions match: off the way of heartbeats, one expression after the other.
func (c *coordinator) followTopics() {
	m := matcher{matches: make(map[string][]string)}
	for {
		select {
		case <-c.rematch:
			matches := m.match(c.patterns(), c.topicNames())
			_ = c.each(func(s *shard) { // who cannot be read now is told when it is loaded
				for _, g := range s.groups {
					if r := g.consumer(); r != nil {
						c.do(g, r.Refresh(c.now(), matches))
					}
				}
			})
		case <-c.ctx.Done():
			return
		}
	}
}

// patterns lists the regular expressions of all groups that are coordinated here.
func (c *coordinator) patterns() map[string]bool {
	all := make(map[string]bool)
	_ = c.each(func(s *shard) {
		for _, g := range s.groups {
			if r := g.consumer(); r != nil {
				for _, p := range r.Patterns() {
					all[p] = true
				}
			}
		}
	})
	return all
}

// topicNames lists the topics that a regular expression may match, sorted: the broker's own are not among
// them.
func (c *coordinator) topicNames() []string {
	var names []string
	for _, t := range c.node.Topics() {
		if !t.Internal {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return names
}

// matcher remembers what has matched, so that only what is new costs.
type matcher struct {
	names   []string            // that were matched against, sorted
	matches map[string][]string // by regular expression, sorted
}

// match says which names each pattern matches as a whole. The slices are not changed any more.
func (m *matcher) match(patterns map[string]bool, names []string) map[string][]string {
	isOld := make(map[string]bool, len(m.names))
	for _, n := range m.names {
		isOld[n] = true
	}
	added := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return isOld[n] })
	same := len(added) == 0 && len(names) == len(m.names)
	next := make(map[string][]string, len(patterns))
	for p := range patterns {
		before, known := m.matches[p]
		switch {
		case known && same:
			next[p] = before
		case known:
			kept := slices.DeleteFunc(slices.Clone(before), func(n string) bool {
				_, found := slices.BinarySearch(names, n)
				return !found
			})
			next[p] = append(kept, matching(p, added)...)
			slices.Sort(next[p])
		default:
			next[p] = matching(p, names)
		}
	}
	m.names, m.matches = names, next
	return maps.Clone(next)
}

// matching lists the names that a pattern matches; one that does not compile, which no heartbeat has brought,
// matches nothing.
func matching(pattern string, names []string) []string {
	re, err := regexp.Compile(`^(?:` + pattern + `)$`)
	if err != nil {
		return nil
	}
	var found []string
	for _, n := range names {
		if re.MatchString(n) {
			found = append(found, n)
		}
	}
	return found
}

//go:build interop

package interop

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

// TestGroups has members of each client, by each way that it can be one, live through the same. Whatever happens,
// each record is read by somebody, and none again that was committed.
func TestGroups(t *testing.T) {
	for _, c := range chosenClients(t) {
		for _, way := range c.ways {
			scene(t, "life of "+c.name+" "+way, shortSession, func(t *testing.T, g *sharedTopic) { g.life(t, c, way) })
			if _, says := c.cannotStay[way]; !says {
				scene(t, "static "+c.name+" "+way, longSession, func(t *testing.T, g *sharedTopic) { g.static(t, c, way) })
			}
			for _, other := range beside(way) {
				scene(t, c.name+" "+way+" beside "+other, longSession, func(t *testing.T, g *sharedTopic) { g.beside(t, c, way, other) })
			}
		}
		for _, ways := range c.rolls {
			scene(t, "roll of "+c.name+" to "+ways[len(ways)-1], longSession, func(t *testing.T, g *sharedTopic) { g.roll(t, c, ways) })
		}
	}
}

// scene runs beside others, since members mostly wait, with a broker of its own.
func scene(t *testing.T, name string, session time.Duration, play func(*testing.T, *sharedTopic)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		b := startBroker(t, groupSettings(session)...)
		play(t, newSharedTopic(t, b, fmt.Sprintf("shared-%d", time.Now().UnixNano()), session))
	})
}

// life is of two members: they join, share, get more partitions, crash, leave, and come back.
func (g *sharedTopic) life(t *testing.T, c *client, way string) {
	first := g.join(t, c, way, "")
	g.wants(t, "alone", g.append(t, 3))
	g.commit(t, first)

	second := g.join(t, c, way, "")
	g.settled(t, 2)
	g.wantsBoth(t, "after a second has joined")
	g.commit(t, first, second)

	g.grow(t)
	g.settled(t, 2)
	g.wantsBoth(t, "of twice as many partitions")
	g.commit(t, first, second)

	lost := g.appendAndWant(t, "before the crash")[second]
	if len(lost) == 0 {
		t.Fatal("the member that is to crash has read nothing")
	}
	g.commit(t, first)
	second.kill(t)
	g.wants(t, "of what the killed member had not committed", lost)
	g.commit(t, first)

	second = g.join(t, c, way, "")
	g.settled(t, 2)
	g.wantsBoth(t, "after another has joined")
	g.commit(t, first, second)
	second.leave(t)
	if s := g.look(t); len(s.members) != 1 {
		t.Errorf("who has left is still a member: %+v", s)
	}
	g.settled(t, 1)
	g.appendAndWant(t, "after one has left")
	g.commit(t, first)

	if g.broker.binary != "" {
		g.broker.stop(t)
		g.broker.start(t)
		g.appendAndWant(t, "after a restart of the broker")
		g.commit(t, first)
	}

	again := slices.Clone(g.append(t, 1))
	g.wants(t, "before the last one leaves", again)
	first.leave(t)
	first = g.join(t, c, way, "")
	g.wants(t, "of what was not committed", again)
	g.commit(t, first)
	g.wantsCommitted(t)
	first.leave(t)
}

// wantsBoth is appendAndWant, and each of two members must read some.
func (g *sharedTopic) wantsBoth(t *testing.T, what string) {
	t.Helper()
	if by := g.appendAndWant(t, what); len(by) != 2 {
		t.Errorf("%s: one member reads everything", what)
	}
}

// static has a static member close and come back: it gets what it had, and the other does not notice.
func (g *sharedTopic) static(t *testing.T, c *client, way string) {
	one, two := g.join(t, c, way, "one"), g.join(t, c, way, "two")
	before := g.settled(t, 2)
	g.wantsBoth(t, "of static members")
	g.commit(t, one, two)
	generation := g.generation(t, before)

	one.leave(t)
	meanwhile := g.append(t, 1)
	one = g.join(t, c, way, "one")
	if by := g.wants(t, "of what was written while one was away", meanwhile); len(by) != 2 {
		t.Errorf("one has nothing")
	}
	after := g.settled(t, 2)
	if now := g.generation(t, after); now != generation {
		t.Errorf("there was a rebalance: generation %d, then %d", generation, now)
	}
	idBefore, partitionsBefore := before.of("one")
	idAfter, partitionsAfter := after.of("one")
	if !slices.Equal(partitionsBefore, partitionsAfter) {
		t.Errorf("one has %v, before %v", partitionsAfter, partitionsBefore)
	}
	if way != consumers && idBefore == idAfter {
		t.Errorf("one has not come back: it is %s still", idBefore)
	}
	idBefore, partitionsBefore = before.of("two")
	idAfter, partitionsAfter = after.of("two")
	if idBefore != idAfter || !slices.Equal(partitionsBefore, partitionsAfter) {
		t.Errorf("two is %s with %v, before %s with %v", idAfter, partitionsAfter, idBefore, partitionsBefore)
	}
	g.commit(t, one, two)
	one.leave(t)
	two.leave(t)
}

// of is the id of a static member, and what it has.
func (s groupState) of(instance string) (id string, partitions []int32) {
	for id, m := range s.members {
		if m.instance == instance {
			return id, m.partitions
		}
	}
	return "", nil
}

// roll has two members go from one way of being a member to the next, one after the other, as an upgrade of the
// clients does. In between the group has both.
func (g *sharedTopic) roll(t *testing.T, c *client, ways []string) {
	members := []*member{g.join(t, c, ways[0], ""), g.join(t, c, ways[0], "")}
	g.settled(t, 2)
	for _, way := range ways[1:] {
		for i := range members {
			g.appendAndWant(t, "before a member becomes "+way)
			g.commit(t, members...)
			members[i].leave(t)
			members[i] = g.join(t, c, way, "")
			s := g.settled(t, 2)
			if classic := s.classic(); way == consumers && classic != 1-i {
				t.Errorf("%d members are of the classic protocol while %d of two are of the other: %+v", classic, i+1, s)
			}
		}
		g.wantsBoth(t, "when both are "+way)
		g.commit(t, members...)
	}
	if s := g.look(t); s.assignor != ways[len(ways)-1] {
		t.Errorf("the group is at %q in the end, want %q", s.assignor, ways[len(ways)-1])
	}
	g.wantsCommitted(t)
	for _, m := range members {
		m.leave(t)
	}
}

// classic is how many members are of the classic protocol.
func (s groupState) classic() (n int) {
	for _, m := range s.members {
		if m.classic {
			n++
		}
	}
	return n
}

// balancers are how the driver is a member itself.
var balancers = map[string][]kgo.Opt{
	"range":              {kgo.Balancers(kgo.RangeBalancer())},
	"cooperative-sticky": {kgo.Balancers(kgo.CooperativeStickyBalancer())},
	consumers:            {kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())},
}

// beside says what a member of another kind speaks: the same, or the other protocol, so that the group changes its
// protocol with members in it. An assignor that only the client has is left out.
func beside(way string) (others []string) {
	if balancers[way] != nil {
		others = append(others, way)
	}
	if way == consumers {
		return append(others, "range")
	}
	return append(others, consumers)
}

// beside has the client share with a member that the driver is itself, and leave.
func (g *sharedTopic) beside(t *testing.T, c *client, way, other string) {
	kafka := g.client(t, append([]kgo.Opt{
		kgo.ConsumerGroup(g.topic), kgo.ConsumeTopics(g.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.HeartbeatInterval(heartbeat), kgo.AutoCommitInterval(100 * time.Millisecond),
	}, balancers[other]...)...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			kafka.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				g.reads <- reading{nil, job.Position{Partition: r.Partition, Offset: r.Offset}}
			})
		}
	}()
	g.settled(t, 1)
	g.appendAndWant(t, "alone")
	m := g.join(t, c, way, "")
	s := g.settled(t, 2)
	if mixed := way != other && (way == consumers || other == consumers); mixed && s.classic() != 1 {
		t.Errorf("the group has not a member of each protocol: %+v", s)
	}
	g.wantsBoth(t, "beside the other")
	g.commit(t, m)
	m.leave(t)
	g.settled(t, 1)
	g.appendAndWant(t, "alone again")
}

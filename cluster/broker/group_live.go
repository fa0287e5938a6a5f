package broker

import (
	"context"
	"errors"
	"iter"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/consumer"
	"weir/partition"
	"weir/protocol"
)

// liveGroup is a group that has or had members, with those who wait for its answers. Its
// shard's mu guards all but its place in the clock.
type liveGroup struct {
	rules   // those of its protocol
	name    string
	shard   *shard
	waiting map[group.Ticket]chan<- group.Answer
	writing int   // writes that are on their way
	bytes   int64 // as accounted

	due    time.Time // when it is to be asked
	queued int       // its place in the clock's queue, from 1; 0: none
}

// rules are a state machine of cluster/group, of either protocol.
type rules interface {
	State() group.State
	ProtocolType() string
	StateSince() int64
	Subscribed() (topics map[string]bool, known bool)
	Idle() bool
	Size() int
	Bytes() int64
	Deadline() time.Time
	Expire(now time.Time) group.Output
	Stored(now time.Time, number uint64, err error) group.Output
	Drop(now time.Time, ticket group.Ticket) group.Output
	Close(err error) group.Output

	// What members of the classic protocol ask for.
	Join(now time.Time, r group.JoinRequest) group.Output
	Sync(now time.Time, r group.SyncRequest) group.Output
	Heartbeat(now time.Time, memberID, instanceID string, generation int32) error
	Leave(now time.Time, leavers []group.Leaver) ([]error, group.Output)
}

func newLiveGroup(s *shard, name string, r rules) *liveGroup {
	return &liveGroup{rules: r, name: name, shard: s, waiting: make(map[group.Ticket]chan<- group.Answer)}
}

// classic are the rules of the classic protocol, nil if it has others.
func (g *liveGroup) classic() *group.Classic {
	r, _ := g.rules.(*group.Classic)
	return r
}

// consumer are the rules of the consumer protocol, nil if it has others.
func (g *liveGroup) consumer() *consumer.Group {
	r, _ := g.rules.(*consumer.Group)
	return r
}

// tell hands answers to those who wait.
func (g *liveGroup) tell(out group.Output) {
	for _, a := range out.Answers {
		if w := g.waiting[a.Ticket]; w != nil {
			delete(g.waiting, a.Ticket)
			w <- a // it has room for the one that it gets
		}
	}
}

// follow has the group go on by other rules. Who waits for an answer of those before is told err: nothing that they have
// not begun to write ever will be.
func (g *liveGroup) follow(r rules, err error) {
	g.tell(g.Close(err))
	g.rules = r
}

// do does what a group asks for, and returns the write that it has begun, if any. It is
// called with mu held, after every input.
func (c *coordinator) do(g *liveGroup, out group.Output) (a *partition.Append) {
	g.tell(out)
	if out.Match {
		c.match()
	}
	if out.Write != nil {
		a = c.writeGroup(g, out.Write)
	}
	if r := g.consumer(); r != nil && r.Downgradable() && c.node.Config().Groups.Consumer.Downgrade {
		downgraded, out := r.Downgrade(&c.limits, c.now())
		g.follow(downgraded, group.ErrRebalanceInProgress)
		return c.do(g, out)
	}
	c.keep(g)
	return a
}

// writeGroup brings a group's records into the topic.
func (c *coordinator) writeGroup(g *liveGroup, w *group.Write) *partition.Append {
	s, rules := g.shard, g.rules
	stored := func(err error) {
		c.do(g, rules.Stored(c.now(), w.Number, err)) // nothing, if the group has changed its protocol meanwhile
	}
	records, apply := s.recordsOf(g, w, c.now().UnixMilli())
	if len(records) == 0 {
		stored(nil)
		return nil
	}
	a, err := c.propose(s, plainHeader, records, func(err error) {
		g.writing--
		if err == nil {
			apply()
		}
		stored(err)
	})
	if err != nil {
		stored(err)
		return nil
	}
	g.writing++
	c.running.Go(func() { // whoever has asked may be gone by then
		if err := c.await(c.ctx, s, a); err != nil && c.ctx.Err() == nil {
			c.logger.Warn("a group is not stored", "group", g.name, "err", err)
		}
	})
	return a
}

// keep accounts for a group, has it be asked when it is due, and forgets it when nothing is
// left of it here nor in the topic.
func (c *coordinator) keep(g *liveGroup) {
	s := g.shard
	if s.groups[g.name] != g {
		return // it has been closed
	}
	if g.Idle() && g.writing == 0 && !s.inTopic(g.name) {
		c.drop(g)
		return
	}
	s.groupBytes -= g.bytes
	g.bytes = g.Bytes() + int64(len(g.name))
	s.groupBytes += g.bytes
	c.clock.set(g, g.Deadline())
}

// drop forgets a group here.
func (c *coordinator) drop(g *liveGroup) {
	delete(g.shard.groups, g.name)
	g.shard.groupBytes -= g.bytes
	c.clock.forget(g)
}

func (c *coordinator) expireGroup(g *liveGroup) {
	g.shard.mu.Lock()
	defer g.shard.mu.Unlock()
	defer c.account(g.shard)
	if g.shard.groups[g.name] == g {
		c.do(g, g.Expire(c.now()))
	}
}

// findGroup finds or makes the group that a request is for. It is called with mu held.
type findGroup func(*shard) (*liveGroup, error)

// ask hands a request that may be parked to a group, and waits for the answer. Errors are those of
// within and of find.
func (c *coordinator) ask(ctx context.Context, name string, find findGroup, request func(*liveGroup, group.Ticket) group.Output) (group.Answer, error) {
	ticket := group.Ticket(c.tickets.Add(1))
	answer := newAnswer()
	var g *liveGroup
	var failed error
	err := c.within(name, func(s *shard) {
		if g, failed = find(s); failed == nil {
			g.waiting[ticket] = answer
			c.do(g, request(g, ticket))
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return group.Answer{}, err
	}
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		c.dropRequest(g, ticket)
		return group.Answer{}, ctx.Err()
	case <-c.stopping:
		return group.Answer{}, protocol.CodeNotCoordinator
	}
}

func newAnswer() chan group.Answer { return make(chan group.Answer, 1) }

// classicGroup finds a group for a request of the classic protocol; join says that it may make one. A group of
// the consumer protocol that nobody is in becomes a classic one; one with members takes classic ones too.
// Errors: UNKNOWN_MEMBER_ID when there is no such group, and those of roomFor.
func (c *coordinator) classicGroup(name string, join bool) findGroup {
	return func(s *shard) (*liveGroup, error) {
		g, err := c.existing(s, name, join)
		if err != nil {
			return nil, err
		}
		switch {
		case g == nil:
			g = newLiveGroup(s, name, group.New(&c.limits))
			s.groups[name] = g
		case join && g.consumer() != nil && g.State() == group.Empty:
			g.follow(group.New(&c.limits), protocol.CodeCoordinatorLoadInProgress)
		}
		return g, nil
	}
}

// existing is a group, nil for one that may be made now.
func (c *coordinator) existing(s *shard, name string, join bool) (*liveGroup, error) {
	g := s.groups[name]
	switch {
	case join:
		return g, c.roomFor(g)
	case g == nil:
		return nil, group.ErrUnknownMember
	}
	return g, nil
}

// roomFor says whether there is room for another member, of a group or, if that is nil, of a new
// one: POLICY_VIOLATION.
func (c *coordinator) roomFor(g *liveGroup) error {
	if c.bytes.Load() > maxGroupsBytes || g == nil && c.withMembers.Load() >= maxGroups {
		return protocol.CodePolicyViolation
	}
	return nil
}

// dropRequest gives up a parked request: its client has gone.
func (c *coordinator) dropRequest(g *liveGroup, ticket group.Ticket) {
	g.shard.mu.Lock()
	defer g.shard.mu.Unlock()
	defer c.account(g.shard)
	delete(g.waiting, ticket)
	if g.shard.groups[g.name] == g {
		c.do(g, g.Drop(c.now(), ticket))
	}
}

// commit says whether the group takes a commit of offsets.
func (g *liveGroup) commit(now time.Time, by committer, partitions iter.Seq[group.TopicPartition]) error {
	if r := g.classic(); r != nil {
		return r.Commit(now, by.member, by.instance, by.generation)
	}
	err := g.consumer().Commit(by.member, by.generation, partitions)
	if by.version < epochVersion && by.generation >= 0 && !errors.Is(err, group.ErrUnknownMember) && !g.consumer().SpeaksClassic(by.member) {
		return protocol.CodeUnsupportedVersion // a generation is no epoch
	}
	return err
}

// heartbeat keeps a member in its group.
func (c *coordinator) heartbeat(name, member, instance string, generation int32) error {
	failed := error(group.ErrUnknownMember)
	err := c.within(name, func(s *shard) {
		if g := s.groups[name]; g != nil {
			failed = g.Heartbeat(c.now(), member, instance, generation)
			if g.consumer() != nil {
				c.keep(g) // the member may have something to do by then
			}
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// leave removes members, and returns when it is durable that nobody is left, if so. Errors
// are for all of them; those of the answer for each.
func (c *coordinator) leave(ctx context.Context, name string, leavers []group.Leaver) (errs []error, err error) {
	var a *partition.Append
	var g *liveGroup
	err = c.within(name, func(s *shard) {
		if g = s.groups[name]; g != nil {
			var out group.Output
			errs, out = g.Leave(c.now(), leavers)
			a = c.do(g, out)
		}
	})
	if err != nil || a == nil {
		return errs, err
	}
	return errs, c.await(ctx, g.shard, a)
}

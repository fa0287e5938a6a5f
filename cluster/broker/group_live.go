package broker

import (
	"context"
	"time"

	"weir/cluster/group"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// liveGroup is a group that has or had members, with those who wait for its answers. Its
// shard's mu guards all but its place in the clock.
type liveGroup struct {
	*group.Classic
	name    string
	shard   *shard
	waiting map[group.Ticket]chan<- group.Answer
	writing int   // writes that are on their way
	bytes   int64 // as accounted

	due    time.Time // when it is to be asked
	queued int       // its place in the clock's queue, from 1; 0: none
}

func newLiveGroup(s *shard, name string, g *group.Classic) *liveGroup {
	return &liveGroup{Classic: g, name: name, shard: s, waiting: make(map[group.Ticket]chan<- group.Answer)}
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

// do does what a group asks for, and returns the write that it has begun, if any. It is
// called with mu held, after every input.
func (c *coordinator) do(g *liveGroup, out group.Output) (a *partition.Append) {
	g.tell(out)
	if out.Write != nil {
		a = c.writeGroup(g, out.Write)
	}
	c.keep(g)
	return a
}

// writeGroup brings a group's record into the topic. That nobody is left in a group that the
// topic does not know need not be written.
func (c *coordinator) writeGroup(g *liveGroup, w *group.Write) *partition.Append {
	s := g.shard
	if len(w.Snapshot.Members) == 0 && s.stored[g.name] == nil && g.writing == 0 {
		c.do(g, g.Stored(c.now(), w.Number, nil))
		return nil
	}
	value := encodeGroup(w.Snapshot)
	a, err := c.propose(s, []recordbatch.Record{groupRecord(g.name, value, c.now().UnixMilli())}, func(err error) {
		g.writing--
		if err == nil {
			s.setStored(g.name, value)
		}
		c.do(g, g.Stored(c.now(), w.Number, err))
	})
	if err != nil {
		c.do(g, g.Stored(c.now(), w.Number, err))
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
	if g.Idle() && g.writing == 0 && s.stored[g.name] == nil {
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

// ask hands a request that may be parked to a group, and waits for the answer. make is false
// for requests that do not make a group. Errors besides those of within: group.ErrUnknownMember
// when there is no such group, POLICY_VIOLATION when there is no room for one.
func (c *coordinator) ask(ctx context.Context, name string, make bool, request func(*liveGroup, group.Ticket) group.Output) (group.Answer, error) {
	ticket := group.Ticket(c.tickets.Add(1))
	answer := newAnswer()
	var g *liveGroup
	var failed error
	err := c.within(name, func(s *shard) {
		if g, failed = c.groupFor(s, name, make); failed == nil {
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

// groupFor finds a group. It is called with mu held.
func (c *coordinator) groupFor(s *shard, name string, make bool) (*liveGroup, error) {
	if g := s.groups[name]; g != nil {
		if make && c.bytes.Load() > maxGroupsBytes {
			return nil, protocol.CodePolicyViolation
		}
		return g, nil
	}
	if !make {
		return nil, group.ErrUnknownMember
	}
	if c.withMembers.Load() >= maxGroups || c.bytes.Load() > maxGroupsBytes {
		return nil, protocol.CodePolicyViolation
	}
	g := newLiveGroup(s, name, group.New(&c.limits))
	s.groups[name] = g
	return g, nil
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

// heartbeat keeps a member in its group.
func (c *coordinator) heartbeat(name, member, instance string, generation int32) error {
	failed := error(group.ErrUnknownMember)
	err := c.within(name, func(s *shard) {
		if g := s.groups[name]; g != nil {
			failed = g.Heartbeat(c.now(), member, instance, generation)
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

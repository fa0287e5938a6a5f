package controller

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// Status is what this broker knows of the group. On the leader it covers all members, as their
// signs of life told; on others this broker alone.
type Status struct {
	Leader      int32 // node id; meaningful when Known
	Known       bool
	Term        uint64
	CommitIndex uint64
	Members     []MemberStatus // in the order of the group's configuration
}

// MemberStatus is one member of the group. What is not known is zero.
type MemberStatus struct {
	Node         int32
	ServerID     string
	Voter        bool
	LastIndex    uint64    // of its newest log entry
	AppliedIndex uint64    // of its image
	LastContact  time.Time // when the leader last heard it
	CaughtUp     time.Time // when it last had nearly all that the leader had
}

// Status returns what is known now.
func (c *Controller) Status() Status {
	s := Status{Term: c.raft.CurrentTerm(), CommitIndex: c.raft.CommitIndex()}
	s.Leader, s.Known = c.Leader()
	for _, server := range c.raft.GetConfiguration().Configuration().Servers {
		node, _ := nodeOf(server.ID)
		m := MemberStatus{Node: node, ServerID: string(server.ID), Voter: server.Suffrage == raft.Voter}
		if server.ID == c.config.serverID() {
			m.LastIndex, m.AppliedIndex, m.LastContact = c.raft.LastIndex(), c.raft.AppliedIndex(), time.Now()
			if s.Leader == c.config.NodeID {
				m.CaughtUp = m.LastContact
			} else {
				m.LastContact = c.raft.LastContact()
			}
		} else if seen := c.liveness.contact(node); seen.heard {
			m.LastIndex, m.AppliedIndex, m.LastContact, m.CaughtUp = seen.last, seen.applied, seen.since, seen.nearAt
		}
		s.Members = append(s.Members, m)
	}
	return s
}

// Leader returns the node id of the broker that leads the group, if one is known.
func (c *Controller) Leader() (node int32, known bool) {
	_, id := c.raft.LeaderWithID()
	return nodeOf(id)
}

// verifyLeader asks a majority of the voters whether this broker still leads.
func (c *Controller) verifyLeader() error {
	return c.await(c.ctx, func() raft.Future { return c.raft.VerifyLeader() })
}

// TransferLeadership hands leadership to the voter that is known to be furthest, to one that is
// drained for want of others. Proposals wait
// meanwhile. It is tried once in each term (the library's issue 696: attempts that hang add up to a
// leader that refuses everything). Errors are NotLeaderError, ErrNoSuccessor, ErrClosed, and
// UnknownOutcomeError when it failed or did not end in time.
func (c *Controller) TransferLeadership(ctx context.Context) error {
	term := c.raft.CurrentTerm()
	if c.raft.State() != raft.Leader {
		leader, known := c.Leader()
		return &NotLeaderError{Leader: leader, Known: known}
	}
	to, ok := c.successor(time.Now())
	if !ok {
		return ErrNoSuccessor
	}
	c.mu.Lock()
	tried := c.transferTerm == term
	c.transferTerm = term
	c.mu.Unlock()
	if tried {
		return ErrNoSuccessor
	}
	return c.await(ctx, func() raft.Future { return c.raft.LeadershipTransferToServer(to, raft.ServerAddress(to)) })
}

// successor chooses among the other voters heard lately.
func (c *Controller) successor(now time.Time) (best raft.ServerID, ok bool) {
	var last uint64
	var drained bool
	for _, s := range c.raft.GetConfiguration().Configuration().Servers {
		node, _ := nodeOf(s.ID)
		seen := c.liveness.contact(node)
		fresh := seen.heard && now.Sub(seen.since) < c.config.SessionTimeout/2 && registered(c.Image(), s.ID) != nil
		if s.Suffrage != raft.Voter || s.ID == c.config.serverID() || !fresh {
			continue
		}
		if is := isDrained(c.Image(), s.ID); !ok || drained && !is || drained == is && seen.last > last {
			best, last, drained, ok = s.ID, seen.last, is, true
		}
	}
	return best, ok
}

// handOver is TransferLeadership for a broker that is about to stop.
func (c *Controller) handOver() {
	if c.raft.State() != raft.Leader || c.fault.get() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.config.ElectionTimeout)
	defer cancel()
	if err := c.TransferLeadership(ctx); err != nil && err != ErrNoSuccessor {
		c.logger.Warn("controller: leadership was not handed over", "err", err)
	}
}

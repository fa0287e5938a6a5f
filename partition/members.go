package partition

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"weir/log"
)

// Follower is another member of the group as this replica, leading, sees it.
type Follower struct {
	ID       raft.ServerID
	Voter    bool
	Match    uint64    // raft index up to which its log is known to be the leader's; 0: nothing known
	Heard    time.Time // when it last answered; zero: not under this leadership
	CaughtUp time.Time // when it last had all that the leader had
}

// Members is the membership of the group as this replica knows it, which may not be
// committed yet.
func (p *Partition) Members() raft.Configuration {
	return p.raft.Load().GetConfiguration().Configuration()
}

// MembersCommitted says whether Members are committed, of a replica that leads: what was in
// the log when its leadership began is.
func (p *Partition) MembersCommitted() bool {
	return p.raft.Load().CommitIndex() >= p.membersAt.Load()
}

// Followers tells of the other members. It is of use on the leader only.
func (p *Partition) Followers() []Follower {
	var all []Follower
	transport, _ := p.cfg.Replication.Transport.(standing)
	for _, s := range p.Members().Servers {
		if s.ID == p.cfg.Replication.Local {
			continue
		}
		f := Follower{ID: s.ID, Voter: s.Suffrage == raft.Voter}
		x, known := p.followers.of(s.ID)
		if known {
			f.Match, f.Heard, f.CaughtUp = x.match, x.heard, x.caughtUp
		}
		// Who rests is told nothing, and does not answer.
		if known && transport != nil && x.told.stands > 0 && x.told.match >= p.log.LastRaftIndex() {
			if number, _, _ := transport.Stands(s.Address, x.told.term); number == x.told.stands {
				f.Heard, f.CaughtUp = p.followers.rests(s.ID, x.match)
			}
		}
		all = append(all, f)
	}
	return all
}

// LastRaftIndex is the index of the last entry in this replica's log, for comparison
// with Follower.Match.
func (p *Partition) LastRaftIndex() uint64 { return p.log.LastRaftIndex() }

// AddLearner makes a replica a member without a vote, which is sent everything. One
// that is a member already stays what it is, and how far it is has to be found out again. Like all changes of the membership it is
// done when it returns nil, and may yet be when ctx has ended. Errors: ctx's,
// *NotLeaderError.
func (p *Partition) AddLearner(ctx context.Context, id raft.ServerID) error {
	p.followers.drop(id) // it may have been a member before, with a log that it has not any more
	p.alarm.ring()       // who rests on its turns
	return p.await(ctx, p.raft.Load().AddNonvoter(id, raft.ServerAddress(id), 0, 0))
}

// Promote gives a member a vote. The quorum grows at once: it should have caught up.
func (p *Partition) Promote(ctx context.Context, id raft.ServerID) error {
	return p.await(ctx, p.raft.Load().AddVoter(id, raft.ServerAddress(id), 0, 0))
}

// Remove ends a membership, this replica's own too.
func (p *Partition) Remove(ctx context.Context, id raft.ServerID) error {
	return p.await(ctx, p.raft.Load().RemoveServer(id, 0, 0))
}

// Transfer hands the leadership to a member with a vote; to the one that is nearest when
// id is empty. It is tried once under a leadership: the library may be stuck after a
// second try (its issue 696). Meanwhile nothing is taken: the library would refuse it and
// tell nobody. Errors: ctx's, *NotLeaderError, ErrTransferred.
func (p *Partition) Transfer(ctx context.Context, id raft.ServerID) error {
	p.mu.Lock()
	epoch, leading := p.Leading()
	switch {
	case !leading:
		p.mu.Unlock()
		return p.notLeader()
	case p.transferred == epoch:
		p.mu.Unlock()
		return ErrTransferred
	}
	p.transferred, p.handingOver = epoch, epoch
	p.mu.Unlock()
	r := p.raft.Load()
	var f raft.Future
	if id == "" {
		f = r.LeadershipTransfer()
	} else {
		f = r.LeadershipTransferToServer(id, raft.ServerAddress(id))
	}
	err := p.await(ctx, f)
	p.keepLeading(r, epoch)
	return err
}

// Retire has the replica closed and opened again, for what cannot be changed while it is open: a leadership that cannot be
// handed over any more (ErrTransferred), or its Timing. Meanwhile the others elect a leader if it is one. Who waits for an
// append here is told that it is not known whether it stays: *RetiredError.
func (p *Partition) Retire(why error) { p.retire(&RetiredError{Err: why}) }

// Timing is what the replica was opened with.
func (p *Partition) Timing() Timing { return p.cfg.Replication.Timing }

// keepLeading ends a transfer after which this replica leads as before: batches are taken
// again when the library takes one of our entries, by which those that it has refused are
// found out.
func (p *Partition) keepLeading(r *raft.Raft, epoch int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now, leading := p.Leading(); !leading || now != epoch || p.closed.Load() {
		return
	}
	x := p.enqueue(&proposal{kind: log.KindBarrier, epoch: epoch})
	p.background.Go(func() {
		p.insist(r, x)
		p.mu.Lock()
		if p.handingOver == epoch {
			p.handingOver = 0
		}
		p.mu.Unlock()
		p.changed()
	})
}

// ErrTransferred says that under this leadership a transfer has been tried already.
var ErrTransferred = errors.New("partition: a transfer of this leadership has been tried before")

// await waits for the library, which may answer never when it is shut down meanwhile.
func (p *Partition) await(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipLost) || errors.Is(err, raft.ErrRaftShutdown) {
			return p.notLeader()
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

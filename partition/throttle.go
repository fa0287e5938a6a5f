package partition

import (
	"time"

	"github.com/hashicorp/raft"
)

// Throttle bounds what a broker sends to replicas that are behind, over all its groups.
type Throttle interface {
	// Take lets n bytes go and returns 0, or lets none go and says when to ask again.
	Take(n int) (wait time.Duration)
	// Return gives back bytes that were let go and not sent. Below zero, more were sent.
	Return(n int)
}

const (
	// behindAfter is how long ago a follower may have had all that the leader has and not
	// count as behind.
	behindAfter = 5 * time.Second
	// throttleLook is the longest time until a message that waits is looked at again: it may
	// not have to any more.
	throttleLook = 100 * time.Millisecond
)

// behind says whether what a follower is sent is to be throttled: it is new, or has not had
// everything for a while, and the group commits without it. Whether it does is judged by the
// same measure, so that a replica whose help is needed is helped at full speed.
func (p *Partition) behind(id raft.ServerID) bool {
	since := p.cfg.Now().Add(-behindAfter)
	if p.followers.hadAll(id, since) {
		return false // this is on the way of every message; what follows is not
	}
	_, serving := p.Leading()
	fresh := !serving || p.LeadingSince().After(since) // nobody has had the time to answer
	voters, near, votes := 1, 1, false                 // this replica
	for _, f := range p.Followers() {
		recent := f.CaughtUp.After(since) || f.CaughtUp.IsZero() && fresh
		switch {
		case f.ID == id && !f.Voter:
			return true
		case f.ID == id && recent:
			return false
		case f.ID == id:
			votes = true
		}
		if f.Voter {
			voters++
			if recent {
				near++
			}
		}
	}
	return votes && near > voters/2
}

// hadAll says whether a follower has had all of the leader's log since then.
func (f *followers) hadAll(id raft.ServerID, since time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.byID[id]
	return x != nil && x.caughtUp.After(since)
}

// awaitTurn returns when a message may go to a follower, and for how many bytes the
// throttle was asked, 0 if it was not. It holds no lock and no records meanwhile. The
// library's heartbeats do not come by here: they have a goroutine of their own. Errors:
// ErrClosed, *NotLeaderError when the leadership is over.
func (r replicator) awaitTurn(id raft.ServerID, args *raft.AppendEntriesRequest) (taken int, err error) {
	throttle := r.p.cfg.Replication.Throttle
	for throttle != nil && len(args.Entries) > 0 && r.p.behind(id) {
		wait := throttle.Take(maxMessageBytes)
		if wait <= 0 {
			return maxMessageBytes, nil
		}
		timer := time.NewTimer(min(wait, throttleLook))
		select {
		case <-timer.C:
		case <-r.p.closing:
			timer.Stop()
			return 0, ErrClosed
		}
		if l := r.p.raft.Load(); l.State() != raft.Leader || l.CurrentTerm() != args.Term {
			return 0, r.p.notLeader()
		}
	}
	return 0, nil
}

// recordBytes is what a message carries.
func recordBytes(entries []*raft.Log) (n int) {
	for _, e := range entries {
		n += len(e.Data)
	}
	return n
}

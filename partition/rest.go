package partition

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// When nothing is proposed the library tells a follower of the last commit after
// Timing.Commit, and goes on to tell it the same, beside its heartbeats. What a follower
// knows need not be said again: the library's goroutines rest in AppendEntries until there
// is something to say. One of the two comes back now and then, all groups' at the same
// time, so that the library knows that the follower is there: what costs an idle process
// most is to be woken.

// saidAgain is after how long a follower that the transport knows nothing of is told once more.
const saidAgain = 500 * time.Millisecond

// alarm wakes those who rest.
type alarm struct{ set atomic.Pointer[chan struct{}] }

// await is closed with the next ring. Look for what may have changed after this.
func (a *alarm) await() <-chan struct{} {
	for {
		if c := a.set.Load(); c != nil {
			return *c
		}
		c := make(chan struct{})
		if a.set.CompareAndSwap(nil, &c) {
			return c
		}
	}
}

// ring costs little when nobody waits.
func (a *alarm) ring() {
	if a.set.Load() == nil {
		return
	}
	if c := a.set.Swap(nil); c != nil {
		close(*c)
	}
}

// restGauge keeps the library's gauge of the oldest entry until this leadership is over, and says whether it has: nobody
// reads it, and it would wake each group that has a leader here every ten seconds. The library's main goroutine asks for
// the first entry as a follower only, when it has installed a snapshot.
func (p *Partition) restGauge() (rested bool) {
	over := p.turned.await()
	if r := p.raft.Load(); r == nil || r.State() != raft.Leader {
		return false
	}
	select {
	case <-over:
	case <-p.closing:
	}
	return true
}

// rest keeps a request that says only what its follower knows for a while, or until that is
// otherwise. It reports whether the request may be answered here: the transport knows that
// the follower has followed all the time. number is that of what stands then (standing).
func (r replicator) rest(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest) (number uint64, answered bool) {
	number, ended, turn := r.stands(target, args.Term)
	known, under := r.p.followers.knows(id, args)
	follows := known && number > 0 && number == under
	news := r.p.alarm.await()
	if known && r.p.nothingNew(args) {
		var again <-chan time.Time
		if follows {
			var wake func()
			turn, wake = r.turns(id, target, args.Term, turn)
			defer wake()
		} else {
			timer := time.NewTimer(saidAgain)
			defer timer.Stop()
			again, ended, turn = timer.C, nil, nil
		}
		select {
		case <-turn:
			now, _, _ := r.stands(target, args.Term)
			if now == number {
				return number, true // and will soon be back
			}
			number = now
		case <-news:
			number, _, _ = r.stands(target, args.Term) // after a rest of any length
		case <-ended:
			number, _, _ = r.stands(target, args.Term)
		case <-r.p.closing:
		case <-again:
		}
	}
	if r.p.followers.end(id) {
		r.p.alarm.ring() // another one has to take turns
	}
	return number, follows && number == under
}

// turns is when a follower that begins to rest comes back for a moment; wake is to be called then. The library's
// lease needs to hear of no more followers than make a majority with this replica: the others sleep while no
// broker is in doubt.
func (r replicator) turns(id raft.ServerID, target raft.ServerAddress, term uint64, turn <-chan struct{}) (comes <-chan struct{}, wake func()) {
	voters, needed := leaseNeeds(r.p.Members(), r.p.cfg.Replication.Local)
	if t, ok := r.Transport.(standing); ok && !r.p.followers.begin(id, voters, needed) {
		doubt, wake := t.Sleep(target, term)
		select {
		case <-doubt:
			return turn, wake
		default:
			return doubt, wake
		}
	}
	return turn, func() {}
}

// leaseNeeds is which followers have votes, and how many of them a leader has to hear of.
func leaseNeeds(members raft.Configuration, leader raft.ServerID) (voters []raft.ServerID, needed int) {
	for _, s := range members.Servers {
		if s.Suffrage == raft.Voter {
			needed++
			if s.ID != leader {
				voters = append(voters, s.ID)
			}
		}
	}
	return voters, needed/2 + 1 - (needed - len(voters))
}

// restToo keeps a heartbeat while the library's other goroutine rests.
func (r replicator) restToo(id raft.ServerID, target raft.ServerAddress, term uint64) {
	number, ended, _ := r.stands(target, term)
	over := r.p.followers.resting(id)
	if number == 0 || over == nil {
		return
	}
	select {
	case <-over:
	case <-ended:
	case <-r.p.closing:
	}
}

// nothingNew says that this replica leads, and has nothing to tell that is not in args.
func (p *Partition) nothingNew(args *raft.AppendEntriesRequest) bool {
	r := p.raft.Load()
	return r != nil && r.State() == raft.Leader && r.CurrentTerm() == args.Term && p.left.Load() == nil &&
		p.log.LastRaftIndex() == args.PrevLogEntry && r.CommitIndex() <= args.LeaderCommitIndex
}

// standing is a transport that knows, without a message, that a follower follows this
// leader in a term: number is above 0 then. What that has answered before under the same
// number, it would again. ended closes when that is over, and turn after a part of the
// lease, when the follower has been heard of again. Who does not ask again soon sleeps: doubt is closed while one
// of all brokers is late to answer.
type standing interface {
	Stands(target raft.ServerAddress, term uint64) (number uint64, ended, turn <-chan struct{})
	Sleep(target raft.ServerAddress, term uint64) (doubt <-chan struct{}, wake func())
}

func (r replicator) stands(target raft.ServerAddress, term uint64) (number uint64, ended, turn <-chan struct{}) {
	if t, ok := r.Transport.(standing); ok {
		return t.Stands(target, term)
	}
	return 0, nil, nil
}

// begin notes that the library's goroutine for a follower rests, from now until end, though
// it looks up in between. It says whether that is for it to do: of the voters so many have to.
func (f *followers) begin(id raft.ServerID, voters []raft.ServerID, needed int) (turns bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.byID[id]
	if x == nil {
		return false
	}
	if x.rests == nil {
		x.rests = make(chan struct{})
	}
	if !slices.Contains(voters, id) {
		return false
	}
	for _, v := range voters {
		if y := f.byID[v]; v != id && y != nil && y.turns {
			needed--
		}
	}
	x.turns = needed > 0
	return x.turns
}

// end says whether the follower has taken turns.
func (f *followers) end(id raft.ServerID) (turned bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.byID[id]; x != nil {
		turned = x.turns
		x.wake()
	}
	return turned
}

// resting closes when the rest is over; it is nil when there is none.
func (f *followers) resting(id raft.ServerID) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.byID[id]; x != nil {
		return x.rests
	}
	return nil
}

func (x *follower) wake() {
	if x.rests != nil {
		close(x.rests)
		x.rests, x.turns = nil, false
	}
}

package cluster

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/transport"
	"weir/partition"
)

// The library tries a follower that it cannot reach again and again, ever later: after a
// minute only every ten seconds, so that a broker, or a replica, that comes back waits that
// long for what it missed. Its heartbeats keep trying. So a failed append waits for them to
// get through, and counts as one failure.

// awaitPeerTimeout bounds that wait.
const awaitPeerTimeout = time.Minute

// patientGroup is a partition's handle on the transport (partition.Transport).
type patientGroup struct {
	*transport.Group
	peers *peers
	heard *heard
}

func newPatientGroup(g *transport.Group, p *peers) patientGroup {
	return patientGroup{g, p, &heard{of: make(map[raft.ServerAddress]*answers)}}
}

// heard counts the answers of followers.
type heard struct {
	mu sync.Mutex // guards the rest
	of map[raft.ServerAddress]*answers
}

type answers struct {
	n    uint64
	more chan struct{} // closed with the next one; nil while nobody waits
}

func (h *heard) answered(follower raft.ServerAddress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.ofLocked(follower)
	a.n++
	if a.more != nil {
		close(a.more)
		a.more = nil
	}
}

func (h *heard) count(follower raft.ServerAddress) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ofLocked(follower).n
}

// more is closed once there has been an answer after the first n.
func (h *heard) more(follower raft.ServerAddress, n uint64) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.ofLocked(follower)
	if a.more == nil {
		a.more = make(chan struct{})
	}
	more := a.more
	if a.n != n {
		close(more)
		a.more = nil
	}
	return more
}

func (h *heard) ofLocked(follower raft.ServerAddress) *answers {
	a := h.of[follower]
	if a == nil {
		a = new(answers)
		h.of[follower] = a
	}
	return a
}

// absentError: the follower's broker has not opened the group.
type absentError struct {
	error
	follower raft.ServerAddress
	answers  uint64 // before
}

func (e *absentError) Unwrap() error { return e.error }

// AppendEntries counts the answers. Errors: those of the transport, also in an *absentError.
func (g patientGroup) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	before := g.heard.count(target)
	err := g.Group.AppendEntries(id, target, args, resp)
	if err == nil {
		g.heard.answered(target)
	}
	if errors.Is(err, transport.ErrUnknownGroup) {
		return &absentError{err, target, before}
	}
	return err
}

// AwaitPeer returns when the peer of a failed append is connected, if it was not, or has answered
// since, if it had not opened the group.
func (g patientGroup) AwaitPeer(err error) {
	timer := time.NewTimer(awaitPeerTimeout)
	defer timer.Stop()
	var absent *absentError
	var unreachable *transport.UnreachableError
	switch {
	case errors.As(err, &absent):
		select {
		case <-g.heard.more(absent.follower, absent.answers):
		case <-timer.C:
		case <-g.Done():
		}
	case errors.As(err, &unreachable) && unreachable.NotSent:
		g.awaitConnection(unreachable.Node, timer.C)
	}
}

func (g patientGroup) awaitConnection(node int32, limit <-chan time.Time) {
	for {
		connected, changed := g.peers.isConnected(node)
		if connected {
			return
		}
		select {
		case <-changed:
		case <-limit:
			return
		case <-g.Done():
			return
		}
	}
}

// patientController is the controller's handle.
type patientController struct {
	patientGroup
	disk *partition.Watched // the controller's writes
}

// AppendEntries sends nothing while the controller's disk hangs: its followers elect another leader
// then, and this one finds that out when its disk comes back.
func (g patientController) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if g.disk.Hangs() {
		return errHung
	}
	err := g.patientGroup.AppendEntries(id, target, args, resp)
	if err != nil && (len(args.Entries) > 0 || args.PrevLogEntry > 0 || args.LeaderCommitIndex > 0) { // no heartbeat
		g.AwaitPeer(err)
	}
	return err
}

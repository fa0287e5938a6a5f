package cluster

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/transport"
	"weir/partition"
)

// The library tries a follower that it cannot reach again and again, ever later: after a
// minute only every ten seconds, so that a broker that comes back waits that long for what
// it missed. Its heartbeats keep trying. So a failed append waits for them to get through,
// and counts as one failure.

// awaitPeerTimeout bounds that wait.
const awaitPeerTimeout = time.Minute

// patientGroup is a partition's handle on the transport (partition.Transport).
type patientGroup struct {
	*transport.Group
	peers *peers
}

// AwaitPeer returns when the peer of a failed append is connected, if it was not.
func (g patientGroup) AwaitPeer(err error) {
	var unreachable *transport.UnreachableError
	if !errors.As(err, &unreachable) || !unreachable.NotSent {
		return
	}
	timer := time.NewTimer(awaitPeerTimeout)
	defer timer.Stop()
	for {
		connected, changed := g.peers.isConnected(unreachable.Node)
		if connected {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
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
	err := g.Group.AppendEntries(id, target, args, resp)
	if err != nil && (len(args.Entries) > 0 || args.PrevLogEntry > 0 || args.LeaderCommitIndex > 0) { // no heartbeat
		g.AwaitPeer(err)
	}
	return err
}

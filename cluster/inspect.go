package cluster

import "weir/protocol/histogram"

// SyncTimes is how long the disks took to sync the logs.
func (n *Node) SyncTimes() (s histogram.Snapshot) {
	for _, f := range n.folders {
		if f.syncer != nil {
			s.Add(f.syncer.Times().Snapshot())
		}
	}
	return s
}

// ControllerTerm is the Raft term of the controller's group as this broker knows it, and one past the newest
// command of which it knows that it is committed.
func (n *Node) ControllerTerm() (term uint64, highWatermark int64) {
	s := n.meta().Status()
	return s.Term, int64(s.CommitIndex) + 1
}

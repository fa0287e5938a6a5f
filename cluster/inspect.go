package cluster

import "weir/protocol/histogram"

// SyncTimes is how long the disk took to sync the logs.
func (n *Node) SyncTimes() *histogram.Histogram { return n.syncer.Times() }

// ControllerTerm is the Raft term of the controller's group as this broker knows it, and one past the newest
// command of which it knows that it is committed.
func (n *Node) ControllerTerm() (term uint64, highWatermark int64) {
	s := n.meta().Status()
	return s.Term, int64(s.CommitIndex) + 1
}

package cluster

import (
	"errors"
	"time"

	"weir/partition"
)

// maintain has done what time asks for: retention, forgetting producers, emptying the trash, and retrying partitions
// that are offline. Each folder has a goroutine for what is in it, so that one whose disk hangs holds nobody up.
func (n *Node) maintain() {
	var due []chan struct{} // one token for a folder that is to be looked after
	for _, f := range n.folders {
		c := make(chan struct{}, 1)
		due = append(due, c)
		n.running.Go(func() { n.maintainFolder(f, c) })
	}
	for {
		timer := time.NewTimer(n.Config().RetentionCheckInterval)
		select {
		case <-timer.C:
		case <-n.room.short: // what may go, is to go now
			timer.Stop()
		case <-n.ctx.Done():
			timer.Stop()
			return
		}
		for _, c := range due {
			wake(c)
		}
		n.reconcile(n.meta().Image())
	}
}

func (n *Node) maintainFolder(f *folder, due <-chan struct{}) {
	for {
		select {
		case <-due:
		case <-n.ctx.Done():
			return
		}
		if f.failed() != nil {
			continue
		}
		now := time.Now()
		for t, p := range n.topics.Load().in(f) {
			if err := p.Maintain(now); err != nil && !errors.Is(err, partition.ErrClosed) {
				n.logger.Error("retention failed", "topic", t.Name, "partition", p.Index(), "err", err)
			}
		}
		n.noteRecovered(f)
		f.emptyTrash(now)
	}
}

// noteRecovered marks the data of a folder as recovered once every partition in it is open.
func (n *Node) noteRecovered(f *folder) {
	if n.topics.Load().offlineIn()[f] {
		return
	}
	if err := f.recovered(); err != nil { // the next start looks at more than it has to
		n.logger.Error("a data folder is not marked as recovered", "folder", f.root, "err", err)
	}
}

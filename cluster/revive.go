package cluster

import (
	"errors"
	"slices"
	"sync"
	"time"

	"weir/log"
	"weir/partition"
)

// A replica that has left its group by itself (partition.Config.Reopen) is taken offline,
// closed, waited for, and opened again. While its disk hangs, which may be for ever, it is
// nobody's to open, and nothing else waits for it.

// retired are the replicas that have left and are not opened again yet.
type retired struct {
	wake chan struct{} // one token when there are more

	mu      sync.Mutex // guards news
	news    []retiredReplica
	closing map[partitionKey]closingReplica // guarded by Node.reconciling: they are nobody's to open
	growing map[partitionKey]bool           // are to leave for errGrows, and have not been taken offline; guarded likewise
	leaving sync.Map                        // partitionKey to *partition.Partition: has moved elsewhere, and its disk hangs
	opened  sync.Map                        // partitionKey: was open in this process, so that all written since is to be found; true: and is damaged
}

type closingReplica struct {
	why error
	p   *partition.Partition
}

type retiredReplica struct {
	key partitionKey
	why error
}

func (r *retired) isLeaving(k partitionKey) bool {
	_, leaving := r.leaving.Load(k)
	return leaving
}

// add is called by partitions, from within their groups.
func (r *retired) add(k partitionKey, why error) {
	r.mu.Lock()
	r.news = append(r.news, retiredReplica{k, why})
	r.mu.Unlock()
	r.notify()
}

func (r *retired) notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *retired) take() []retiredReplica {
	r.mu.Lock()
	defer r.mu.Unlock()
	news := r.news
	r.news = nil
	return news
}

// recovery is what the replica's log may look like.
func (r *retired) recovery(k partitionKey, first log.RecoveryMode) (mode log.RecoveryMode, damaged bool) {
	if was, again := r.opened.Load(k); again {
		return log.RecoverProcessCrash, was.(bool)
	}
	return first, false
}

// growers are how many replicas that were alone are opened again at a time, so that only so many are offline.
const growers = 32

// grow says whether a replica that is to have others is to be opened again now. The others' turn comes with the reconcile
// by which one of these is. It is called with Node.reconciling held.
func (r *retired) grow(k partitionKey) bool {
	busy := len(r.growing)
	for _, c := range r.closing {
		if errors.Is(c.why, errGrows) {
			busy++
		}
	}
	if busy >= growers || r.growing[k] {
		return false
	}
	r.growing[k] = true
	return true
}

// closingOf are the replicas of a topic whose closing has begun and not ended, but for those in folders that have failed,
// where nothing is removed. It is called with Node.reconciling held.
func (r *retired) closingOf(t *Topic) (all []*partition.Partition) {
	add := func(p *partition.Partition, f *folder) {
		if p != nil && !hasGone(p) && (f == nil || f.failed() == nil) {
			all = append(all, p)
		}
	}
	for i, p := range t.partitions {
		k := partitionKey{t.ID, int32(i)}
		add(p, t.folders[i]) // has been closed for good, and its disk may hang
		add(r.closing[k].p, t.folders[i])
		if leaving, ok := r.leaving.Load(k); ok {
			add(leaving.(*partition.Partition), nil)
		}
	}
	return all
}

// awaitGone waits for what is being closed; false: the node ends, and the disk has not come back.
func (n *Node) awaitGone(p *partition.Partition) bool {
	select {
	case <-p.Gone():
		return true
	case <-n.ctx.Done():
		return hasGone(p)
	}
}

func hasGone(p *partition.Partition) bool {
	select {
	case <-p.Gone():
		return true
	default:
		return false
	}
}

// keepReplicas is the goroutine that looks after them.
func (n *Node) keepReplicas() {
	for {
		select {
		case <-n.retired.wake:
		case <-n.ctx.Done():
			return
		}
		n.strand()
		for _, r := range n.retired.take() {
			n.running.Go(func() { n.revive(r) })
		}
	}
}

func (n *Node) revive(r retiredReplica) {
	p := n.takeOffline(r)
	if p == nil {
		n.reconcile(n.meta().Image()) // others may wait for its turn to grow
		return
	}
	if n.putAway(r.key, p) { // else the process ends, with or without the disk
		n.release(r.key)
	}
}

// putAway closes a replica that has left, and says whether the disk has come back from that.
func (n *Node) putAway(k partitionKey, p *partition.Partition) bool {
	if err := p.Abandon(); err != nil {
		n.logger.Warn("a replica that has left its group did not close cleanly", "topic", p.Topic(), "partition", p.Index(), "err", err)
	}
	if !n.awaitGone(p) {
		return false
	}
	n.retired.opened.Store(k, p.Damaged())
	n.logger.Info("the replica is opened again", "topic", p.Topic(), "partition", p.Index())
	return true
}

// release gives a replica that was taken offline, and that nothing runs of any more, to whoever opens it; the data of
// one that has moved elsewhere meanwhile go.
func (n *Node) release(k partitionKey) {
	n.reconciling.Lock()
	delete(n.retired.closing, k)
	if t := n.topics.Load().byID[k.topic]; t != nil && !n.closed {
		if _, listed := t.meta.Partitions[k.partition].Replica(n.ID()); !listed {
			n.retired.opened.Delete(k)
			n.removeReplica(t, k.partition)
		}
	}
	n.reconciling.Unlock()
	n.reconcile(n.meta().Image())
}

// takeOffline publishes a topic without the replica, and returns that; nil when it is not
// here any more.
func (n *Node) takeOffline(r retiredReplica) *partition.Partition {
	n.reconciling.Lock()
	defer n.reconciling.Unlock()
	return n.takeOfflineLocked(r)
}

// takeOfflineLocked is called with reconciling held.
func (n *Node) takeOfflineLocked(r retiredReplica) *partition.Partition {
	delete(n.retired.growing, r.key)
	set := n.topics.Load()
	t := set.byID[r.key.topic]
	if n.closed || t == nil || t.partitions[r.key.partition] == nil {
		return nil
	}
	p := t.partitions[r.key.partition]
	without := *t
	without.partitions, without.offline = slices.Clone(t.partitions), slices.Clone(t.offline)
	without.partitions[r.key.partition], without.offline[r.key.partition] = nil, r.why
	topics := slices.Clone(set.byName)
	topics[slices.Index(topics, t)] = &without
	n.topics.Store(newTopicSet(set.image, topics...))
	n.retired.closing[r.key] = closingReplica{r.why, p}
	n.leaders.notify()
	return p
}

// Close stops everything in the reverse order of Open and leaves the mark of a
// clean shutdown if all of it went well and no partition was offline, which
// would still have to be recovered. A disk that hangs it leaves behind: the process is to
// end then, and the next start recovers. It is idempotent.
func (n *Node) Close() error {
	n.closeOnce.Do(func() { n.closeErr = n.closeInTime() })
	return n.closeErr
}

var errHung = errors.New("cluster: the disk hangs; what it was asked for has been left to it")

func (n *Node) closeInTime() error {
	done := make(chan error, 1)
	go func() { done <- n.close() }()
	ticker := time.NewTicker(n.watchdog.Limit())
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			n.watchdog.Close()
			return err
		case <-ticker.C:
			if n.watchdog.Hangs() {
				return errHung
			}
		}
	}
}

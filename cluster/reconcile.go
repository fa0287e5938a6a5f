package cluster

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"weir/cluster/config"
	"weir/cluster/controller"
	"weir/cluster/metadata"
	"weir/cluster/transport"
	"weir/partition"
)

// openers and closers are how many partitions are opened or closed side by
// side. Both wait for the disk more than for a core.
const (
	openers = 16
	closers = 32
)

// reconcile opens what image has and the node lacks, closes what it has no
// more, and puts changed configuration in force. What cannot be opened stays
// offline and is tried again the next time. An image that is older than what
// is in effect is let pass: acting on it would delete what was made since.
func (n *Node) reconcile(image *metadata.Image) {
	n.reconciling.Lock()
	defer n.reconciling.Unlock()
	if was := n.topics.Load().image; n.closed || was != nil && image.Index() < was.Index() {
		return
	}
	cfg := n.configured(image)
	n.config.Store(cfg)
	n.throttle.setRate(float64(cfg.Peers.ThrottledRate))
	n.cleaner.configure(cfg.Cleaner)
	n.moves.configure(cfg)
	n.notePeers(image)
	old := n.topics.Load()
	topics := make([]*Topic, 0, len(image.Topics()))
	crowd := sync.OnceValue(n.crowds)
	var work []func()
	for _, mt := range image.Topics() {
		t, todo := n.topicFor(mt, old.byID[mt.ID], cfg, crowd)
		topics = append(topics, t)
		work = append(work, todo...)
	}
	side(openers, work)
	set := newTopicSet(image, topics...)
	n.topics.Store(set)
	if n.anyFailed() != nil {
		n.retired.notify() // what was being opened when its folder failed
	}
	for _, t := range old.byName {
		if set.byID[t.ID] == nil {
			n.drop(t)
		}
	}
	n.leaders.notify()
	n.wakeMembers()
}

// configured is what the node is to run with: the values of its own file and those set while it runs, but for such as do
// not fit together here. They were checked with the file of the broker that was asked; and an older release may not
// know one.
func (n *Node) configured(image *metadata.Image) *config.Broker {
	all, own := image.ClusterConfigs().Values, brokerValues(image, n.ID())
	if cfg, err := n.static.With(all, own); err == nil {
		return cfg
	}
	fitAll, fitOwn := make(map[string]string), make(map[string]string)
	cfg := n.static
	for _, set := range []struct{ values, fit map[string]string }{{all, fitAll}, {own, fitOwn}} {
		for _, key := range slices.Sorted(maps.Keys(set.values)) {
			set.fit[key] = set.values[key]
			next, err := n.static.With(fitAll, fitOwn)
			if err != nil {
				delete(set.fit, key)
				n.logger.Error("a value that was set while brokers run is not in force here", "key", key, "err", err)
				continue
			}
			cfg = next
		}
	}
	return cfg
}

// topicFor returns the topic as image has it, around the partitions that are
// open, and what is to be done to open the rest. crowd counts the replicas in each folder.
func (n *Node) topicFor(mt *metadata.Topic, old *Topic, cfg *config.Broker, crowd func() map[*folder]int) (*Topic, []func()) {
	resolved, err := config.ResolveTopic(mt.Configs.Values, cfg)
	if err != nil {
		n.logger.Error("topic configuration is not in force, defaults are", "topic", mt.Name, "err", err)
		resolved = &cfg.Topic
	}
	s := settings(*resolved, cfg, mt.Name != metadata.OffsetsTopic)
	if old != nil && mt == old.meta && *resolved == old.Config && s == old.settings && cfg.MaxDecompressedBatchBytes == old.maxDecodedBytes && !old.anyOffline() && !old.growing {
		return old, nil
	}
	t := &Topic{
		Name: mt.Name, ID: mt.ID, Internal: metadata.IsInternal(mt.Name), Config: *resolved, Overrides: mt.Configs.Values,
		meta: mt, settings: s,
		maxDecodedBytes: cfg.MaxDecompressedBatchBytes,
		partitions:      make([]*partition.Partition, len(mt.Partitions)), offline: make([]error, len(mt.Partitions)), folders: make([]*folder, len(mt.Partitions)),
	}
	if old != nil {
		copy(t.partitions, old.partitions)
		copy(t.folders, old.folders)
	}
	var missing []int32
	var todo []func()
	for i, p := range t.partitions {
		r, listed := mt.Partitions[i].Replica(n.ID())
		here := listed && r.Directory == n.DirectoryID() // else this disk has been given up: it may hold what no other does
		switch {
		case p != nil && !here:
			t.partitions[i], t.offline[i], t.folders[i] = nil, errElsewhere, nil
			todo = append(todo, func() { n.dropReplica(t, p, !listed) })
		case p != nil:
			p.SetSettings(s)
			if p.Timing() == aloneTiming && n.timing(&mt.Partitions[i]) != aloneTiming {
				if t.growing = true; n.retired.grow(partitionKey{t.ID, int32(i)}) {
					todo = append(todo, func() { p.Retire(errGrows) })
				}
			}
		case !here:
			t.offline[i], t.folders[i] = errElsewhere, nil
			if old == nil && !listed {
				todo = append(todo, func() { n.removeLeft(t, int32(i)) })
			}
		case n.retired.closing[partitionKey{t.ID, int32(i)}].p != nil:
			t.offline[i] = n.retired.closing[partitionKey{t.ID, int32(i)}].why
		case n.retired.isLeaving(partitionKey{t.ID, int32(i)}):
			t.offline[i] = errHung
		default:
			missing = append(missing, int32(i))
		}
	}
	n.settleAll(t, missing, crowd)
	for _, i := range missing {
		if t.offline[i] == nil {
			todo = append(todo, func() { t.partitions[i], t.offline[i] = n.openPartition(t, i, s) })
		}
	}
	return t, todo
}

func (t *Topic) anyOffline() bool {
	for i, p := range t.partitions {
		if p == nil && t.offline[i] != errElsewhere {
			return true
		}
	}
	return false
}

// settleAll finds the folder of each of a topic's replicas that are not open, and makes theirs in it, durably: a
// record is only as safe as the names that lead to it. Those that it fails for are offline.
func (n *Node) settleAll(t *Topic, missing []int32, crowd func() map[*folder]int) {
	if len(missing) == 0 {
		return
	}
	within := make(map[*folder][]int32)
	for _, i := range missing {
		f, err := n.settle(t, i, crowd)
		if t.folders[i] = f; err != nil {
			n.setOffline(t, i, err)
			continue
		}
		within[f] = append(within[f], i)
	}
	for f, indexes := range within {
		if err := f.makePartitions(t.ID, indexes); err != nil {
			for _, i := range indexes {
				n.setOffline(t, i, err)
			}
		}
	}
}

func (n *Node) setOffline(t *Topic, index int32, err error) {
	t.offline[index] = err
	var folder *FolderError
	if errors.As(err, &folder) {
		return // it was told of the whole folder
	}
	n.logger.Error("partition is offline", "topic", t.Name, "partition", index, "err", err)
}

func (n *Node) openPartition(t *Topic, index int32, s partition.Settings) (*partition.Partition, error) {
	p, err := n.tryOpen(t, index, s)
	if err == nil {
		n.retired.opened.LoadOrStore(partitionKey{t.ID, index}, false)
	} else {
		n.logger.Error("partition is offline", "topic", t.Name, "partition", index, "folder", t.folders[index].root, "err", err)
	}
	return p, err
}

// aloneTiming is for groups of one replica: they wait for nobody, and wake up once a lease.
// It is also how long one that could not write its first entry, on a full disk, waits before
// it stands again, unless standAgain is before it.
var aloneTiming = partition.Timing{Heartbeat: time.Minute, Lease: time.Minute}

// groupTiming lets idle groups rest: see transport.Group.LetStand. A follower that is told
// of its leader's death does not wait for it (lost.go).
var groupTiming = partition.Timing{Heartbeat: transport.LeastTimeout, Lease: transport.LeastLease}

// errGrows is why a replica that was alone is opened again.
var errGrows = errors.New("cluster: the group is to have other replicas, and is timed for one")

// timing is what a replica is to be opened with. One that was alone is opened again when it is not to be any more.
func (n *Node) timing(mp *metadata.Partition) partition.Timing {
	if n.peers.transport == nil || !mp.Reassigning() && len(mp.Replicas) == 1 {
		return aloneTiming
	}
	return groupTiming
}

func (n *Node) tryOpen(t *Topic, index int32, s partition.Settings) (*partition.Partition, error) {
	mp, self := &t.meta.Partitions[index], metadata.ReplicaID{Node: n.ID(), Directory: n.DirectoryID()}
	id := groupID(t.ID, index)
	rep := partition.Replication{
		Local: serverID(self), Stable: n.votes.Group(id), Logger: controller.RaftLogger(n.logger.With("topic", t.Name, "partition", index), "partition", n.logLimit), OnChange: n.leaders.notify,
	}
	var err error
	if rep.Returned, err = n.dir.wasHere(t.ID, index); err != nil {
		return nil, err
	}
	if mp.IsInitial(self) && !rep.Returned {
		rep.Eager = mp.Initial[0] == self
		for _, r := range mp.Initial {
			rep.Voters = append(rep.Voters, serverID(r))
		}
	}
	rep.Timing = n.timing(mp)
	if n.peers.transport != nil {
		group, err := n.peers.transport.Group(id)
		if err != nil {
			return nil, err
		}
		rep.Transport, rep.Throttle = newPatientGroup(group, &n.peers), n.throttle
	}
	k := partitionKey{t.ID, index}
	f := t.folders[index]
	mode, damaged := n.retired.recovery(k, f.recovery)
	return partition.Open(partition.Config{
		Dir: f.partition(t.ID, index), FS: n.fs,
		Topic: t.Name, TopicID: t.ID, Partition: index,
		Recovery: mode, Damaged: damaged, Syncer: f.syncer, Logger: n.logger, Now: time.Now, Settings: s,
		Fatal:  func(why error) { n.failFolder(f, why) },
		Reopen: func(why error) { n.retired.add(k, why) }, Watchdog: n.watchdog,
		Room: n.roomFor(t.ID, index, t.Internal), Full: n.full,
		Replication: rep,
	})
}

// dropReplica closes a replica that has moved elsewhere and, if that is what has become of
// it, removes its data, once nothing of it runs any more.
func (n *Node) dropReplica(t *Topic, p *partition.Partition, remove bool) {
	if err := p.Abandon(); err != nil {
		n.logger.Warn("a replica that has moved did not close cleanly", "topic", t.Name, "partition", p.Index(), "err", err)
	}
	k := partitionKey{t.ID, p.Index()}
	n.retired.opened.Delete(k)
	if !remove {
		return
	}
	if hasGone(p) {
		n.removeReplica(t, p.Index())
		return
	}
	n.retired.leaving.Store(k, p) // the disk hangs
	n.running.Go(func() {
		if !n.awaitGone(p) {
			return
		}
		n.removeReplica(t, p.Index())
		n.retired.leaving.Delete(k)
		n.reconcile(n.meta().Image()) // it may have come back meanwhile
	})
}

// removeReplica removes the data of a replica, also what folders have from before it was in the last one, and its votes
// with the last.
func (n *Node) removeReplica(t *Topic, index int32) {
	err := n.dir.noteMoved(t.ID, index)
	home, _, err2 := n.home(t.ID, index)
	if err = errors.Join(err, err2); err == nil {
		for _, f := range n.inUse() {
			if f != home {
				err = errors.Join(err, f.discardPartition(t.ID, index, func() error { return nil }))
			}
		}
		if home != nil {
			err = errors.Join(err, home.discardPartition(t.ID, index, func() error { return n.votes.Forget(groupID(t.ID, index)) }))
		}
	}
	if err != nil {
		n.logger.Error("data of a replica that has moved are not removed", "topic", t.Name, "partition", index, "err", err)
	}
}

// removeLeft removes the data of a replica that moved elsewhere while this node was down.
func (n *Node) removeLeft(t *Topic, index int32) {
	has, err := false, error(nil)
	for _, f := range n.inUse() {
		here, err2 := f.hasPartition(t.ID, index)
		has, err = has || here, errors.Join(err, err2)
	}
	switch {
	case err != nil:
		n.logger.Error("it is not known whether there are data of a replica that has moved", "topic", t.Name, "partition", index, "err", err)
	case has:
		n.logger.Info("a replica has moved while this broker was down; its data are removed", "topic", t.Name, "partition", index)
		n.removeReplica(t, index)
	}
}

// drop closes a topic that was deleted and removes its data. What is being closed already is waited for, beside: a close
// that finds its folder gone would take the disk for failed.
func (n *Node) drop(t *Topic) {
	n.abandonAll(t)
	closing := n.retired.closingOf(t)
	if len(closing) == 0 {
		n.remove(t)
		return
	}
	if n.ctx.Err() != nil {
		return // the next start finds an orphan
	}
	n.running.Go(func() {
		for _, p := range closing {
			if !n.awaitGone(p) {
				return
			}
		}
		if n.ctx.Err() == nil {
			n.remove(t)
		}
	})
}

// remove removes the data of a topic that was deleted, of which nothing is open.
func (n *Node) remove(t *Topic) {
	var err error
	for _, f := range n.folders {
		if f.failed() == nil { // else the next start finds an orphan
			err = errors.Join(err, f.discard(t.ID))
		}
	}
	for i := range t.partitions {
		n.retired.opened.Delete(partitionKey{t.ID, int32(i)})
	}
	if err == nil {
		err = n.forgetVotes(t)
	}
	if err != nil {
		n.logger.Error("data of a deleted topic are not removed", "topic", t.Name, "err", err)
	}
	n.forgetLeaders(t.ID)
	n.dropped.add(Dropped{Name: t.Name, ID: t.ID})
}

func (n *Node) abandonAll(t *Topic) {
	var work []func()
	for _, p := range t.partitions {
		if p == nil {
			continue
		}
		work = append(work, func() {
			if err := p.Abandon(); err != nil {
				n.logger.Warn("deleted partition did not close cleanly", "topic", t.Name, "partition", p.Index(), "err", err)
			}
		})
	}
	side(closers, work)
}

// forgetVotes has the store write them side by side, which makes few commits of them.
func (n *Node) forgetVotes(t *Topic) error {
	errs := make([]error, len(t.partitions))
	work := make([]func(), len(errs))
	for i := range work {
		work[i] = func() { errs[i] = n.votes.Forget(groupID(t.ID, int32(i))) }
	}
	side(closers, work)
	return errors.Join(errs...)
}

// side runs all of work, at most width at a time, and waits.
func side(width int, work []func()) {
	if len(work) == 0 {
		return
	}
	next := make(chan func())
	var wg sync.WaitGroup
	for range min(width, len(work)) {
		wg.Go(func() {
			for f := range next {
				f()
			}
		})
	}
	for _, f := range work {
		next <- f
	}
	close(next)
	wg.Wait()
}

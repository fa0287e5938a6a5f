package cluster

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/metadata"
	"weir/cluster/transport"
	"weir/partition"
)

// The leader of a partition brings its Raft group to the replicas that the metadata ask
// for, one change at a time: a new replica is added without a vote, gets one when it has
// caught up, and those that are not wanted any more go last.

const (
	// membersInterval is between two looks at the partitions led here.
	membersInterval = time.Second
	// memberTimeout bounds one change.
	memberTimeout = 10 * time.Second
	// caughtUpEntries is how far behind the leader a replica may be to get a vote.
	caughtUpEntries = 64
	// memberChanges is how many partitions are changed side by side.
	memberChanges = 8
)

// wakeMembers has keepMembers look soon.
func (n *Node) wakeMembers() {
	select {
	case n.membersWake <- struct{}{}:
	default:
	}
}

// keepMembers is the goroutine that looks after the groups led here.
func (n *Node) keepMembers() {
	ticker := time.NewTicker(membersInterval)
	defer ticker.Stop()
	var balance, escape rebalancer // what one has tried, the other may
	var quiet quietMembers
	for {
		select {
		case <-n.membersWake:
		case <-ticker.C:
		case <-n.ctx.Done():
			return
		}
		im := n.Image()
		switch {
		case n.Config().Leaders.Drained:
			side(handOvers, balance.leave(n))
		case n.unheard() && time.Now().After(escape.due):
			escape.due = time.Now().Add(askTimeout)
			side(memberChanges, escape.escape(n, n.askHeard()))
		}
		quiet.renew(im.Brokers())
		var work []func()
		for _, t := range n.topics.Load().byName {
			mt, ok := im.TopicByID(t.ID)
			if !ok {
				continue
			}
			known := quiet.of(mt)
			for i, p := range t.partitions {
				if p == nil || i >= len(mt.Partitions) {
					continue
				}
				epoch, leading := p.Leading()
				if !leading || known.epochs[i] == epoch {
					continue
				}
				step, settled := n.memberStep(mt, int32(i), p, im)
				if step != nil {
					work = append(work, step)
				}
				if settled {
					known.epochs[i] = epoch
				}
			}
		}
		quiet.forget(n.topics.Load())
		if len(work) == 0 {
			if step := balance.next(n, time.Now()); step != nil {
				work = append(work, step)
			}
		}
		side(memberChanges, work)
	}
}

// quietMembers remembers the groups that are as the metadata want them, so that a
// thousand of them cost nothing: only another description of the topic, another
// leadership or another set of brokers can change that.
type quietMembers struct {
	brokers []*metadata.Broker
	topics  map[metadata.UUID]quietTopic
}

type quietTopic struct {
	meta   *metadata.Topic
	epochs []int32 // of the leadership in which a partition was as it is wanted, 0 for none
}

func (q *quietMembers) renew(brokers []*metadata.Broker) {
	if q.topics == nil || !slices.Equal(q.brokers, brokers) {
		q.brokers, q.topics = brokers, make(map[metadata.UUID]quietTopic)
	}
}

// of is what is known of a topic as it is described now. It may be written to.
func (q *quietMembers) of(mt *metadata.Topic) quietTopic {
	known := q.topics[mt.ID]
	if known.meta != mt {
		known = quietTopic{meta: mt, epochs: make([]int32, len(mt.Partitions))}
		q.topics[mt.ID] = known
	}
	return known
}

// forget drops topics that are not here any more.
func (q *quietMembers) forget(topics *topicSet) {
	if len(q.topics) > len(topics.byID) {
		maps.DeleteFunc(q.topics, func(id metadata.UUID, _ quietTopic) bool { return topics.byID[id] == nil })
	}
}

func serverID(r metadata.ReplicaID) raft.ServerID {
	return raft.ServerID(transport.Address(r.Node, r.Directory))
}

// memberStep is the next change of a group, nil when there is none to make now; settled
// says that it is as it is wanted.
func (n *Node) memberStep(mt *metadata.Topic, index int32, p *partition.Partition, im *metadata.Image) (step func(), settled bool) {
	mp := mt.Partitions[index]
	if p.Timing() == aloneTiming && n.timing(&mp) != aloneTiming {
		return nil, false // it is to be opened again first (topicFor)
	}
	wanted := make(map[raft.ServerID]metadata.ReplicaID)
	var wantedReplicas []metadata.ReplicaID
	for _, node := range mp.Goal() {
		r, ok := mp.Replica(node)
		if !ok {
			continue
		}
		// A broker that came back with an empty disk is another replica.
		if b, registered := im.Broker(node); registered && b.Directory != r.Directory && !b.Fenced {
			return func() { n.replaceDirectory(mt, index, r, b.Directory) }, false
		}
		wanted[serverID(r)] = r
		wantedReplicas = append(wantedReplicas, r)
	}
	voters, members := make(map[raft.ServerID]bool), make(map[raft.ServerID]bool)
	for _, s := range p.Members().Servers {
		members[s.ID] = true
		voters[s.ID] = s.Suffrage == raft.Voter
	}
	for id := range wanted {
		if !members[id] {
			return n.change(mt, index, "add", id, func(ctx context.Context) error { return p.AddLearner(ctx, id) }), false
		}
	}
	followers := p.Followers()
	for _, f := range followers {
		if _, ok := wanted[f.ID]; ok && !f.Voter && f.Match > 0 && f.Match+caughtUpEntries >= p.LastRaftIndex() {
			return n.change(mt, index, "promote", f.ID, func(ctx context.Context) error { return p.Promote(ctx, f.ID) }), false
		}
	}
	for id := range wanted {
		if !voters[id] {
			return nil, false // catching up
		}
	}
	self := serverID(metadata.ReplicaID{Node: n.ID(), Directory: n.DirectoryID()})
	for id := range members {
		if _, ok := wanted[id]; !ok && id != self {
			return n.change(mt, index, "remove", id, func(ctx context.Context) error { return p.Remove(ctx, id) }), false
		}
	}
	if _, ok := wanted[self]; !ok {
		heir, _, _ := n.heir(mp.Goal(), p, nil) // if there is none yet, the library chooses
		return n.change(mt, index, "hand over", self, func(ctx context.Context) error {
			err := p.Transfer(ctx, heir)
			if errors.Is(err, partition.ErrTransferred) {
				p.Retire(err) // or the move would wait for as long as this replica leads
			}
			return err
		}), false
	}
	if mp.Reassigning() {
		if !p.MembersCommitted() {
			return nil, false // whoever is not wanted any more may still be needed
		}
		return func() { n.completeReassignment(mt, index, wantedReplicas) }, false
	}
	return nil, true
}

func (n *Node) change(mt *metadata.Topic, index int32, what string, id raft.ServerID, f func(context.Context) error) func() {
	return func() {
		ctx, cancel := context.WithTimeout(n.ctx, memberTimeout)
		defer cancel()
		if err := f(ctx); err != nil {
			if n.ctx.Err() == nil {
				n.logger.Warn("a partition's members are not changed yet", "topic", mt.Name, "partition", index, "change", what, "replica", id, "err", err)
			}
			return
		}
		n.logger.Info("a partition's members have changed", "topic", mt.Name, "partition", index, "change", what, "replica", id)
		n.wakeMembers()
	}
}

func (n *Node) replaceDirectory(mt *metadata.Topic, index int32, r metadata.ReplicaID, now metadata.UUID) {
	n.proposeUpkeep(metadata.ReplaceDirectories{Changes: []metadata.DirectoryChange{
		{ID: mt.ID, Partition: index, Node: r.Node, Old: r.Directory, New: now},
	}})
}

func (n *Node) completeReassignment(mt *metadata.Topic, index int32, replicas []metadata.ReplicaID) {
	n.proposeUpkeep(metadata.CompleteReassignment{ID: mt.ID, Partition: index, Replicas: slices.Clone(replicas)})
}

// proposeUpkeep proposes what is tried again at the next look if it fails. A look at many groups has much of it, and must
// end soon when there is no controller to be reached: what this broker leads may have to be handed over (escape).
func (n *Node) proposeUpkeep(cmd metadata.Command) {
	if n.unheard() {
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, memberTimeout)
	defer cancel()
	if _, err := n.Propose(ctx, cmd); err != nil && n.ctx.Err() == nil {
		n.logger.Warn("the metadata do not say yet who holds a partition", "err", err)
	}
}

package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/metadata"
	"weir/partition"
)

// Leadership is handed over by the leader alone: others ask it by a plain call.
//
// A request is transferVersion (1 byte), topic id (16 bytes), partition and the node that
// is to lead (4 bytes each). An answer is transferVersion, status (1 byte), and behind
// transferRefused the reason.
const (
	transferVersion = 1
	transferBytes   = 1 + 16 + 4 + 4

	transferDone    = 0
	transferRefused = 1
)

// ErrElectionNotNeeded says that the preferred replica leads already.
var ErrElectionNotNeeded = errors.New("cluster: the preferred replica leads already")

var errMalformedTransfer = errors.New("cluster: malformed request for a leadership")

// PreferredLeaderError says why the preferred replica of a partition does not lead it.
type PreferredLeaderError struct {
	Topic     string
	Partition int32
	Node      int32
	Reason    string
}

func (e *PreferredLeaderError) Error() string {
	return fmt.Sprintf("cluster: broker %d cannot take over %s-%d: %s", e.Node, e.Topic, e.Partition, e.Reason)
}

// ElectPreferred has the first replica of a partition lead it, and waits until this node
// knows that it does. Errors: ErrUnknownPartition, ErrElectionNotNeeded,
// *PreferredLeaderError, and ctx's, after which it may yet come about.
func (n *Node) ElectPreferred(ctx context.Context, t *Topic, index int32) error {
	mp, ok := t.Described(index)
	if !ok {
		return ErrUnknownPartition
	}
	preferred := mp.Goal()[0]
	leader := n.Leadership(t, index).Leader
	if leader == preferred {
		return ErrElectionNotNeeded
	}
	reason := "no broker is known to lead the partition now"
	if leader != metadata.NoLeader {
		reason = n.requestTransfer(ctx, leader, t.ID, index, preferred)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case reason != "":
		return &PreferredLeaderError{Topic: t.Name, Partition: index, Node: preferred, Reason: reason}
	}
	return n.awaitLeadership(ctx, t.ID, func(t *Topic) bool { return n.Leadership(t, index).Leader == preferred })
}

// requestTransfer asks a partition's leader to hand it over; the reason why it does not is
// empty when it did.
func (n *Node) requestTransfer(ctx context.Context, leader int32, topic metadata.UUID, index, to int32) (reason string) {
	if leader == n.ID() {
		return n.transfer(ctx, topic, index, to)
	}
	if n.peers.transport == nil {
		return fmt.Sprintf("broker %d cannot be asked: this one has no peer.listener", leader)
	}
	request := append(make([]byte, 0, transferBytes), transferVersion)
	request = append(request, topic[:]...)
	request = binary.BigEndian.AppendUint32(request, uint32(index))
	request = binary.BigEndian.AppendUint32(request, uint32(to))
	answer, err := n.peers.transport.Call(ctx, leader, serviceTransfer, request)
	switch {
	case err != nil:
		return err.Error()
	case len(answer) < 2 || answer[0] != transferVersion:
		return fmt.Sprintf("broker %d answered what this one cannot read", leader)
	case answer[1] != transferDone:
		return string(answer[2:])
	}
	return ""
}

// handleTransfer hands over a partition that is led here because another broker asks.
func (n *Node) handleTransfer(ctx context.Context, _ int32, b []byte) ([]byte, error) {
	if len(b) != transferBytes || b[0] != transferVersion {
		return nil, errMalformedTransfer
	}
	topic, b := metadata.UUID(b[1:17]), b[17:]
	reason := n.transfer(ctx, topic, int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:])))
	if reason != "" {
		return append([]byte{transferVersion, transferRefused}, reason...), nil
	}
	return []byte{transferVersion, transferDone}, nil
}

// transfer hands over a partition that is led here, or says why not.
func (n *Node) transfer(ctx context.Context, topic metadata.UUID, index, to int32) (reason string) {
	t := n.TopicByID(topic)
	if t == nil {
		return "the topic is not known to its leader"
	}
	p, err := t.Partition(index)
	if err != nil {
		return err.Error()
	}
	if isDrained(n.Image(), to) {
		return "it is drained"
	}
	id, _, ok := n.successor(p, to, nil)
	if !ok {
		return "it is not in sync"
	}
	if err := p.Transfer(ctx, id); err != nil {
		return err.Error()
	}
	return ""
}

// successor is the replica on a broker, and how far its log is, if it could lead a
// partition that is led here at once: it has a vote, is in sync and was heard under this
// leadership. That its broker is fenced counts for nothing when it has been heard since, elsewhere.
func (n *Node) successor(p *partition.Partition, node int32, heard map[int32]bool) (id raft.ServerID, match uint64, ok bool) {
	b, registered := n.Image().Broker(node)
	if !registered || b.Fenced && !heard[node] {
		return "", 0, false
	}
	since := time.Now().Add(-n.Config().Peers.ReplicaLag)
	for _, f := range p.Followers() {
		if f.Voter && f.ID == serverID(metadata.ReplicaID{Node: node, Directory: b.Directory}) && f.CaughtUp.After(since) {
			return f.ID, f.Match, true
		}
	}
	return "", 0, false
}

// heir is the successor to hand a partition over to that is led here and of which no other
// is asked for: the one that is furthest, of equals the first of replicas. One that is
// drained is for want of others. heard is as for successor.
func (n *Node) heir(replicas []int32, p *partition.Partition, heard map[int32]bool) (id raft.ServerID, drained, ok bool) {
	var furthest uint64
	for _, node := range replicas {
		next, match, able := n.successor(p, node, heard)
		if !able {
			continue
		}
		is := isDrained(n.Image(), node)
		if !ok || drained && !is || drained == is && match > furthest {
			id, drained, ok, furthest = next, is, true, match
		}
	}
	return id, drained, ok
}

// handOverTimeout bounds HandOver: others take over from a leader that is gone in little more.
const handOverTimeout = 2 * time.Second

// HandOver gives what this node leads to other replicas that are in sync, so that clients
// are told of the next leader by a broker that still answers. What cannot be handed over
// before ctx ends finds a leader by itself when this node is closed.
func (n *Node) HandOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	var work []func()
	for _, t := range n.topics.Load().byName {
		for i, p := range t.partitions {
			if p == nil {
				continue
			}
			if _, leading := p.Leading(); !leading {
				continue
			}
			if id, _, ok := n.heir(t.meta.Partitions[i].Replicas, p, nil); ok {
				work = append(work, func() { n.handOverTo(ctx, p, id) })
			}
		}
	}
	side(handOvers, work)
}

// handOver gives one partition that this node leads to another replica, if one is in sync.
func (n *Node) handOver(ctx context.Context, t *Topic, p *partition.Partition) {
	if _, leading := p.Leading(); !leading {
		return
	}
	if id, _, ok := n.heir(t.meta.Partitions[p.Index()].Replicas, p, nil); ok {
		ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
		defer cancel()
		n.handOverTo(ctx, p, id)
	}
}

func (n *Node) handOverTo(ctx context.Context, p *partition.Partition, id raft.ServerID) {
	if err := p.Transfer(ctx, id); err != nil {
		n.logger.Info("a leadership is not handed over", "topic", p.Topic(), "partition", p.Index(), "err", err)
	}
}

// handOvers is how many partitions are handed over side by side.
const handOvers = 64

// rebalancer is what keepMembers remembers to bring leaderships back to the preferred
// replicas, one at a time, and off this broker when it is drained. Each is tried once under
// a leadership.
type rebalancer struct {
	due   time.Time              // of the next look for what to give back
	tried map[partitionKey]int32 // the epoch of the leadership under which it was
}

// next is the next leadership to give back; nil when none is, or it is not time.
func (r *rebalancer) next(n *Node, now time.Time) (step func()) {
	cfg := n.Config().Leaders
	if !cfg.Rebalance {
		return nil
	}
	if r.due.IsZero() {
		r.due = now.Add(cfg.RebalanceInterval)
	}
	if now.Before(r.due) {
		return nil
	}
	im, low := n.Image(), n.lowDisks()
	r.untried(n, func(mt *metadata.Topic, index int32, p *partition.Partition) bool {
		mp := &mt.Partitions[index]
		preferred := mp.Goal()[0]
		if preferred == n.ID() || mp.Reassigning() || isDrained(im, preferred) || slices.Contains(low, preferred) {
			return true
		}
		if id, _, ok := n.successor(p, preferred, nil); ok {
			step = r.handOver(n, mt, index, p, "hand back", id)
		}
		return step == nil
	})
	if step == nil {
		r.due = now.Add(cfg.RebalanceInterval)
	}
	return step
}

// leave is all that this broker, which is drained, leads and another one that is not could
// lead now. What has no such replica stays.
func (r *rebalancer) leave(n *Node) (steps []func()) {
	r.untried(n, func(mt *metadata.Topic, index int32, p *partition.Partition) bool {
		if id, drained, ok := n.heir(mt.Partitions[index].Goal(), p, nil); ok && !drained {
			steps = append(steps, r.handOver(n, mt, index, p, "hand over", id))
		}
		return true
	})
	return steps
}

// escape is all that this broker, which the controller does not hear of, leads and one that is heard of
// could lead now. What this broker knows of the others may be older.
func (r *rebalancer) escape(n *Node, heard map[int32]bool) (steps []func()) {
	if len(heard) == 0 {
		return nil
	}
	r.untried(n, func(mt *metadata.Topic, index int32, p *partition.Partition) bool {
		able := slices.DeleteFunc(slices.Clone(mt.Partitions[index].Goal()), func(node int32) bool { return !heard[node] })
		if id, _, ok := n.heir(able, p, heard); ok {
			steps = append(steps, r.handOver(n, mt, index, p, "hand over, not heard by the controller", id))
		}
		return true
	})
	return steps
}

func (r *rebalancer) handOver(n *Node, mt *metadata.Topic, index int32, p *partition.Partition, what string, to raft.ServerID) func() {
	r.tried[partitionKey{mt.ID, index}], _ = p.Leading()
	return n.change(mt, index, what, to, func(ctx context.Context) error { return p.Transfer(ctx, to) })
}

// untried goes through the partitions led here that have not been handed over under this
// leadership, until visit returns false. It forgets leaderships that are over.
func (r *rebalancer) untried(n *Node, visit func(mt *metadata.Topic, index int32, p *partition.Partition) bool) {
	if r.tried == nil {
		r.tried = make(map[partitionKey]int32)
	}
	im, led := n.Image(), make(map[partitionKey]int32)
	for _, t := range n.topics.Load().byName {
		mt, ok := im.TopicByID(t.ID)
		if !ok {
			continue
		}
		for i, p := range t.partitions {
			if p == nil || i >= len(mt.Partitions) {
				continue
			}
			epoch, leading := p.Leading()
			if !leading {
				continue
			}
			k := partitionKey{t.ID, int32(i)}
			led[k] = epoch
			if tried, ok := r.tried[k]; ok && tried == epoch {
				continue
			}
			if !visit(mt, int32(i), p) {
				return
			}
		}
	}
	maps.DeleteFunc(r.tried, func(k partitionKey, epoch int32) bool { return led[k] != epoch })
}

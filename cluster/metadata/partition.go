package metadata

import "slices"

// ReplicaID is a replica as its partition's Raft group knows it: a broker whose disk was wiped
// comes back with another directory, and is another voter.
type ReplicaID struct {
	Node      int32
	Directory UUID
}

// Partition is who holds one partition. While a reassignment is under way, Replicas are all that
// may be members of its Raft group: those that were, those that are to be, and what earlier
// targets left behind. They shrink only when the leader has seen the group shrink.
type Partition struct {
	Replicas    []int32     // the first is the preferred leader
	Directories []UUID      // of each of Replicas: the incarnation it was placed on
	Initial     []ReplicaID // the voters the group is bootstrapped with; nil once its members have changed, since it lives then

	Target   []int32 // replicas that a reassignment leads to; nil: none is under way
	Original []int32 // replicas when it began, which a cancellation goes back to
	Adding   []int32 // of Target, those not in Original
	Removing []int32 // of Replicas, those not in Target

	// What the group's leader reported. It decides who leads, not the controller.
	ISR         []int32 // replicas known to have all committed records
	Leader      int32   // NoLeader when there is none
	LeaderEpoch int32   // never goes back
}

// Partition returns partition number i of the topic.
func (t *Topic) Partition(i int32) (Partition, bool) {
	if i < 0 || int(i) >= len(t.Partitions) {
		return Partition{}, false
	}
	return t.Partitions[i], true
}

// Reassigning says whether a reassignment is under way.
func (p *Partition) Reassigning() bool { return p.Target != nil }

// Goal returns the replicas that the partition is to have in the end: Target while a reassignment
// is under way, else Replicas. Its length is the replication factor.
func (p *Partition) Goal() []int32 {
	if p.Reassigning() {
		return p.Target
	}
	return p.Replicas
}

// Replica returns the incarnation of the replica on that broker.
func (p *Partition) Replica(node int32) (ReplicaID, bool) {
	i := slices.Index(p.Replicas, node)
	if i < 0 {
		return ReplicaID{}, false
	}
	return ReplicaID{Node: node, Directory: p.Directories[i]}, true
}

// IsInitial says whether the replica may bootstrap the partition's Raft group.
func (p *Partition) IsInitial(r ReplicaID) bool { return slices.Contains(p.Initial, r) }

// settle works out Adding and Removing.
func (p *Partition) settle() {
	p.Adding, p.Removing = nil, nil
	if p.Reassigning() {
		p.Adding, p.Removing = without(p.Target, p.Original), without(p.Replicas, p.Target)
	}
}

// without returns the elements of a that are not in b; nil when there are none.
func without(a, b []int32) (out []int32) {
	for _, v := range a {
		if !slices.Contains(b, v) {
			out = append(out, v)
		}
	}
	return out
}

// PartitionRef names one partition of an image.
type PartitionRef struct {
	Topic *Topic
	Index int32
}

// Partition returns the partition.
func (r PartitionRef) Partition() Partition { return r.Topic.Partitions[r.Index] }

// Reassignments returns the partitions that a reassignment is under way for, by topic name.
func (im *Image) Reassignments() []PartitionRef {
	return im.partitionsWhere((*Partition).Reassigning)
}

// PartitionsOf returns the partitions that a broker holds a replica of, by topic name.
func (im *Image) PartitionsOf(broker int32) []PartitionRef {
	return im.partitionsWhere(func(p *Partition) bool { return slices.Contains(p.Replicas, broker) })
}

func (im *Image) partitionsWhere(match func(*Partition) bool) (out []PartitionRef) {
	for _, t := range im.byName {
		for i := range t.Partitions {
			if match(&t.Partitions[i]) {
				out = append(out, PartitionRef{Topic: t, Index: int32(i)})
			}
		}
	}
	return out
}

package metadata

import (
	"fmt"
	"slices"
)

// newPartitions places partitions on the incarnations that are registered now.
func (d *draft) newPartitions(assignment [][]int32) []Partition {
	out := make([]Partition, len(assignment))
	for i, replicas := range assignment {
		p := Partition{Replicas: replicas, ISR: replicas, Leader: replicas[0]}
		for _, id := range replicas {
			directory := d.directory(id)
			p.Directories = append(p.Directories, directory)
			p.Initial = append(p.Initial, ReplicaID{Node: id, Directory: directory})
		}
		out[i] = p
	}
	return out
}

// directory returns that of a registered broker, else zero.
func (im *Image) directory(broker int32) UUID {
	if b, ok := im.Broker(broker); ok {
		return b.Directory
	}
	return UUID{}
}

// partition returns a topic and a partition of it that may be changed field by field, but for what
// its slices hold.
func (d *draft) partition(id UUID, index int32) (*Topic, Partition, error) {
	t, ok := d.TopicByID(id)
	if !ok {
		return nil, Partition{}, &UnknownTopicError{ID: id}
	}
	p, ok := t.Partition(index)
	if !ok {
		return nil, Partition{}, &UnknownPartitionError{Topic: t.Name, Partition: index}
	}
	return t, p, nil
}

// setPartition puts p in the place of partition index of topic old.
func (d *draft) setPartition(old *Topic, index int32, p Partition) {
	p.settle()
	if !d.ownTopic[old] { // once in a command, however many of its partitions change
		t := *old
		t.Partitions = slices.Clone(old.Partitions)
		d.replaceTopic(&t)
		if d.ownTopic == nil {
			d.ownTopic = make(map[*Topic]bool)
		}
		d.ownTopic[&t] = true
		old = &t
	}
	old.Partitions[index] = p
}

func (c AlterReassignments) apply(d *draft) (any, error) {
	results := make([]error, len(c.Changes))
	for i, change := range c.Changes {
		results[i] = d.reassign(change)
	}
	return results, nil
}

func (d *draft) reassign(c Reassignment) error {
	t, p, err := d.partition(c.ID, c.Partition)
	if err != nil {
		return err
	}
	target := c.Target
	switch {
	case target == nil && !p.Reassigning():
		return &NoReassignmentError{Topic: t.Name, Partition: c.Partition}
	case target == nil:
		target = p.Original
	case len(target) == 0:
		return &InvalidAssignmentError{Partition: int(c.Partition), Reason: "no replicas"}
	}
	if err := d.checkReplicas(int(c.Partition), target); err != nil {
		return err
	}
	if slices.Equal(target, p.Goal()) {
		return nil
	}
	if !p.Reassigning() {
		if len(target) == len(p.Replicas) && len(without(target, p.Replicas)) == 0 {
			p.Target = target
			p.finish() // the group has these members: only their order changes
			d.setPartition(t, c.Partition, p)
			return nil
		}
		p.Original = p.Replicas
	}
	p.Target = target
	p.Replicas, p.Directories = slices.Clone(p.Replicas), slices.Clone(p.Directories)
	for _, id := range without(target, p.Replicas) {
		p.Replicas, p.Directories = append(p.Replicas, id), append(p.Directories, d.directory(id))
	}
	d.setPartition(t, c.Partition, p)
	return nil
}

// finish makes Target the replicas.
func (p *Partition) finish() {
	directories := make([]UUID, len(p.Target))
	for i, id := range p.Target {
		directories[i] = p.Directories[slices.Index(p.Replicas, id)]
	}
	p.Replicas, p.Directories = p.Target, directories
	p.Target, p.Original = nil, nil
	p.ISR = without(p.ISR, without(p.ISR, p.Replicas))
	if !slices.Contains(p.Replicas, p.Leader) {
		p.Leader = NoLeader
	}
}

func (c CompleteReassignment) apply(d *draft) (any, error) {
	t, p, err := d.partition(c.ID, c.Partition)
	if err != nil {
		return nil, err
	}
	same := func(id int32, r ReplicaID) bool {
		have, ok := p.Replica(id)
		return ok && have == r
	}
	if !slices.EqualFunc(p.Goal(), c.Replicas, same) {
		return nil, &ReassignmentChangedError{Topic: t.Name, Partition: c.Partition}
	}
	if p.Reassigning() {
		p.finish()
		p.Initial = nil
		d.setPartition(t, c.Partition, p)
	}
	return nil, nil
}

func (c ReplaceDirectories) apply(d *draft) (any, error) {
	results := make([]error, len(c.Changes))
	for i, change := range c.Changes {
		results[i] = d.replaceDirectory(change)
	}
	return results, nil
}

func (d *draft) replaceDirectory(c DirectoryChange) error {
	t, p, err := d.partition(c.ID, c.Partition)
	if err != nil {
		return err
	}
	at := slices.Index(p.Replicas, c.Node)
	if at < 0 {
		return &InvalidAssignmentError{Partition: int(c.Partition), Reason: fmt.Sprintf("broker %d is not a replica", c.Node)}
	}
	switch have := p.Directories[at]; {
	case d.directory(c.Node) != c.New, have != c.Old && have != c.New:
		return &DirectoryChangedError{Topic: t.Name, Partition: c.Partition, Node: c.Node}
	case have == c.New:
		return nil
	}
	p.Directories = slices.Clone(p.Directories)
	p.Directories[at] = c.New
	p.Initial = nil
	d.setPartition(t, c.Partition, p)
	return nil
}

func (c AlterPartitions) apply(d *draft) (any, error) {
	for _, change := range c.Changes {
		if err := d.alterPartition(change); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (d *draft) alterPartition(c PartitionChange) error {
	old, p, err := d.partition(c.ID, c.Partition)
	if err != nil {
		return err
	}
	if c.LeaderEpoch < p.LeaderEpoch || (c.LeaderEpoch == p.LeaderEpoch && c.Leader != p.Leader) {
		return &StaleEpochError{Got: c.LeaderEpoch, Current: p.LeaderEpoch}
	}
	if c.Leader != NoLeader && !slices.Contains(p.Replicas, c.Leader) {
		return &InvalidAssignmentError{Partition: int(c.Partition), Reason: fmt.Sprintf("leader %d is not a replica", c.Leader)}
	}
	for i, id := range c.ISR {
		if !slices.Contains(p.Replicas, id) || slices.Contains(c.ISR[:i], id) {
			return &InvalidAssignmentError{Partition: int(c.Partition), Reason: fmt.Sprintf("in-sync broker %d is not a replica, or named twice", id)}
		}
	}
	p.Leader, p.LeaderEpoch, p.ISR = c.Leader, c.LeaderEpoch, c.ISR
	d.setPartition(old, c.Partition, p)
	return nil
}

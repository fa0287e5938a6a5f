package group

import "slices"

// Pending is the table of offsets that transactions have committed which are not ended yet (KIP-98). Of one partition
// the last commit counts that is in the topic, whoever made it: one that has been followed by another is not pending
// any more. It is not safe for concurrent use.
type Pending struct {
	byProducer map[int64]map[pendingKey]pendingCommit
	holders    map[pendingKey]int // producers that have it pending
	groups     map[string]int     // pending commits
	bytes      int64
}

type pendingKey struct {
	group string
	tp    TopicPartition
}

type pendingCommit struct {
	commit   Commit
	position int64 // offset of its record in the topic
}

// PendingCommit is one that is pending no more.
type PendingCommit struct {
	Group     string
	Partition TopicPartition
	Commit    Commit
	Position  int64 // offset of its record in the topic
}

// NewPending returns an empty table.
func NewPending() *Pending {
	return &Pending{byProducer: make(map[int64]map[pendingKey]pendingCommit), holders: make(map[pendingKey]int), groups: make(map[string]int)}
}

// Set notes a commit of a producer's transaction, whose record is at an offset of the topic.
func (p *Pending) Set(producer int64, group string, tp TopicPartition, c Commit, position int64) {
	k := pendingKey{group, tp}
	p.remove(producer, k)
	of := p.byProducer[producer]
	if of == nil {
		of = make(map[pendingKey]pendingCommit)
		p.byProducer[producer] = of
	}
	of[k] = pendingCommit{c, position}
	p.holders[k]++
	p.groups[group]++
	p.bytes += c.bytes(tp)
}

// End takes out what a producer has committed below the offset of its marker, in no order.
func (p *Pending) End(producer, marker int64) (ended []PendingCommit) {
	for k, x := range p.byProducer[producer] {
		if x.position < marker {
			p.remove(producer, k)
			ended = append(ended, PendingCommit{k.group, k.tp, x.commit, x.position})
		}
	}
	return ended
}

// Supersede forgets what is pending of a partition and lies below an offset of the topic: it has been committed, or
// forgotten, there.
func (p *Pending) Supersede(group string, tp TopicPartition, position int64) {
	k := pendingKey{group, tp}
	if p.holders[k] == 0 {
		return
	}
	for producer, of := range p.byProducer {
		if x, ok := of[k]; ok && x.position < position {
			p.remove(producer, k)
		}
	}
}

// Select lists the partitions that have commits pending, all of which pick picks, by group.
func (p *Pending) Select(pick func(group string, tp TopicPartition, c Commit) bool) map[string][]TopicPartition {
	picked := make(map[pendingKey]int)
	for _, of := range p.byProducer {
		for k, x := range of {
			if pick(k.group, k.tp, x.commit) {
				picked[k]++
			}
		}
	}
	found := make(map[string][]TopicPartition)
	for k, n := range picked {
		if n == p.holders[k] {
			found[k.group] = append(found[k.group], k.tp)
		}
	}
	return found
}

// Commits lists what is pending of a partition, in no order.
func (p *Pending) Commits(group string, tp TopicPartition) (all []Commit) {
	k := pendingKey{group, tp}
	if p.holders[k] == 0 {
		return nil
	}
	for _, of := range p.byProducer {
		if x, ok := of[k]; ok {
			all = append(all, x.commit)
		}
	}
	return all
}

func (p *Pending) remove(producer int64, k pendingKey) {
	of := p.byProducer[producer]
	x, ok := of[k]
	if !ok {
		return
	}
	if delete(of, k); len(of) == 0 {
		delete(p.byProducer, producer)
	}
	if p.holders[k]--; p.holders[k] == 0 {
		delete(p.holders, k)
	}
	if p.groups[k.group]--; p.groups[k.group] == 0 {
		delete(p.groups, k.group)
	}
	p.bytes -= x.commit.bytes(k.tp)
}

// Has says whether a commit of the partition is pending.
func (p *Pending) Has(group string, tp TopicPartition) bool {
	return p.holders[pendingKey{group, tp}] > 0
}

// HasGroup says whether any of the group is.
func (p *Pending) HasGroup(group string) bool { return p.groups[group] > 0 }

// HasProducer says whether a producer has any commit pending.
func (p *Pending) HasProducer(id int64) bool { return len(p.byProducer[id]) > 0 }

// Partitions lists the partitions of a group of which commits are pending, sorted.
func (p *Pending) Partitions(group string) (all []TopicPartition) {
	if !p.HasGroup(group) {
		return nil
	}
	for k := range p.holders {
		if k.group == group {
			all = append(all, k.tp)
		}
	}
	slices.SortFunc(all, TopicPartition.Compare)
	return all
}

// Count counts the groups that have any.
func (p *Pending) Count() int { return len(p.groups) }

// Empty says that nothing is pending.
func (p *Pending) Empty() bool { return len(p.byProducer) == 0 }

// Bytes is about what the table takes in memory, names of groups aside.
func (p *Pending) Bytes() int64 { return p.bytes }

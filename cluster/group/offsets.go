// Package group holds the state of consumer groups: for now the offsets that
// consumers with a group id but without a membership commit. It is pure: no
// I/O, no clock; the caller makes changes durable first and then applies them,
// and rebuilds the state by applying them again.
package group

import (
	"maps"
	"slices"
	"strings"
)

// TopicPartition names one partition by its topic's name, as committed
// offsets do.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// Commit is one committed offset.
type Commit struct {
	Offset      int64 // the next record to read
	LeaderEpoch int32 // of the last record read, -1 when unknown
	Metadata    string
	Timestamp   int64 // of the commit, unix ms
}

// Offsets is the table of committed offsets. It is not safe for concurrent
// use.
type Offsets struct {
	groups map[string]map[TopicPartition]Commit
}

// NewOffsets returns an empty table.
func NewOffsets() *Offsets { return &Offsets{groups: make(map[string]map[TopicPartition]Commit)} }

// Set notes a commit; the last one counts.
func (o *Offsets) Set(group string, tp TopicPartition, c Commit) {
	g := o.groups[group]
	if g == nil {
		g = make(map[TopicPartition]Commit)
		o.groups[group] = g
	}
	g[tp] = c
}

// Delete forgets a commit, and the group with its last one.
func (o *Offsets) Delete(group string, tp TopicPartition) {
	g := o.groups[group]
	delete(g, tp)
	if len(g) == 0 {
		delete(o.groups, group)
	}
}

// Get returns a commit; false when there is none.
func (o *Offsets) Get(group string, tp TopicPartition) (Commit, bool) {
	c, ok := o.groups[group][tp]
	return c, ok
}

// Has says whether the group has committed anything.
func (o *Offsets) Has(group string) bool { return len(o.groups[group]) > 0 }

// Groups lists the groups, sorted.
func (o *Offsets) Groups() []string { return slices.Sorted(maps.Keys(o.groups)) }

// Partitions lists what a group has committed, sorted by topic and partition.
func (o *Offsets) Partitions(group string) []TopicPartition {
	return slices.SortedFunc(maps.Keys(o.groups[group]), compare)
}

// OfTopic lists the commits of all groups for a topic: what goes with it when
// it is deleted.
func (o *Offsets) OfTopic(topic string) map[string][]TopicPartition {
	found := make(map[string][]TopicPartition)
	for name, g := range o.groups {
		for tp := range g {
			if tp.Topic == topic {
				found[name] = append(found[name], tp)
			}
		}
		slices.SortFunc(found[name], compare)
	}
	return found
}

func compare(a, b TopicPartition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Partition) - int(b.Partition)
}

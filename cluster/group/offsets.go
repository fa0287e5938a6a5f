// Package group holds the state of consumer groups, see DESIGN.md: the offsets that
// they have committed, and groups with members of the classic protocol. It is pure: no
// I/O, no clock; the caller makes changes durable, and rebuilds the state from them.
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
	Timestamp   int64    // of the commit, unix ms
	TopicID     [16]byte // of the topic that it was made for; zero when nobody noted that
}

// Offsets is the table of committed offsets. It is not safe for concurrent
// use.
type Offsets struct {
	groups map[string]map[TopicPartition]Commit
	bytes  int64
}

// entryBytes is about what one commit takes in memory beside its strings.
const entryBytes = 128

func (c Commit) bytes(tp TopicPartition) int64 {
	return int64(entryBytes + len(tp.Topic) + len(c.Metadata))
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
	if old, ok := g[tp]; ok {
		o.bytes -= old.bytes(tp)
	}
	o.bytes += c.bytes(tp)
	g[tp] = c
}

// Bytes is about what the table takes in memory, names of groups aside.
func (o *Offsets) Bytes() int64 { return o.bytes }

// Count counts the groups.
func (o *Offsets) Count() int { return len(o.groups) }

// Delete forgets a commit, and the group with its last one.
func (o *Offsets) Delete(group string, tp TopicPartition) {
	g := o.groups[group]
	if old, ok := g[tp]; ok {
		o.bytes -= old.bytes(tp)
	}
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
	return slices.SortedFunc(maps.Keys(o.groups[group]), TopicPartition.Compare)
}

// Select lists the commits that pick picks, by group, sorted.
func (o *Offsets) Select(pick func(TopicPartition, Commit) bool) map[string][]TopicPartition {
	found := make(map[string][]TopicPartition)
	for name, g := range o.groups {
		for tp, c := range g {
			if pick(tp, c) {
				found[name] = append(found[name], tp)
			}
		}
		slices.SortFunc(found[name], TopicPartition.Compare)
	}
	return found
}

// Compare orders partitions by topic.
func (tp TopicPartition) Compare(other TopicPartition) int {
	if c := strings.Compare(tp.Topic, other.Topic); c != 0 {
		return c
	}
	return int(tp.Partition) - int(other.Partition)
}

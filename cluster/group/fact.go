package group

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"weir/cluster/group/assignor"
)

// FactKind says what a fact is about; the numbers are Kafka's, of the keys of its records.
type FactKind int16

const (
	FactGroup        FactKind = 3  // GroupFact
	FactMember       FactKind = 5  // MemberFact, of a member id
	FactTarget       FactKind = 6  // TargetFact
	FactTargetMember FactKind = 7  // assignor.Assignment, of a member id
	FactCurrent      FactKind = 8  // CurrentFact, of a member id
	FactPattern      FactKind = 16 // PatternFact, of a regular expression
)

// FactKey names a fact of a group; of one kind a group has one fact for each name.
type FactKey struct {
	Kind FactKind
	Name string // empty for kinds that are of the group
}

// Fact is what survives the coordinator of a group of the consumer protocol: the last value of each
// key. Values are never changed in place.
type Fact struct {
	Key   FactKey
	Value any // of the type of its kind; nil: it is not so any more
}

// Facts is all that is stored of a group.
type Facts map[FactKey]any

// GroupFact is a group's epoch, and a hash of what it subscribes to, which tells later whether topics
// have changed since.
type GroupFact struct {
	Epoch int32
	Hash  uint64
}

// MemberFact is what a member has said of itself. Empty strings: not said.
type MemberFact struct {
	InstanceID, Rack, ClientID, ClientHost string
	Topics                                 []string
	Regex                                  string
	Rebalance                              time.Duration
	Assignor                               string
	Classic                                *ClassicFact // nil: it speaks the consumer protocol
}

// ClassicFact is what only members of the classic protocol say.
type ClassicFact struct {
	Session   time.Duration
	Protocols []Protocol
}

// TargetFact is the epoch of the target assignment.
type TargetFact struct{ Epoch int32 }

// MemberState is how far a member has come; the numbers are Kafka's.
type MemberState int8

const (
	MemberStable     MemberState = 0
	MemberUnrevoked  MemberState = 1 // it is to give up partitions
	MemberUnreleased MemberState = 2 // it waits for partitions that others are to give up
)

// CurrentFact is what a member has: Assigned is its to use, Revoking it is to give up.
type CurrentFact struct {
	Epoch, Previous    int32
	State              MemberState
	Assigned, Revoking assignor.Assignment
}

// PatternFact is the topics that a regular expression matches.
type PatternFact struct {
	Topics    []string
	Timestamp int64 // of the matching, unix ms
}

// List lists the facts in the order of their keys.
func (f Facts) List() []Fact {
	keys := slices.SortedFunc(maps.Keys(f), FactKey.Compare)
	list := make([]Fact, len(keys))
	for i, k := range keys {
		list[i] = Fact{k, f[k]}
	}
	return list
}

// Compare orders keys by kind, then by name.
func (k FactKey) Compare(other FactKey) int {
	return cmp.Or(cmp.Compare(k.Kind, other.Kind), cmp.Compare(k.Name, other.Name))
}

package consumer

import (
	"bytes"
	"slices"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/assignor"
)

// Epochs that are none.
const (
	joinEpoch   = 0  // of a member that joins
	leaveEpoch  = -1 // said by a member that leaves
	leftEpoch   = -2 // said by, and kept for, a static member that will come back
	noneEpoch   = -1 // of what was before a member's first epoch
	memberBytes = 512
	topicBytes  = 24 // of a topic in a list or an assignment, beside its name and partitions
)

// member is one member of a group. What an assignment field holds is never changed in place.
type member struct {
	id, instance, rack   string // instance: empty, or that of a static member
	clientID, clientHost string
	topics               []string // subscribed to by name, sorted, each once
	regex, assignor      string   // empty: none
	rebalance            time.Duration
	classic              *group.ClassicFact // nil: it speaks the consumer protocol

	epoch    int32
	previous int32 // that it is known to have heard of, before epoch
	state    group.MemberState
	assigned assignor.Assignment // what it may use
	revoking assignor.Assignment // what it was told to give up, and may use still
	target   assignor.Assignment // what it is to have in the end

	stored   uint64    // number of the write that has its last change
	session  time.Time // when it counts as gone
	revokeBy time.Time // when it has to have given up what it is to; zero: nothing
	waiting  int       // its parked requests; while there are any, its times do not run

	bytes    int64 // as accounted
	recorded int   // likewise, of its records
}

// size is about what the member takes in memory.
func (m *member) size() int64 {
	n := memberBytes + len(m.id) + len(m.instance) + len(m.rack) + len(m.clientID) + len(m.clientHost) + len(m.regex)
	for _, t := range m.topics {
		n += topicBytes + len(t)
	}
	for _, a := range []assignor.Assignment{m.assigned, m.revoking, m.target} {
		n += len(a)*(topicBytes+len(assignor.TopicID{})) + 4*a.Count()
	}
	return int64(n + classicBytes(m.classic))
}

func classicBytes(c *group.ClassicFact) (n int) {
	if c != nil {
		for _, p := range c.Protocols {
			n += topicBytes + len(p.Name) + len(p.Metadata)
		}
	}
	return n
}

// recordBytes is at most what the records of a member with these strings take, assignments aside.
func recordBytes(r *Request) int {
	n := classicBytes(r.Classic) + 3*(memberRecordBytes+len(r.MemberID)) + len(r.InstanceID) + len(r.Rack) + len(r.ClientID) + len(r.ClientHost) + len(r.Assignor)
	if r.Regex != nil {
		n += len(*r.Regex)
	}
	for _, t := range r.Topics {
		n += len(t) + 2
	}
	return n
}

// memberRecordBytes is room for the key of a record, with the name of a group, and for what is around
// the strings of its value.
const memberRecordBytes = 320

// recordBytes is the same of a member that is there.
func (m *member) recordBytes() int {
	return recordBytes(&Request{
		MemberID: m.id, InstanceID: m.instance, Rack: m.rack, ClientID: m.clientID, ClientHost: m.clientHost, Topics: m.topics, Regex: &m.regex,
		Assignor: m.assignor, Classic: m.classic,
	})
}

// update takes what the member says of itself. changed says that it is something new, subscribed that
// this matters to the assignment.
func (m *member) update(r *Request) (changed, subscribed bool) {
	set := func(field *string, said string, counts bool) {
		if *field != said {
			*field, changed, subscribed = said, true, subscribed || counts
		}
	}
	if r.Epoch == joinEpoch {
		set(&m.clientID, r.ClientID, false)
		set(&m.clientHost, r.ClientHost, false)
	}
	if r.Epoch == joinEpoch && !sameClassic(m.classic, r.Classic) {
		m.classic, changed = r.Classic, true
	}
	if r.Rack != "" {
		set(&m.rack, r.Rack, false)
	}
	if r.Regex != nil {
		set(&m.regex, *r.Regex, true)
	}
	if r.Assignor != "" {
		set(&m.assignor, r.Assignor, true)
	}
	if r.Rebalance >= 0 && m.rebalance != r.Rebalance {
		m.rebalance, changed = r.Rebalance, true
	}
	if r.Topics != nil && !slices.Equal(r.Topics, m.topics) {
		m.topics, changed, subscribed = r.Topics, true, true
	}
	return changed, subscribed
}

func sameClassic(a, b *group.ClassicFact) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Session == b.Session && slices.EqualFunc(a.Protocols, b.Protocols, func(x, y group.Protocol) bool {
		return x.Name == y.Name && bytes.Equal(x.Metadata, y.Metadata)
	})
}

// fact is what is stored of what the member has said.
func (m *member) fact() group.MemberFact {
	return group.MemberFact{
		InstanceID: m.instance, Rack: m.rack, ClientID: m.clientID, ClientHost: m.clientHost, Topics: m.topics, Regex: m.regex,
		Rebalance: m.rebalance, Assignor: m.assignor, Classic: m.classic,
	}
}

func (m *member) current() group.CurrentFact {
	return group.CurrentFact{Epoch: m.epoch, Previous: m.previous, State: m.state, Assigned: m.assigned, Revoking: m.revoking}
}

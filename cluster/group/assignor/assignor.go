package assignor

import (
	"cmp"
	"slices"
)

// Member is a member as assignors see it.
type Member struct {
	ID       string
	Instance string     // empty: not a static member
	Topics   []TopicID  // subscribed to, each once; those without partitions do not count
	Owned    Assignment // of the assignment before
}

// Func shares out all partitions of topics, by their numbers of partitions, among the members that
// subscribe to them. It answers for every member.
type Func func(members []Member, topics map[TopicID]int32) map[string]Assignment

// The assignors there are, by Kafka's names.
const (
	UniformName = "uniform"
	RangeName   = "range"
)

// Named finds an assignor, nil when there is none.
func Named(name string) Func {
	switch name {
	case UniformName:
		return Uniform
	case RangeName:
		return Range
	}
	return nil
}

// Range gives each member a range of each topic, the first members the larger ones. Partitions of the
// same number go to the same member when topics have as many partitions and the same subscribers, so that
// they can be joined.
func Range(members []Member, topics map[TopicID]int32) map[string]Assignment {
	sorted := slices.SortedFunc(slices.Values(members), inRange)
	subscribers := subscribersOf(sorted, topics)
	out := make(map[string]Assignment, len(members))
	for _, m := range members {
		out[m.ID] = make(Assignment)
	}
	for id, who := range subscribers {
		next, each, larger := int32(0), topics[id]/int32(len(who)), topics[id]%int32(len(who))
		for i, m := range who {
			n := each
			if int32(i) < larger {
				n++
			}
			var partitions []int32
			for range n {
				partitions = append(partitions, next)
				next++
			}
			if n > 0 {
				out[m.ID][id] = partitions
			}
		}
	}
	return out
}

// inRange is the order of members in Range: static ones by their instances, so that they get the same
// under another id, then the rest.
func inRange(a, b Member) int {
	if (a.Instance == "") != (b.Instance == "") {
		if a.Instance != "" {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.ID, b.ID))
}

// subscribersOf lists who subscribes to each topic that has any, in the order of members.
func subscribersOf(members []Member, topics map[TopicID]int32) map[TopicID][]*Member {
	out := make(map[TopicID][]*Member, len(topics))
	for i := range members {
		for _, id := range members[i].Topics {
			if topics[id] > 0 {
				out[id] = append(out[id], &members[i])
			}
		}
	}
	return out
}

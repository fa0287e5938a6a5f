// Package assignor shares out partitions among the members of a consumer group (KIP-848). It is
// pure, and says the same for the same members and topics.
package assignor

import (
	"bytes"
	"maps"
	"slices"
)

// TopicID is a topic's id in the cluster.
type TopicID [16]byte

// Assignment is partitions by topic: ascending, each once, and no topic without any. What is in
// one is not changed any more, so assignments share their slices.
type Assignment map[TopicID][]int32

// Normal makes an assignment of what a client or a record says; it sorts in place.
func Normal(a Assignment) Assignment {
	for id, partitions := range a {
		if len(partitions) == 0 {
			delete(a, id)
			continue
		}
		slices.Sort(partitions)
		a[id] = slices.Compact(partitions)
	}
	return a
}

// Has says whether a partition is in a.
func (a Assignment) Has(id TopicID, partition int32) bool {
	_, found := slices.BinarySearch(a[id], partition)
	return found
}

// Count counts the partitions.
func (a Assignment) Count() (n int) {
	for _, partitions := range a {
		n += len(partitions)
	}
	return n
}

// Topics lists the topics, in order.
func (a Assignment) Topics() []TopicID { return slices.SortedFunc(maps.Keys(a), compareID) }

// Equal says whether a and b have the same partitions.
func (a Assignment) Equal(b Assignment) bool {
	return maps.EqualFunc(a, b, func(x, y []int32) bool { return slices.Equal(x, y) })
}

// Within says whether all of a is in b.
func (a Assignment) Within(b Assignment) bool {
	for id, partitions := range a {
		for _, p := range partitions {
			if !b.Has(id, p) {
				return false
			}
		}
	}
	return true
}

// Meets says whether something of a is in b.
func (a Assignment) Meets(b Assignment) bool {
	for id, partitions := range a {
		for _, p := range partitions {
			if b.Has(id, p) {
				return true
			}
		}
	}
	return false
}

// Where is what of a keep keeps.
func (a Assignment) Where(keep func(TopicID, int32) bool) Assignment {
	out := make(Assignment, len(a))
	for id, partitions := range a {
		var kept []int32
		for _, p := range partitions {
			if keep(id, p) {
				kept = append(kept, p)
			}
		}
		if len(kept) > 0 {
			out[id] = kept
		}
	}
	return out
}

// And is what is in a and in b.
func (a Assignment) And(b Assignment) Assignment { return a.Where(b.Has) }

// Minus is what is in a and not in b.
func (a Assignment) Minus(b Assignment) Assignment {
	return a.Where(func(id TopicID, p int32) bool { return !b.Has(id, p) })
}

// Plus is what is in a or in b.
func (a Assignment) Plus(b Assignment) Assignment {
	out := maps.Clone(a)
	if out == nil {
		out = make(Assignment, len(b))
	}
	for id, partitions := range b {
		both := slices.Concat(out[id], partitions)
		slices.Sort(both)
		out[id] = slices.Compact(both)
	}
	return out
}

func compareID(a, b TopicID) int { return bytes.Compare(a[:], b[:]) }

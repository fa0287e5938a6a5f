package consumer

import (
	"errors"
	"iter"

	"weir/cluster/group"
)

// Commit says whether a commit of offsets is to be taken: of a member that knows its epoch, and
// without a member (epoch -1) of anybody as long as there is no member. One of an earlier epoch was under
// way when the member heard of the next; it is taken if the member has had all of the partitions since that
// epoch (KIP-1251).
func (g *Group) Commit(memberID string, epoch int32, partitions iter.Seq[group.TopicPartition]) error {
	if epoch < 0 && len(g.members) == 0 {
		return nil
	}
	err := g.Fetch(memberID, epoch) // of a classic member it is no stale epoch
	if !errors.Is(err, group.ErrStaleEpoch) || epoch <= joinEpoch || epoch > g.members[memberID].epoch {
		return err
	}
	for tp := range partitions {
		id, _, _ := g.world.Topic(tp.Topic)
		if o := g.owners[id][tp.Partition]; o.member != g.members[memberID] || o.since > epoch {
			return err
		}
	}
	return nil
}

// SpeaksClassic says that a member is of the classic protocol.
func (g *Group) SpeaksClassic(memberID string) bool {
	m := g.members[memberID]
	return m != nil && m.classic != nil
}

// Fetch says whether a member that reads its committed offsets is one, and knows its epoch.
func (g *Group) Fetch(memberID string, epoch int32) error {
	m := g.members[memberID]
	switch {
	case m == nil:
		return group.ErrUnknownMember
	case epoch != m.epoch && m.classic != nil:
		return group.ErrIllegalGeneration
	case epoch != m.epoch:
		return group.ErrStaleEpoch
	}
	return nil
}

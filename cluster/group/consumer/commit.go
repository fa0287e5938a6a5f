package consumer

import (
	"weir/cluster/group"
)

// Commit says whether a commit of offsets is to be taken: of a member that knows its epoch, and
// without a member (epoch -1) of anybody as long as there is no member.
func (g *Group) Commit(memberID string, epoch int32) error {
	if epoch < 0 && len(g.members) == 0 {
		return nil
	}
	return g.Fetch(memberID, epoch)
}

// Fetch says whether a member that reads its committed offsets is one, and knows its epoch.
func (g *Group) Fetch(memberID string, epoch int32) error {
	m := g.members[memberID]
	switch {
	case m == nil:
		return group.ErrUnknownMember
	case epoch != m.epoch:
		return group.ErrStaleEpoch
	}
	return nil
}

package controller

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/metadata"
)

// maxVoters is how many brokers decide; all others follow. Five survive the loss of two.
const maxVoters = 5

// memberChange is one step towards the members that the group should have.
type memberChange struct {
	kind memberChangeKind
	id   raft.ServerID
}

type memberChangeKind int

const (
	noChange memberChangeKind = iota
	removeMember
	addFollower
	promoteFollower
	leaveToOthers // this broker is to be removed, which another leader has to do, or is drained
)

// planMembers returns the next step. Servers that are no registered broker, or an earlier
// incarnation of one, go first: a server id is never used by two disks. Then brokers are added as
// non-voters, and when they have caught up they are promoted, up to the next odd number of voters
// at a time, because an even number survives no more losses than the odd one below it. A broker
// that is drained leaves the leadership to one that is not, and stays a voter.
func planMembers(servers []raft.Server, image *metadata.Image, self raft.ServerID, caughtUp func(node int32) bool) memberChange {
	voters, others, undrained := 0, 0, 0
	members := make(map[raft.ServerID]bool, len(servers))
	for _, s := range servers {
		members[s.ID] = true
		if s.ID != self && registered(image, s.ID) == nil {
			return memberChange{removeMember, s.ID}
		}
		if s.Suffrage == raft.Voter {
			voters++
			if s.ID != self {
				others++
				if b := registered(image, s.ID); b.Usable() && caughtUp(b.ID) {
					undrained++
				}
			}
		}
	}
	for _, b := range image.Brokers() {
		if !b.Fenced && !members[ServerID(b.ID, b.Directory)] {
			return memberChange{addFollower, ServerID(b.ID, b.Directory)}
		}
	}
	var ready []raft.ServerID
	for _, s := range servers {
		if b := registered(image, s.ID); s.Suffrage != raft.Voter && b != nil && b.Usable() && caughtUp(b.ID) {
			ready = append(ready, s.ID)
		}
	}
	missing := 1 + voters%2 // voters to the next odd number
	switch {
	case len(ready) >= missing && voters+missing <= maxVoters:
		return memberChange{promoteFollower, ready[0]}
	case members[self] && registered(image, self) == nil && others > 0,
		isDrained(image, self) && undrained > 0:
		return memberChange{leaveToOthers, self}
	}
	return memberChange{}
}

// registered returns the broker that a member of the group is, nil for none.
func registered(image *metadata.Image, id raft.ServerID) *metadata.Broker {
	node, ok := nodeOf(id)
	if !ok {
		return nil
	}
	if b, ok := image.Broker(node); ok && ServerID(b.ID, b.Directory) == id {
		return b
	}
	return nil
}

func isDrained(image *metadata.Image, id raft.ServerID) bool {
	b := registered(image, id)
	return b != nil && b.Draining
}

// nodeOf returns the broker's id in a server id.
func nodeOf(id raft.ServerID) (node int32, ok bool) {
	head, _, _ := strings.Cut(string(id), ".")
	n, err := strconv.ParseInt(head, 10, 32)
	return int32(n), err == nil
}

// alignMembers makes one step, and returns when it is committed. The configuration that it was
// planned from must still be the newest.
func (c *Controller) alignMembers(current raft.ConfigurationFuture, image *metadata.Image) (changed bool, err error) {
	now := time.Now()
	change := planMembers(current.Configuration().Servers, image, c.config.serverID(), func(node int32) bool {
		return c.liveness.caughtUp(node, now, c.config.SessionTimeout)
	})
	address := raft.ServerAddress(change.id)
	switch change.kind {
	case noChange:
		return false, nil
	case leaveToOthers:
		if err = c.TransferLeadership(c.ctx); errors.Is(err, ErrNoSuccessor) {
			err = nil
		}
		return false, err
	case removeMember:
		err = c.await(c.ctx, func() raft.Future { return c.raft.RemoveServer(change.id, current.Index(), enqueueTimeout) })
	case addFollower:
		err = c.await(c.ctx, func() raft.Future {
			return c.raft.AddNonvoter(change.id, address, current.Index(), enqueueTimeout)
		})
	case promoteFollower:
		err = c.await(c.ctx, func() raft.Future {
			return c.raft.AddVoter(change.id, address, current.Index(), enqueueTimeout)
		})
	}
	if err != nil {
		return false, fmt.Errorf("controller: member %s: %w", change.id, err)
	}
	c.logger.Info("controller: members changed", "change", change.kind.String(), "member", string(change.id))
	return true, nil
}

func (k memberChangeKind) String() string {
	return [...]string{"none", "removed", "follows", "votes", "hands over"}[k]
}

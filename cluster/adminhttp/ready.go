package adminhttp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"weir/cluster"
	"weir/cluster/metadata"
)

// fewNames is how many partitions a reason names.
const fewNames = 5

// unready lists why clients should not be sent to a broker, none if they may be.
func unready(n *cluster.Node) (reasons []string) {
	self, registered := n.Image().Broker(n.ID())
	switch {
	case !registered:
		reasons = append(reasons, "the broker is not registered")
	case self.Fenced:
		reasons = append(reasons, "the broker is fenced: the controller does not hear it")
	}
	if n.Config().Leaders.Drained {
		reasons = append(reasons, "the broker is drained")
	}
	if n.ControllerID() < 0 {
		reasons = append(reasons, "no controller is known")
	}
	var offline, leaderless, behind names
	for _, t := range n.Topics() {
		for i := range int32(t.NumPartitions()) {
			p, ok := t.Described(i)
			if !ok || !slices.Contains(p.Replicas, n.ID()) || slices.Contains(p.Adding, n.ID()) {
				continue // a replica that is new to the partition may take its time
			}
			l := n.Leadership(t, i)
			var broken *cluster.OfflineError
			if _, err := t.Replica(i); errors.As(err, &broken) {
				offline.add(fmt.Sprintf("%s[%d] (%v)", t.Name, i, broken.Err))
			} else if l.Leader == metadata.NoLeader {
				leaderless.add(fmt.Sprintf("%s[%d]", t.Name, i))
			} else if !slices.Contains(l.ISR, n.ID()) {
				behind.add(fmt.Sprintf("%s[%d]", t.Name, i))
			}
		}
	}
	for _, r := range []struct {
		what string
		of   names
	}{{"partitions are offline here", offline}, {"partitions have no leader", leaderless}, {"replicas here are not in sync", behind}} {
		if r.of.count > 0 {
			reasons = append(reasons, fmt.Sprintf("%s: %v", r.what, r.of))
		}
	}
	return reasons
}

// names counts things and remembers a few.
type names struct {
	count int
	some  []string
}

func (n *names) add(name string) {
	if n.count++; len(n.some) < fewNames {
		n.some = append(n.some, name)
	}
}

func (n names) String() string {
	s := strings.Join(n.some, ", ")
	if more := n.count - len(n.some); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

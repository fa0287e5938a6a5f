package cluster

import (
	"context"
	"fmt"
	"slices"

	"weir/cluster/metadata"
)

// FactorChangeError says that a reassignment would change the number of a partition's
// replicas, which its sender has ruled out.
type FactorChangeError struct{ Got, Want int }

func (e *FactorChangeError) Error() string {
	return fmt.Sprintf("cluster: the reassignment changes the replication factor from %d to %d", e.Want, e.Got)
}

// Reassign starts, changes or, where Target is nil, cancels reassignments, each for itself,
// and returns what became of each in the order of changes. Their partitions' leaders carry
// them out. With keepFactor no number of replicas may change. Errors of each: those of
// metadata.AlterReassignments, *metadata.InvalidAssignmentError also for a broker that is
// fenced, drained or short of room and is no replica yet, *FactorChangeError. The error of all is that of Propose.
func (n *Node) Reassign(ctx context.Context, changes []metadata.Reassignment, keepFactor bool) ([]error, error) {
	results := make([]error, len(changes))
	var cmd metadata.AlterReassignments
	var places []int // in results, of the changes in cmd
	im := n.Image()
	for i, c := range changes {
		if results[i] = n.checkReassignment(im, c, keepFactor); results[i] == nil {
			cmd.Changes = append(cmd.Changes, c)
			places = append(places, i)
		}
	}
	if len(cmd.Changes) == 0 {
		return results, nil
	}
	outcome, err := n.Propose(ctx, cmd)
	if err != nil {
		return nil, err
	}
	for i, err := range outcome.([]error) {
		results[places[i]] = err
	}
	return results, nil
}

// checkReassignment is what the controller does not look at: a client's wish, and who is
// there to fulfil it.
func (n *Node) checkReassignment(im *metadata.Image, c metadata.Reassignment, keepFactor bool) error {
	t, ok := im.TopicByID(c.ID)
	if !ok {
		return &metadata.UnknownTopicError{ID: c.ID}
	}
	p, ok := t.Partition(c.Partition)
	if !ok {
		return &metadata.UnknownPartitionError{Topic: t.Name, Partition: c.Partition}
	}
	if c.Target == nil {
		return nil
	}
	if want := len(p.Goal()); keepFactor && len(c.Target) != want {
		return &FactorChangeError{Got: len(c.Target), Want: want}
	}
	return n.refuseUnusable(im, int(c.Partition), c.Target, p.Replicas)
}

// refuseUnusable wants every broker that is to hold a replica to be there, not drained and with room on
// its disk, those aside that hold one already.
func (n *Node) refuseUnusable(im *metadata.Image, partition int, replicas, holders []int32) error {
	for _, id := range replicas {
		b, ok := im.Broker(id)
		if !ok || slices.Contains(holders, id) {
			continue
		}
		var reason string
		switch {
		case b.Fenced:
			reason = fmt.Sprintf("broker %d is fenced: it is not running", id)
		case !b.Usable():
			reason = fmt.Sprintf("broker %d is drained: it gets no replicas", id)
		case slices.Contains(n.lowDisks(), id):
			reason = fmt.Sprintf("broker %d has little room on its disk: it gets no replicas", id)
		default:
			continue
		}
		return &metadata.InvalidAssignmentError{Partition: partition, Reason: reason}
	}
	return nil
}

// refuseUnusableIn is refuseUnusable for new partitions from first on.
func (n *Node) refuseUnusableIn(im *metadata.Image, first int, assignment [][]int32) error {
	for i, replicas := range assignment {
		if err := n.refuseUnusable(im, first+i, replicas, nil); err != nil {
			return err
		}
	}
	return nil
}

// LastBrokerError says that no broker would be left to answer.
type LastBrokerError struct{ ID int32 }

func (e *LastBrokerError) Error() string {
	return fmt.Sprintf("cluster: broker %d is the last one that is running", e.ID)
}

// Unregister forgets a broker. Errors: *metadata.UnknownBrokerError,
// *metadata.BrokerInUseError while it holds replicas, *LastBrokerError, and those of Propose.
func (n *Node) Unregister(ctx context.Context, broker int32) error {
	others := slices.ContainsFunc(n.Image().Brokers(), func(b *metadata.Broker) bool { return b.ID != broker && !b.Fenced })
	if _, ok := n.Image().Broker(broker); ok && !others && len(n.Image().PartitionsOf(broker)) == 0 {
		return &LastBrokerError{ID: broker}
	}
	_, err := n.Propose(ctx, metadata.UnregisterBroker{ID: broker})
	return err
}

package broker

// ElectLeaders (key 43), versions 0-2 (KIP-183, KIP-460): has the first replica of each
// partition lead it, by a transfer that the present leader makes. Null topics ask for all
// partitions; then those whose first replica leads already are left out, as in Kafka.
//
// Codes of a partition: ELECTION_NOT_NEEDED; PREFERRED_LEADER_NOT_AVAILABLE when the first
// replica is not in sync, nobody leads, or the transfer failed, which is tried once under
// each leadership; UNKNOWN_TOPIC_OR_PARTITION; REQUEST_TIMED_OUT; INVALID_REQUEST when
// named twice. Of all, and of each: CLUSTER_AUTHORIZATION_FAILED for who may not alter the cluster.
// Added by version: 1 election type, 2 flexible.
// Left out: unclean elections (type 1). A Raft group never elects a replica that lacks
// committed records: ELIGIBLE_LEADERS_NOT_AVAILABLE where there is no leader.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/cluster/metadata"
	"weir/protocol"
)

const (
	electPreferred = 0
	electUnclean   = 1

	// elections is how many go on side by side for one request.
	elections = 16
	// electionTimeout bounds a request that names no time, or more.
	electionTimeout = 60 * time.Second
)

var errNoUnclean = fmt.Errorf("%w: an unclean election is not possible: a partition is led again as soon as most of its replicas are up",
	protocol.CodeEligibleLeadersNotAvailable)

func (b *Broker) electLeaders(ctx context.Context, c *call, req *kmsg.ElectLeadersRequest) (*kmsg.ElectLeadersResponse, error) {
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	if err := c.may(acl.Alter, acl.Cluster); err != nil {
		resp.ErrorCode = int16(errorCode(err))
		asked := electionsOf(req.Topics)
		for _, e := range asked { // versions without a code of all
			e.err = err
		}
		tellElections(resp, asked)
		return resp, nil
	}
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	ctx, cancelLate := context.WithTimeout(ctx, electionTimeout)
	defer cancelLate()
	elect := b.node.ElectPreferred
	switch {
	case req.Version >= 1 && req.ElectionType == electUnclean:
		elect = b.electUnclean
	case req.Version >= 1 && req.ElectionType != electPreferred:
		resp.ErrorCode = int16(protocol.CodeInvalidRequest)
		return resp, nil
	}
	asked := electionsOf(req.Topics)
	if req.Topics == nil {
		asked = b.allElections()
	}
	sideBySide(elections, asked, func(e *election) {
		if e.err != nil {
			return
		}
		var t *cluster.Topic
		if t, e.err = b.checkPartition(e.name, e.partition); e.err == nil {
			e.err = elect(ctx, t, e.partition)
		}
	})
	if req.Topics == nil {
		asked = slices.DeleteFunc(asked, func(e *election) bool { return errors.Is(e.err, cluster.ErrElectionNotNeeded) })
	}
	tellElections(resp, asked)
	return resp, nil
}

func tellElections(resp *kmsg.ElectLeadersResponse, asked []*election) {
	for _, e := range asked {
		if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != e.name {
			t := kmsg.NewElectLeadersResponseTopic()
			t.Topic = e.name
			resp.Topics = append(resp.Topics, t)
		}
		p := kmsg.NewElectLeadersResponseTopicPartition()
		p.Partition = e.partition
		p.ErrorCode, p.ErrorMessage = codeAndMessage(e.err)
		last := &resp.Topics[len(resp.Topics)-1]
		last.Partitions = append(last.Partitions, p)
	}
}

// election is one that was asked for, and what became of it.
type election struct {
	partKey
	err error
}

func electionsOf(topics []kmsg.ElectLeadersRequestTopic) (asked []*election) {
	named := make(map[partKey]int)
	for _, t := range topics {
		for _, index := range t.Partitions {
			k := partKey{name: t.Topic, partition: index}
			named[k]++
			asked = append(asked, &election{partKey: k})
		}
	}
	for _, e := range asked {
		if named[e.partKey] > 1 {
			e.err = invalidRequest("partition %s-%d is named twice", e.name, e.partition)
		}
	}
	return asked
}

func (b *Broker) allElections() (asked []*election) {
	for _, t := range b.node.Topics() {
		for i := range t.NumPartitions() {
			asked = append(asked, &election{partKey: partKey{name: t.Name, partition: int32(i)}})
		}
	}
	return asked
}

func (b *Broker) electUnclean(_ context.Context, t *cluster.Topic, index int32) error {
	if b.node.Leadership(t, index).Leader != metadata.NoLeader {
		return cluster.ErrElectionNotNeeded
	}
	return errNoUnclean
}

// sideBySide runs f on each element, at most width at a time, and waits. A panic of f is the caller's: it ends a connection
// and not the process.
func sideBySide[T any](width int, elements []T, f func(T)) {
	next := make(chan T)
	var wg sync.WaitGroup
	var panicked atomic.Pointer[any]
	try := func(e T) {
		defer func() {
			if v := recover(); v != nil {
				panicked.Store(&v)
			}
		}()
		f(e)
	}
	for range min(width, len(elements)) {
		wg.Go(func() {
			for e := range next {
				try(e)
			}
		})
	}
	for _, e := range elements {
		next <- e
	}
	close(next)
	wg.Wait()
	if v := panicked.Load(); v != nil {
		panic(*v)
	}
}

package broker

// ListPartitionReassignments (key 46), version 0 (KIP-455): the reassignments that are
// under way, of the partitions that are named or, with null topics, of all. Partitions
// without one, and those that do not exist, are left out, as in Kafka. For who may describe the
// cluster: CLUSTER_AUTHORIZATION_FAILED.

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/metadata"
)

func (b *Broker) listReassignments(_ context.Context, c *call, req *kmsg.ListPartitionReassignmentsRequest) (*kmsg.ListPartitionReassignmentsResponse, error) {
	resp := req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	if err := c.may(acl.Describe, acl.Cluster); err != nil {
		resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
		return resp, nil
	}
	wanted := make(map[partKey]bool)
	for _, t := range req.Topics {
		for _, index := range t.Partitions {
			wanted[partKey{name: t.Topic, partition: index}] = true
		}
	}
	for _, ref := range b.node.Image().Reassignments() { // by topic
		if req.Topics != nil && !wanted[partKey{name: ref.Topic.Name, partition: ref.Index}] {
			continue
		}
		if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != ref.Topic.Name {
			t := kmsg.NewListPartitionReassignmentsResponseTopic()
			t.Topic = ref.Topic.Name
			resp.Topics = append(resp.Topics, t)
		}
		last := &resp.Topics[len(resp.Topics)-1]
		last.Partitions = append(last.Partitions, describeReassignment(ref.Index, ref.Partition()))
	}
	return resp, nil
}

// describeReassignment lists the replicas that are to be first, in their order.
func describeReassignment(index int32, p metadata.Partition) kmsg.ListPartitionReassignmentsResponseTopicPartition {
	out := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
	out.Partition, out.Replicas = index, slices.Concat(p.Target, p.Removing)
	out.AddingReplicas, out.RemovingReplicas = p.Adding, p.Removing
	return out
}

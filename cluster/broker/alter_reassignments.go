package broker

// AlterPartitionReassignments (key 45), versions 0-1 (KIP-455): other replicas for
// partitions, or, with null ones, the end of a reassignment, which leads back to the
// replicas that there were. Any broker takes it; the partitions' leaders carry it out.
//
// Codes of a partition: UNKNOWN_TOPIC_OR_PARTITION; INVALID_REPLICA_ASSIGNMENT for none,
// one twice, one that is not registered, or a new one that is fenced;
// NO_REASSIGNMENT_IN_PROGRESS; INVALID_REQUEST when named twice. Of all:
// REQUEST_TIMED_OUT, NOT_CONTROLLER, CLUSTER_AUTHORIZATION_FAILED for who may not alter the cluster.
// Added by version: 1 may forbid another number of replicas, INVALID_REPLICATION_FACTOR.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/metadata"
)

func (b *Broker) alterReassignments(ctx context.Context, c *call, req *kmsg.AlterPartitionAssignmentsRequest) (*kmsg.AlterPartitionAssignmentsResponse, error) {
	resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	if err := c.may(acl.Alter, acl.Cluster); err != nil {
		resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
		return resp, nil
	}
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	keepFactor := req.Version >= 1 && !req.AllowReplicationFactorChange
	resp.AllowReplicationFactorChange = !keepFactor
	named := make(map[partKey]int)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			named[partKey{name: t.Topic, partition: p.Partition}]++
		}
	}
	var changes []metadata.Reassignment
	var places []*kmsg.AlterPartitionAssignmentsResponseTopicPartition // in the answer, of the changes
	resp.Topics = make([]kmsg.AlterPartitionAssignmentsResponseTopic, len(req.Topics))
	for i, t := range req.Topics {
		out := &resp.Topics[i]
		*out = kmsg.NewAlterPartitionAssignmentsResponseTopic()
		out.Topic = t.Topic
		out.Partitions = make([]kmsg.AlterPartitionAssignmentsResponseTopicPartition, len(t.Partitions))
		for j, p := range t.Partitions {
			po := &out.Partitions[j]
			*po = kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			po.Partition = p.Partition
			topic, err := b.checkPartition(t.Topic, p.Partition)
			if named[partKey{name: t.Topic, partition: p.Partition}] > 1 {
				err = invalidRequest("partition %s-%d is named twice", t.Topic, p.Partition)
			}
			if po.ErrorCode, po.ErrorMessage = codeAndMessage(err); err == nil {
				changes = append(changes, metadata.Reassignment{ID: topic.ID, Partition: p.Partition, Target: p.Replicas})
				places = append(places, po)
			}
		}
	}
	results, err := b.node.Reassign(ctx, changes, keepFactor)
	if err != nil {
		resp.Topics = nil
		resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
		return resp, nil
	}
	for i, po := range places {
		po.ErrorCode, po.ErrorMessage = codeAndMessage(results[i])
	}
	return resp, nil
}

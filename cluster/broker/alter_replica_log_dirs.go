package broker

// AlterReplicaLogDirs (key 34), versions 1-2 (KIP-113): replicas of this broker move to other data folders of it. The
// answer comes when the moves have begun; DescribeLogDirs tells how far they are. The folder where a replica is
// ends its move.
//
// Codes of a partition: LOG_DIR_NOT_FOUND for a path that is no data folder here; KAFKA_STORAGE_ERROR when the folder has
// failed or is low on room, or the replica is offline; UNKNOWN_TOPIC_OR_PARTITION; REPLICA_NOT_AVAILABLE when it is not
// here: it goes to that folder if it comes; CLUSTER_AUTHORIZATION_FAILED for who may not alter the cluster.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
)

func (b *Broker) alterReplicaLogDirs(_ context.Context, c *call, req *kmsg.AlterReplicaLogDirsRequest) (*kmsg.AlterReplicaLogDirsResponse, error) {
	resp := req.ResponseKind().(*kmsg.AlterReplicaLogDirsResponse)
	refused := c.may(acl.Alter, acl.Cluster)
	places := make(map[string]int) // of topics in the answer
	for _, dir := range req.Dirs {
		for _, t := range dir.Topics {
			place, known := places[t.Topic]
			if !known {
				place = len(resp.Topics)
				places[t.Topic] = place
				resp.Topics = append(resp.Topics, kmsg.AlterReplicaLogDirsResponseTopic{Topic: t.Topic})
			}
			out := &resp.Topics[place]
			for _, index := range t.Partitions {
				err := refused
				if err == nil {
					err = b.node.MoveReplica(t.Topic, index, dir.Dir)
				}
				out.Partitions = append(out.Partitions, kmsg.AlterReplicaLogDirsResponseTopicPartition{Partition: index, ErrorCode: int16(errorCode(err))})
			}
		}
	}
	return resp, nil
}

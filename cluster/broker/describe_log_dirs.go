package broker

// DescribeLogDirs (key 35), versions 1-5 (KIP-113, KIP-827, KIP-1066): what the
// partitions take of each data folder, and the room there is. A replica that moves to another
// folder is listed there, too, as a future one with what it lacks (AlterReplicaLogDirs). A folder whose disk is
// low is cordoned: the broker gets no new replicas. Null topics ask for all. For who may describe the
// cluster: CLUSTER_AUTHORIZATION_FAILED, before version 3 nothing.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/protocol"
)

func (b *Broker) describeLogDirs(_ context.Context, c *call, req *kmsg.DescribeLogDirsRequest) (*kmsg.DescribeLogDirsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	if err := c.may(acl.Describe, acl.Cluster); err != nil {
		resp.ErrorCode = int16(errorCode(err))
		return resp, nil
	}
	for _, f := range b.node.Folders() {
		dir := kmsg.NewDescribeLogDirsResponseDir()
		dir.Dir, dir.TotalBytes, dir.UsableBytes = f.Path, f.Total, f.Free
		dir.IsCordoned = f.Low
		if f.Err != nil {
			dir.ErrorCode = int16(protocol.CodeKafkaStorageError)
		}
		resp.Dirs = append(resp.Dirs, dir)
	}
	if req.Topics == nil {
		for _, t := range b.node.Topics() {
			b.addSizes(resp.Dirs, t, nil)
		}
	}
	for _, in := range req.Topics {
		if t := b.node.Topic(in.Topic); t != nil && len(in.Partitions) > 0 {
			b.addSizes(resp.Dirs, t, in.Partitions)
		}
	}
	return resp, nil
}

// addSizes lists the named partitions of a topic, or all, each in its folder.
func (b *Broker) addSizes(dirs []kmsg.DescribeLogDirsResponseDir, t *cluster.Topic, indexes []int32) {
	if indexes == nil {
		for i := range t.NumPartitions() {
			indexes = append(indexes, int32(i))
		}
	}
	for _, index := range indexes {
		if m, moving := b.node.Move(t, index); moving {
			addSize(&dirs[m.Folder], t.Name, kmsg.DescribeLogDirsResponseDirTopicPartition{Partition: index, Size: m.SizeBytes, OffsetLag: m.Lag, IsFuture: true})
		}
		if p, err := t.Replica(index); err == nil {
			addSize(&dirs[b.node.Folder(t, index)], t.Name, kmsg.DescribeLogDirsResponseDirTopicPartition{Partition: index, Size: p.SizeBytes()})
		}
	}
}

func addSize(dir *kmsg.DescribeLogDirsResponseDir, topic string, p kmsg.DescribeLogDirsResponseDirTopicPartition) {
	if n := len(dir.Topics); n == 0 || dir.Topics[n-1].Topic != topic {
		dir.Topics = append(dir.Topics, kmsg.DescribeLogDirsResponseDirTopic{Topic: topic})
	}
	in := &dir.Topics[len(dir.Topics)-1]
	in.Partitions = append(in.Partitions, p)
}

package broker

// DescribeLogDirs (key 35), versions 1-5 (KIP-113, KIP-827, KIP-1066): what the
// partitions take of the one data directory, and the room there is. One whose
// disk is low is cordoned: it gets no new replicas. Null topics ask for all.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/space"
	"weir/protocol"
)

func (b *Broker) describeLogDirs(_ context.Context, _ *call, req *kmsg.DescribeLogDirsRequest) (*kmsg.DescribeLogDirsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir, dir.TotalBytes, dir.UsableBytes = b.node.DataDir(), -1, -1
	dir.IsCordoned = b.node.Room().Level > space.Ample
	if free, total, err := b.node.FreeBytes(); err == nil {
		dir.TotalBytes, dir.UsableBytes = total, free
	} else {
		dir.ErrorCode = int16(protocol.CodeKafkaStorageError)
	}
	if req.Topics == nil {
		for _, t := range b.node.Topics() {
			dir.Topics = append(dir.Topics, sizes(t, nil))
		}
	}
	for _, in := range req.Topics {
		if t := b.node.Topic(in.Topic); t != nil && len(in.Partitions) > 0 {
			dir.Topics = append(dir.Topics, sizes(t, in.Partitions))
		}
	}
	resp.Dirs = append(resp.Dirs, dir)
	return resp, nil
}

// sizes lists the named partitions of a topic, or all.
func sizes(t *cluster.Topic, indexes []int32) kmsg.DescribeLogDirsResponseDirTopic {
	out := kmsg.NewDescribeLogDirsResponseDirTopic()
	out.Topic = t.Name
	if indexes == nil {
		for i := range t.NumPartitions() {
			indexes = append(indexes, int32(i))
		}
	}
	for _, index := range indexes {
		p, err := t.Replica(index)
		if err != nil {
			continue
		}
		po := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		po.Partition, po.Size = index, p.SizeBytes()
		out.Partitions = append(out.Partitions, po)
	}
	return out
}

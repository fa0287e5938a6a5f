package broker_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/broker/brokertest"
	"weir/cluster/config"
	"weir/cluster/space"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// TestLowDiskOfAFollower: a follower whose disk is low has producers of its partitions refused by their leaders, and
// nothing else: reads, group commits and other partitions go on, and so do the producers when there is room.
func TestLowDiskOfAFollower(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, nil)
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1, 2, 3}}})
	makeTopic(t, brokers, cluster.TopicSpec{Name: "beside", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1, 2}}})
	ledBy(t, brokers[0], "t", 1)
	ledBy(t, brokers[0], "beside", 1)
	c, third := dial(t, brokers[0].Addr()), dial(t, brokers[2].Addr())
	batch := batchOf(t, plain, recordbatch.CodecNone, record("k", "v"))
	put := func(topic string) protocol.ErrorCode {
		t.Helper()
		return protocol.ErrorCode(c.produce(topic, 0, -1, batch).ErrorCode)
	}
	if got := put("t"); got != protocol.CodeNone {
		t.Fatal(got)
	}

	// Of two bytes that should be free there is one.
	free, _, err := brokers[2].Node().FreeBytes()
	if err != nil {
		t.Fatal(err)
	}
	setMark(third, 3, strconv.FormatInt(2*free, 10))
	brokertest.Eventually(t, "the leader refuses what is produced", func() bool { return put("t") == protocol.CodeKafkaStorageError })
	if got := c.produce("t", 0, -1, batch).ErrorMessage; got == nil || !strings.Contains(*got, "the disk of broker 3 has ") || !strings.Contains(*got, config.FreeBytesMin) {
		t.Errorf("the reason is %v", got)
	}
	if got := put("beside"); got != protocol.CodeNone {
		t.Errorf("a partition on the other brokers: %v", got)
	}
	if got := c.fetch("t", 0, 0); got.ErrorCode != 0 || len(got.RecordBatches) == 0 {
		t.Errorf("a read: %+v", got)
	}
	var offsets kadm.Offsets
	offsets.AddOffset("t", 0, 1, -1)
	if resp, err := kadm.NewClient(newClient(t, brokers)).CommitOffsets(t.Context(), "g", offsets); err != nil || resp.Error() != nil {
		t.Errorf("a commit: %v, %v", err, resp.Error())
	}
	if got := logDir(third); !got.IsCordoned || got.UsableBytes <= 0 {
		t.Errorf("the log directory of broker 3: %+v", got)
	}
	if got := logDir(c); got.IsCordoned {
		t.Errorf("the log directory of broker 1: %+v", got)
	}
	makeTopic(t, brokers, cluster.TopicSpec{Name: "new", Partitions: 4, Replicas: 2})
	for _, p := range metadataOf(c, 12, "new").Topics[0].Partitions {
		if slices.Contains(p.Replicas, 3) {
			t.Errorf("placed on broker 3: %v", p.Replicas)
		}
	}
	if got := reassign(c, 1, true, "beside", to(0, 1, 3)).Topics[0].Partitions[0]; protocol.ErrorCode(got.ErrorCode) != protocol.CodeInvalidReplicaAssignment {
		t.Errorf("a move to broker 3: %v", protocol.ErrorCode(got.ErrorCode))
	}

	setMark(third, 3, "0")
	brokertest.Eventually(t, "there is room", func() bool { return brokers[2].Node().Room().Level == space.Ample })
	brokertest.Eventually(t, "the leader takes what is produced", func() bool { return put("t") == protocol.CodeNone })
}

// setMark sets what is to stay free of one broker's disk.
func setMark(c *rawClient, id int, bytes string) {
	c.t.Helper()
	if got := incremental(c, kmsg.ConfigResourceTypeBroker, strconv.Itoa(id), config.FreeBytesMin, kmsg.IncrementalAlterConfigOpSet, bytes); got != protocol.CodeNone {
		c.t.Fatalf("%s of %d: %v", config.FreeBytesMin, id, got)
	}
}

func logDir(c *rawClient) kmsg.DescribeLogDirsResponseDir {
	c.t.Helper()
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Version, req.Topics = 5, []kmsg.DescribeLogDirsRequestTopic{}
	return ask[*kmsg.DescribeLogDirsResponse](c, req).Dirs[0]
}

package broker_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/cluster/config"
	"weir/cluster/space"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// TestLowDisks: producers go on while a majority of the replicas has room on its disks, led by one that has, and are
// refused when none has; nothing else is, and so do the producers go on when there is room again.
func TestLowDisks(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, nil)
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1, 2, 3}}})
	makeTopic(t, brokers, cluster.TopicSpec{Name: "beside", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1}}})
	ledBy(t, brokers[0], "t", 1)
	c := dial(t, brokers[0].Addr())
	batch := batchOf(t, plain, recordbatch.CodecNone, record("k", "v"))
	put := func(topic string, want protocol.ErrorCode) {
		t.Helper()
		if got := protocol.ErrorCode(c.produce(topic, 0, -1, batch).ErrorCode); got != want {
			t.Errorf("produce to %s: %v, want %v", topic, got, want)
		}
	}
	free := brokers[0].Node().Folders()[0].Free
	mark := strconv.FormatInt(2*free, 10) // of two bytes that should be free there is one
	put("t", protocol.CodeNone)
	setMark(t, brokers, 3, mark, space.Low)
	put("t", protocol.CodeNone)
	if got := logDir(dial(t, brokers[2].Addr())); !got.IsCordoned || got.UsableBytes <= 0 {
		t.Errorf("the log directory of broker 3: %+v", got)
	}
	if got := logDir(c); got.IsCordoned {
		t.Errorf("the log directory of broker 1: %+v", got)
	}
	brokertest.Eventually(t, "broker 1 knows", func() bool {
		results, err := brokers[0].Node().CreateTopics(t.Context(), []cluster.TopicSpec{{Name: "three", Partitions: -1, Replicas: -1, Assignment: [][]int32{{3}}}}, true)
		return err == nil && results[0].Err != nil
	})
	if got := reassign(c, 1, true, "beside", to(0, 1, 3)).Topics[0].Partitions[0]; protocol.ErrorCode(got.ErrorCode) != protocol.CodeInvalidReplicaAssignment {
		t.Errorf("a move to broker 3: %v", protocol.ErrorCode(got.ErrorCode))
	}
	makeTopic(t, brokers, cluster.TopicSpec{Name: "new", Partitions: 4, Replicas: 2})
	for _, p := range metadataOf(c, 12, "new").Topics[0].Partitions {
		if slices.Contains(p.Replicas, 3) {
			t.Errorf("placed on broker 3: %v", p.Replicas)
		}
	}

	setMark(t, brokers, 2, mark, space.Low)
	brokertest.Eventually(t, "the leader refuses", func() bool {
		return protocol.ErrorCode(c.produce("t", 0, -1, batch).ErrorCode) == protocol.CodeKafkaStorageError
	})
	if got := c.produce("t", 0, -1, batch).ErrorMessage; got == nil || !strings.Contains(*got, "the disk of broker ") || !strings.Contains(*got, config.FreeBytesMin) {
		t.Errorf("the reason is %v", got)
	}
	put("beside", protocol.CodeNone)
	if got := c.fetch("t", 0, 0); got.ErrorCode != 0 || len(got.RecordBatches) == 0 {
		t.Errorf("a read: %+v", got)
	}
	var offsets kadm.Offsets
	offsets.AddOffset("t", 0, 1, -1)
	cl := newClient(t, brokers)
	if resp, err := kadm.NewClient(cl).CommitOffsets(t.Context(), "g", offsets); err != nil || resp.Error() != nil {
		t.Errorf("a commit: %v, %v", err, resp.Error())
	}

	setMark(t, brokers, 2, "0", space.Ample)
	setMark(t, brokers, 3, "0", space.Ample)
	setMark(t, brokers, 1, mark, space.Low)
	produceNumbers(t, cl, "t", 1, 20)
	if leads(brokers[0], "t", 1) {
		t.Error("broker 1 has a low disk, leads, and took records")
	}
	put("beside", protocol.CodeKafkaStorageError)
	setMark(t, brokers, 1, "0", space.Ample)
	put("beside", protocol.CodeNone)
}

// setMark sets what is to stay free of a broker's disk, and waits until that broker thinks so.
func setMark(t *testing.T, brokers []*broker.Broker, id int, bytes string, want space.Level) {
	t.Helper()
	b := brokers[id-1]
	c := dial(t, b.Addr())
	if got := incremental(c, kmsg.ConfigResourceTypeBroker, strconv.Itoa(id), config.FreeBytesMin, kmsg.IncrementalAlterConfigOpSet, bytes); got != protocol.CodeNone {
		t.Fatalf("%s of %d: %v", config.FreeBytesMin, id, got)
	}
	brokertest.Eventually(t, "the broker looks at its disk", func() bool { return b.Node().Room().Level == want })
}

func logDir(c *rawClient) kmsg.DescribeLogDirsResponseDir {
	c.t.Helper()
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Version, req.Topics = 5, []kmsg.DescribeLogDirsRequestTopic{}
	return ask[*kmsg.DescribeLogDirsResponse](c, req).Dirs[0]
}

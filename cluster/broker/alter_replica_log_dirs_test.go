package broker_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

// twoFolders gives each broker of a test two data folders, a and b, and removes them after the brokers.
func twoFolders(t *testing.T) (root string, settings func(id int) map[string]string) {
	root = t.TempDir()
	return root, func(id int) map[string]string {
		return map[string]string{"log.dirs": folderOf(root, id, "a") + "," + folderOf(root, id, "b")}
	}
}

func folderOf(root string, id int, name string) string {
	return filepath.Join(root, fmt.Sprint(id), name)
}

// alterDirs asks for partitions of a topic to be in a folder, and returns the codes.
func alterDirs(c *rawClient, version int16, topic, dir string, partitions ...int32) (codes []protocol.ErrorCode) {
	req := kmsg.NewPtrAlterReplicaLogDirsRequest()
	req.Version = version
	req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: dir, Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: topic, Partitions: partitions}}}}
	for _, t := range ask[*kmsg.AlterReplicaLogDirsResponse](c, req).Topics {
		for _, p := range t.Partitions {
			codes = append(codes, protocol.ErrorCode(p.ErrorCode))
		}
	}
	return codes
}

// dirsOf lists, by folder, what a broker has of a topic.
func dirsOf(c *rawClient, topic string) map[string][]kmsg.DescribeLogDirsResponseDirTopicPartition {
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Version = 4
	in := make(map[string][]kmsg.DescribeLogDirsResponseDirTopicPartition)
	for _, dir := range ask[*kmsg.DescribeLogDirsResponse](c, req).Dirs {
		for _, t := range dir.Topics {
			if t.Topic == topic {
				in[filepath.Base(dir.Dir)] = append(in[filepath.Base(dir.Dir)], t.Partitions...)
			}
		}
	}
	return in
}

// TestReplicasMoveBetweenFolders: all replicas of a partition move, its leader's too, while records come in.
func TestReplicasMoveBetweenFolders(t *testing.T) {
	root, settings := twoFolders(t)
	brokers := brokertest.Cluster(t, 3, settings)
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1, 2, 3}}})
	cl := newClient(t, brokers)
	produceNumbers(t, cl, "t", 1, 200)
	for i, b := range brokers {
		c, was, to := dial(t, b.Addr()), "a", "b"
		if b.Node().Folder(b.Node().Topic("t"), 0) == 1 {
			was, to = to, was
		}
		if codes := alterDirs(c, 1+int16(i%2), "t", folderOf(root, i+1, to), 0); len(codes) != 1 || codes[0] != protocol.CodeNone {
			t.Fatalf("broker %d: %v", i+1, codes)
		}
		produceNumbers(t, cl, "t", 201+100*i, 300+100*i)
		brokertest.Eventually(t, fmt.Sprintf("the replica of broker %d has moved", i+1), func() bool {
			in := dirsOf(c, "t")
			return len(in[was]) == 0 && len(in[to]) == 1 && !in[to][0].IsFuture && in[to][0].Size > 0
		})
	}
	consumeNumbers(t, brokers, "t", 500)
}

// slowMove begins a move of partition 0 on the first broker that does not come to its end.
func slowMove(t *testing.T, root string, b *broker.Broker) (c *rawClient, was, to string) {
	t.Helper()
	c, was, to = dial(t, b.Addr()), "a", "b"
	setMoveRate(t, c, b, 1)
	if b.Node().Folder(b.Node().Topic("t"), 0) == 1 {
		was, to = to, was
	}
	if codes := alterDirs(c, 2, "t", folderOf(root, 1, to), 0); codes[0] != protocol.CodeNone {
		t.Fatal(codes)
	}
	brokertest.Eventually(t, "the move is described", func() bool {
		in := dirsOf(c, "t")
		return len(in[to]) == 1 && in[to][0].IsFuture && in[to][0].OffsetLag > 0 && in[to][0].Size > 0 && len(in[was]) == 1 && !in[was][0].IsFuture
	})
	return c, was, to
}

func setMoveRate(t *testing.T, c *rawClient, b *broker.Broker, rate int64) {
	t.Helper()
	const key = "replica.alter.log.dirs.io.max.bytes.per.second"
	if got := incremental(c, kmsg.ConfigResourceTypeBroker, "1", key, kmsg.IncrementalAlterConfigOpSet, fmt.Sprint(rate)); got != protocol.CodeNone {
		t.Fatal(got)
	}
	brokertest.Eventually(t, "the broker knows the rate", func() bool { return b.Node().Config().MoveRate == rate })
}

// severalSegments are more than one piece of a copy.
var severalSegments = map[string]string{"segment.bytes": "2000"}

// TestMoveIsThrottledAndCalledOff: the rate holds a move up, a wish for where the replica is ends it, and with another
// rate it comes to its end.
func TestMoveIsThrottledAndCalledOff(t *testing.T) {
	root, settings := twoFolders(t)
	brokers := brokertest.Cluster(t, 1, settings)
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 1, Replicas: 1, Configs: severalSegments})
	cl := newClient(t, brokers)
	for i := range 10 {
		produceNumbers(t, cl, "t", 1+10*i, 10+10*i)
	}
	c, was, to := slowMove(t, root, brokers[0])
	if codes := alterDirs(c, 2, "t", folderOf(root, 1, was), 0); codes[0] != protocol.CodeNone {
		t.Fatal(codes)
	}
	if in := dirsOf(c, "t"); len(in[to]) != 0 || len(in[was]) != 1 {
		t.Errorf("it is described as %+v", in)
	}
	setMoveRate(t, c, brokers[0], 1<<40)
	if codes := alterDirs(c, 2, "t", folderOf(root, 1, to), 0); codes[0] != protocol.CodeNone {
		t.Fatal(codes)
	}
	brokertest.Eventually(t, "it has moved", func() bool {
		in := dirsOf(c, "t")
		return len(in[to]) == 1 && !in[to][0].IsFuture && len(in[was]) == 0
	})
	consumeNumbers(t, brokers, "t", 100)
	for want, x := range map[protocol.ErrorCode]struct {
		topic, dir string
		partition  int32
	}{
		protocol.CodeLogDirNotFound:          {"t", root, 0},
		protocol.CodeUnknownTopicOrPartition: {"t", folderOf(root, 1, "a"), 1},
	} {
		if codes := alterDirs(c, 1, x.topic, x.dir, x.partition); len(codes) != 1 || codes[0] != want {
			t.Errorf("%v, want %v", codes, want)
		}
	}
}

// TestReplicaLeavesWhileItMoves: a reassignment takes the replica away, and nothing of its move is left. It goes to the
// folder of its new broker that was asked for before.
func TestReplicaLeavesWhileItMoves(t *testing.T) {
	root, settings := twoFolders(t)
	brokers := brokertest.Cluster(t, 3, settings)
	id := makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1, 2}}, Configs: severalSegments})
	cl := newClient(t, brokers)
	for i := range 10 {
		produceNumbers(t, cl, "t", 1+10*i, 10+10*i)
	}
	const wished = "b" // of two with as many replicas it is the first otherwise
	if codes := alterDirs(dial(t, brokers[2].Addr()), 2, "t", folderOf(root, 3, wished), 0); len(codes) != 1 || codes[0] != protocol.CodeReplicaNotAvailable {
		t.Errorf("no replica is there: %v", codes)
	}
	moved := to(0, 3, 2)
	c, _, target := slowMove(t, root, brokers[0])
	if got := protocol.ErrorCode(reassign(c, 0, true, "t", moved).Topics[0].Partitions[0].ErrorCode); got != protocol.CodeNone {
		t.Fatal(got)
	}
	brokertest.Eventually(t, "nothing is left of the replica", func() bool {
		for _, name := range []string{"a", "b"} {
			if _, err := os.Stat(filepath.Join(folderOf(root, 1, name), cluster.TopicsFolder, hex.EncodeToString(id[:]), "0")); !errors.Is(err, fs.ErrNotExist) {
				return false
			}
		}
		copies, err := os.ReadDir(filepath.Join(folderOf(root, 1, target), cluster.MovingFolder))
		return err == nil && len(copies) == 0 && len(dirsOf(c, "t")) == 0 && len(reassignments(c)) == 0
	})
	if in := dirsOf(dial(t, brokers[2].Addr()), "t"); len(in[wished]) != 1 {
		t.Errorf("it went to %v, want %s", in, wished)
	}
	consumeNumbers(t, brokers, "t", 100)
}

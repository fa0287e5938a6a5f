package broker_test

import (
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

// TestFolderIsReplaced: a broker comes back with an empty disk in the place of one of its two. What was on that is
// filled again from the others, what was on the other is not touched, and then the broker counts in full.
func TestFolderIsReplaced(t *testing.T) {
	roots := make([]string, 4)
	settings := func(id int) map[string]string {
		if roots[id] == "" {
			roots[id] = t.TempDir()
		}
		return map[string]string{"log.dirs": filepath.Join(roots[id], "a") + "," + filepath.Join(roots[id], "b")}
	}
	for id := 1; id <= 3; id++ {
		settings(id) // before the brokers, to be removed after them
	}
	brokers := brokertest.Cluster(t, 3, settings)
	order := []int32{1, 2, 3}
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{order, order, order, order}})
	cl := newClient(t, brokers)
	produceNumbers(t, cl, "t", 1, 100)

	in := make(map[int]int)
	for i := range int32(4) {
		in[brokers[2].Node().Folder(brokers[2].Node().Topic("t"), i)]++
	}
	if in[0] != 2 || in[1] != 2 {
		t.Errorf("the replicas lie in %v", in)
	}
	brokertest.Stop(t, brokers[2])
	brokers[2] = nil
	if err := os.RemoveAll(filepath.Join(roots[3], "b")); err != nil {
		t.Fatal(err)
	}
	produceNumbers(t, cl, "t", 101, 150)
	values := settings(3)
	maps.Copy(values, map[string]string{"node.id": strconv.Itoa(3), "peer.listener": "127.0.0.1:0", "peer.seeds": brokers[0].Node().PeerAddress()})
	brokers[2] = brokertest.StartIn(t, "", values)

	n, leader := brokers[2].Node(), brokers[0].Node()
	brokertest.Eventually(t, "broker 3 has everything", func() bool {
		for i := range int32(4) {
			own, err := n.Topic("t").Replica(i)
			if err != nil {
				t.Fatalf("partition %d: %v", i, err)
			}
			if first, err := leader.Topic("t").Replica(i); err != nil || own.LogEndOffset() != first.LogEndOffset() {
				return false
			}
		}
		return true
	})
	// With one of the others gone, it is needed, and may lead.
	brokertest.Stop(t, brokers[0])
	brokers[0] = nil
	produceNumbers(t, cl, "t", 151, 200)
	consumeNumbers(t, brokers[1:], "t", 200)

	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Version = 4
	dirs := ask[*kmsg.DescribeLogDirsResponse](dial(t, brokers[2].Addr()), req).Dirs
	held := 0
	for _, dir := range dirs {
		if dir.ErrorCode != int16(protocol.CodeNone) || dir.UsableBytes <= 0 {
			t.Errorf("%+v", dir)
		}
		for _, topic := range dir.Topics {
			if topic.Topic == "t" {
				held += len(topic.Partitions)
			}
		}
	}
	if len(dirs) != 2 || held != 4 {
		t.Errorf("%d folders with %d replicas of the topic", len(dirs), held)
	}
}

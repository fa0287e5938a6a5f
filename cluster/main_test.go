package cluster

import (
	"context"
	"log/slog"
	"maps"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/cluster/config"
	"weir/cluster/metadata"
	"weir/partition"
	"weir/protocol/recordbatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet drops what a test provokes on purpose.
var quiet = slog.New(slog.DiscardHandler)

func brokerConfig(t *testing.T, dir string, values map[string]string) *config.Broker {
	t.Helper()
	all := map[string]string{"listeners": "PLAINTEXT://127.0.0.1:0", "log.dirs": dir}
	maps.Copy(all, values)
	cfg, err := config.New(all)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// openNode opens a node on dir and leaves it to the test to close it.
func openNode(t *testing.T, dir string, values map[string]string) *Node {
	t.Helper()
	n, err := Open(context.Background(), brokerConfig(t, dir, values), []metadata.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 1}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func startNode(t *testing.T, values map[string]string) *Node {
	t.Helper()
	n := openNode(t, t.TempDir(), values)
	t.Cleanup(func() { closeNode(t, n) })
	return n
}

func closeNode(t *testing.T, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// mustTopic makes a topic and returns it as the node hosts it.
func mustTopic(t *testing.T, n *Node, name string, partitions int, configs map[string]string) *Topic {
	t.Helper()
	results, err := n.CreateTopics(context.Background(), []TopicSpec{{Name: name, Partitions: partitions, Replicas: 1, Configs: configs}}, false)
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
	return n.Topic(name)
}

func deleteTopic(t *testing.T, n *Node, topic *Topic) {
	t.Helper()
	results, err := n.DeleteTopics(context.Background(), [][16]byte{topic.ID})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		t.Fatalf("delete topic %s: %v", topic.Name, err)
	}
}

// appendRecord appends one record and waits until it is on disk.
func appendRecord(t *testing.T, topic *Topic, index int32, at time.Time, value string) {
	t.Helper()
	p, err := topic.Partition(index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Propose(testBatch(t, at, value), partition.AcksAll).Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func testBatch(t *testing.T, at time.Time, value string) partition.Batch {
	t.Helper()
	h := recordbatch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	data, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, []recordbatch.Record{{Timestamp: at.UnixMilli(), Key: []byte("k"), Value: []byte(value)}})
	if err != nil {
		t.Fatal(err)
	}
	if h, err = recordbatch.ParseHeader(data); err != nil {
		t.Fatal(err)
	}
	return partition.Batch{Header: h, Data: data}
}

// eventually waits until done, which it asks again and again, or ctx has ended.
func eventually(t *testing.T, ctx context.Context, what string, done func() bool) {
	t.Helper()
	for again := time.NewTicker(5 * time.Millisecond); !done(); {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal("not in time: ", what)
		}
	}
}

package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/controller"
	"weir/cluster/metadata"
	"weir/log"
)

// TestOldImageIsLetPass: an image that was read before a newer one was put
// into effect deletes nothing.
func TestOldImageIsLetPass(t *testing.T) {
	n := startNode(t, nil)
	before := n.Image()
	topic := mustTopic(t, n, "t", 1, nil)
	appendRecord(t, topic, 0, time.Now(), "precious")
	n.reconcile(before)
	if n.Topic("t") == nil {
		t.Fatal("an older image took a topic away")
	}
	if p, err := n.Topic("t").Partition(0); err != nil || p.LogEndOffset() != 1 {
		t.Fatalf("the record is gone (%v)", err)
	}
	if _, err := os.Stat(n.dir.partition(topic.ID, 0)); err != nil {
		t.Error(err)
	}
}

// TestNothingOpensAfterClose: a change that commits while the node closes
// opens no partition that nobody would close.
func TestNothingOpensAfterClose(t *testing.T) {
	n := openNode(t, t.TempDir(), nil)
	mustTopic(t, n, "t", 1, nil)
	image := n.Image()
	closeNode(t, n)
	late, _, err := image.Apply(image.Index()+1, metadata.CreateTopics{
		Topics: []metadata.NewTopic{{Name: "late", ID: [16]byte{1}, Assignment: [][]int32{{n.ID()}}}}, MaxPartitions: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.reconcile(late)
	if n.Topic("late") != nil {
		t.Error("a closed node opened a partition")
	}
}

// TestUntilKnown: a leadership that is lost on the way is no reason not to start; anything else is.
func TestUntilKnown(t *testing.T) {
	lost := &controller.UnknownOutcomeError{Err: raft.ErrLeadershipLost}
	closed := &controller.UnknownOutcomeError{Err: controller.ErrClosed}
	outcomes := []error{lost, lost, nil}
	next := func() error { defer func() { outcomes = outcomes[1:] }(); return outcomes[0] }
	if err := untilKnown(t.Context(), next); err != nil || len(outcomes) > 0 {
		t.Errorf("%v, and %d tries left", err, len(outcomes))
	}
	outcomes = []error{closed, nil}
	if err := untilKnown(t.Context(), next); err != closed {
		t.Errorf("%v for what has closed", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	outcomes = []error{lost, nil}
	if err := untilKnown(ended, next); err != lost {
		t.Errorf("%v at the end of the context", err)
	}
}

func TestLocked(t *testing.T) {
	n := startNode(t, nil)
	_, err := Open(context.Background(), brokerConfig(t, n.DataDir(), nil), nil, quiet)
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Errorf("got %v, want LockedError", err)
	}
}

// TestCreateTopicsLimit: partitions are counted over all topics and over one
// request, before they are placed: a short request cannot ask for the
// placement of millions.
func TestCreateTopicsLimit(t *testing.T) {
	n := startNode(t, map[string]string{"max.partitions": "10"})
	var limit *metadata.LimitError
	mustTopic(t, n, "a", 4, nil)
	ctx := context.Background()
	for _, validateOnly := range []bool{true, false} {
		results, err := n.CreateTopics(ctx, []TopicSpec{
			{Name: "b", Partitions: 4, Replicas: 1}, {Name: "c", Partitions: 3, Replicas: 1}, {Name: "d", Partitions: 2, Replicas: 1},
		}, validateOnly)
		if err != nil {
			t.Fatal(err)
		}
		if results[0].Err != nil || !errors.As(results[1].Err, &limit) || results[2].Err != nil {
			t.Errorf("got %v, %v, %v; want the middle one refused", results[0].Err, results[1].Err, results[2].Err)
		}
	}
	if err := n.AddPartitions(ctx, n.Topic("a"), 5, nil, false); !errors.As(err, &limit) {
		t.Errorf("one more partition: got %v", err)
	}
	deleteTopic(t, n, n.Topic("d"))
	if err := n.AddPartitions(ctx, n.Topic("a"), 6, nil, false); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestCreateTopicsPlacementIsBounded(t *testing.T) {
	n := startNode(t, nil)
	specs := make([]TopicSpec, 20_000)
	for i := range specs {
		specs[i] = TopicSpec{Name: "t" + strings.Repeat("x", i%200) + string(rune('a'+i%26)), Partitions: 15_000, Replicas: 1}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := n.CreateTopics(context.Background(), specs, true); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 256<<20 {
		t.Errorf("%d topics took %d MiB to be looked at", len(specs), got>>20)
	}
}

// TestDeleteRemovesFiles: when DeleteTopics returns, nothing of the topic is on
// disk, also of one that is being read.
func TestDeleteRemovesFiles(t *testing.T) {
	n := startNode(t, nil)
	topic := mustTopic(t, n, "t", 3, nil)
	appendRecord(t, topic, 1, time.Now(), "v")
	p, err := topic.Partition(1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Read(0, 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	deleteTopic(t, n, topic)
	for _, dir := range []string{n.dir.topics(), n.dir.trash()} {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("%s holds %d entries (%v)", dir, len(entries), err)
		}
	}
	if b, err := r.AppendTo(nil); err != nil || len(b) == 0 {
		t.Errorf("a reader that began before lost its bytes: %d, %v", len(b), err)
	}
	if err := r.Release(); err != nil {
		t.Error(err)
	}
}

// TestDynamicConfig: a change reaches partitions that are open, be it one of
// the topic or one of the broker that topics inherit or that is not a topic's.
func TestDynamicConfig(t *testing.T) {
	n := startNode(t, nil)
	ctx := context.Background()
	topic := mustTopic(t, n, "t", 1, nil)
	appendRecord(t, topic, 0, time.Now(), "first")
	set := func(key, value string) func(map[string]string) (map[string]string, error) {
		return func(map[string]string) (map[string]string, error) { return map[string]string{key: value}, nil }
	}
	if err := n.AlterTopicConfigs(ctx, topic, false, set("max.message.bytes", "1000")); err != nil {
		t.Fatal(err)
	}
	if got := n.Topic("t").Rules(time.Now()).MaxBytes; got != 1000 {
		t.Errorf("max.message.bytes is %d in force", got)
	}
	if err := n.AlterBrokerConfigs(ctx, metadata.AllBrokers, false, set("log.segment.bytes", "2000")); err != nil {
		t.Fatal(err)
	}
	if got := n.Topic("t").settings.Log.SegmentBytes; got != 2000 {
		t.Errorf("segment.bytes is %d in force", got)
	}
	if err := n.AlterBrokerConfigs(ctx, n.ID(), false, set("producer.id.expiration.ms", "7000")); err != nil {
		t.Fatal(err)
	}
	if got := n.Topic("t").settings.ProducerExpiry; got != 7*time.Second {
		t.Errorf("producer.id.expiration.ms is %v in force", got)
	}
	if p, err := n.Topic("t").Partition(0); err != nil || p.LogEndOffset() != 1 {
		t.Errorf("the partition did not live through it: %v", err)
	}
	if err := n.AlterTopicConfigs(ctx, topic, false, set("max.message.bytes", "0")); err != nil {
		t.Fatal(err)
	}
	if got := n.Topic("t").Rules(time.Now()).MaxBytes; got == 0 {
		t.Error("max.message.bytes of 0 is no limit at all")
	}
}

// TestRetentionTick: what is too old goes by itself, whole segments at a time.
func TestRetentionTick(t *testing.T) {
	n := startNode(t, map[string]string{"log.retention.check.interval.ms": "10"})
	topic := mustTopic(t, n, "t", 1, map[string]string{"segment.bytes": "200", "retention.ms": "3600000"})
	old := time.Now().Add(-2 * time.Hour)
	for range 5 {
		appendRecord(t, topic, 0, old, strings.Repeat("o", 100))
	}
	appendRecord(t, topic, 0, time.Now(), strings.Repeat("n", 100))
	p, err := topic.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); p.LogStartOffset() != 5; {
		if time.Now().After(deadline) {
			t.Fatalf("log start is %d, want 5", p.LogStartOffset())
		}
		runtime.Gosched()
	}
}

// TestOfflinePartition: a damaged partition is offline and says why, the
// others serve, and it comes back when it has been repaired.
func TestOfflinePartition(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	topic := mustTopic(t, n, "t", 2, nil)
	for i := range int32(2) {
		appendRecord(t, topic, i, time.Now(), "v")
	}
	id := topic.ID
	segments, err := filepath.Glob(filepath.Join(n.dir.partition(id, 0), "*.log"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments of the partition: %v, %v", segments, err)
	}
	closeNode(t, n)
	good, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segments[0], good[:8], 0o644); err != nil {
		t.Fatal(err)
	}

	n = openNode(t, dir, map[string]string{"log.retention.check.interval.ms": "10"})
	var offline *OfflineError
	var corrupt *log.CorruptError
	if _, err := n.Topic("t").Partition(0); !errors.As(err, &offline) || !errors.As(err, &corrupt) {
		t.Errorf("the damaged partition: %v", err)
	}
	appendRecord(t, n.Topic("t"), 1, time.Now(), "served meanwhile")
	if err := os.WriteFile(segments[0], good, 0o644); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		p, err := n.Topic("t").Partition(0)
		if err == nil {
			if p.LogEndOffset() != 1 {
				t.Errorf("it came back with %d records", p.LogEndOffset())
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it stays offline: %v", err)
		}
		runtime.Gosched()
	}
	closeNode(t, n)
}

// TestOfflineIsNotClean: the data of a partition that was never opened must
// still be recovered, so a stop beside it is no clean one.
func TestOfflineIsNotClean(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	topic := mustTopic(t, n, "t", 1, nil)
	appendRecord(t, topic, 0, time.Now(), "v")
	segments, _ := filepath.Glob(filepath.Join(n.dir.partition(topic.ID, 0), "*.log"))
	closeNode(t, n)
	if err := os.WriteFile(segments[0], nil, 0o644); err != nil {
		t.Fatal(err)
	}
	n = openNode(t, dir, nil)
	closeNode(t, n)
	if _, err := os.Stat(filepath.Join(dir, cleanFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory is marked as clean (%v)", err)
	}
}

package broker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/config"
	"weir/cluster/group"
)

// startInside runs a broker for tests that need its inside.
func startInside(t *testing.T) *Broker {
	t.Helper()
	cfg, err := config.New(map[string]string{
		"listeners": "PLAINTEXT://127.0.0.1:0", "log.dirs": t.TempDir(), "offsets.topic.num.partitions": "2",
		"transaction.state.log.num.partitions": "2",
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	results, err := b.node.CreateTopics(context.Background(), []cluster.TopicSpec{{Name: "t", Partitions: 1, Replicas: 1}}, false)
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	return b
}

// TestPanicHurtsNobodyElse: a handler that panics, at once or when its turn
// has come, closes its own connection.
func TestPanicHurtsNobodyElse(t *testing.T) {
	b := startInside(t)
	var armed atomic.Bool
	b.now = func() time.Time { // before any client is here
		if armed.Load() {
			panic("for a test")
		}
		return time.Now()
	}
	conn := func() net.Conn {
		c, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	frame := func(req kmsg.Request) []byte { return kmsg.NewRequestFormatter().AppendRequest(nil, req, 1) }
	answered := func(c net.Conn) bool {
		if _, err := c.Write(frame(kmsg.NewPtrApiVersionsRequest())); err != nil {
			return false
		}
		var head [4]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return false
		}
		n := int64(head[0])<<24 | int64(head[1])<<16 | int64(head[2])<<8 | int64(head[3])
		_, err := io.CopyN(io.Discard, c, n)
		return err == nil
	}
	bystander := conn()
	if !answered(bystander) {
		t.Fatal("not served")
	}
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Version, commit.Generation = 8, -1
	produce := kmsg.NewPtrProduceRequest()
	produce.Version, produce.Acks = 9, 1
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.Partitions = "t", []kmsg.ProduceRequestTopicPartition{{Records: []byte{1}}}
	produce.Topics = append(produce.Topics, topic)
	armed.Store(true)
	for i, req := range []kmsg.Request{commit, produce} {
		c := conn()
		if _, err := c.Write(frame(req)); err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(c); len(got) != 0 {
			t.Errorf("%T: answered after a panic", req)
		}
		if n := b.Stats().HandlerPanics.Load(); n != int64(i+1) {
			t.Fatalf("%T: %d panics", req, n)
		}
		if !answered(bystander) {
			t.Errorf("%T: another connection suffered", req)
		}
	}
	armed.Store(false)
}

// TestOffsetsExpire: a commit counts from when it was made; one that is renewed
// stays.
func TestOffsetsExpire(t *testing.T) {
	b := startInside(t)
	ctx := context.Background()
	begin := time.Now()
	tp := group.TopicPartition{Topic: "t"}
	at := func(name string, when time.Time) {
		t.Helper()
		c := group.Commit{Offset: 1, Timestamp: when.UnixMilli()}
		if err := b.groups.commit(ctx, name, noMember, map[group.TopicPartition]group.Commit{tp: c}); err != nil {
			t.Fatal(err)
		}
	}
	at("old", begin.Add(-61*time.Minute))
	at("young", begin.Add(-59*time.Minute))
	at("renewed", begin.Add(-2*time.Hour))
	at("renewed", begin)
	b.groups.expire(ctx, time.Hour)
	var groups []string
	if err := b.groups.each(func(s *shard) { groups = append(groups, s.names()...) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(groups)
	if got := fmt.Sprint(groups); got != "[renewed young]" {
		t.Errorf("left are %s", got)
	}
}

// TestTooManyGroups: one more than there is room for is refused, those that are
// there go on.
func TestTooManyGroups(t *testing.T) {
	b := startInside(t)
	ctx := context.Background()
	tp := group.TopicPartition{Topic: "t"}
	commits := map[group.TopicPartition]group.Commit{tp: {Offset: 1}}
	if err := b.groups.commit(ctx, "g0", noMember, commits); err != nil {
		t.Fatal(err)
	}
	for i := range maxGroups {
		name := fmt.Sprint("g", i)
		if err := b.groups.within(name, func(s *shard) { s.offsets.Set(name, tp, group.Commit{}) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.groups.commit(ctx, "g7", noMember, commits); err != nil {
		t.Errorf("a group that is known: %v", err)
	}
	if err := b.groups.commit(ctx, "one more", noMember, commits); errorCode(err) != 44 {
		t.Errorf("one more: %v", err)
	}
	gone := map[group.TopicPartition]group.Commit{{Topic: "gone"}: {Offset: 1}}
	if err := b.groups.commit(ctx, "g7", noMember, gone); errorCode(err) != 3 {
		t.Errorf("a topic deleted meanwhile: %v", err)
	}
}

package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// fill produces n batches of one record to partition 0 of each topic.
func fill(t *testing.T, c *rawClient, n int, topics ...string) {
	t.Helper()
	for _, topic := range topics {
		for i := range n {
			p := c.produce(topic, 0, -1, batchOf(t, plain, recordbatch.CodecNone, record("k", fmt.Sprint(i))))
			if p.ErrorCode != 0 || p.BaseOffset != int64(i) {
				t.Fatalf("produce: %v at %d", protocol.ErrorCode(p.ErrorCode), p.BaseOffset)
			}
		}
	}
}

// offsets lists the base offsets of the batches in records.
func offsets(t *testing.T, records []byte) (base []int64) {
	t.Helper()
	for len(records) > 0 {
		h, err := recordbatch.ParseHeader(records)
		if err != nil || h.SizeBytes() > len(records) {
			t.Fatalf("a batch is cut off: %v", err)
		}
		base = append(base, h.BaseOffset)
		records = records[h.SizeBytes():]
	}
	return base
}

func TestFetchPositions(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	p := c.produce("t", 0, -1, batchOf(t, plain, recordbatch.CodecNone, record("a", "0"), record("b", "1"), record("c", "2")))
	if p.ErrorCode != 0 {
		t.Fatal(protocol.ErrorCode(p.ErrorCode))
	}
	for _, x := range []struct {
		name   string
		topic  string
		part   int32
		offset int64
		want   protocol.ErrorCode
		bytes  bool
	}{
		{"start", "t", 0, 0, protocol.CodeNone, true},
		{"the middle of a batch gives all of it", "t", 0, 2, protocol.CodeNone, true},
		{"the end is not out of range", "t", 0, 3, protocol.CodeNone, false},
		{"beyond the end", "t", 0, 4, protocol.CodeOffsetOutOfRange, false},
		{"negative", "t", 0, -1, protocol.CodeOffsetOutOfRange, false},
		{"unknown partition", "t", 7, 0, protocol.CodeUnknownTopicOrPartition, false},
		{"unknown topic", "nope", 0, 0, protocol.CodeUnknownTopicOrPartition, false},
	} {
		got := c.fetch(x.topic, x.part, x.offset)
		if protocol.ErrorCode(got.ErrorCode) != x.want || (len(got.RecordBatches) > 0) != x.bytes || got.RecordBatches == nil {
			t.Errorf("%s: got %v and %d bytes (null: %v)", x.name, protocol.ErrorCode(got.ErrorCode), len(got.RecordBatches), got.RecordBatches == nil)
		}
	}
	byID := ask[*kmsg.FetchResponse](c, fetchRequest(13, "", [16]byte{1}, 0, 0))
	if got := protocol.ErrorCode(byID.Topics[0].Partitions[0].ErrorCode); got != protocol.CodeUnknownTopicID {
		t.Errorf("unknown id: got %v", got)
	}
}

// TestFetchLimits: the first partition with data gives one batch whatever the
// limits (KIP-74), later ones keep to what is left, and no batch is cut.
func TestFetchLimits(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	topics := []string{"empty", "a", "b"}
	for _, name := range topics {
		c.createTopic(name, 1, nil)
	}
	fill(t, c, 10, "a", "b")
	one := len(c.fetch("a", 0, 9).RecordBatches) // of one batch

	get := func(maxBytes, partitionMax int32) (counts []int) {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MaxBytes, req.SessionEpoch = 11, maxBytes, -1
		for _, name := range topics {
			part := fetchRequest(11, name, [16]byte{}, 0, 0).Topics[0]
			part.Partitions[0].PartitionMaxBytes = partitionMax
			req.Topics = append(req.Topics, part)
		}
		for _, topic := range ask[*kmsg.FetchResponse](c, req).Topics {
			counts = append(counts, len(offsets(t, topic.Partitions[0].RecordBatches)))
		}
		return counts
	}
	for _, x := range []struct {
		max, partition int
		want           string
	}{
		{1, 1, "[0 1 0]"},
		{1, 1 << 20, "[0 1 0]"},
		{1 << 20, 1, "[0 1 0]"},
		{1 << 20, 3*one + 1, "[0 3 3]"},
		{4 * one, 3*one + 1, "[0 3 1]"},
		{1 << 20, 1 << 20, "[0 10 10]"},
	} {
		if got := fmt.Sprint(get(int32(x.max), int32(x.partition))); got != x.want {
			t.Errorf("max %d, partition max %d: got %s batches, want %s", x.max, x.partition, got, x.want)
		}
	}
}

// TestFetchParks: a fetch at the end is answered by the next record, not
// before it and not by its deadline.
func TestFetchParks(t *testing.T) {
	b := brokertest.Start(t, nil)
	c, producer := dial(t, b.Addr()), dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	req := fetchRequest(11, "t", [16]byte{}, 0, 0)
	req.MaxWaitMillis = 50_000 // the client's own deadline is a minute
	id := c.send(req)
	fill(t, producer, 1, "t")
	got := c.receive(req, id).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if len(offsets(t, got.RecordBatches)) != 1 || got.HighWatermark != 1 {
		t.Errorf("got %d batches, high watermark %d", len(offsets(t, got.RecordBatches)), got.HighWatermark)
	}
}

// TestFetchMinBytes: one small record does not wake a fetch that wants more.
func TestFetchMinBytes(t *testing.T) {
	b := brokertest.Start(t, nil)
	c, producer := dial(t, b.Addr()), dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	fill(t, producer, 1, "t")
	one := len(c.fetch("t", 0, 0).RecordBatches)
	req := fetchRequest(11, "t", [16]byte{}, 0, 0)
	req.MaxWaitMillis, req.MinBytes = 50_000, int32(3*one)
	id := c.send(req)
	for range 2 {
		producer.produce("t", 0, -1, batchOf(t, plain, recordbatch.CodecNone, record("k", "0")))
	}
	got := c.receive(req, id).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if n := len(offsets(t, got.RecordBatches)); n != 3 {
		t.Errorf("answered with %d batches, want 3", n)
	}
}

// TestFetchWokenByDeletion: a parked reader hears that its topic is gone, and
// that its offset is.
func TestFetchWokenByDeletion(t *testing.T) {
	b := brokertest.Start(t, nil)
	c, admin := dial(t, b.Addr()), dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	fill(t, admin, 3, "t")
	req := fetchRequest(11, "t", [16]byte{}, 0, 3)
	req.MaxWaitMillis = 50_000
	id := c.send(req)
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.Version, del.TopicNames, del.TimeoutMillis = 5, []string{"t"}, 10_000
	if code := ask[*kmsg.DeleteTopicsResponse](admin, del).Topics[0].ErrorCode; code != 0 {
		t.Fatal(protocol.ErrorCode(code))
	}
	got := protocol.ErrorCode(c.receive(req, id).(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode)
	if got != protocol.CodeUnknownTopicOrPartition && got != protocol.CodeNotLeaderOrFollower {
		t.Errorf("got %v", got)
	}
}

// TestFetchSessionOverTheWire: the second fetch names nothing and is answered
// for what changed only.
func TestFetchSessionOverTheWire(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("a", 1, nil)
	c.createTopic("b", 1, nil)
	first := fetchRequest(11, "a", [16]byte{}, 0, 0)
	first.SessionEpoch = 0
	first.Topics = append(first.Topics, fetchRequest(11, "b", [16]byte{}, 0, 0).Topics...)
	opened := ask[*kmsg.FetchResponse](c, first)
	if opened.SessionID == 0 || len(opened.Topics) != 2 {
		t.Fatalf("session %d with %d topics", opened.SessionID, len(opened.Topics))
	}
	fill(t, c, 1, "b")
	next := kmsg.NewPtrFetchRequest()
	next.Version, next.MaxBytes, next.SessionID, next.SessionEpoch = 11, 1<<20, opened.SessionID, 1
	got := ask[*kmsg.FetchResponse](c, next)
	if len(got.Topics) != 1 || got.Topics[0].Topic != "b" || len(got.Topics[0].Partitions[0].RecordBatches) == 0 {
		t.Errorf("got %d topics, want b alone with its record", len(got.Topics))
	}
	next.SessionEpoch = 5
	if code := ask[*kmsg.FetchResponse](c, next).ErrorCode; protocol.ErrorCode(code) != protocol.CodeInvalidFetchSessionEpoch {
		t.Errorf("a wrong epoch: got %v", protocol.ErrorCode(code))
	}
}

// TestFetchEpochs: the fences of KIP-320.
func TestFetchEpochs(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	fill(t, c, 3, "t")
	stop(t, b)
	b = brokertest.StartIn(t, dir, nil) // a new leader epoch
	defer stop(t, b)
	c = dial(t, b.Addr())
	c.produce("t", 0, -1, batchOf(t, plain, recordbatch.CodecNone, record("k", "3")))

	meta := kmsg.NewPtrMetadataRequest()
	meta.Version = 9
	epoch := ask[*kmsg.MetadataResponse](c, meta).Topics[0].Partitions[0].LeaderEpoch
	get := func(current, last int32, offset int64) kmsg.FetchResponseTopicPartition {
		req := fetchRequest(12, "t", [16]byte{}, 0, offset)
		req.Topics[0].Partitions[0].CurrentLeaderEpoch, req.Topics[0].Partitions[0].LastFetchedEpoch = current, last
		return ask[*kmsg.FetchResponse](c, req).Topics[0].Partitions[0]
	}
	if got := get(epoch, epoch-1, 3); got.ErrorCode != 0 || got.DivergingEpoch.EndOffset != -1 || len(got.RecordBatches) == 0 {
		t.Errorf("the end of the last epoch: %+v", got)
	}
	if got := get(epoch, epoch-1, 4); got.DivergingEpoch.Epoch != epoch-1 || got.DivergingEpoch.EndOffset != 3 {
		t.Errorf("beyond the end of the last epoch: %+v", got)
	}
	if got := protocol.ErrorCode(get(epoch-1, -1, 0).ErrorCode); got != protocol.CodeFencedLeaderEpoch {
		t.Errorf("an old epoch: %v", got)
	}
	if got := protocol.ErrorCode(get(epoch+1, -1, 0).ErrorCode); got != protocol.CodeUnknownLeaderEpoch {
		t.Errorf("an epoch to come: %v", got)
	}
	end := kmsg.NewPtrOffsetForLeaderEpochRequest()
	end.Version, end.ReplicaID = 4, -1
	topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
	topic.Topic = "t"
	for _, asked := range []int32{epoch - 1, epoch, epoch + 1} {
		p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		p.CurrentLeaderEpoch, p.LeaderEpoch = -1, asked
		topic.Partitions = append(topic.Partitions, p)
	}
	end.Topics = append(end.Topics, topic)
	got := ask[*kmsg.OffsetForLeaderEpochResponse](c, end).Topics[0].Partitions
	for i, want := range []struct {
		epoch int32
		end   int64
	}{{epoch - 1, 3}, {epoch, 4}, {-1, -1}} {
		if got[i].LeaderEpoch != want.epoch || got[i].EndOffset != want.end {
			t.Errorf("epoch %d: got (%d, %d), want %v", epoch-1+int32(i), got[i].LeaderEpoch, got[i].EndOffset, want)
		}
	}
}

// TestFetchLeaves: a client that goes away while parked leaves nothing behind.
func TestFetchLeaves(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	leaver := dial(t, b.Addr())
	req := fetchRequest(11, "t", [16]byte{}, 0, 0)
	req.MaxWaitMillis = 50_000
	leaver.send(req)
	_ = leaver.conn.Close()
	deadline := time.Now().Add(20 * time.Second)
	for b.Stats().RequestsHeld.Load() > 0 {
		if time.Now().After(deadline) {
			t.Fatal("the parked request of a client that is gone is still held")
		}
		c.fetch("t", 0, 0) // a round trip, instead of a sleep
	}
}

package broker_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// adminProduce writes to a topic of the broker's own, as admin tools may.
func adminProduce(t *testing.T, c *rawClient, topic string, records ...recordbatch.Record) {
	t.Helper()
	batch := batchOf(t, plain, recordbatch.CodecNone, records...)
	c.next++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("__admin_client")).
		AppendRequest(nil, produceRequest(9, topic, [16]byte{}, 0, -1, batch), c.next)
	if _, err := c.conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	resp := c.receive(produceRequest(9, topic, [16]byte{}, 0, -1, nil), c.next).(*kmsg.ProduceResponse)
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatal(protocol.ErrorCode(code))
	}
}

func commitKey(group, topic string) []byte {
	k := kmsg.NewOffsetCommitKey()
	k.Version, k.Group, k.Topic = 1, group, topic
	return k.AppendTo(nil)
}

// TestForeignRecordsInOffsetsTopic: whatever is written there, the broker
// starts again and knows the commits; those for a topic that does not exist
// are gone for good.
func TestForeignRecordsInOffsetsTopic(t *testing.T) {
	dir := t.TempDir()
	one := map[string]string{"offsets.topic.num.partitions": "1"}
	b := brokertest.StartIn(t, dir, one)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	if got := commit(c, "g", "t", 0, 5, "m"); got != 0 {
		t.Fatal(got)
	}
	value := kmsg.NewOffsetCommitValue()
	value.Version, value.Offset = 3, 77
	adminProduce(t, c, "__consumer_offsets",
		recordbatch.Record{Timestamp: testTime, Key: []byte{}}, // nothing in it
		recordbatch.Record{Timestamp: testTime, Key: []byte{0}, Value: []byte("v")},
		recordbatch.Record{Timestamp: testTime, Key: []byte{0, 1, 0x7f, 0xff}, Value: []byte("v")},
		recordbatch.Record{Timestamp: testTime, Key: []byte{0, 2, 0, 1}, Value: []byte("group metadata")},
		recordbatch.Record{Timestamp: testTime, Key: []byte{0xff, 0xff, 1}, Value: []byte("v")},
		recordbatch.Record{Timestamp: testTime, Key: commitKey("g", "t"), Value: []byte("cut off")},
		recordbatch.Record{Timestamp: testTime, Key: commitKey("g", "gone"), Value: value.AppendTo(nil)},
	)
	for range 2 {
		stop(t, b)
		b = brokertest.StartIn(t, dir, one)
		c = dial(t, b.Addr())
		if offset, metadata := committed(c, "g", "t", 0); offset != 5 || metadata != "m" {
			t.Errorf("the commit is %d %q", offset, metadata)
		}
		eventually(t, "a topic that does not exist has no offset", func() bool { return committedByName(c, "g", "gone") == -1 })
		if b.Node().Topic("gone") == nil {
			c.createTopic("gone", 1, nil) // and what comes under its name has none either
		}
	}
	stop(t, b)
}

// TestOffsetsTopicOffline: while a partition of it cannot be read, its groups
// hear that they have to wait, not that they have no offsets; the rest of the
// broker serves.
func TestOffsetsTopicOffline(t *testing.T) {
	dir := t.TempDir()
	settings := map[string]string{"offsets.topic.num.partitions": "1", "log.retention.check.interval.ms": "20"}
	b := brokertest.StartIn(t, dir, settings)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	if got := commit(c, "g", "t", 0, 5, ""); got != 0 {
		t.Fatal(got)
	}
	p, err := b.Node().Topic("__consumer_offsets").Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	stop(t, b)
	segments, err := filepath.Glob(filepath.Join(p.Dir(), "*.log"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	good, err := os.ReadFile(segments[0])
	if err == nil {
		err = os.WriteFile(segments[0], good[:8], 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}

	b = brokertest.StartIn(t, dir, settings)
	defer stop(t, b)
	c = dial(t, b.Addr())
	fill(t, c, 1, "t")
	fetchOffset := func(version int16) (top, partition protocol.ErrorCode, offset int64) {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Version, req.Group = version, "g"
		topic := kmsg.NewOffsetFetchRequestTopic()
		topic.Topic, topic.Partitions = "t", []int32{0}
		req.Topics = append(req.Topics, topic)
		resp := ask[*kmsg.OffsetFetchResponse](c, req)
		one := resp.Topics[0].Partitions[0]
		return protocol.ErrorCode(resp.ErrorCode), protocol.ErrorCode(one.ErrorCode), one.Offset
	}
	loading := protocol.CodeCoordinatorLoadInProgress
	if top, one, _ := fetchOffset(5); top != loading || one != loading {
		t.Errorf("fetch the offset: %v, %v", top, one)
	}
	if _, one, _ := fetchOffset(1); one != loading {
		t.Errorf("fetch the offset by version 1: %v", one)
	}
	if got := protocol.ErrorCode(ask[*kmsg.ListGroupsResponse](c, kmsg.NewPtrListGroupsRequest()).ErrorCode); got != loading {
		t.Errorf("list groups: %v", got)
	}
	del := kmsg.NewPtrDeleteGroupsRequest()
	del.Groups = []string{"g"}
	if got := protocol.ErrorCode(ask[*kmsg.DeleteGroupsResponse](c, del).Groups[0].ErrorCode); got != loading {
		t.Errorf("delete the group: %v", got)
	}
	if err := os.WriteFile(segments[0], good, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the group is back", func() bool {
		top, one, offset := fetchOffset(5)
		return top == 0 && one == 0 && offset == 5
	})
}

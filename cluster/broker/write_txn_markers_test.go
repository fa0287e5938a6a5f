package broker_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// txnBatch is a batch of one record within a transaction.
func txnBatch(t *testing.T, id int64, epoch int16, sequence int32, value string) []byte {
	h := plain
	h.ProducerID, h.ProducerEpoch, h.BaseSequence, h.Attributes = id, epoch, sequence, 0x10
	return batchOf(t, h, recordbatch.CodecNone, record("k", value))
}

// begin opens a transaction in partition 0 as its coordinator allows it, which is not there yet.
func begin(t *testing.T, b *broker.Broker, topic string, batch []byte) {
	t.Helper()
	p, err := b.Node().Topic(topic).Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	h, err := recordbatch.ParseHeader(batch)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Propose(partition.Batch{Header: h, Data: batch}, partition.AcksAll).Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// markers is a request for one marker in partition 0 of topics.
func markers(version int16, m kmsg.WriteTxnMarkersRequestMarker, topics ...string) *kmsg.WriteTxnMarkersRequest {
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	req.Version = version
	for _, name := range topics {
		topic := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		topic.Topic, topic.Partitions = name, []int32{0}
		m.Topics = append(m.Topics, topic)
	}
	req.Markers = append(req.Markers, m)
	return req
}

// end ends a transaction in partition 0 and returns the answer.
func (c *rawClient) end(topic string, id int64, epoch int16, coordinatorEpoch int32, commit bool) protocol.ErrorCode {
	c.t.Helper()
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch, m.Committed = id, epoch, coordinatorEpoch, commit
	resp := ask[*kmsg.WriteTxnMarkersResponse](c, markers(1, m, topic))
	return protocol.ErrorCode(resp.Markers[0].Topics[0].Partitions[0].ErrorCode)
}

func (c *rawClient) wantCode(what string, got int16, want protocol.ErrorCode) {
	c.t.Helper()
	if protocol.ErrorCode(got) != want {
		c.t.Errorf("%s: %v, want %v", what, protocol.ErrorCode(got), want)
	}
}

// lists is what ListOffsets says to a reader of an isolation level.
func (c *rawClient) lists(isolation int8, timestamp int64) int64 {
	c.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.IsolationLevel, req.ReplicaID = 7, isolation, -1
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = "t"
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp, p.CurrentLeaderEpoch = timestamp, -1
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	return ask[*kmsg.ListOffsetsResponse](c, req).Topics[0].Partitions[0].Offset
}

// TestTransactionInThePartition goes through one partition's part of transactions: what clients may write, what the
// markers do, and what readers see.
func TestTransactionInThePartition(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	c.wantCode("a transaction that no coordinator knows of", c.produce("t", 0, -1, txnBatch(t, 1, 0, 0, "x")).ErrorCode, protocol.CodeInvalidProducerIDMapping)
	control, err := recordbatch.AppendMarker(nil, recordbatch.Header{ProducerID: 1}, recordbatch.Marker{Commit: true}, testTime)
	if err != nil {
		t.Fatal(err)
	}
	c.wantCode("a marker by a client", c.produce("t", 0, -1, control).ErrorCode, protocol.CodeInvalidRecord)

	begin(t, b, "t", txnBatch(t, 1, 0, 0, "abort 0"))                                          // 0
	begin(t, b, "t", txnBatch(t, 2, 0, 0, "commit 1"))                                         // 1
	c.wantCode("goes on", c.produce("t", 0, -1, txnBatch(t, 1, 0, 1, "abort 2")).ErrorCode, 0) // 2
	outside := plain
	outside.ProducerID, outside.ProducerEpoch, outside.BaseSequence = 1, 0, 2
	c.wantCode("outside of it", c.produce("t", 0, -1, batchOf(t, outside, recordbatch.CodecNone, record("k", "v"))).ErrorCode, protocol.CodeInvalidTxnState)
	c.wantCode("of nobody", c.produce("t", 0, -1, batchOf(t, plain, recordbatch.CodecNone, record("k", "plain 3"))).ErrorCode, 0) // 3
	if stable, high := c.lists(1, -1), c.lists(0, -1); stable != 0 || high != 4 {
		t.Errorf("latest: %d for read_committed, %d for others", stable, high)
	}
	if stable, high := c.lists(1, testTime), c.lists(0, testTime); stable != -1 || high != 0 {
		t.Errorf("by time: %d for read_committed, %d for others", stable, high)
	}
	c.describes(1, 0, -1)

	parked := fetchRequest(11, "t", [16]byte{}, 0, 0)
	parked.IsolationLevel, parked.MaxWaitMillis = 1, 30_000
	waiting := dial(t, b.Addr())
	id := waiting.send(parked)
	c.wantCode("commit of the second", int16(c.end("t", 2, 0, 5, true)), 0) // 4
	if got := c.end("t", 1, 0, 3, false); got != 0 {                        // 5
		t.Fatal(got)
	}
	woken := waiting.receive(parked, id).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if woken.LastStableOffset != 6 || woken.HighWatermark != 6 || len(woken.RecordBatches) == 0 {
		t.Errorf("the parked fetch: %v, last stable offset %d of %d, %d bytes", protocol.ErrorCode(woken.ErrorCode), woken.LastStableOffset, woken.HighWatermark, len(woken.RecordBatches))
	}
	want := []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 1, FirstOffset: 0}}
	if !slices.EqualFunc(woken.AbortedTransactions, want, func(a, b kmsg.FetchResponseTopicPartitionAbortedTransaction) bool {
		return a.ProducerID == b.ProducerID && a.FirstOffset == b.FirstOffset
	}) {
		t.Errorf("aborted: %+v", woken.AbortedTransactions)
	}
	if got := c.fetch("t", 0, 0); got.AbortedTransactions != nil || got.LastStableOffset != 6 {
		t.Errorf("read_uncommitted: aborted %v, last stable offset %d", got.AbortedTransactions, got.LastStableOffset)
	}
	past := fetchRequest(11, "t", [16]byte{}, 0, 4)
	past.IsolationLevel = 1
	if got := ask[*kmsg.FetchResponse](c, past).Topics[0].Partitions[0]; got.AbortedTransactions == nil || len(got.AbortedTransactions) != 1 {
		t.Errorf("amid the aborted one: %v", got.AbortedTransactions)
	}
	c.describes(1, -1, 3)
	reads(t, b, "commit 1", "plain 3")
}

// describes wants what is said of producer 1.
func (c *rawClient) describes(sequence int32, start int64, coordinatorEpoch int32) {
	c.t.Helper()
	req := kmsg.NewPtrDescribeProducersRequest()
	topic := kmsg.NewDescribeProducersRequestTopic()
	topic.Topic, topic.Partitions = "t", []int32{0}
	req.Topics = append(req.Topics, topic)
	for _, p := range ask[*kmsg.DescribeProducersResponse](c, req).Topics[0].Partitions[0].ActiveProducers {
		if p.ProducerID != 1 {
			continue
		}
		if p.LastSequence != sequence || p.CurrentTxnStartOffset != start || p.CoordinatorEpoch != coordinatorEpoch {
			c.t.Errorf("described as %+v", p)
		}
		return
	}
	c.t.Error("producer 1 is not known")
}

// reads wants what a consumer at read_committed is given.
func reads(t *testing.T, b *broker.Broker, want ...string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics("t"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var got []string
	for len(got) < len(want) {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	if !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
}

// TestMarkerRefusals: each bad marker gets its code.
func TestMarkerRefusals(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	begin(t, b, "t", txnBatch(t, 1, 4, 0, "x"))
	if got := c.end("t", 1, 3, 0, true); got != protocol.CodeInvalidProducerEpoch {
		t.Errorf("an older epoch: %v", got)
	}
	late := kmsg.NewWriteTxnMarkersRequestMarker()
	late.ProducerID, late.ProducerEpoch, late.TransactionVersion = 1, 4, 2
	resp := ask[*kmsg.WriteTxnMarkersResponse](c, markers(2, late, "t", "nope"))
	topics := resp.Markers[0].Topics
	c.wantCode("a late one of the second version", topics[0].Partitions[0].ErrorCode, protocol.CodeInvalidProducerEpoch)
	c.wantCode("no such topic", topics[1].Partitions[0].ErrorCode, protocol.CodeUnknownTopicOrPartition)
	if got := c.end("t", 1, 5, 9, false); got != 0 {
		t.Errorf("a later epoch: %v", got)
	}
	if got := c.end("t", 1, 5, 8, false); got != protocol.CodeTransactionCoordinatorFenced {
		t.Errorf("an older coordinator: %v", got)
	}
	for _, bad := range [][2]int64{{-1, 0}, {1, -1}} {
		if got := c.end("t", bad[0], int16(bad[1]), 9, false); got != protocol.CodeInvalidRequest {
			t.Errorf("producer %d of epoch %d: %v", bad[0], bad[1], got)
		}
	}
	c.wantCode("the fenced producer", c.produce("t", 0, -1, txnBatch(t, 1, 4, 1, "y")).ErrorCode, protocol.CodeInvalidProducerIDMapping)
}

// TestMarkersInInternalTopics: clients may not write there, markers may.
func TestMarkersInInternalTopics(t *testing.T) {
	b := brokertest.Start(t, map[string]string{"offsets.topic.num.partitions": "1"})
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	if got := commit(c, "g", "t", 0, 5, ""); got != 0 { // makes the topic
		t.Fatal(got)
	}
	if got := c.end("__consumer_offsets", 1, 0, 0, true); got != 0 {
		t.Error(got)
	}
}

// TestReadCommittedWhileWriting: a consumer that reads beside writers of many transactions is given those that were
// committed, each whole and in order, and nothing else.
func TestReadCommittedWhileWriting(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	var want []string
	for i := range 60 {
		id, abort := int64(i%3), i%4 == 1
		for j := range 3 {
			value := fmt.Sprintf("%d.%d", i, j)
			batch := txnBatch(t, id, int16(i), int32(j), value)
			if j == 0 {
				begin(t, b, "t", batch)
			} else {
				c.wantCode(value, c.produce("t", 0, -1, batch).ErrorCode, 0)
			}
			if !abort {
				want = append(want, value)
			}
		}
		if got := c.end("t", id, int16(i), 0, !abort); got != 0 {
			t.Fatal(got)
		}
	}
	reads(t, b, want...)
}

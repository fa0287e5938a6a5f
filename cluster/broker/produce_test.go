package broker_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// TestProduceEveryVersion sends a batch in every served version and reads it
// back in every served version of Fetch: the bytes are those sent but for base
// offset and leader epoch.
func TestProduceEveryVersion(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	id := c.createTopic("t", 1, nil)
	produce, _ := protocol.Lookup(protocol.KeyProduce)
	fetch, _ := protocol.Lookup(protocol.KeyFetch)
	offset := int64(0)
	var sent [][]byte
	for version := produce.Floor; version <= produce.Max; version++ {
		batch := batchOf(t, plain, recordbatch.CodecNone, record("k", "v"), record("k", "w"))
		resp := ask[*kmsg.ProduceResponse](c, produceRequest(version, "t", id, 0, -1, batch))
		p := resp.Topics[0].Partitions[0]
		if p.ErrorCode != 0 || p.BaseOffset != offset || p.LogAppendTime != -1 {
			t.Fatalf("version %d: %v at offset %d, append time %d", version, protocol.ErrorCode(p.ErrorCode), p.BaseOffset, p.LogAppendTime)
		}
		sent = append(sent, batch)
		offset += 2
	}
	for version := fetch.Floor; version <= fetch.Max; version++ {
		resp := ask[*kmsg.FetchResponse](c, fetchRequest(version, "t", id, 0, 0))
		p := resp.Topics[0].Partitions[0]
		if p.ErrorCode != 0 || p.HighWatermark != offset || p.LastStableOffset != offset {
			t.Fatalf("version %d: %v, high watermark %d, want %d", version, protocol.ErrorCode(p.ErrorCode), p.HighWatermark, offset)
		}
		got := p.RecordBatches
		for i, want := range sent {
			h, err := recordbatch.ParseHeader(got)
			if err != nil {
				t.Fatal(err)
			}
			if h.BaseOffset != int64(2*i) {
				t.Fatalf("batch %d has base offset %d", i, h.BaseOffset)
			}
			if err := recordbatch.VerifyChecksum(got[:h.SizeBytes()]); err != nil || !bytes.Equal(got[16:h.SizeBytes()], want[16:]) {
				t.Fatalf("version %d: batch %d is not what was sent (%v)", version, i, err)
			}
			got = got[h.SizeBytes():]
		}
		if len(got) != 0 {
			t.Fatalf("version %d: %d bytes more than were sent", version, len(got))
		}
	}
}

// TestProduceRefuses: each bad batch gets its code, and none leaves a record.
func TestProduceRefuses(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, map[string]string{"max.message.bytes": "1000"})
	c.createTopic("compacted", 1, map[string]string{"cleanup.policy": "compact"})
	good := func() []byte { return batchOf(t, plain, recordbatch.CodecNone, record("k", "v")) }
	bad := func(change func(b []byte) []byte) []byte { return change(good()) }
	sequenced := plain
	sequenced.ProducerID, sequenced.ProducerEpoch = 5, 0
	for _, x := range []struct {
		name      string
		topic     string
		partition int32
		acks      int16
		batch     []byte
		want      protocol.ErrorCode
	}{
		{"unknown topic", "nope", 0, -1, good(), protocol.CodeUnknownTopicOrPartition},
		{"unknown partition", "t", 1, -1, good(), protocol.CodeUnknownTopicOrPartition},
		{"negative partition", "t", -1, -1, good(), protocol.CodeUnknownTopicOrPartition},
		{"acks", "t", 0, 2, good(), protocol.CodeInvalidRequiredAcks},
		{"null records", "t", 0, -1, nil, protocol.CodeInvalidRecord},
		{"empty records", "t", 0, -1, []byte{}, protocol.CodeInvalidRecord},
		{"two batches", "t", 0, -1, append(good(), good()...), protocol.CodeInvalidRecord},
		{"magic 1", "t", 0, -1, bad(func(b []byte) []byte { b[16] = 1; return b }), protocol.CodeInvalidRecord},
		{"checksum", "t", 0, -1, bad(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), protocol.CodeCorruptMessage},
		{"too large", "t", 0, -1, batchOf(t, plain, recordbatch.CodecNone, record("k", string(make([]byte, 1000)))), protocol.CodeMessageTooLarge},
		{"no key where one is needed", "compacted", 0, -1, batchOf(t, plain, recordbatch.CodecNone, recordbatch.Record{Timestamp: testTime}), protocol.CodeInvalidRecord},
		{"producer id without a sequence", "t", 0, -1, batchOf(t, sequenced, recordbatch.CodecNone, record("k", "v")), protocol.CodeInvalidRecord},
	} {
		t.Run(x.name, func(t *testing.T) {
			got := dial(t, b.Addr()).produce(x.topic, x.partition, x.acks, x.batch)
			if protocol.ErrorCode(got.ErrorCode) != x.want {
				t.Errorf("got %v, want %v", protocol.ErrorCode(got.ErrorCode), x.want)
			}
			if got.BaseOffset != -1 {
				t.Errorf("a refused batch has base offset %d", got.BaseOffset)
			}
		})
	}
	if high := c.fetch("t", 0, 0).HighWatermark; high != 0 {
		t.Errorf("%d records were stored", high)
	}
}

// TestProduceRecordErrors: v8+ names the records that were refused (KIP-467).
func TestProduceRecordErrors(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("compacted", 1, map[string]string{"cleanup.policy": "compact"})
	p := c.produce("compacted", 0, -1, batchOf(t, plain, recordbatch.CodecNone,
		record("k", "v"), recordbatch.Record{Timestamp: testTime}, record("k", "v")))
	if len(p.ErrorRecords) != 1 || p.ErrorRecords[0].RelativeOffset != 1 || p.ErrorMessage == nil {
		t.Errorf("got %+v, want record 1 named", p)
	}
}

// TestProduceAcksZero: silence, then the records; and an error ends the
// connection, the only way to say it.
func TestProduceAcksZero(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	c.send(produceRequest(9, "t", [16]byte{}, 0, 0, batchOf(t, plain, recordbatch.CodecNone, record("k", "v"))))
	req := fetchRequest(11, "t", [16]byte{}, 0, 0)
	req.MaxWaitMillis = 10_000
	if got := ask[*kmsg.FetchResponse](c, req).Topics[0].Partitions[0]; len(got.RecordBatches) == 0 {
		t.Error("the record of an acks=0 produce cannot be read")
	}
	c.send(produceRequest(9, "nope", [16]byte{}, 0, 0, batchOf(t, plain, recordbatch.CodecNone, record("k", "v"))))
	c.closed()
}

// TestProduceOldVersion: 0-2 are advertised, for old librdkafka's sake, and a
// request in one of them ends the connection.
func TestProduceOldVersion(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.send(produceRequest(2, "t", [16]byte{}, 0, -1, nil))
	c.closed()
}

// TestProduceIdempotent: a retry gets the original's offset, a gap is refused,
// and both hold after a restart (KIP-98).
func TestProduceIdempotent(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	init := ask[*kmsg.InitProducerIDResponse](c, initProducerID())
	if init.ErrorCode != 0 || init.ProducerEpoch != 0 {
		t.Fatalf("init producer id: %+v", init)
	}
	batch := func(sequence int32) []byte {
		h := plain
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = init.ProducerID, 0, sequence
		return batchOf(t, h, recordbatch.CodecNone, record("k", "a"), record("k", "b"))
	}
	check := func(c *rawClient, sequence int32, want protocol.ErrorCode, offset int64) {
		t.Helper()
		got := c.produce("t", 0, -1, batch(sequence))
		if protocol.ErrorCode(got.ErrorCode) != want || got.BaseOffset != offset {
			t.Errorf("sequence %d: got %v at %d, want %v at %d", sequence, protocol.ErrorCode(got.ErrorCode), got.BaseOffset, want, offset)
		}
	}
	check(c, 2, protocol.CodeOutOfOrderSequenceNumber, -1) // the first one is still to come
	check(c, 0, protocol.CodeNone, 0)
	check(c, 2, protocol.CodeNone, 2)
	check(c, 0, protocol.CodeNone, 0)
	check(c, 6, protocol.CodeOutOfOrderSequenceNumber, -1)
	stop(t, b)

	b = brokertest.StartIn(t, dir, nil)
	defer stop(t, b)
	c = dial(t, b.Addr())
	check(c, 2, protocol.CodeNone, 2)
	check(c, 6, protocol.CodeOutOfOrderSequenceNumber, -1)
	check(c, 4, protocol.CodeNone, 4)
	if again := ask[*kmsg.InitProducerIDResponse](c, initProducerID()); again.ProducerID <= init.ProducerID {
		t.Errorf("producer id %d was given before", again.ProducerID)
	}
	if high := c.fetch("t", 0, 0).HighWatermark; high != 6 {
		t.Errorf("high watermark %d, want 6", high)
	}
}

func initProducerID() *kmsg.InitProducerIDRequest {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.ProducerID, req.ProducerEpoch = 4, -1, -1
	return req
}

// TestProduceTopicRules: append time and compression.type are the topic's.
func TestProduceTopicRules(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("stamped", 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	p := c.produce("stamped", 0, -1, batchOf(t, plain, recordbatch.CodecNone, record("k", "v")))
	if p.LogAppendTime <= testTime {
		t.Errorf("append time %d", p.LogAppendTime)
	}
	got := c.fetch("stamped", 0, 0).RecordBatches
	h, err := recordbatch.ParseHeader(got)
	if err != nil || !h.LogAppendTime() || h.MaxTimestamp != p.LogAppendTime || recordbatch.VerifyChecksum(got) != nil {
		t.Errorf("stored header %+v, %v", h, err)
	}
	id := ask[*kmsg.InitProducerIDResponse](c, initProducerID()).ProducerID
	send := func(first int32) kmsg.ProduceResponseTopicPartition {
		t.Helper()
		return c.produce("stamped", 0, -1, batchOf(t, recordbatch.Header{ProducerID: id, BaseSequence: first}, recordbatch.CodecNone, record("k", "v")))
	}
	for sequence := range int32(2) {
		original := send(sequence)
		for time.Now().UnixMilli() <= original.LogAppendTime { // the broker's clock
			runtime.Gosched()
		}
		if again := send(sequence); again.BaseOffset != original.BaseOffset || again.LogAppendTime != original.LogAppendTime {
			t.Errorf("the retry was answered with offset %d and append time %d, the original with %d and %d",
				again.BaseOffset, again.LogAppendTime, original.BaseOffset, original.LogAppendTime)
		}
	}

	c.createTopic("zipped", 1, map[string]string{"compression.type": "zstd"})
	c.produce("zipped", 0, -1, batchOf(t, plain, recordbatch.CodecGzip, record("k", "v"), record("l", "w")))
	got = c.fetch("zipped", 0, 0).RecordBatches
	if h, err = recordbatch.ParseHeader(got); err != nil || h.Codec() != recordbatch.CodecZstd || h.RecordCount != 2 {
		t.Errorf("stored header %+v, %v", h, err)
	}
	old := fetchRequest(9, "zipped", [16]byte{}, 0, 0)
	if code := ask[*kmsg.FetchResponse](c, old).Topics[0].Partitions[0].ErrorCode; protocol.ErrorCode(code) != protocol.CodeUnsupportedCompressionType {
		t.Errorf("zstd to a client below Fetch 10: %v", protocol.ErrorCode(code))
	}
}

// TestProduceUnansweredInPart: without acks an error ends the connection, and the batches
// beside it keep their bytes until they are written.
func TestProduceUnansweredInPart(t *testing.T) {
	b := brokertest.Start(t, nil)
	admin := dial(t, b.Addr())
	id := admin.createTopic("t", 1, nil)
	value := strings.Repeat("v", 100_000)
	for i := range int64(10) {
		c := dial(t, b.Addr())
		req := produceRequest(9, "t", id, 0, 0, batchOf(t, plain, recordbatch.CodecNone, record("k", value)))
		unknown := kmsg.NewProduceRequestTopicPartition()
		unknown.Partition, unknown.Records = 9, []byte{}
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, unknown)
		c.send(req)
		c.closed()
		brokertest.Eventually(t, "the batch is committed", func() bool { return admin.fetch("t", 0, 0).HighWatermark == i+1 })
	}
	if n := len(offsets(t, admin.fetch("t", 0, 0).RecordBatches)); n == 0 {
		t.Error("the records cannot be read")
	}
}

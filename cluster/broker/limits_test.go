package broker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// Each limit that is a configuration value: at it, and one more.

// TestRequestMaxBytes counts the frame without its size prefix.
func TestRequestMaxBytes(t *testing.T) {
	const limit = 4096
	v := newVictim(t, map[string]string{"socket.request.max.bytes": strconv.Itoa(limit), "message.max.bytes": "2000"})
	padded := func(size int) []byte {
		b := append(header(protocol.KeyMetadata, 8), 0, 0, 0, 0, 0, 0, 0) // no topics, and what follows is let pass
		return framed(b, make([]byte, size-len(b)))
	}
	if answer := v.sendAndRead(padded(limit)); len(answer) == 0 {
		t.Error("at the limit: closed")
	}
	if answer := v.sendAndRead(padded(limit + 1)); len(answer) != 0 {
		t.Error("one more: answered")
	}
	v.recovered()
}

// served says whether a new connection is.
func served(t *testing.T, addr string) (net.Conn, bool) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write(frameOf(kmsg.NewPtrApiVersionsRequest(), 1)); err != nil {
		return conn, false
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return conn, false
	}
	_, err = io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(size[:])))
	return conn, err == nil
}

func TestMaxConnections(t *testing.T) {
	for _, key := range []string{"max.connections", "max.connections.per.ip"} {
		t.Run(key, func(t *testing.T) {
			b := brokertest.Start(t, map[string]string{key: "3"})
			admin, ok := served(t, b.Addr())
			for range 2 {
				_, more := served(t, b.Addr())
				ok = ok && more
			}
			if !ok {
				t.Fatal("a connection within the limit was refused")
			}
			if _, ok := served(t, b.Addr()); ok {
				t.Error("one more was served")
			}
			// It is a dynamic value: raised, it is in force without a restart.
			req := kmsg.NewPtrIncrementalAlterConfigsRequest()
			r := kmsg.NewIncrementalAlterConfigsRequestResource()
			r.ResourceType = kmsg.ConfigResourceTypeBroker
			cfg := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			cfg.Name, cfg.Value = key, kmsg.StringPtr("4")
			r.Configs = append(r.Configs, cfg)
			req.Resources = append(req.Resources, r)
			c := &rawClient{t: t, conn: admin}
			if code := ask[*kmsg.IncrementalAlterConfigsResponse](c, req).Resources[0].ErrorCode; code != 0 {
				t.Fatal(protocol.ErrorCode(code))
			}
			if _, ok := served(t, b.Addr()); !ok {
				t.Error("the raised limit is not in force")
			}
			if _, ok := served(t, b.Addr()); ok {
				t.Error("one more than the raised limit was served")
			}
		})
	}
}

func TestMaxMessageBytes(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	batch := batchOf(t, plain, recordbatch.CodecNone, record("k", "value"))
	size := len(batch)
	c.createTopic("fits", 1, map[string]string{"max.message.bytes": strconv.Itoa(size)})
	c.createTopic("tight", 1, map[string]string{"max.message.bytes": strconv.Itoa(size - 1)})
	c.createTopic("none", 1, map[string]string{"max.message.bytes": "0"})
	c.createTopic("segment", 1, map[string]string{"segment.bytes": strconv.Itoa(size - 1)})
	for topic, want := range map[string]protocol.ErrorCode{
		"fits": protocol.CodeNone, "tight": protocol.CodeMessageTooLarge, "none": protocol.CodeMessageTooLarge, "segment": protocol.CodeRecordListTooLarge,
	} {
		if got := protocol.ErrorCode(c.produce(topic, 0, -1, bytes.Clone(batch)).ErrorCode); got != want {
			t.Errorf("%s: %v, want %v", topic, got, want)
		}
	}
	// What is stored keeps to the limit when the topic changes the codec.
	c.createTopic("plain", 1, map[string]string{"max.message.bytes": "2000", "compression.type": "uncompressed"})
	for value, want := range map[int]protocol.ErrorCode{1000: protocol.CodeNone, 5000: protocol.CodeMessageTooLarge} {
		packed := batchOf(t, plain, recordbatch.CodecZstd, recordbatch.Record{Timestamp: testTime, Value: make([]byte, value)})
		if got := protocol.ErrorCode(c.produce("plain", 0, -1, packed).ErrorCode); got != want {
			t.Errorf("%d bytes when decompressed: %v, want %v", value, got, want)
		}
	}
}

func TestOffsetLimits(t *testing.T) {
	b := brokertest.Start(t, map[string]string{"offset.metadata.max.bytes": "100000"})
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	for _, x := range []struct {
		name            string
		group, metadata int // bytes
		want            protocol.ErrorCode
	}{
		{"a name at its limit", 255, 0, protocol.CodeNone},
		{"one more", 256, 0, protocol.CodeInvalidGroupID},
		{"a name that its record could not hold", 70_000, 0, protocol.CodeInvalidGroupID},
		{"metadata at what a record can hold", 1, 32767, protocol.CodeNone},
		{"one more than that", 1, 32768, protocol.CodeOffsetMetadataTooLarge},
	} {
		group, metadata := strings.Repeat("g", x.group), strings.Repeat("m", x.metadata)
		if got := commit(c, group, "t", 0, 7, metadata); got != x.want {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
			continue
		}
		if x.want != protocol.CodeNone {
			continue
		}
		if offset, stored := committed(c, group, "t", 0); offset != 7 || stored != metadata {
			t.Errorf("%s: got offset %d and %d bytes", x.name, offset, len(stored))
		}
	}
	small := brokertest.Start(t, map[string]string{"offset.metadata.max.bytes": "10"})
	c = dial(t, small.Addr())
	c.createTopic("t", 1, nil)
	if got := commit(c, "g", "t", 0, 1, "0123456789"); got != protocol.CodeNone {
		t.Errorf("metadata at the limit: %v", got)
	}
	if got := commit(c, "g", "t", 0, 1, "0123456789x"); got != protocol.CodeOffsetMetadataTooLarge {
		t.Errorf("one more byte: %v", got)
	}
}

// TestFetchMaxBytes: the broker's limit holds whatever the client asks for,
// but for a first batch that is larger.
func TestFetchMaxBytes(t *testing.T) {
	b := brokertest.Start(t, map[string]string{"fetch.max.bytes": "1024"})
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	batch := batchOf(t, plain, recordbatch.CodecNone, recordbatch.Record{Timestamp: testTime, Value: make([]byte, 512-61-14)})
	for range 4 {
		if p := c.produce("t", 0, -1, bytes.Clone(batch)); p.ErrorCode != 0 {
			t.Fatal(protocol.ErrorCode(p.ErrorCode))
		}
	}
	if got, want := len(c.fetch("t", 0, 0).RecordBatches), 1024/len(batch)*len(batch); got != want {
		t.Errorf("batches of %d bytes: got %d, want %d", len(batch), got, want)
	}
	large := batchOf(t, plain, recordbatch.CodecNone, recordbatch.Record{Timestamp: testTime, Value: make([]byte, 5000)})
	p := c.produce("t", 0, -1, large)
	if got := len(c.fetch("t", 0, p.BaseOffset).RecordBatches); got != len(large) {
		t.Errorf("a larger batch comes first: got %d bytes of %d", got, len(large))
	}
}

func TestMaxPartitions(t *testing.T) {
	b := brokertest.Start(t, map[string]string{"max.partitions": "5", "auto.create.topics.enable": "true"})
	c := dial(t, b.Addr())
	c.createTopic("a", 5, nil)
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version, create.TimeoutMillis = 5, 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "b", 1, 1
	create.Topics = append(create.Topics, topic)
	if got := protocol.ErrorCode(ask[*kmsg.CreateTopicsResponse](c, create).Topics[0].ErrorCode); got != protocol.CodePolicyViolation {
		t.Errorf("one more topic: %v", got)
	}
	meta := kmsg.NewPtrMetadataRequest()
	meta.Version, meta.AllowAutoTopicCreation = 9, true
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = kmsg.StringPtr("c")
	meta.Topics = append(meta.Topics, asked)
	if got := protocol.ErrorCode(ask[*kmsg.MetadataResponse](c, meta).Topics[0].ErrorCode); got != protocol.CodePolicyViolation {
		t.Errorf("one by asking for it: %v", got)
	}
	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.TimeoutMillis = 10_000
	more := kmsg.NewCreatePartitionsRequestTopic()
	more.Topic, more.Count = "a", 6
	grow.Topics = append(grow.Topics, more)
	if got := protocol.ErrorCode(ask[*kmsg.CreatePartitionsResponse](c, grow).Topics[0].ErrorCode); got != protocol.CodePolicyViolation {
		t.Errorf("one more partition: %v", got)
	}
}

// TestProducerIDsPerPartition: the one that was silent longest makes room.
func TestProducerIDsPerPartition(t *testing.T) {
	b := brokertest.Start(t, map[string]string{"max.producer.ids.per.partition": "3"})
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	for id := range int64(4) {
		h := plain
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = id, 0, 0
		if p := c.produce("t", 0, -1, batchOf(t, h, recordbatch.CodecNone, record("k", "v"))); p.ErrorCode != 0 {
			t.Fatal(protocol.ErrorCode(p.ErrorCode))
		}
	}
	req := kmsg.NewPtrDescribeProducersRequest()
	topic := kmsg.NewDescribeProducersRequestTopic()
	topic.Topic, topic.Partitions = "t", []int32{0}
	req.Topics = append(req.Topics, topic)
	var ids []int64
	for _, p := range ask[*kmsg.DescribeProducersResponse](c, req).Topics[0].Partitions[0].ActiveProducers {
		ids = append(ids, p.ProducerID)
	}
	if got := fmt.Sprint(ids); got != "[1 2 3]" {
		t.Errorf("remembered are %s", got)
	}
}

// TestQueuedMaxRequestBytes: requests that arrive together hold no more memory
// than the limit and one request, and are all served in the end.
func TestQueuedMaxRequestBytes(t *testing.T) {
	const limit = 1 << 20
	v := newVictim(t, map[string]string{"queued.max.request.bytes": strconv.Itoa(limit)})
	v.healthy.createTopic("t", 1, nil)
	batch := batchOf(t, plain, recordbatch.CodecNone, recordbatch.Record{Timestamp: testTime, Value: make([]byte, 900<<10)})
	var conns []net.Conn
	frame := frameOf(produceRequest(9, "t", [16]byte{}, 0, -1, batch), 1)
	for range 6 {
		conn := v.attack()
		if _, err := conn.Write(frame[:len(frame)-1]); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	v.eventually("the limit is reached", func() bool { return v.b.Stats().InFlightBytes.Load() > limit/2 })
	for _, conn := range conns {
		if got := v.b.Stats().InFlightBytes.Load(); got > limit+int64(2*len(frame)) {
			t.Errorf("%d bytes are held", got)
		}
		if _, err := conn.Write(frame[len(frame)-1:]); err != nil {
			t.Fatal(err)
		}
	}
	for i, conn := range conns {
		if _, err := io.ReadFull(conn, make([]byte, 8)); err != nil {
			t.Errorf("request %d is not answered: %v", i, err)
		}
		_ = conn.Close()
	}
	v.fds += openFilesPerPartition
	v.recovered()
}

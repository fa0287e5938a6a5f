package broker_test

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// rawClient speaks frames: what a test wants on the wire is what it gets.
type rawClient struct {
	t    testing.TB
	conn net.Conn
	next int32
}

func dial(t testing.TB, addr string) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	dialed.Store(conn, addr)
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil { // a hang fails the test
		t.Fatal(err)
	}
	return &rawClient{t: t, conn: conn}
}

// dialed holds what dial has opened, with the address.
var dialed sync.Map

// stop ends a broker in order, its clients first: for those that stay it would
// linger.
func stop(t testing.TB, b *broker.Broker) {
	t.Helper()
	dialed.Range(func(conn, addr any) bool {
		if addr == b.Addr() {
			_ = conn.(net.Conn).Close()
			dialed.Delete(conn)
		}
		return true
	})
	brokertest.Stop(t, b)
}

// send writes a request and returns its correlation id.
func (c *rawClient) send(req kmsg.Request) int32 {
	c.t.Helper()
	c.next++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw")).AppendRequest(nil, req, c.next)
	if _, err := c.conn.Write(frame); err != nil {
		c.t.Fatal(err)
	}
	return c.next
}

// receive reads the response to req, which must be the next on the wire.
func (c *rawClient) receive(req kmsg.Request, id int32) kmsg.Response {
	c.t.Helper()
	frame := c.frame()
	if got := int32(binary.BigEndian.Uint32(frame)); got != id {
		c.t.Fatalf("got the answer to request %d, want %d", got, id)
	}
	body := frame[4:]
	resp := req.ResponseKind()
	if resp.IsFlexible() && req.Key() != protocol.KeyApiVersions {
		body = body[1:] // no tags
	}
	if err := resp.ReadFrom(body); err != nil {
		c.t.Fatalf("%T version %d does not decode: %v", resp, resp.GetVersion(), err)
	}
	return resp
}

func (c *rawClient) frame() []byte {
	c.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(c.conn, size[:]); err != nil {
		c.t.Fatalf("read a response: %v", err)
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.conn, frame); err != nil {
		c.t.Fatalf("read a response: %v", err)
	}
	return frame
}

// closed fails unless the broker ends the connection without another byte.
func (c *rawClient) closed() {
	c.t.Helper()
	if n, err := c.conn.Read(make([]byte, 1)); err == nil || n != 0 {
		c.t.Fatal("the broker answered; it should have closed the connection")
	}
}

// ask sends and receives.
func ask[R kmsg.Response](c *rawClient, req kmsg.Request) R {
	c.t.Helper()
	return c.receive(req, c.send(req)).(R)
}

// record makes a record with a key and a value, at a fixed time.
func record(key, value string) recordbatch.Record {
	return recordbatch.Record{Timestamp: testTime, Key: []byte(key), Value: []byte(value)}
}

const testTime = 1_700_000_000_000 // unix ms

// plain is a header of a batch without a producer.
var plain = recordbatch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, PartitionLeaderEpoch: -1}

func batchOf(t testing.TB, h recordbatch.Header, codec recordbatch.Codec, records ...recordbatch.Record) []byte {
	t.Helper()
	b, err := recordbatch.AppendBatch(nil, h, codec, records)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func produceRequest(version int16, topic string, id [16]byte, partition int32, acks int16, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, acks, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = topic, id
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// produce sends one batch, for some transactional id, and returns the answer for its partition.
func (c *rawClient) produce(topic string, partition int32, acks int16, records []byte) kmsg.ProduceResponseTopicPartition {
	c.t.Helper()
	req := produceRequest(9, topic, [16]byte{}, partition, acks, records)
	req.TransactionID = kmsg.StringPtr("id")
	return ask[*kmsg.ProduceResponse](c, req).Topics[0].Partitions[0]
}

func fetchRequest(version int16, topic string, id [16]byte, partition int32, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MinBytes, req.MaxBytes, req.SessionEpoch = version, 1, 1<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic, id
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	p.CurrentLeaderEpoch, p.LastFetchedEpoch = -1, -1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// fetch asks once, without waiting.
func (c *rawClient) fetch(topic string, partition int32, offset int64) kmsg.FetchResponseTopicPartition {
	c.t.Helper()
	return ask[*kmsg.FetchResponse](c, fetchRequest(11, topic, [16]byte{}, partition, offset)).Topics[0].Partitions[0]
}

// createTopic makes a topic and returns its id.
func (c *rawClient) createTopic(name string, partitions int32, configs map[string]string) [16]byte {
	c.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 7, 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, -1
	for k, v := range configs {
		cfg := kmsg.NewCreateTopicsRequestTopicConfig()
		cfg.Name, cfg.Value = k, kmsg.StringPtr(v)
		topic.Configs = append(topic.Configs, cfg)
	}
	req.Topics = append(req.Topics, topic)
	made := ask[*kmsg.CreateTopicsResponse](c, req).Topics[0]
	if made.ErrorCode != 0 {
		c.t.Fatalf("create topic %s: %v", name, protocol.ErrorCode(made.ErrorCode))
	}
	return made.TopicID
}

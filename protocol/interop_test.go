package protocol_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"weir/protocol"
	"weir/protocol/recordbatch"
)

// loopback is the least broker that franz-go produces to and consumes from: one
// topic with one partition in memory, all messages by this package.
type loopback struct {
	t     *testing.T
	ln    net.Listener
	conns sync.WaitGroup

	mu      sync.Mutex
	log     []byte // batches in order
	next    int64  // offset of the next record
	refused []error
}

const topicName = "loopback"

var topicID = [16]byte{15: 1}

func newLoopback(t *testing.T) *loopback {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &loopback{t: t, ln: ln}
	l.conns.Add(1)
	go func() {
		defer l.conns.Done()
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			l.conns.Add(1)
			go l.serve(conn)
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		l.conns.Wait()
		for _, err := range l.refused {
			t.Error(err)
		}
	})
	return l
}

func (l *loopback) serve(conn net.Conn) {
	defer l.conns.Done()
	defer conn.Close()
	for {
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		out, err := l.answer(frame)
		if err != nil {
			l.mu.Lock()
			l.refused = append(l.refused, err)
			l.mu.Unlock()
			return
		}
		binary.BigEndian.PutUint32(size[:], uint32(len(out)))
		if _, err := conn.Write(append(size[:], out...)); err != nil {
			return
		}
	}
}

func (l *loopback) answer(frame []byte) ([]byte, error) {
	h, body, err := protocol.ParseRequestHeader(frame)
	if err != nil {
		return nil, err
	}
	req, err := protocol.DecodeRequest(h, body)
	if err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(h.Version)
	switch req := req.(type) {
	case *kmsg.ApiVersionsRequest:
		for _, api := range protocol.APIs() {
			resp := resp.(*kmsg.ApiVersionsResponse)
			resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{
				ApiKey: api.Key, MinVersion: api.Min, MaxVersion: api.Max,
			})
		}
	case *kmsg.MetadataRequest:
		l.metadata(resp.(*kmsg.MetadataResponse))
	case *kmsg.InitProducerIDRequest:
		resp.(*kmsg.InitProducerIDResponse).ProducerID = 1
	case *kmsg.ProduceRequest:
		if err := l.produce(req, resp.(*kmsg.ProduceResponse)); err != nil {
			return nil, err
		}
	case *kmsg.ListOffsetsRequest:
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = topicName
		topic.Partitions = []kmsg.ListOffsetsResponseTopicPartition{kmsg.NewListOffsetsResponseTopicPartition()}
		topic.Partitions[0].Offset = 0
		resp.(*kmsg.ListOffsetsResponse).Topics = []kmsg.ListOffsetsResponseTopic{topic}
	case *kmsg.FetchRequest:
		return l.fetch(h, req), nil
	default:
		return nil, fmt.Errorf("no answer to key %d", h.Key)
	}
	return protocol.AppendResponse(nil, h, resp), nil
}

func (l *loopback) metadata(resp *kmsg.MetadataResponse) {
	addr := l.ln.Addr().(*net.TCPAddr)
	broker := kmsg.NewMetadataResponseBroker()
	broker.NodeID, broker.Host, broker.Port = 1, addr.IP.String(), int32(addr.Port)
	partition := kmsg.NewMetadataResponseTopicPartition()
	partition.Leader, partition.LeaderEpoch = 1, 0
	partition.Replicas, partition.ISR = []int32{1}, []int32{1}
	topic := kmsg.NewMetadataResponseTopic()
	topic.Topic, topic.TopicID = kmsg.StringPtr(topicName), topicID
	topic.Partitions = []kmsg.MetadataResponseTopicPartition{partition}
	resp.ControllerID = 1
	resp.Brokers = []kmsg.MetadataResponseBroker{broker}
	resp.Topics = []kmsg.MetadataResponseTopic{topic}
}

func (l *loopback) produce(req *kmsg.ProduceRequest, resp *kmsg.ProduceResponse) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range req.Topics {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			h, err := recordbatch.Validate(p.Records, recordbatch.Rules{RefuseZstd: req.Version < 7})
			if err != nil {
				return fmt.Errorf("batch of franz-go: %w", err)
			}
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.Partition, partition.BaseOffset = p.Partition, l.next
			topic.Partitions = append(topic.Partitions, partition)
			recordbatch.SetBaseOffset(p.Records, l.next)
			recordbatch.SetPartitionLeaderEpoch(p.Records, 0)
			l.next += int64(h.RecordCount)
			l.log = append(l.log, p.Records...)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return nil
}

// fetch answers with the batches from the one that holds the offset on.
func (l *loopback) fetch(h protocol.RequestHeader, req *kmsg.FetchRequest) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	var e protocol.FetchEncoder
	e.Begin(h, protocol.FetchResponseHead{Topics: len(req.Topics)})
	var ranges [][]byte
	for _, t := range req.Topics {
		e.Topic(t.Topic, t.TopicID, len(t.Partitions))
		for _, p := range t.Partitions {
			records := l.from(p.FetchOffset)
			if len(records) > 0 {
				ranges = append(ranges, records)
			}
			e.Partition(protocol.FetchPartition{
				Partition: p.Partition, HighWatermark: l.next, LastStableOffset: l.next,
				PreferredReadReplica: -1, RecordsBytes: len(records),
			})
		}
	}
	var out []byte
	for i, segment := range e.Finish(nil) {
		out = append(out, segment...)
		if i < len(ranges) {
			out = append(out, ranges[i]...)
		}
	}
	return out
}

func (l *loopback) from(offset int64) []byte {
	rest := l.log
	for len(rest) > 0 {
		h, err := recordbatch.ParseHeader(rest)
		if err != nil || h.NextOffset() > offset {
			return rest
		}
		rest = rest[h.SizeBytes():]
	}
	return nil
}

// franz-go, held at versions old and new, produces with every codec and reads
// back what it produced.
func TestFranzGoProducesAndConsumes(t *testing.T) {
	codecs := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}
	for name, versions := range map[string]*kversion.Versions{
		"1.0": kversion.V1_0_0(), "2.1": kversion.V2_1_0(), "2.8": kversion.V2_8_0(), "3.9": kversion.V3_9_0(), "newest": nil,
	} {
		for i, codec := range codecs {
			if name == "1.0" && i == len(codecs)-1 {
				continue // zstd came with 2.1
			}
			t.Run(fmt.Sprint(name, " codec ", i), func(t *testing.T) {
				l := newLoopback(t)
				opts := []kgo.Opt{
					kgo.SeedBrokers(l.ln.Addr().String()), kgo.ProducerBatchCompression(codec),
					kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topicName: {0: kgo.NewOffset().AtStart()}}),
					kgo.DefaultProduceTopic(topicName), kgo.FetchMaxWait(100 * time.Millisecond),
				}
				if versions != nil {
					opts = append(opts, kgo.MaxVersions(versions))
				}
				roundTrip(t, opts)
			})
		}
	}
}

func roundTrip(t *testing.T, opts []kgo.Opt) {
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const count = 50
	var records []*kgo.Record
	for i := range count {
		records = append(records, &kgo.Record{
			Key: []byte(fmt.Sprint(i)), Value: []byte(strings.Repeat("value ", i)),
			Headers: []kgo.RecordHeader{{Key: "h", Value: nil}},
		})
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < count; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != int64(n) || string(r.Key) != fmt.Sprint(n) || len(r.Value) != 6*n || len(r.Headers) != 1 {
				t.Errorf("record %d is %+v", n, r)
			}
			n++
		})
	}
}

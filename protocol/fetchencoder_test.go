package protocol

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// drawFetch draws a response with records of a few bytes.
func drawFetch(t *rapid.T, version int16) *kmsg.FetchResponse {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = version
	resp.ThrottleMillis = rapid.Int32().Draw(t, "throttle")
	if version >= 7 {
		resp.ErrorCode = rapid.Int16().Draw(t, "code")
		resp.SessionID = rapid.Int32().Draw(t, "session")
	}
	for range rapid.IntRange(0, 3).Draw(t, "topics") {
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic = rapid.StringN(0, 50, 249).Draw(t, "topic")
		copy(topic.TopicID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		for range rapid.IntRange(0, 3).Draw(t, "partitions") {
			topic.Partitions = append(topic.Partitions, drawFetchPartition(t))
		}
		resp.Topics = append(resp.Topics, topic)
	}
	if version >= 16 {
		// More than fit a tag of 127 bytes, whose size is a varint of two.
		for range rapid.IntRange(0, 8).Draw(t, "endpoints") {
			broker := kmsg.NewFetchResponseBroker()
			broker.NodeID, broker.Port = rapid.Int32().Draw(t, "node"), rapid.Int32().Draw(t, "port")
			broker.Host = rapid.StringN(0, 40, 100).Draw(t, "host")
			if rapid.Bool().Draw(t, "rack") {
				broker.Rack = kmsg.StringPtr(rapid.String().Draw(t, "rack name"))
			}
			resp.Brokers = append(resp.Brokers, broker)
		}
	}
	return resp
}

func drawFetchPartition(t *rapid.T) kmsg.FetchResponseTopicPartition {
	p := kmsg.NewFetchResponseTopicPartition()
	p.Partition = rapid.Int32().Draw(t, "partition")
	p.ErrorCode = rapid.Int16().Draw(t, "code")
	p.HighWatermark = rapid.Int64().Draw(t, "high watermark")
	p.LastStableOffset = rapid.Int64().Draw(t, "last stable")
	p.LogStartOffset = rapid.Int64().Draw(t, "log start")
	p.PreferredReadReplica = rapid.Int32().Draw(t, "replica")
	if rapid.Bool().Draw(t, "aborted") {
		p.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
		for range rapid.IntRange(0, 2).Draw(t, "aborted count") {
			a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
			a.ProducerID, a.FirstOffset = rapid.Int64().Draw(t, "id"), rapid.Int64().Draw(t, "first")
			p.AbortedTransactions = append(p.AbortedTransactions, a)
		}
	}
	if rapid.Bool().Draw(t, "diverging") {
		p.DivergingEpoch.Epoch = rapid.Int32Range(0, 1<<30).Draw(t, "epoch")
		p.DivergingEpoch.EndOffset = rapid.Int64().Draw(t, "end")
	}
	if rapid.Bool().Draw(t, "leader") {
		p.CurrentLeader.LeaderID = rapid.Int32Range(0, 1<<30).Draw(t, "leader id")
		p.CurrentLeader.LeaderEpoch = rapid.Int32().Draw(t, "leader epoch")
	}
	p.RecordBatches = make([]byte, rapid.SampledFrom([]int{0, 0, 1, 126, 127, 128, 20_000}).Draw(t, "records"))
	for i := range p.RecordBatches {
		p.RecordBatches[i] = byte(i)
	}
	return p
}

// encodePiecewise encodes resp and puts the records in where they belong.
func encodePiecewise(e *FetchEncoder, h RequestHeader, resp *kmsg.FetchResponse) (whole []byte, segments int) {
	e.Begin(h, FetchResponseHead{resp.ThrottleMillis, ErrorCode(resp.ErrorCode), resp.SessionID, len(resp.Topics)})
	var records [][]byte
	for _, topic := range resp.Topics {
		e.Topic(topic.Topic, topic.TopicID, len(topic.Partitions))
		for _, p := range topic.Partitions {
			e.Partition(fetchPartition(p))
			if len(p.RecordBatches) > 0 {
				records = append(records, p.RecordBatches)
			}
		}
	}
	var endpoints []NodeEndpoint
	for _, b := range resp.Brokers {
		endpoints = append(endpoints, NodeEndpoint{b.NodeID, b.Host, b.Port, b.Rack})
	}
	pieces := e.Finish(endpoints)
	for i, piece := range pieces {
		whole = append(whole, piece...)
		if i < len(records) {
			whole = append(whole, records[i]...)
		}
	}
	return whole, len(pieces) - len(records)
}

func fetchPartition(p kmsg.FetchResponseTopicPartition) FetchPartition {
	f := FetchPartition{
		Partition: p.Partition, ErrorCode: ErrorCode(p.ErrorCode), HighWatermark: p.HighWatermark,
		LastStableOffset: p.LastStableOffset, LogStartOffset: p.LogStartOffset,
		PreferredReadReplica: p.PreferredReadReplica, RecordsBytes: len(p.RecordBatches),
	}
	if p.AbortedTransactions != nil {
		f.Aborted = []AbortedTransaction{}
	}
	for _, a := range p.AbortedTransactions {
		f.Aborted = append(f.Aborted, AbortedTransaction{a.ProducerID, a.FirstOffset})
	}
	if p.DivergingEpoch.Epoch >= 0 {
		f.DivergingEpoch = &EpochEndOffset{p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset}
	}
	if p.CurrentLeader.LeaderID >= 0 {
		f.CurrentLeader = &LeaderAndEpoch{p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch}
	}
	return f
}

// The pieces and the records together are what kmsg encodes, in every version.
func TestFetchEncoderAgainstKmsg(t *testing.T) {
	api, _ := Lookup(KeyFetch)
	var e FetchEncoder // used again and again, as a connection does
	for version := api.Floor; version <= api.Max; version++ {
		rapid.Check(t, func(t *rapid.T) {
			resp := drawFetch(t, version)
			h := RequestHeader{Key: KeyFetch, Version: version, CorrelationID: rapid.Int32().Draw(t, "correlation")}
			got, more := encodePiecewise(&e, h, resp)
			want := AppendResponse(nil, h, resp)
			if !bytes.Equal(got, want) {
				t.Fatalf("version %d:\ngot  % x\nwant % x", version, got, want)
			}
			if more != 1 || e.SizeBytes() != len(want) {
				t.Fatalf("version %d: %d segments more than records, %d bytes of %d", version, more, e.SizeBytes(), len(want))
			}
		})
	}
}

// librdkafka takes null records for a broken response.
func TestNoRecordsAreEmptyAndNotNull(t *testing.T) {
	for version, want := range map[int16][]byte{11: {0, 0, 0, 0}, 12: {1, 0, 0, 0}} {
		var e FetchEncoder
		e.Begin(RequestHeader{Key: KeyFetch, Version: version}, FetchResponseHead{Topics: 1})
		e.Topic("t", [16]byte{}, 1)
		e.Partition(FetchPartition{PreferredReadReplica: -1})
		if got := e.Finish(nil); len(got) != 1 || !bytes.HasSuffix(got[0], append([]byte{0xff, 0xff, 0xff, 0xff}, want...)) {
			t.Errorf("version %d ends in % x", version, got)
		}
	}
}

// Appending to a segment must not write over the next one.
func TestSegmentsDoNotOverlap(t *testing.T) {
	var e FetchEncoder
	e.Begin(RequestHeader{Key: KeyFetch, Version: 12}, FetchResponseHead{Topics: 1})
	e.Topic("t", [16]byte{}, 2)
	e.Partition(FetchPartition{RecordsBytes: 5})
	e.Partition(FetchPartition{RecordsBytes: 5})
	segments := e.Finish(nil)
	second := bytes.Clone(segments[1])
	_ = append(segments[0], "xxxx"...)
	if len(segments) != 3 || !bytes.Equal(segments[1], second) {
		t.Errorf("%d segments, second % x", len(segments), segments[1])
	}
}

func encodeTenPartitions(e *FetchEncoder, h RequestHeader) [][]byte {
	e.Begin(h, FetchResponseHead{Topics: 1})
	e.Topic("a-topic", [16]byte{}, 10)
	for i := range int32(10) {
		e.Partition(FetchPartition{Partition: i, PreferredReadReplica: -1, RecordsBytes: 1 << 20})
	}
	return e.Finish(nil)
}

func TestFetchEncoderDoesNotAllocate(t *testing.T) {
	var e FetchEncoder
	h := RequestHeader{Key: KeyFetch, Version: 12}
	if n := testing.AllocsPerRun(100, func() { encodeTenPartitions(&e, h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFetchEncoder(b *testing.B) {
	var e FetchEncoder
	h := RequestHeader{Key: KeyFetch, Version: 12}
	b.ReportAllocs()
	for b.Loop() {
		encodeTenPartitions(&e, h)
	}
}

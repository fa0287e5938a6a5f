//go:build interop

package interop

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

// TestCompacted has every client read a compacted topic, whose batches are thinned
// out, empty, or gone: from its start, from every kind of hole, and by time.
func TestCompacted(t *testing.T) {
	t.Setenv("KAFKA_LOG_RETENTION_CHECK_INTERVAL_MS", "200")
	b := startBroker(t)
	if b.binary == "" {
		t.Skip("another's broker compacts when it likes")
	}
	topic := fmt.Sprintf("compacted-%d", time.Now().UnixMilli())
	last := produceKeys(t, b, topic)
	stored := awaitCompaction(t, b, topic, last)
	for _, c := range chosenClients(t) {
		t.Run(c.name, func(t *testing.T) { readCompacted(t, b, c, topic, stored) })
	}
}

const keysPerPartition = 25

// produceKeys writes the keys over and over, in batches of all codecs, and returns
// the last offset of each partition.
func produceKeys(t *testing.T, b *broker, topic string) (last [partitions]int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	for i, codec := range codecs {
		options := []kgo.Opt{kgo.SeedBrokers(b.address), kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner())}
		if i%2 == 0 {
			options = append(options, kgo.DisableIdempotentWrite())
		}
		kafka, err := kgo.NewClient(options...)
		if err != nil {
			t.Fatal(err)
		}
		defer kafka.Close()
		if i == 0 {
			policy, segment, ratio := "compact", "1500", "0"
			if _, err := kadm.NewClient(kafka).CreateTopic(ctx, partitions, 1, map[string]*string{
				"cleanup.policy": &policy, "segment.bytes": &segment, "min.cleanable.dirty.ratio": &ratio,
			}, topic); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 60 {
			var batch []*kgo.Record
			for j := range 1 + n%7 {
				r := &kgo.Record{
					Topic: topic, Partition: int32(n % partitions), Key: fmt.Appendf(nil, "key-%d", (n*j+i*n+j)%keysPerPartition),
					Value: bytes.Repeat([]byte{byte('a' + n%26)}, 10+n), Headers: []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, n)}},
				}
				if (n+j)%11 == 0 {
					r.Value = nil
				}
				batch = append(batch, r)
			}
			for _, result := range kafka.ProduceSync(ctx, batch...) {
				if result.Err != nil {
					t.Fatal(result.Err)
				}
				last[result.Record.Partition] = result.Record.Offset
			}
		}
	}
	return last
}

// awaitCompaction reads the topic until two looks at it are the same and little
// is left, and returns what is.
func awaitCompaction(t *testing.T, b *broker, topic string, last [partitions]int64) [partitions][]job.Record {
	t.Helper()
	var before [partitions][]job.Record
	for deadline := time.Now().Add(time.Minute); ; {
		var stored [partitions][]job.Record
		for p := range stored {
			stored[p] = readPartition(t, b, topic, int32(p), last[p])
		}
		settled := true
		for p := range stored {
			same := slices.EqualFunc(before[p], stored[p], func(x, y job.Record) bool { return x.Offset == y.Offset })
			settled = settled && same && int64(len(stored[p])) < last[p]/3
		}
		if settled {
			return stored
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d records of partition 0 are left of %d", len(stored[0]), last[0]+1)
		}
		before = stored
		time.Sleep(500 * time.Millisecond)
	}
}

func readPartition(t *testing.T, b *broker, topic string, partition int32, last int64) (records []job.Record) {
	t.Helper()
	kafka, err := kgo.NewClient(kgo.SeedBrokers(b.address), kgo.ConsumePartitions(
		map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(records) == 0 || records[len(records)-1].Offset < last {
		fetches := kafka.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			record := job.Record{Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
			for _, h := range r.Headers {
				record.Headers = append(record.Headers, job.Header{Name: h.Key, Value: h.Value})
			}
			records = append(records, record)
		})
	}
	return records
}

// readCompacted lets the client read what is left.
func readCompacted(t *testing.T, b *broker, c *client, topic string, stored [partitions][]job.Record) {
	var reads []job.Read
	var want []job.ReadResult
	for p, records := range stored {
		end := records[len(records)-1].Offset + 1
		expect := func(from string, at, start int64) {
			first := slices.IndexFunc(records, func(r job.Record) bool { return r.Offset >= start })
			reads = append(reads, job.Read{Topic: topic, Partition: int32(p), From: from, At: at, End: end})
			want = append(want, job.ReadResult{Start: start, High: end, Records: records[first:]})
		}
		expect("start", 0, 0)
		for _, offset := range []int64{1, records[0].Offset, end / 4, end / 3, end / 2, records[len(records)/2].Offset + 1} {
			expect("offset", offset, offset)
		}
		since := records[len(records)/3].Timestamp
		found := slices.IndexFunc(records, func(r job.Record) bool { return r.Timestamp >= since })
		expect("timestamp", since, records[found].Offset)
	}
	result := c.run(t, job.Job{Brokers: b.address, Consume: reads})
	if len(result.Consumed) != len(want) {
		t.Fatalf("%d answers to %d reads", len(result.Consumed), len(want))
	}
	for i, got := range result.Consumed {
		if !sameRead(t, reads[i], want[i], got) {
			return
		}
	}
}

//go:build interop

package interop

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

// storedRecord is a record with what its batch says.
type storedRecord struct {
	record     job.Record
	codec      string
	producerID int64
}

var codecNames = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// readAll reads the topic to its end: stored[partition][offset].
func readAll(t *testing.T, b *broker, topic string) (stored [partitions][]storedRecord) {
	t.Helper()
	kafka, err := kgo.NewClient(
		kgo.SeedBrokers(b.address), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(kafka).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatalf("list the end offsets of %s: %v", topic, err)
	}
	var due int64
	ends.Each(func(end kadm.ListedOffset) { due += end.Offset })
	for read := int64(0); read < due; {
		fetches := kafka.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s: %v after %d of %d records", topic, err, read, due)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			record := job.Record{
				Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value,
			}
			for _, h := range r.Headers {
				record.Headers = append(record.Headers, job.Header{Name: h.Key, Value: h.Value})
			}
			stored[r.Partition] = append(stored[r.Partition],
				storedRecord{record, codecNames[r.Attrs.CompressionType()], r.ProducerID})
			read++
		})
	}
	return stored
}

// at finds the record of that partition and offset.
func at(t *testing.T, stored [partitions][]storedRecord, r job.Record) storedRecord {
	t.Helper()
	if r.Partition < 0 || r.Partition >= partitions || r.Offset < 0 || r.Offset >= int64(len(stored[r.Partition])) {
		t.Fatalf("nothing is stored at %d@%d", r.Partition, r.Offset)
	}
	return stored[r.Partition][r.Offset]
}

// locate finds where each record of the runs went, for a client that does not say: the first place with
// the same content that no earlier record took.
func locate(t *testing.T, stored [partitions][]storedRecord, runs []job.Run) (positions []job.Position) {
	t.Helper()
	type place struct {
		partition int32
		offset    int64
	}
	taken := map[place]bool{}
	find := func(want job.Record) job.Position {
		for p, records := range stored {
			for offset, candidate := range records {
				here := place{int32(p), int64(offset)}
				if !taken[here] && sameContent(want, candidate.record) {
					taken[here] = true
					return job.Position{Partition: here.partition, Offset: here.offset}
				}
			}
		}
		t.Fatalf("nowhere stored: %s", describe(want))
		return job.Position{}
	}
	for _, run := range runs {
		for _, record := range run.Records {
			positions = append(positions, find(record))
		}
	}
	return positions
}

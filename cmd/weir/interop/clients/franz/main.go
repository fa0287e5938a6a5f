// Command franz runs interop jobs with franz-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

func main() { job.Main(client{}) }

const timeout = 60 * time.Second

type client struct{}

func (client) Name() string { return "franz-go " + moduleVersion("github.com/twmb/franz-go") }

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func (client) Produce(brokers string, p *job.Produce) ([]job.Position, error) {
	var positions []job.Position
	for _, run := range p.Runs {
		options := []kgo.Opt{
			kgo.SeedBrokers(brokers),
			kgo.DefaultProduceTopic(p.Topic),
			kgo.ProducerBatchCompression(codecs[run.Codec]),
		}
		if !run.Idempotent {
			options = append(options, kgo.DisableIdempotentWrite())
		}
		sent, err := produceRun(options, run.Records)
		if err != nil {
			return nil, fmt.Errorf("produce with %s: %w", run.Codec, err)
		}
		positions = append(positions, sent...)
	}
	return positions, nil
}

func produceRun(options []kgo.Opt, records []job.Record) ([]job.Position, error) {
	kafka, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	defer kafka.Close()
	batch := make([]*kgo.Record, len(records))
	for i, r := range records {
		batch[i] = &kgo.Record{Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Timestamp)}
		for _, h := range r.Headers {
			batch[i].Headers = append(batch[i].Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := kafka.ProduceSync(ctx, batch...).FirstErr(); err != nil {
		return nil, err
	}
	positions := make([]job.Position, len(batch))
	for i, r := range batch {
		positions[i] = job.Position{Partition: r.Partition, Offset: r.Offset}
	}
	return positions, nil
}

func (client) Consume(brokers string, reads []job.Read) ([]job.ReadResult, error) {
	var results []job.ReadResult
	for _, read := range reads {
		result, err := readOne(brokers, read)
		if err != nil {
			return nil, fmt.Errorf("read %+v: %w", read, err)
		}
		results = append(results, result)
	}
	return results, nil
}

func readOne(brokers string, read job.Read) (job.ReadResult, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	result, err := locate(ctx, brokers, read)
	if err != nil || result.Start < 0 || result.Start >= read.End {
		return result, err
	}
	kafka, err := kgo.NewClient(
		kgo.SeedBrokers(brokers),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
			read.Topic: {read.Partition: kgo.NewOffset().At(result.Start)},
		}),
	)
	if err != nil {
		return result, err
	}
	defer kafka.Close()
	for next := result.Start; next < read.End; {
		fetches := kafka.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return result, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset < read.End {
				result.Records = append(result.Records, fromKafka(r))
			}
			next = r.Offset + 1
		})
	}
	return result, nil
}

// locate asks where the read begins and where the partition ends, by the requests themselves: the admin
// client answers "no such timestamp" with the end.
func locate(ctx context.Context, brokers string, read job.Read) (job.ReadResult, error) {
	admin, err := newAdmin(brokers)
	if err != nil {
		return job.ReadResult{}, err
	}
	defer admin.Close()
	end, err := admin.ListEndOffsets(ctx, read.Topic)
	if err != nil {
		return job.ReadResult{}, err
	}
	high, _ := end.Lookup(read.Topic, read.Partition)
	result := job.ReadResult{Start: read.At, High: high.Offset}
	if read.From == "offset" {
		return result, high.Err
	}
	list := admin.ListStartOffsets
	if read.From == "timestamp" {
		list = func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return admin.ListOffsetsAfterMilli(ctx, read.At, topics...)
		}
	}
	listed, err := list(ctx, read.Topic)
	if err != nil {
		return result, err
	}
	start, _ := listed.Lookup(read.Topic, read.Partition)
	result.Start = start.Offset
	if read.From == "timestamp" && start.Timestamp == -1 {
		result.Start = -1
	}
	return result, start.Err
}

func fromKafka(r *kgo.Record) job.Record {
	record := job.Record{
		Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(),
		Key: r.Key, Value: r.Value,
	}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, job.Header{Name: h.Key, Value: h.Value})
	}
	return record
}

func newAdmin(brokers string) (*kadm.Client, error) {
	kafka, err := kgo.NewClient(kgo.SeedBrokers(brokers))
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(kafka), nil
}

// errorCode is Kafka's number for err, 0 for none, -1 when it is not Kafka's.
func errorCode(err error) int16 {
	if err == nil {
		return 0
	}
	var kafkaError *kerr.Error
	if errors.As(err, &kafkaError) {
		return kafkaError.Code
	}
	return -1
}

func moduleVersion(path string) string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == path {
			return module.Version
		}
	}
	return "unknown"
}

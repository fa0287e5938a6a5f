// Command kafkago runs interop jobs with segmentio/kafka-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/segmentio/kafka-go"

	"weir/interop/job"
)

func main() { job.Main(client{}) }

const timeout = 60 * time.Second

type client struct{}

func (client) Name() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/segmentio/kafka-go" {
			return "kafka-go " + module.Version
		}
	}
	return "kafka-go"
}

var codecs = map[string]kafka.Compression{
	"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

func (client) Produce(brokers string, p *job.Produce) ([]job.Position, error) {
	var positions []job.Position
	for _, run := range p.Runs {
		sent, err := produceRun(brokers, p.Topic, run)
		if err != nil {
			return nil, fmt.Errorf("produce with %s: %w", run.Codec, err)
		}
		positions = append(positions, sent...)
	}
	return positions, nil
}

// produceRun sends one run. The writer says where a message went only to Completion, with its own copy of it.
func produceRun(brokers, topic string, run job.Run) ([]job.Position, error) {
	if run.Idempotent {
		return nil, errors.New("kafka-go has no idempotent writer")
	}
	positions := make([]job.Position, len(run.Records))
	writer := &kafka.Writer{
		Addr: kafka.TCP(brokers), Topic: topic, Balancer: kafka.Murmur2Balancer{}, RequiredAcks: kafka.RequireAll,
		Compression: codecs[run.Codec], BatchTimeout: 20 * time.Millisecond,
		Completion: func(messages []kafka.Message, _ error) {
			for _, m := range messages {
				positions[m.WriterData.(int)] = job.Position{Partition: int32(m.Partition), Offset: m.Offset}
			}
		},
	}
	batch := make([]kafka.Message, len(run.Records))
	for i, r := range run.Records {
		batch[i] = kafka.Message{Key: r.Key, Value: r.Value, Time: time.UnixMilli(r.Timestamp), WriterData: i}
		for _, h := range r.Headers {
			batch[i].Headers = append(batch[i].Headers, kafka.Header{Key: h.Name, Value: h.Value})
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err := writer.WriteMessages(ctx, batch...)
	return positions, errors.Join(err, writer.Close()) // which waits for Completion
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

func readOne(brokers string, read job.Read) (result job.ReadResult, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	result, err = locate(ctx, brokers, read)
	if err != nil || result.Start < 0 || result.Start >= read.End {
		return result, err
	}
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{brokers}, Topic: read.Topic, Partition: int(read.Partition), MaxWait: 50 * time.Millisecond,
		MaxBytes: 1 << 20,
	})
	defer reader.Close()
	if err := reader.SetOffset(result.Start); err != nil {
		return result, err
	}
	for {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			return result, err
		}
		if m.Offset < read.End {
			result.Records = append(result.Records, fromKafka(m))
		}
		if m.Offset >= read.End-1 {
			return result, nil
		}
	}
}

// locate asks where the read begins and where the partition ends.
func locate(ctx context.Context, brokers string, read job.Read) (job.ReadResult, error) {
	p := int(read.Partition)
	ask := []kafka.OffsetRequest{kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p)}
	if read.From == "timestamp" {
		ask = append(ask, kafka.TimeOffsetOf(p, time.UnixMilli(read.At)))
	}
	admin := &kafka.Client{Addr: kafka.TCP(brokers)}
	listed, err := admin.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{read.Topic: ask}})
	if err != nil {
		return job.ReadResult{}, err
	}
	found := listed.Topics[read.Topic][0]
	result := job.ReadResult{Start: found.FirstOffset, High: found.LastOffset}
	switch read.From {
	case "offset":
		result.Start = read.At
	case "timestamp":
		result.Start = -1
		for offset := range found.Offsets {
			result.Start = offset
		}
	}
	return result, found.Error
}

func fromKafka(m kafka.Message) job.Record {
	record := job.Record{
		Partition: int32(m.Partition), Offset: m.Offset, Timestamp: m.Time.UnixMilli(), Key: m.Key, Value: m.Value,
	}
	for _, h := range m.Headers {
		record.Headers = append(record.Headers, job.Header{Name: h.Key, Value: h.Value})
	}
	return record
}

// Command sarama runs interop jobs with sarama.
package main

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/IBM/sarama"

	"weir/interop/job"
)

func main() { job.Main(client{}) }

type client struct{}

func (client) Name() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/IBM/sarama" {
			return "sarama " + module.Version
		}
	}
	return "sarama"
}

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func newConfig() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Metadata.AllowAutoTopicCreation = false
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Consumer.Return.Errors = true
	config.Consumer.MaxWaitTime = 50 * time.Millisecond // each read ends with a fetch that waits at the end
	return config
}

func (client) Produce(brokers string, p *job.Produce) ([]job.Position, error) {
	var positions []job.Position
	for _, run := range p.Runs {
		config := newConfig()
		config.Producer.Compression = codecs[run.Codec]
		config.Producer.Idempotent = run.Idempotent
		if run.Idempotent {
			config.Net.MaxOpenRequests = 1
		}
		sent, err := produceRun(brokers, config, p.Topic, run.Records)
		if err != nil {
			return nil, fmt.Errorf("produce with %s: %w", run.Codec, err)
		}
		positions = append(positions, sent...)
	}
	return positions, nil
}

func produceRun(brokers string, config *sarama.Config, topic string, records []job.Record) ([]job.Position, error) {
	producer, err := sarama.NewSyncProducer([]string{brokers}, config)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	batch := make([]*sarama.ProducerMessage, len(records))
	for i, r := range records {
		batch[i] = &sarama.ProducerMessage{Topic: topic, Timestamp: time.UnixMilli(r.Timestamp)}
		// A nil ByteEncoder in the interface would be an empty key, not a null one.
		if r.Key != nil {
			batch[i].Key = sarama.ByteEncoder(r.Key)
		}
		if r.Value != nil {
			batch[i].Value = sarama.ByteEncoder(r.Value)
		}
		for _, h := range r.Headers {
			batch[i].Headers = append(batch[i].Headers, sarama.RecordHeader{Key: []byte(h.Name), Value: h.Value})
		}
	}
	if err := producer.SendMessages(batch); err != nil {
		return nil, err
	}
	positions := make([]job.Position, len(batch))
	for i, message := range batch {
		positions[i] = job.Position{Partition: message.Partition, Offset: message.Offset}
	}
	return positions, nil
}

func (client) Consume(brokers string, reads []job.Read) ([]job.ReadResult, error) {
	kafka, err := sarama.NewClient([]string{brokers}, newConfig())
	if err != nil {
		return nil, err
	}
	defer kafka.Close()
	consumer, err := sarama.NewConsumerFromClient(kafka)
	if err != nil {
		return nil, err
	}
	var results []job.ReadResult
	for _, read := range reads {
		result, err := readOne(kafka, consumer, read)
		if err != nil {
			return nil, fmt.Errorf("read %+v: %w", read, err)
		}
		results = append(results, result)
	}
	return results, nil
}

func readOne(kafka sarama.Client, consumer sarama.Consumer, read job.Read) (result job.ReadResult, err error) {
	if result.High, err = kafka.GetOffset(read.Topic, read.Partition, sarama.OffsetNewest); err != nil {
		return result, err
	}
	switch read.From {
	case "offset":
		result.Start = read.At
	case "timestamp":
		result.Start, err = kafka.GetOffset(read.Topic, read.Partition, read.At)
	default:
		result.Start, err = kafka.GetOffset(read.Topic, read.Partition, sarama.OffsetOldest)
	}
	if err != nil || result.Start < 0 || result.Start >= read.End {
		return result, err
	}
	partition, err := consumer.ConsumePartition(read.Topic, read.Partition, result.Start)
	if err != nil {
		return result, err
	}
	defer partition.Close()
	deadline := time.After(time.Minute)
	for {
		select {
		case message := <-partition.Messages():
			if message.Offset < read.End {
				result.Records = append(result.Records, fromKafka(message))
			}
			if message.Offset >= read.End-1 {
				return result, nil
			}
		case err := <-partition.Errors():
			return result, err
		case <-deadline:
			return result, errors.New("no end after a minute")
		}
	}
}

func fromKafka(message *sarama.ConsumerMessage) job.Record {
	record := job.Record{
		Partition: message.Partition, Offset: message.Offset, Timestamp: message.Timestamp.UnixMilli(),
		Key: message.Key, Value: message.Value,
	}
	for _, h := range message.Headers {
		record.Headers = append(record.Headers, job.Header{Name: string(h.Key), Value: h.Value})
	}
	return record
}

package main

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"weir/interop/job"
)

var assignors = map[string]kafka.GroupBalancer{
	"range": kafka.RangeGroupBalancer{}, "roundrobin": kafka.RoundRobinGroupBalancer{},
}

func (client) Join(brokers string, g *job.Join, l *job.Line) error {
	reader := kafka.NewReader(membership(brokers, g))
	defer reader.Close()
	latest := map[int]kafka.Message{} // by partition, of what was read since the last commit
	for {
		select {
		case _, more := <-l.Orders:
			if !more {
				return reader.Close()
			}
			if err := commit(reader, latest, l); err != nil {
				return err
			}
		default:
		}
		m, err := fetch(reader)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			continue
		case err != nil:
			return err
		}
		latest[m.Partition] = m
		if err := l.Read(job.Position{Partition: int32(m.Partition), Offset: m.Offset}); err != nil {
			return err
		}
	}
}

func membership(brokers string, g *job.Join) kafka.ReaderConfig {
	config := kafka.ReaderConfig{
		Brokers: []string{brokers}, GroupID: g.Group, Topic: g.Topic, StartOffset: kafka.FirstOffset,
		MaxWait: 50 * time.Millisecond, MaxBytes: 1 << 20, JoinGroupBackoff: 100 * time.Millisecond, MaxAttempts: 100,
		SessionTimeout:        time.Duration(g.SessionMillis) * time.Millisecond,
		HeartbeatInterval:     time.Duration(g.HeartbeatMillis) * time.Millisecond,
		WatchPartitionChanges: true, PartitionWatchInterval: time.Duration(g.MetadataMillis) * time.Millisecond,
	}
	for _, name := range g.Assignors {
		config.GroupBalancers = append(config.GroupBalancers, assignors[name])
	}
	return config
}

func fetch(reader *kafka.Reader) (kafka.Message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	return reader.FetchMessage(ctx)
}

func commit(reader *kafka.Reader, latest map[int]kafka.Message, l *job.Line) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var messages []kafka.Message
	for _, m := range latest {
		messages = append(messages, m)
	}
	clear(latest)
	switch err := reader.CommitMessages(ctx, messages...); {
	case errors.Is(err, kafka.RebalanceInProgress), errors.Is(err, kafka.IllegalGeneration):
		return l.Refused()
	case err != nil:
		return err
	}
	return l.Committed()
}

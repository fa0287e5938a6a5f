package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"weir/interop/job"
)

var strategies = map[string]func() sarama.BalanceStrategy{
	"range": sarama.NewBalanceStrategyRange, "sticky": sarama.NewBalanceStrategySticky,
	"cooperative-sticky": sarama.NewBalanceStrategyCooperativeSticky,
}

func (client) Join(brokers string, g *job.Join, l *job.Line) error {
	member, err := sarama.NewConsumerGroup([]string{brokers}, g.Group, membership(g))
	if err != nil {
		return err
	}
	go func() {
		for range member.Errors() { // told again by Consume, or retried
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h := &handler{line: l}
	ended := make(chan error, 1)
	go func() { ended <- h.consume(ctx, member, g.Topic) }()
	for {
		select {
		case err := <-ended:
			return errors.Join(err, member.Close())
		case _, more := <-l.Orders:
			if !more {
				cancel()
				return errors.Join(<-ended, member.Close())
			}
			h.commit()
			if err := l.Committed(); err != nil {
				return err
			}
		}
	}
}

func membership(g *job.Join) *sarama.Config {
	config := newConfig()
	config.Metadata.RefreshFrequency = time.Duration(g.MetadataMillis) * time.Millisecond
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.InstanceId = g.Instance
	config.Consumer.Group.Session.Timeout = time.Duration(g.SessionMillis) * time.Millisecond
	config.Consumer.Group.Heartbeat.Interval = time.Duration(g.HeartbeatMillis) * time.Millisecond
	config.Consumer.Group.Rebalance.GroupStrategies = nil
	for _, name := range g.Assignors {
		config.Consumer.Group.Rebalance.GroupStrategies = append(config.Consumer.Group.Rebalance.GroupStrategies, strategies[name]())
	}
	return config
}

// handler tells what each claim gets.
type handler struct {
	line *job.Line

	mu      sync.Mutex // guards session
	session sarama.ConsumerGroupSession
}

// consume goes on until ctx ends, and also while there is no broker.
func (h *handler) consume(ctx context.Context, member sarama.ConsumerGroup, topic string) error {
	for ctx.Err() == nil {
		err := member.Consume(ctx, []string{topic}, h)
		if refused := sarama.ErrNoError; errors.As(err, &refused) {
			return err
		}
		if err != nil {
			time.Sleep(100 * time.Millisecond)
		}
	}
	return nil
}

func (h *handler) Setup(session sarama.ConsumerGroupSession) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session = session
	return nil
}

func (h *handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (h *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		session.MarkMessage(message, "")
		if err := h.line.Read(job.Position{Partition: message.Partition, Offset: message.Offset}); err != nil {
			return err
		}
	}
	return nil
}

func (h *handler) commit() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session.Commit()
}

package main

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

var balancers = map[string]kgo.GroupBalancer{
	"range": kgo.RangeBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(),
}

func (client) Join(brokers string, g *job.Join, l *job.Line) error {
	kafka, err := kgo.NewClient(membership(brokers, g)...)
	if err != nil {
		return err
	}
	defer kafka.Close()
	for {
		select {
		case _, more := <-l.Orders:
			if !more {
				return nil
			}
			if err := commit(kafka); err != nil {
				return err
			}
			if err := l.Committed(); err != nil {
				return err
			}
		default:
		}
		if err := poll(kafka, l); err != nil {
			return err
		}
	}
}

func membership(brokers string, g *job.Join) []kgo.Opt {
	age := time.Duration(g.MetadataMillis) * time.Millisecond
	options := []kgo.Opt{
		kgo.SeedBrokers(brokers), kgo.ConsumerGroup(g.Group), kgo.ConsumeTopics(g.Topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(age / 2), kgo.MetadataMaxAge(age),
	}
	if g.Instance != "" {
		options = append(options, kgo.InstanceID(g.Instance))
	}
	if g.Consumer {
		return append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	}
	var chosen []kgo.GroupBalancer
	for _, name := range g.Assignors {
		chosen = append(chosen, balancers[name])
	}
	return append(options, kgo.Balancers(chosen...),
		kgo.SessionTimeout(time.Duration(g.SessionMillis)*time.Millisecond),
		kgo.HeartbeatInterval(time.Duration(g.HeartbeatMillis)*time.Millisecond))
}

func poll(kafka *kgo.Client, l *job.Line) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	fetches := kafka.PollFetches(ctx)
	var refused *kerr.Error
	if err := fetches.Err(); errors.As(err, &refused) && !refused.Retriable { // the rest is told, and tried again
		return err
	}
	fetches.EachRecord(func(r *kgo.Record) {
		err = errors.Join(err, l.Read(job.Position{Partition: r.Partition, Offset: r.Offset}))
	})
	return err
}

func commit(kafka *kgo.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return kafka.CommitUncommittedOffsets(ctx)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

func (client) Stage(brokers string, s *job.Stage) error {
	for rounds := 0; ; {
		session, err := kgo.NewGroupTransactSession(stageOptions(brokers, s)...)
		if err != nil {
			return err
		}
		for err == nil {
			err = transact(session, s, &rounds)
		}
		fmt.Fprintln(os.Stderr, "begins anew after", err)
		session.Close()
	}
}

func stageOptions(brokers string, s *job.Stage) []kgo.Opt {
	millis := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.ClientID(s.TransactionalID), kgo.ConsumerGroup(s.Group), kgo.ConsumeTopics(s.From), kgo.DefaultProduceTopic(s.To),
		kgo.TransactionalID(s.TransactionalID), kgo.TransactionTimeout(millis(s.TimeoutMillis)),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}
	if s.Consumer {
		return append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	}
	return append(options, kgo.SessionTimeout(millis(s.SessionMillis)), kgo.HeartbeatInterval(millis(s.HeartbeatMillis)))
}

func transact(session *kgo.GroupTransactSession, s *job.Stage, rounds *int) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	fetches := session.PollRecords(ctx, 100)
	var refused *kerr.Error
	if err := fetches.Err(); errors.As(err, &refused) && !refused.Retriable { // the rest is told, and tried again
		return err
	}
	if fetches.NumRecords() == 0 {
		return nil
	}
	if err := session.Begin(); err != nil {
		return err
	}
	var batch []*kgo.Record
	fetches.EachRecord(func(r *kgo.Record) {
		batch = append(batch, &kgo.Record{Key: r.Key, Value: job.Stamp(s.Number, r.Value)})
	})
	if err := session.ProduceSync(ctx, batch...).FirstErr(); err != nil {
		return err
	}
	*rounds++
	_, err := session.End(ctx, kgo.TransactionEndTry(*rounds%5 != 0))
	return err
}

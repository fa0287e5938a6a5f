package main

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

func (client) Flood(brokers string, f *job.Flood) (int, error) {
	errs := make([]error, f.Producers)
	acknowledged := make([]int, f.Producers)
	var all sync.WaitGroup
	for i := range f.Producers {
		all.Go(func() { acknowledged[i], errs[i] = floodAlone(brokers, f, i) })
	}
	all.Wait()
	sum := 0
	for _, n := range acknowledged {
		sum += n
	}
	return sum, errors.Join(errs...)
}

// floodAlone is one of the producers.
func floodAlone(brokers string, f *job.Flood, producer int) (acknowledged int, err error) {
	kafka, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.DefaultProduceTopic(f.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(int32(f.BatchBytes)), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.AlwaysRetryEOF(), // a proxy takes connections to a broker that is not there, and ends them at once
	)
	if err != nil {
		return 0, err
	}
	defer kafka.Close()
	var trouble error
	ctx := context.Background()
	for n := range f.Records {
		record := &kgo.Record{Partition: int32(n % f.Partitions), Value: f.Value(producer, n)}
		kafka.Produce(ctx, record, func(_ *kgo.Record, err error) { // one at a time
			if err == nil {
				acknowledged++
			}
			trouble = cmp.Or(trouble, err)
		})
	}
	if err := kafka.Flush(ctx); err != nil {
		return acknowledged, err
	}
	return acknowledged, trouble
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

func (client) Admin(brokers string, a *job.Admin) (*job.AdminResult, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	kafka, err := kgo.NewClient(
		kgo.SeedBrokers(brokers),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(10*time.Millisecond), // the topic is produced to as soon as it is there
	)
	if err != nil {
		return nil, err
	}
	defer kafka.Close()
	w := &walk{ctx: ctx, kafka: kafka, admin: kadm.NewClient(kafka), job: a, result: &job.AdminResult{}}
	for _, step := range []func() error{w.cluster, w.create, w.configure, w.grow, w.trim, w.logDirs, w.refused, w.remove} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return w.result, nil
}

// walk is one pass over the admin calls.
type walk struct {
	ctx    context.Context
	kafka  *kgo.Client
	admin  *kadm.Client
	job    *job.Admin
	result *job.AdminResult
}

func (w *walk) cluster() error {
	meta, err := w.admin.BrokerMetadata(w.ctx)
	if err != nil {
		return fmt.Errorf("describe the cluster: %w", err)
	}
	brokers := len(meta.Brokers)
	w.result.ClusterID, w.result.Brokers = &meta.Cluster, &brokers
	return nil
}

func (w *walk) create() error {
	configs := map[string]*string{}
	for name, value := range w.job.Configs {
		configs[name] = &value
	}
	if _, err := w.admin.CreateTopic(w.ctx, 3, 1, configs, w.job.Topic); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	topics, err := w.admin.ListTopics(w.ctx)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	listed, partitions := topics.Has(w.job.Topic), len(topics[w.job.Topic].Partitions)
	w.result.Listed, w.result.Partitions = &listed, &partitions
	return nil
}

func (w *walk) configure() (err error) {
	if w.result.Configs, err = w.describe(); err != nil {
		return err
	}
	set := func(values map[string]string) (configs []kadm.AlterConfig) {
		for name, value := range values {
			configs = append(configs, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
		}
		return configs
	}
	if _, err := w.admin.AlterTopicConfigs(w.ctx, set(w.job.Alter), w.job.Topic); err != nil {
		return fmt.Errorf("alter: %w", err)
	}
	if w.result.Altered, err = w.describe(); err != nil {
		return err
	}
	if _, err := w.admin.AlterTopicConfigsState(w.ctx, set(w.job.Replace), w.job.Topic); err != nil {
		return fmt.Errorf("replace: %w", err)
	}
	w.result.Replaced, err = w.describe()
	return err
}

func (w *walk) describe() (map[string]string, error) {
	described, err := w.admin.DescribeTopicConfigs(w.ctx, w.job.Topic)
	if err != nil {
		return nil, fmt.Errorf("describe configs: %w", err)
	}
	resource, err := described.On(w.job.Topic, nil)
	if err != nil || resource.Err != nil {
		return nil, fmt.Errorf("describe configs: %w, %w", err, resource.Err)
	}
	values := map[string]string{}
	for _, config := range resource.Configs {
		values[config.Key] = config.MaybeValue()
	}
	return values, nil
}

func (w *walk) grow() error {
	if _, err := w.admin.UpdatePartitions(w.ctx, 5, w.job.Topic); err != nil {
		return fmt.Errorf("add partitions: %w", err)
	}
	topics, err := w.admin.ListTopics(w.ctx, w.job.Topic)
	partitions := len(topics[w.job.Topic].Partitions)
	w.result.PartitionsAfter = &partitions
	return err
}

func (w *walk) trim() error {
	for i := range 10 {
		record := &kgo.Record{Topic: w.job.Topic, Partition: 0, Value: fmt.Appendf(nil, "record %d", i)}
		if err := w.kafka.ProduceSync(w.ctx, record).FirstErr(); err != nil {
			return fmt.Errorf("produce: %w", err)
		}
	}
	before := kadm.Offsets{}
	before.AddOffset(w.job.Topic, 0, 4, -1)
	deleted, err := w.admin.DeleteRecords(w.ctx, before)
	if err != nil {
		return fmt.Errorf("delete records: %w", err)
	}
	answer, _ := deleted.Lookup(w.job.Topic, 0)
	start, err := w.admin.ListStartOffsets(w.ctx, w.job.Topic)
	if err != nil {
		return fmt.Errorf("list start offsets: %w", err)
	}
	first, _ := start.Lookup(w.job.Topic, 0)
	w.result.LowWatermark, w.result.StartAfter = &answer.LowWatermark, &first.Offset
	return answer.Err
}

func (w *walk) logDirs() error {
	topic := kadm.TopicsSet{}
	topic.Add(w.job.Topic, 0)
	all, err := w.admin.DescribeAllLogDirs(w.ctx, topic)
	if err != nil {
		return fmt.Errorf("describe log dirs: %w", err)
	}
	var total int64
	for _, dirs := range all {
		if err := dirs.Error(); err != nil {
			return fmt.Errorf("describe log dirs: %w", err)
		}
		dirs.EachPartition(func(p kadm.DescribedLogDirPartition) { total += p.Size })
	}
	w.result.LogDirBytes = &total
	return nil
}

func (w *walk) refused() error {
	again, err := w.admin.CreateTopics(w.ctx, 1, 1, nil, w.job.Topic)
	if err != nil {
		return fmt.Errorf("create again: %w", err)
	}
	illegal, err := w.admin.CreateTopics(w.ctx, 1, 1, nil, w.job.Illegal)
	if err != nil {
		return fmt.Errorf("create with an illegal name: %w", err)
	}
	unknown, err := w.admin.ListTopics(w.ctx, w.job.Unknown)
	if err != nil {
		return fmt.Errorf("describe an unknown topic: %w", err)
	}
	codes := []int16{
		errorCode(again[w.job.Topic].Err), errorCode(illegal[w.job.Illegal].Err), errorCode(unknown[w.job.Unknown].Err),
	}
	w.result.CreateExisting, w.result.CreateIllegal, w.result.DescribeUnknown = &codes[0], &codes[1], &codes[2]
	return nil
}

// remove deletes the topic and waits for the listing to forget it: deletion may be answered first.
func (w *walk) remove() error {
	if _, err := w.admin.DeleteTopic(w.ctx, w.job.Topic); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	for gone := false; !gone; {
		topics, err := w.admin.ListTopics(w.ctx)
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		gone = !topics.Has(w.job.Topic)
		if !gone {
			time.Sleep(50 * time.Millisecond)
		}
	}
	deleted := true
	w.result.Deleted = &deleted
	return nil
}

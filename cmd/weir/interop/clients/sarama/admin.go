package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"weir/interop/job"
)

func (client) Admin(brokers string, a *job.Admin) (*job.AdminResult, error) {
	kafka, err := sarama.NewClient([]string{brokers}, newConfig())
	if err != nil {
		return nil, err
	}
	admin, err := sarama.NewClusterAdminFromClient(kafka)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	w := &walk{brokers: brokers, kafka: kafka, admin: admin, job: a, result: &job.AdminResult{}}
	for _, step := range []func() error{w.cluster, w.create, w.configure, w.grow, w.trim, w.logDirs, w.refused, w.remove} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return w.result, nil
}

// walk is one pass over the admin calls.
type walk struct {
	brokers string
	kafka   sarama.Client
	admin   sarama.ClusterAdmin
	job     *job.Admin
	result  *job.AdminResult
}

func (w *walk) cluster() error {
	brokers, _, err := w.admin.DescribeCluster()
	if err != nil {
		return fmt.Errorf("describe the cluster: %w", err)
	}
	count := len(brokers)
	w.result.Brokers = &count
	return nil
}

func (w *walk) create() error {
	detail := &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1, ConfigEntries: pointers(w.job.Configs)}
	if err := w.admin.CreateTopic(w.job.Topic, detail, false); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	topics, err := w.admin.ListTopics()
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	_, listed := topics[w.job.Topic]
	w.result.Listed = &listed
	w.result.Partitions, err = w.partitions()
	return err
}

func (w *walk) partitions() (*int, error) {
	topics, err := w.admin.DescribeTopics([]string{w.job.Topic})
	if err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	count := len(topics[0].Partitions)
	return &count, nil
}

func (w *walk) configure() (err error) {
	if w.result.Configs, err = w.describe(); err != nil {
		return err
	}
	increments := map[string]sarama.IncrementalAlterConfigsEntry{}
	for name, value := range pointers(w.job.Alter) {
		increments[name] = sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: value}
	}
	if err := w.admin.IncrementalAlterConfig(sarama.TopicResource, w.job.Topic, increments, false); err != nil {
		return fmt.Errorf("alter: %w", err)
	}
	if w.result.Altered, err = w.describe(); err != nil {
		return err
	}
	if err := w.admin.AlterConfig(sarama.TopicResource, w.job.Topic, pointers(w.job.Replace), false); err != nil {
		return fmt.Errorf("replace: %w", err)
	}
	w.result.Replaced, err = w.describe()
	return err
}

func (w *walk) describe() (map[string]string, error) {
	resource := &sarama.ConfigResource{Type: sarama.TopicResource, Name: w.job.Topic}
	results, err := w.admin.DescribeConfigs([]*sarama.ConfigResource{resource}, sarama.DescribeConfigsOptions{})
	if err != nil {
		return nil, fmt.Errorf("describe configs: %w", err)
	}
	if len(results) != 1 || results[0].ErrorCode != sarama.ErrNoError {
		return nil, fmt.Errorf("describe configs: %+v", results)
	}
	values := map[string]string{}
	for _, entry := range results[0].Configs {
		values[entry.Name] = entry.Value
	}
	return values, nil
}

func (w *walk) grow() (err error) {
	if err := w.admin.CreatePartitions(w.job.Topic, 5, nil, false); err != nil {
		return fmt.Errorf("add partitions: %w", err)
	}
	w.result.PartitionsAfter, err = w.partitions()
	return err
}

func (w *walk) trim() error {
	config := newConfig()
	config.Producer.Partitioner = sarama.NewManualPartitioner
	producer, err := sarama.NewSyncProducer([]string{w.brokers}, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	for i := range 10 {
		message := &sarama.ProducerMessage{Topic: w.job.Topic, Value: sarama.StringEncoder(fmt.Sprintf("record %d", i))}
		if _, _, err := producer.SendMessage(message); err != nil {
			return fmt.Errorf("produce: %w", err)
		}
	}
	if err := w.admin.DeleteRecords(w.job.Topic, map[int32]int64{0: 4}); err != nil {
		return fmt.Errorf("delete records: %w", err)
	}
	start, err := w.kafka.GetOffset(w.job.Topic, 0, sarama.OffsetOldest)
	w.result.StartAfter = &start
	return err
}

func (w *walk) logDirs() error {
	var ids []int32
	for _, broker := range w.kafka.Brokers() {
		ids = append(ids, broker.ID())
	}
	all, err := w.admin.DescribeLogDirs(ids)
	if err != nil {
		return fmt.Errorf("describe log dirs: %w", err)
	}
	var total int64
	for _, dirs := range all {
		for _, dir := range dirs {
			for _, topic := range dir.Topics {
				for _, partition := range topic.Partitions {
					if topic.Topic == w.job.Topic && partition.PartitionID == 0 {
						total += partition.Size
					}
				}
			}
		}
	}
	w.result.LogDirBytes = &total
	return nil
}

func (w *walk) refused() error {
	detail := &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}
	existing := errorCode(w.admin.CreateTopic(w.job.Topic, detail, false))
	illegal := errorCode(w.admin.CreateTopic(w.job.Illegal, detail, false))
	topics, err := w.admin.DescribeTopics([]string{w.job.Unknown})
	if err != nil {
		return fmt.Errorf("describe an unknown topic: %w", err)
	}
	unknown := int16(topics[0].Err)
	w.result.CreateExisting, w.result.CreateIllegal, w.result.DescribeUnknown = &existing, &illegal, &unknown
	return nil
}

// remove deletes the topic and waits for the listing to forget it: deletion may be answered first.
func (w *walk) remove() error {
	if err := w.admin.DeleteTopic(w.job.Topic); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	for {
		topics, err := w.admin.ListTopics()
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if _, still := topics[w.job.Topic]; !still {
			deleted := true
			w.result.Deleted = &deleted
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// errorCode is Kafka's number for err, 0 for none, -1 when it is not Kafka's.
func errorCode(err error) int16 {
	if err == nil {
		return 0
	}
	var topicError *sarama.TopicError
	if errors.As(err, &topicError) {
		return int16(topicError.Err)
	}
	var kafkaError sarama.KError
	if errors.As(err, &kafkaError) {
		return int16(kafkaError)
	}
	return -1
}

func pointers(values map[string]string) map[string]*string {
	result := map[string]*string{}
	for name, value := range values {
		result[name] = &value
	}
	return result
}

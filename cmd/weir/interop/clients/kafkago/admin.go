package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"weir/interop/job"
)

func (client) Admin(brokers string, a *job.Admin) (*job.AdminResult, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	w := &walk{ctx: ctx, brokers: brokers, admin: &kafka.Client{Addr: kafka.TCP(brokers)}, job: a, result: &job.AdminResult{}}
	for _, step := range []func() error{w.cluster, w.create, w.configure, w.grow, w.refused, w.remove} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return w.result, nil
}

// walk is one pass over the admin calls.
type walk struct {
	ctx     context.Context
	brokers string
	admin   *kafka.Client
	job     *job.Admin
	result  *job.AdminResult
}

// metadata asks with a transport of its own, since each keeps what it was told for seconds.
func (w *walk) metadata(topics ...string) (*kafka.MetadataResponse, error) {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	admin := &kafka.Client{Addr: kafka.TCP(w.brokers), Transport: transport}
	return admin.Metadata(w.ctx, &kafka.MetadataRequest{Topics: topics})
}

func (w *walk) cluster() error {
	metadata, err := w.metadata()
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	count := len(metadata.Brokers)
	w.result.ClusterID, w.result.Brokers = &metadata.ClusterID, &count
	return nil
}

func (w *walk) create() error {
	topic := kafka.TopicConfig{Topic: w.job.Topic, NumPartitions: 3, ReplicationFactor: 1}
	for name, value := range w.job.Configs {
		topic.ConfigEntries = append(topic.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	if err := w.createOne(topic); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	listed, err := w.listed()
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	w.result.Listed = &listed
	w.result.Partitions, err = w.partitions()
	return err
}

func (w *walk) createOne(topic kafka.TopicConfig) error {
	resp, err := w.admin.CreateTopics(w.ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{topic}})
	if err != nil {
		return err
	}
	return resp.Errors[topic.Topic]
}

func (w *walk) listed() (bool, error) {
	metadata, err := w.metadata()
	if err != nil {
		return false, err
	}
	for _, topic := range metadata.Topics {
		if topic.Name == w.job.Topic {
			return true, nil
		}
	}
	return false, nil
}

func (w *walk) partitions() (*int, error) {
	topic, err := w.describeTopic(w.job.Topic)
	if err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	count := len(topic.Partitions)
	return &count, topic.Error
}

func (w *walk) describeTopic(name string) (kafka.Topic, error) {
	metadata, err := w.metadata(name)
	if err != nil {
		return kafka.Topic{}, err
	}
	return metadata.Topics[0], nil
}

func (w *walk) configure() (err error) {
	if w.result.Configs, err = w.describe(); err != nil {
		return err
	}
	increment := kafka.IncrementalAlterConfigsRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: w.job.Topic}
	for name, value := range w.job.Alter {
		increment.Configs = append(increment.Configs, kafka.IncrementalAlterConfigsRequestConfig{Name: name, Value: value})
	}
	incremented, err := w.admin.IncrementalAlterConfigs(w.ctx,
		&kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{increment}})
	if err == nil {
		err = incremented.Resources[0].Error
	}
	if err != nil {
		return fmt.Errorf("alter: %w", err)
	}
	if w.result.Altered, err = w.describe(); err != nil {
		return err
	}
	if err := w.replace(); err != nil {
		return fmt.Errorf("replace: %w", err)
	}
	w.result.Replaced, err = w.describe()
	return err
}

func (w *walk) replace() error {
	resource := kafka.AlterConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: w.job.Topic}
	for name, value := range w.job.Replace {
		resource.Configs = append(resource.Configs, kafka.AlterConfigRequestConfig{Name: name, Value: value})
	}
	replaced, err := w.admin.AlterConfigs(w.ctx, &kafka.AlterConfigsRequest{Resources: []kafka.AlterConfigRequestResource{resource}})
	if err != nil {
		return err
	}
	for _, err := range replaced.Errors {
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) describe() (map[string]string, error) {
	resource := kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: w.job.Topic}
	described, err := w.admin.DescribeConfigs(w.ctx,
		&kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{resource}})
	if err != nil {
		return nil, fmt.Errorf("describe configs: %w", err)
	}
	values := map[string]string{}
	for _, entry := range described.Resources[0].ConfigEntries {
		values[entry.ConfigName] = entry.ConfigValue
	}
	return values, described.Resources[0].Error
}

func (w *walk) grow() error {
	grown, err := w.admin.CreatePartitions(w.ctx,
		&kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: w.job.Topic, Count: 5}}})
	if err == nil {
		err = grown.Errors[w.job.Topic]
	}
	if err != nil {
		return fmt.Errorf("add partitions: %w", err)
	}
	w.result.PartitionsAfter, err = w.partitions()
	return err
}

func (w *walk) refused() (err error) {
	create := func(name string) (*int16, error) {
		return errorCode(w.createOne(kafka.TopicConfig{Topic: name, NumPartitions: 1, ReplicationFactor: 1}))
	}
	if w.result.CreateExisting, err = create(w.job.Topic); err != nil {
		return err
	}
	if w.result.CreateIllegal, err = create(w.job.Illegal); err != nil {
		return err
	}
	unknown, err := w.describeTopic(w.job.Unknown)
	if err != nil {
		return fmt.Errorf("describe an unknown topic: %w", err)
	}
	w.result.DescribeUnknown, err = errorCode(unknown.Error)
	return err
}

// errorCode is Kafka's number for err, 0 for none; an error that is not Kafka's is returned.
func errorCode(err error) (*int16, error) {
	code := kafka.Error(0)
	if err != nil && !errors.As(err, &code) {
		return nil, err
	}
	number := int16(code)
	return &number, nil
}

func (w *walk) remove() error {
	resp, err := w.admin.DeleteTopics(w.ctx, &kafka.DeleteTopicsRequest{Topics: []string{w.job.Topic}})
	if err == nil {
		err = resp.Errors[w.job.Topic]
	}
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	for {
		listed, err := w.listed()
		if err != nil {
			return err
		}
		if !listed {
			deleted := true
			w.result.Deleted = &deleted
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

package broker

// CreateTopics (key 19), versions 2-7. Partitions and replication factor of -1
// stand for the defaults (KIP-464), in every version as in Kafka. v5 answers with what was made, v7 with
// the topic's id. validate_only runs every check. Who may create neither topics of the cluster nor this one:
// TOPIC_AUTHORIZATION_FAILED; who may not describe its configuration is told that in place of what was made.

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/cluster/config"
	"weir/cluster/metadata"
	"weir/protocol"
)

func (b *Broker) createTopics(ctx context.Context, c *call, req *kmsg.CreateTopicsRequest) (*kmsg.CreateTopicsResponse, error) {
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	named := make(map[string]int)
	for _, t := range req.Topics {
		named[t.Topic]++
	}
	errs := make([]error, len(req.Topics))
	results := make([]*metadata.Topic, len(req.Topics))
	var specs []cluster.TopicSpec
	var places []int
	for i, t := range req.Topics {
		spec, err := topicSpec(t)
		if named[t.Topic] > 1 {
			err = invalidRequest("topic %q is named twice", t.Topic)
		} else if !c.mayCreate(t.Topic) {
			err = protocol.CodeTopicAuthorizationFailed
		}
		if errs[i] = err; err == nil {
			specs = append(specs, spec)
			places = append(places, i)
		}
	}
	made, err := b.node.CreateTopics(ctx, specs, req.ValidateOnly)
	for j, i := range places {
		if errs[i] = err; err == nil {
			results[i], errs[i] = made[j].Topic, made[j].Err
		}
	}
	for i, t := range req.Topics {
		resp.Topics = append(resp.Topics, b.createdTopic(c, t.Topic, results[i], errs[i], req.ValidateOnly))
	}
	return resp, nil
}

func topicSpec(t kmsg.CreateTopicsRequestTopic) (cluster.TopicSpec, error) {
	s := cluster.TopicSpec{Name: t.Topic, Partitions: int(t.NumPartitions), Replicas: int(t.ReplicationFactor)}
	var err error
	if s.Configs, err = createConfigs(t.Configs); err != nil {
		return s, err
	}
	if len(t.ReplicaAssignment) > 0 {
		if t.NumPartitions != -1 || t.ReplicationFactor != -1 {
			return s, invalidRequest("partitions and replication factor must be -1 beside an assignment")
		}
		s.Assignment, err = denseAssignment(t.ReplicaAssignment)
		return s, err
	}
	return s, nil
}

func createConfigs(in []kmsg.CreateTopicsRequestTopicConfig) (map[string]string, error) {
	configs := make(map[string]string, len(in))
	for _, c := range in {
		if c.Value == nil {
			return nil, &config.InvalidValueError{Key: c.Name, Value: "null", Allowed: "a value"}
		}
		if _, twice := configs[c.Name]; twice {
			return nil, invalidRequest("config %q is named twice", c.Name)
		}
		configs[c.Name] = *c.Value
	}
	return configs, nil
}

// denseAssignment orders an assignment by partition; none may be missing.
func denseAssignment(in []kmsg.CreateTopicsRequestTopicReplicaAssignment) ([][]int32, error) {
	out := make([][]int32, len(in))
	for _, a := range in {
		if a.Partition < 0 || int(a.Partition) >= len(in) || out[a.Partition] != nil || len(a.Replicas) == 0 {
			return nil, &metadata.InvalidAssignmentError{Partition: int(a.Partition), Reason: "partitions must be 0, 1, 2, ... once each, with replicas"}
		}
		out[a.Partition] = slices.Clone(a.Replicas)
	}
	return out, nil
}

func (b *Broker) createdTopic(c *call, name string, t *metadata.Topic, err error, validateOnly bool) kmsg.CreateTopicsResponseTopic {
	out := kmsg.NewCreateTopicsResponseTopic()
	out.Topic, out.NumPartitions, out.ReplicationFactor = name, -1, -1
	out.ErrorCode, out.ErrorMessage = codeAndMessage(err)
	if err != nil || t == nil {
		return out
	}
	if !validateOnly {
		out.TopicID = t.ID
	}
	if err := c.may(acl.DescribeConfigs, acl.Topic(name)); err != nil {
		out.ConfigErrorCode = int16(errorCode(err))
		return out
	}
	out.NumPartitions, out.ReplicationFactor = int32(len(t.Partitions)), int16(len(t.Partitions[0].Replicas))
	for _, d := range config.DescribeTopic(t.Configs.Values, b.node.Config()) {
		entry := kmsg.NewCreateTopicsResponseTopicConfig()
		entry.Name, entry.ReadOnly, entry.Source, entry.IsSensitive = d.Name, d.ReadOnly, d.Source.ConfigSource(), d.Sensitive
		entry.Value = nullable(d.Value, d.Null)
		out.Configs = append(out.Configs, entry)
	}
	return out
}

package broker

// AlterConfigs (key 33), versions 0-2, replaces all of a resource's values;
// IncrementalAlterConfigs (key 44), versions 0-1 (KIP-339), sets, deletes,
// appends and subtracts. Both serve topics, brokers ("" is the cluster's
// default) and consumer groups, which need not exist, and validate_only. Any broker takes values for any other, since the
// controller keeps them: one that is down can be drained, or not be any more
// (broker.drained). A value that a broker does not take is INVALID_REQUEST where one
// that a topic does not take is INVALID_CONFIG, as in Kafka (KAFKA-13609). The right to do so is looked at as in DescribeConfigs.

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/config"
	"weir/cluster/metadata"
	"weir/protocol"
)

// configResource names what is altered; a request may name each once.
type configResource struct {
	kind kmsg.ConfigResourceType
	name string
}

func (b *Broker) alterConfigs(ctx context.Context, c *call, req *kmsg.AlterConfigsRequest) (*kmsg.AlterConfigsResponse, error) {
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	named := make(map[configResource]int)
	for _, r := range req.Resources {
		named[configResource{r.ResourceType, r.ResourceName}]++
	}
	for _, r := range req.Resources {
		resource := configResource{r.ResourceType, r.ResourceName}
		err := b.alter(ctx, c, resource, named[resource] > 1, req.ValidateOnly, func(map[string]string) (map[string]string, error) {
			values := make(map[string]string, len(r.Configs))
			for _, in := range r.Configs {
				if _, twice := values[in.Name]; twice {
					return nil, invalidRequest("config %q is named twice", in.Name)
				}
				if in.Value == nil {
					return nil, &config.InvalidValueError{Key: in.Name, Value: "null", Allowed: "a value"}
				}
				values[in.Name] = *in.Value
			}
			return values, nil
		})
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		out.ErrorCode, out.ErrorMessage = codeAndMessage(err)
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}

func (b *Broker) incrementalAlterConfigs(ctx context.Context, c *call, req *kmsg.IncrementalAlterConfigsRequest) (*kmsg.IncrementalAlterConfigsResponse, error) {
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	named := make(map[configResource]int)
	for _, r := range req.Resources {
		named[configResource{r.ResourceType, r.ResourceName}]++
	}
	for _, r := range req.Resources {
		resource := configResource{r.ResourceType, r.ResourceName}
		ops, err := configOps(r.Configs)
		if err == nil {
			err = b.alter(ctx, c, resource, named[resource] > 1, req.ValidateOnly, func(old map[string]string) (map[string]string, error) {
				switch r.ResourceType {
				case kmsg.ConfigResourceTypeTopic:
					return config.AlterTopic(old, ops, b.node.Config())
				case kmsg.ConfigResourceTypeGroupConfig:
					return config.AlterGroup(old, ops, b.node.Config())
				}
				return config.AlterBroker(old, ops, b.node.Config())
			})
		}
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		out.ErrorCode, out.ErrorMessage = codeAndMessage(err)
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}

func configOps(in []kmsg.IncrementalAlterConfigsRequestResourceConfig) ([]config.Op, error) {
	ops := make([]config.Op, 0, len(in))
	seen := make(map[string]bool, len(in))
	for _, c := range in {
		if seen[c.Name] {
			return nil, invalidRequest("config %q is named twice", c.Name)
		}
		seen[c.Name] = true
		op := config.Op{Name: c.Name, Kind: config.OpKind(c.Op)}
		if c.Value != nil {
			op.Value = *c.Value
		} else if op.Kind != config.OpDelete {
			return nil, invalidRequest("config %q has a null value", c.Name)
		}
		ops = append(ops, op)
	}
	return ops, nil
}

func (b *Broker) alter(ctx context.Context, c *call, r configResource, twice, validateOnly bool, change func(map[string]string) (map[string]string, error)) error {
	if twice {
		return invalidRequest("resource %q is named twice", r.name)
	}
	if err := c.mayConfigure(acl.AlterConfigs, r); err != nil {
		return err
	}
	switch r.kind {
	case kmsg.ConfigResourceTypeTopic:
		t, code := b.topicOf(false, r.name, [16]byte{})
		if code != protocol.CodeNone {
			return code
		}
		return b.node.AlterTopicConfigs(ctx, t, validateOnly, change)
	case kmsg.ConfigResourceTypeBroker:
		target, err := brokerNamed(r.name)
		if err != nil {
			return err
		}
		if _, registered := b.node.Image().Broker(target); !registered && target != metadata.AllBrokers {
			return invalidRequest("broker %d is not registered", target)
		}
		return refusedByBroker(b.node.AlterBrokerConfigs(ctx, target, validateOnly, change))
	case kmsg.ConfigResourceTypeGroupConfig:
		if err := checkGroupResource(r.name); err != nil {
			return err
		}
		return b.node.AlterGroupConfigs(ctx, r.name, validateOnly, change)
	}
	return invalidRequest("resource type %d is not served", r.kind)
}

// refusedByBroker has values that brokers do not take refused with Kafka's code.
func refusedByBroker(err error) error {
	var invalid *config.InvalidValueError
	if errors.As(err, &invalid) {
		return invalidRequest("%v", err)
	}
	return err
}

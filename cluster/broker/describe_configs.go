package broker

// DescribeConfigs (key 32), versions 1-4, of topics, brokers and consumer groups. A broker is
// named by its id, the cluster's defaults by "". A group need not exist (KIP-848). Null names ask for all keys.
// v3 adds type and documentation. For who may describe configurations of the resource, of the cluster for a broker:
// TOPIC_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED.
// Left out: broker loggers and client metrics, INVALID_REQUEST.

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/config"
	"weir/cluster/metadata"
	"weir/protocol"
)

func (b *Broker) describeConfigs(_ context.Context, c *call, req *kmsg.DescribeConfigsRequest) (*kmsg.DescribeConfigsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	named := make(map[configResource]bool, len(req.Resources))
	for _, in := range req.Resources {
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = in.ResourceType, in.ResourceName
		resource := configResource{in.ResourceType, in.ResourceName}
		var described []config.Description
		err := invalidRequest("resource %q is named twice", in.ResourceName)
		if !named[resource] {
			if err = c.mayConfigure(acl.DescribeConfigs, resource); err == nil {
				described, err = b.describeResource(in)
			}
		}
		named[resource] = true
		out.ErrorCode, out.ErrorMessage = codeAndMessage(err)
		for _, d := range described {
			if in.ConfigNames == nil || slices.Contains(in.ConfigNames, d.Name) {
				out.Configs = append(out.Configs, configEntry(d, req))
			}
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}

// mayConfigure says whether the client may describe or alter the configuration of a resource. That of brokers is the cluster's.
func (c *call) mayConfigure(op acl.Operation, r configResource) error {
	switch r.kind {
	case kmsg.ConfigResourceTypeTopic:
		return c.may(op, acl.Topic(r.name))
	case kmsg.ConfigResourceTypeGroupConfig:
		return c.may(op, acl.Group(r.name))
	}
	return c.may(op, acl.Cluster)
}

func (b *Broker) describeResource(in kmsg.DescribeConfigsRequestResource) ([]config.Description, error) {
	switch in.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if err := metadata.CheckTopicName(in.ResourceName); err != nil {
			return nil, err
		}
		t, code := b.topicOf(false, in.ResourceName, [16]byte{})
		if code != protocol.CodeNone {
			return nil, code
		}
		return config.DescribeTopic(t.Overrides, b.node.Config()), nil
	case kmsg.ConfigResourceTypeBroker:
		target, err := b.brokerResource(in.ResourceName)
		if err != nil {
			return nil, err
		}
		if target == metadata.AllBrokers {
			return config.DescribeCluster(b.node.Image().ClusterConfigs().Values), nil
		}
		return b.node.Config().Describe(), nil
	case kmsg.ConfigResourceTypeGroupConfig:
		if err := checkGroupResource(in.ResourceName); err != nil {
			return nil, err
		}
		return config.DescribeGroup(b.node.Image().GroupConfigs(in.ResourceName).Values, b.node.Config()), nil
	}
	return nil, invalidRequest("resource type %d is not served", in.ResourceType)
}

// brokerResource reads the name of a broker resource that is to be this broker, since the
// file that another one was started with is not known here.
func (b *Broker) brokerResource(name string) (int32, error) {
	id, err := brokerNamed(name)
	if err == nil && id != metadata.AllBrokers && id != b.node.ID() {
		return 0, invalidRequest("got broker %q, this is broker %d", name, b.node.ID())
	}
	return id, err
}

func checkGroupResource(name string) error {
	if checkGroupName(name) != nil {
		return invalidRequest("the name of a group has 1 to %d bytes", maxGroupNameBytes)
	}
	return nil
}

// brokerNamed reads the name of a broker resource, which is empty for all.
func brokerNamed(name string) (int32, error) {
	if name == "" {
		return metadata.AllBrokers, nil
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil || id < 0 {
		return 0, invalidRequest("%q is no broker's id", name)
	}
	return int32(id), nil
}

func configEntry(d config.Description, req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.Value, c.ReadOnly, c.IsSensitive = d.Name, nullable(d.Value, d.Null), d.ReadOnly, d.Sensitive
	c.Source, c.ConfigType = kmsg.ConfigSource(d.Source.ConfigSource()), kmsg.ConfigType(d.Type)
	if req.IncludeDocumentation {
		c.Documentation = kmsg.StringPtr(d.Doc)
	}
	if !req.IncludeSynonyms {
		return c
	}
	for _, s := range d.Synonyms {
		cs := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		cs.Name, cs.Source, cs.Value = s.Name, kmsg.ConfigSource(s.Source.ConfigSource()), nullable(s.Value, s.Null || d.Sensitive)
		c.ConfigSynonyms = append(c.ConfigSynonyms, cs)
	}
	return c
}

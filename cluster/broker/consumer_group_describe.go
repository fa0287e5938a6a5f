package broker

// ConsumerGroupDescribe (key 69), versions 0-1 (KIP-848): state, epochs and members of groups of the consumer
// protocol, with what each has and is to have. Others, and unknown ones: GROUP_ID_NOT_FOUND.
// While the feature group.version is at 0: UNSUPPORTED_VERSION.
//
// Added by version: 1 the protocol that a member speaks (KIP-1099).
// What is named twice is answered once, since a megabyte could ask for gigabytes. Nobody tells authorized operations.
// Partitions of topics that are gone are not told.

import (
	"context"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/group/assignor"
	"weir/cluster/group/consumer"
	"weir/protocol"
)

// What members speak, by Kafka's numbers.
const (
	memberTypeClassic  = 0
	memberTypeConsumer = 1
)

func (b *Broker) consumerGroupDescribe(_ context.Context, _ *call, req *kmsg.ConsumerGroupDescribeRequest) (*kmsg.ConsumerGroupDescribeResponse, error) {
	resp := req.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
	named := make(map[string]bool, len(req.Groups))
	for _, name := range req.Groups {
		if !named[name] {
			resp.Groups = append(resp.Groups, b.describeConsumerGroup(name))
		}
		named[name] = true
	}
	return resp, nil
}

func (b *Broker) describeConsumerGroup(name string) kmsg.ConsumerGroupDescribeResponseGroup {
	out := kmsg.NewConsumerGroupDescribeResponseGroup()
	out.Group, out.AuthorizedOperations = name, math.MinInt32
	failed := b.checkConsumerProtocol()
	err := b.groups.within(name, func(s *shard) {
		if failed != nil {
			return
		}
		switch g := s.groups[name]; {
		case !s.has(name):
			failed = protocol.CodeGroupIDNotFound
		case g == nil || g.consumer() == nil:
			failed = errClassicGroup
		default:
			b.describeMembers(&out, g.consumer().Describe())
		}
	})
	if err == nil {
		err = failed
	}
	out.ErrorCode, out.ErrorMessage = codeAndMessage(err)
	return out
}

func (b *Broker) describeMembers(out *kmsg.ConsumerGroupDescribeResponseGroup, d consumer.Description) {
	out.State, out.Epoch, out.AssignmentEpoch, out.AssignorName = string(d.State), d.Epoch, d.TargetEpoch, d.Assignor
	for _, m := range d.Members {
		x := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		x.MemberID, x.MemberEpoch, x.ClientID, x.ClientHost = m.ID, m.Epoch, m.ClientID, m.ClientHost
		x.InstanceID, x.RackID = nullable(m.InstanceID, m.InstanceID == ""), nullable(m.Rack, m.Rack == "")
		x.SubscribedTopics, x.SubscribedTopicRegex = append([]string{}, m.Topics...), nullable(m.Regex, m.Regex == "")
		x.Assignment.TopicPartitions, x.TargetAssignment.TopicPartitions = b.namedPartitions(m.Assigned), b.namedPartitions(m.Target)
		if x.MemberType = memberTypeConsumer; m.Classic {
			x.MemberType = memberTypeClassic
		}
		out.Members = append(out.Members, x)
	}
}

// namedPartitions is an assignment with the names of topics.
func (b *Broker) namedPartitions(a assignor.Assignment) []kmsg.AssignmentTopicPartition {
	list := []kmsg.AssignmentTopicPartition{}
	for _, id := range a.Topics() {
		if t := b.node.TopicByID(id); t != nil {
			x := kmsg.NewAssignmentTopicPartition()
			x.TopicID, x.Topic, x.Partitions = id, t.Name, a[id]
			list = append(list, x)
		}
	}
	return list
}

package broker

// ConsumerGroupDescribe (key 69), versions 0-1 (KIP-848): state, epochs and members of groups of the consumer
// protocol, with what each has and is to have. Others, and unknown ones: GROUP_ID_NOT_FOUND.
// While the feature group.version is at 0: UNSUPPORTED_VERSION.
//
// Added by version: 1 the protocol that a member speaks (KIP-1099).
// What is named twice is answered once, since a megabyte could ask for gigabytes.
// Who may not describe the group: GROUP_AUTHORIZATION_FAILED; who may not describe a topic that it reads: TOPIC_AUTHORIZATION_FAILED.
// Partitions of topics that are gone are not told.

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/group/assignor"
	"weir/cluster/group/consumer"
	"weir/protocol"
)

// What members speak, by Kafka's numbers.
const (
	memberTypeClassic  = 0
	memberTypeConsumer = 1
)

func (b *Broker) consumerGroupDescribe(_ context.Context, c *call, req *kmsg.ConsumerGroupDescribeRequest) (*kmsg.ConsumerGroupDescribeResponse, error) {
	resp := req.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
	named := make(map[string]bool, len(req.Groups))
	for _, name := range req.Groups {
		if !named[name] {
			resp.Groups = append(resp.Groups, b.describeConsumerGroup(c, req, name))
		}
		named[name] = true
	}
	return resp, nil
}

func (b *Broker) describeConsumerGroup(c *call, req *kmsg.ConsumerGroupDescribeRequest, name string) kmsg.ConsumerGroupDescribeResponseGroup {
	out := kmsg.NewConsumerGroupDescribeResponseGroup()
	out.Group, out.AuthorizedOperations = name, notAsked
	failed := b.checkConsumerProtocol()
	if failed == nil {
		failed = c.may(acl.Describe, acl.Group(name))
	}
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
	if failed == nil && err == nil && !c.mayDescribeAll(out.Members) {
		out = kmsg.NewConsumerGroupDescribeResponseGroup()
		out.Group, failed = name, errHiddenTopics
	}
	if err == nil {
		err = failed
	}
	if out.ErrorCode, out.ErrorMessage = codeAndMessage(err); err == nil {
		out.AuthorizedOperations = c.operations(req.IncludeAuthorizedOperations, acl.Group(name))
	}
	return out
}

// errHiddenTopics refuses a group whole, since part of it would be no description.
var errHiddenTopics = fmt.Errorf("%w: the group reads topics that the client may not describe", protocol.CodeTopicAuthorizationFailed)

// mayDescribeAll says whether the client may describe the topics that members have or are to have.
func (c *call) mayDescribeAll(members []kmsg.ConsumerGroupDescribeResponseGroupMember) bool {
	for _, m := range members {
		for _, t := range slices.Concat(m.Assignment.TopicPartitions, m.TargetAssignment.TopicPartitions) {
			if !c.allowed(acl.Describe, acl.Topic(t.Topic)) {
				return false
			}
		}
	}
	return true
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

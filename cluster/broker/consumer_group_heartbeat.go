package broker

// ConsumerGroupHeartbeat (key 68), versions 0-1 (KIP-848): a member of the consumer protocol joins, says
// what it subscribes to and what it uses, leaves, and is told its assignment when that has changed. Answered
// when all that the answer tells of is on disk; a heartbeat that changes nothing writes nothing.
//
// Checked, in this order: the feature group.version (UNSUPPORTED_VERSION at level 0); the right to read the group and to describe the topics
// (GROUP_AUTHORIZATION_FAILED, TOPIC_AUTHORIZATION_FAILED); the group's name, INVALID_REQUEST as Kafka has it here; what has to be said when joining,
// and lengths (INVALID_REQUEST); the regular expression (INVALID_REGULAR_EXPRESSION); room for a group
// (POLICY_VIOLATION); the assignor (UNSUPPORTED_ASSIGNOR); room in the group (GROUP_MAX_SIZE_REACHED);
// the member (UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID, FENCED_MEMBER_EPOCH). A group of
// classic members that cannot change its protocol: GROUP_ID_NOT_FOUND; that is amid a rebalance:
// COORDINATOR_LOAD_IN_PROGRESS.
// Added by version: 1 regular expression, member id chosen by the client (KIP-1082).
// Regular expressions are RE2's, match whole names, and never the broker's own topics, nor those that a member may not describe.

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/group"
	"weir/cluster/group/assignor"
	"weir/cluster/group/consumer"
	"weir/protocol"
)

// Epochs in requests that are none.
const (
	epochJoin        = 0
	epochLeave       = -1
	epochLeaveStatic = -2
)

// errClassicGroup refuses what only groups of the consumer protocol do.
var errClassicGroup = fmt.Errorf("the group is of the classic protocol: %w", protocol.CodeGroupIDNotFound)

func (b *Broker) consumerGroupHeartbeat(ctx context.Context, c *call, req *kmsg.ConsumerGroupHeartbeatRequest) (*kmsg.ConsumerGroupHeartbeatResponse, error) {
	resp := req.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
	a, err := b.beat(ctx, c, req)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil {
		err = a.Err
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = int16(commitCode(err)), kmsg.StringPtr(err.Error())
		return resp, nil
	}
	resp.MemberID, resp.MemberEpoch = &a.MemberID, a.Epoch
	resp.HeartbeatIntervalMillis = int32(b.node.GroupConfig(req.Group).HeartbeatInterval.Milliseconds())
	if a.Assignment != nil {
		out := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
		for _, id := range a.Assignment.Topics() {
			t := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
			t.TopicID, t.Partitions = id, a.Assignment[id]
			out.Topics = append(out.Topics, t)
		}
		resp.Assignment = &out
	}
	return resp, nil
}

func (b *Broker) beat(ctx context.Context, c *call, req *kmsg.ConsumerGroupHeartbeatRequest) (*group.BeatAnswer, error) {
	if err := b.checkConsumerProtocol(); err != nil {
		return nil, err
	}
	if err := c.mayBeat(req); err != nil {
		return nil, err
	}
	if err := checkBeat(req); err != nil {
		return nil, err
	}
	r := beatRequest(c, req)
	c.DropFrame()
	if req.MemberEpoch == epochJoin { // it may be the first of its group, and the group the first of all
		if _, err := b.node.EnsureInternalTopic(ctx, offsetsTopic); err != nil {
			return nil, err
		}
	}
	a, err := b.groups.ask(ctx, req.Group, b.groups.consumerGroup(req.Group, req.MemberEpoch == epochJoin), func(g *liveGroup, t group.Ticket) group.Output {
		r.Ticket = t
		return b.groups.beat(g, r)
	})
	return a.Beat, err
}

// mayBeat says whether the client may be in the group, and knows of the topics that it subscribes to.
func (c *call) mayBeat(req *kmsg.ConsumerGroupHeartbeatRequest) error {
	if err := c.may(acl.Read, acl.Group(req.Group)); err != nil {
		return err
	}
	for _, name := range req.SubscribedTopicNames {
		if err := c.may(acl.Describe, acl.Topic(name)); err != nil {
			return err
		}
	}
	return nil
}

// checkBeat refuses requests that contradict themselves.
func checkBeat(req *kmsg.ConsumerGroupHeartbeatRequest) error {
	for _, name := range []*string{&req.Group, req.InstanceID, req.RackID, req.ServerAssignor} {
		if name != nil && (*name == "" || len(*name) > maxGroupNameBytes) {
			return invalidRequest("group, instance, rack and assignor have 1 to %d bytes", maxGroupNameBytes)
		}
	}
	if len(req.MemberID) > maxGroupNameBytes || req.MemberID == "" && (req.Version > 0 || req.MemberEpoch != epochJoin) {
		return invalidRequest("a member id has 1 to %d bytes", maxGroupNameBytes)
	}
	regex := orEmpty(req.SubscribedTopicRegex)
	switch {
	case req.MemberEpoch < epochLeaveStatic:
		return invalidRequest("no member has epoch %d", req.MemberEpoch)
	case req.MemberEpoch == epochLeaveStatic && req.InstanceID == nil:
		return invalidRequest("only a static member leaves to come back")
	case req.MemberEpoch != epochJoin:
	case req.RebalanceTimeoutMillis < 0:
		return invalidRequest("who joins has to say its rebalance timeout")
	case req.Topics == nil || len(req.Topics) > 0:
		return invalidRequest("who joins has no partitions, and has to say so")
	case req.SubscribedTopicNames == nil && regex == "":
		return invalidRequest("who joins has to subscribe to topics or to a regular expression")
	}
	if regex == "" {
		return nil
	}
	return checkPattern(regex)
}

// beatRequest copies what a group keeps: the frame goes with the answer.
func beatRequest(c *call, req *kmsg.ConsumerGroupHeartbeatRequest) consumer.Request {
	r := consumer.Request{
		MemberID: req.MemberID, InstanceID: orEmpty(req.InstanceID), Rack: orEmpty(req.RackID), Epoch: req.MemberEpoch,
		ClientID: c.Header.ClientID[:min(len(c.Header.ClientID), maxClientIDBytes)], ClientHost: clientHost(c),
		Rebalance: millis(req.RebalanceTimeoutMillis), Topics: req.SubscribedTopicNames, Regex: req.SubscribedTopicRegex,
		Assignor: orEmpty(req.ServerAssignor),
	}
	if r.MemberID == "" {
		r.MemberID = newUUID()
	}
	if req.Topics != nil {
		r.Owned = make(assignor.Assignment, len(req.Topics))
		for _, t := range req.Topics {
			r.Owned[t.TopicID] = append(r.Owned[t.TopicID], t.Partitions...)
		}
		r.Owned = assignor.Normal(r.Owned)
	}
	return r
}

// beat hands a heartbeat to a group. A classic one becomes one of the consumer protocol by that, if it takes
// the member; what is parked there is answered REBALANCE_IN_PROGRESS. It is called with mu held.
func (c *coordinator) beat(g *liveGroup, r consumer.Request) group.Output {
	if g.consumer() != nil {
		return g.consumer().Beat(c.now(), r)
	}
	upgraded, ok := consumer.Upgrade(c.world(g.name), g.classic(), c.now())
	if !ok {
		return group.Output{Answers: []group.Answer{{Ticket: r.Ticket, Beat: &group.BeatAnswer{Err: errClassicGroup}}}}
	}
	out := upgraded.Beat(c.now(), r)
	if len(out.Answers) > 0 && out.Answers[0].Beat.Err != nil {
		return group.Output{Answers: out.Answers}
	}
	g.follow(upgraded, group.ErrRebalanceInProgress)
	return out
}

// consumerGroup finds a group for a heartbeat of the consumer protocol; join says that it may make one. A
// group of the classic protocol that nobody is in becomes one of the consumer protocol. Errors:
// UNKNOWN_MEMBER_ID when there is no such group, GROUP_ID_NOT_FOUND when it is of the other protocol,
// COORDINATOR_LOAD_IN_PROGRESS when it can change that in a moment, and those of roomFor.
func (c *coordinator) consumerGroup(name string, join bool) findGroup {
	return func(s *shard) (*liveGroup, error) {
		g, err := c.existing(s, name, join)
		if err != nil {
			return nil, err
		}
		switch {
		case g == nil:
			g = newLiveGroup(s, name, consumer.New(c.world(name), c.now()))
			s.groups[name] = g
		case g.consumer() != nil:
		case g.State() == group.Empty && join:
			g.follow(consumer.New(c.world(name), c.now()), protocol.CodeCoordinatorLoadInProgress)
		case !join || g.ProtocolType() != group.ConsumerType || !c.node.Config().Groups.Consumer.Upgrade:
			return nil, errClassicGroup
		case g.State() != group.Stable || g.writing > 0:
			return nil, protocol.CodeCoordinatorLoadInProgress // a rebalance has to end first
		}
		return g, nil
	}
}

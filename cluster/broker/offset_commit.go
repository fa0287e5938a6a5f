package broker

// OffsetCommit (key 8), versions 2-10: offsets of a group's members, or of consumers that
// assign their partitions themselves (no member, generation -1), of which only groups without
// members know. Answered when the commit is on disk.
//
// Added by version: 6 leader epoch, 7 instance id, 8 flexible, 9 the member's epoch in place of the
// generation (KIP-848): STALE_MEMBER_EPOCH, and GROUP_ID_NOT_FOUND for a group that does not exist, 10 topic ids in
// place of names: UNKNOWN_TOPIC_ID. A topic made again under its name has another id.
// Names of groups have at most 255 bytes, INVALID_GROUP_ID; there is room for
// 10,000 groups, POLICY_VIOLATION.
// The client has to have the right to read group and topic: GROUP_AUTHORIZATION_FAILED, TOPIC_AUTHORIZATION_FAILED.
// A commit keeps its member in the group as a heartbeat does. Others are refused with
// UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, FENCED_INSTANCE_ID; so is all that comes between
// Join and Sync, REBALANCE_IN_PROGRESS.
// Left out: retention by request (v2-4; the broker's own applies).

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/cluster/group"
	"weir/protocol"
)

// epochVersion is the first version of OffsetCommit and OffsetFetch that speaks of members' epochs.
const epochVersion = 9

// topicIDVersion is the first version of OffsetCommit and OffsetFetch that names topics by their ids.
const topicIDVersion = 10

func (b *Broker) offsetCommit(ctx context.Context, c *call, req *kmsg.OffsetCommitRequest) (*kmsg.OffsetCommitResponse, error) {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	now := b.now().UnixMilli()
	commits := make(map[group.TopicPartition]group.Commit)
	denied := c.may(acl.Read, acl.Group(req.Group))
	for _, t := range req.Topics {
		out := kmsg.NewOffsetCommitResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		topic, refused := c.topicFor(acl.Read, req.Version >= topicIDVersion, t.Topic, t.TopicID)
		if denied != nil {
			refused = errorCode(denied)
		} else if len(req.Group) > maxGroupNameBytes {
			refused = protocol.CodeInvalidGroupID
		}
		for _, p := range t.Partitions {
			code := refused
			if code == protocol.CodeNone {
				code = b.checkCommit(topic, p.Partition, p.Metadata)
			}
			if code == protocol.CodeNone {
				commits[group.TopicPartition{Topic: topic.Name, Partition: p.Partition}] = group.Commit{
					Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: orEmpty(p.Metadata), Timestamp: now, TopicID: topic.ID,
				}
			}
			out.Partitions = append(out.Partitions, committedPartition(p.Partition, code))
		}
		resp.Topics = append(resp.Topics, out)
	}
	if len(commits) == 0 {
		return resp, nil
	}
	by := committer{member: req.MemberID, instance: orEmpty(req.InstanceID), generation: req.Generation, version: req.Version}
	if err := b.groups.commit(ctx, req.Group, by, commits); err != nil {
		refuseAll(resp, commitCode(err))
	}
	return resp, nil
}

func (b *Broker) checkCommit(t *cluster.Topic, index int32, metadata *string) protocol.ErrorCode {
	switch {
	case index < 0 || int(index) >= t.NumPartitions():
		return protocol.CodeUnknownTopicOrPartition
	case len(orEmpty(metadata)) > min(b.cfg.Groups.OffsetMetadataMaxBytes, maxMetadataBytes):
		return protocol.CodeOffsetMetadataTooLarge
	}
	return protocol.CodeNone
}

func committedPartition(index int32, code protocol.ErrorCode) kmsg.OffsetCommitResponseTopicPartition {
	p := kmsg.NewOffsetCommitResponseTopicPartition()
	p.Partition, p.ErrorCode = index, int16(code)
	return p
}

// refuseAll gives a code to what has been found good so far.
func refuseAll(resp *kmsg.OffsetCommitResponse, code protocol.ErrorCode) {
	for _, t := range resp.Topics {
		for i := range t.Partitions {
			if p := &t.Partitions[i]; p.ErrorCode == 0 {
				p.ErrorCode = int16(code)
			}
		}
	}
}

// commitCode words what groups answer, and failed writes of the offsets topic, for
// consumers: they retry the latter.
func commitCode(err error) protocol.ErrorCode {
	switch code := errorCode(err); code {
	case protocol.CodeNotLeaderOrFollower, protocol.CodeKafkaStorageError:
		return protocol.CodeNotCoordinator
	case protocol.CodeRequestTimedOut, protocol.CodeNotEnoughReplicas, protocol.CodeNotController:
		return protocol.CodeCoordinatorNotAvailable
	default:
		return code
	}
}

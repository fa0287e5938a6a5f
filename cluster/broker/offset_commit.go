package broker

// OffsetCommit (key 8), versions 2-9: offsets of a group's members, or of consumers that
// assign their partitions themselves (no member, generation -1), of which only groups without
// members know. Answered when the commit is on disk.
//
// Added by version: 6 leader epoch, 7 instance id, 8 flexible, 9 the member's epoch in place of the
// generation (KIP-848): STALE_MEMBER_EPOCH, and GROUP_ID_NOT_FOUND for a group that does not exist.
// Names of groups have at most 255 bytes, INVALID_GROUP_ID; there is room for
// 10,000 groups, POLICY_VIOLATION.
// A commit keeps its member in the group as a heartbeat does. Others are refused with
// UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, FENCED_INSTANCE_ID; so is all that comes between
// Join and Sync, REBALANCE_IN_PROGRESS.
// Left out: retention by request (v2-4; the broker's own applies).

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/group"
	"weir/protocol"
)

// epochVersion is the first version of OffsetCommit and OffsetFetch that speaks of members' epochs.
const epochVersion = 9

func (b *Broker) offsetCommit(ctx context.Context, _ *call, req *kmsg.OffsetCommitRequest) (*kmsg.OffsetCommitResponse, error) {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	var all protocol.ErrorCode // for every partition
	if len(req.Group) > maxGroupNameBytes {
		all = protocol.CodeInvalidGroupID
	}
	now := b.now().UnixMilli()
	commits := make(map[group.TopicPartition]group.Commit)
	codes := make(map[group.TopicPartition]protocol.ErrorCode)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			tp := group.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			c := group.Commit{Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Timestamp: now}
			if p.Metadata != nil {
				c.Metadata = *p.Metadata
			}
			codes[tp] = all
			if all == protocol.CodeNone {
				codes[tp] = b.checkCommit(tp, c)
			}
			if codes[tp] == protocol.CodeNone {
				commits[tp] = c
			}
		}
	}
	if len(commits) > 0 {
		by := committer{member: req.MemberID, instance: orEmpty(req.InstanceID), generation: req.Generation, version: req.Version}
		if err := b.groups.commit(ctx, req.Group, by, commits); err != nil {
			for tp := range commits {
				codes[tp] = commitCode(err)
			}
		}
	}
	for _, t := range req.Topics {
		out := kmsg.NewOffsetCommitResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			po := kmsg.NewOffsetCommitResponseTopicPartition()
			po.Partition = p.Partition
			po.ErrorCode = int16(codes[group.TopicPartition{Topic: t.Topic, Partition: p.Partition}])
			out.Partitions = append(out.Partitions, po)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func (b *Broker) checkCommit(tp group.TopicPartition, c group.Commit) protocol.ErrorCode {
	if len(c.Metadata) > min(b.cfg.Groups.OffsetMetadataMaxBytes, maxMetadataBytes) {
		return protocol.CodeOffsetMetadataTooLarge
	}
	return errorCode(b.checkPartition(tp.Topic, tp.Partition))
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

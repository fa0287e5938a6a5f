package broker

// TxnOffsetCommit (key 28), versions 0-6: offsets of a group that count when a transaction is committed, and never if it
// is aborted (KIP-98). They are in the topic before this is answered, and pending until the transaction's
// marker is there, too.
//
// Added by version: 2 leader epoch, 3 member and generation (KIP-447), checked as in OffsetCommit:
// UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, FENCED_INSTANCE_ID; 5 the partition of the topic is made part of the
// transaction (KIP-890), before that it has to be by AddOffsetsToTxn: INVALID_TXN_STATE; 6 topic ids in place of names
// (KIP-1319): UNKNOWN_TOPIC_ID.
// The client has to have the right to write by the transactional id, and to read group and topics:
// TRANSACTIONAL_ID_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED, TOPIC_AUTHORIZATION_FAILED.
// A stale epoch of the consumer protocol is ILLEGAL_GENERATION here. A rebalance that is under way keeps nobody from it.

import (
	"context"
	"errors"
	"maps"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/group"
	"weir/cluster/txn"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// txnTopicIDVersion is the first version that names topics by their ids.
const txnTopicIDVersion = 6

func (b *Broker) txnOffsetCommit(ctx context.Context, c *call, req *kmsg.TxnOffsetCommitRequest) (*kmsg.TxnOffsetCommitResponse, error) {
	resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	now := b.now().UnixMilli()
	commits := make(map[group.TopicPartition]group.Commit)
	denied := c.may(acl.Write, acl.TransactionalID(req.TransactionalID))
	if denied == nil {
		denied = c.may(acl.Read, acl.Group(req.Group))
	}
	for _, t := range req.Topics {
		out := kmsg.NewTxnOffsetCommitResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		topic, refused := c.topicFor(acl.Read, req.Version >= txnTopicIDVersion, t.Topic, t.TopicID)
		if denied != nil {
			refused = errorCode(denied)
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
			po := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			po.Partition, po.ErrorCode = p.Partition, int16(code)
			out.Partitions = append(out.Partitions, po)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if len(commits) == 0 {
		return resp, nil
	}
	if err := b.commitInTransaction(ctx, req, commits); err != nil {
		refusePending(resp, txnCommitCode(req.Version, err))
	}
	return resp, nil
}

// refusePending is refuseAll for commits in a transaction.
func refusePending(resp *kmsg.TxnOffsetCommitResponse, code protocol.ErrorCode) {
	for _, t := range resp.Topics {
		for i := range t.Partitions {
			if p := &t.Partitions[i]; p.ErrorCode == 0 {
				p.ErrorCode = int16(code)
			}
		}
	}
}

func (b *Broker) commitInTransaction(ctx context.Context, req *kmsg.TxnOffsetCommitRequest, commits map[group.TopicPartition]group.Commit) error {
	p, err := b.offsetsPartition(ctx, req.Group)
	if err != nil {
		return err
	}
	producer := txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}
	t := b.node.Topic(p.Topic)
	if t == nil {
		return protocol.CodeCoordinatorNotAvailable // deleted meanwhile
	}
	// Who is not the coordinator must not have a partition added that it does not lead.
	part, err := t.Partition(p.Index)
	if err != nil {
		return err
	}
	entry := &txnEntry{partition: p, part: part, producer: producer, implicit: req.Version >= 5}
	b.enterTransaction(ctx, req.TransactionalID, []*txnEntry{entry})
	defer entry.leave()
	if entry.err != nil {
		return entry.err
	}
	by := committer{member: req.MemberID, instance: orEmpty(req.InstanceID), generation: req.Generation, version: req.Version}
	return b.groups.commitPending(ctx, req.Group, by, entry, commits)
}

// txnCommitCode words errors for producers: what they have to come again for, and that not to every version in the same words.
func txnCommitCode(version int16, err error) protocol.ErrorCode {
	code := commitCode(err)
	switch code {
	case protocol.CodeConcurrentTransactions, protocol.CodeNotEnoughReplicas:
		code = protocol.CodeCoordinatorLoadInProgress
	case protocol.CodeStaleMemberEpoch:
		code = protocol.CodeIllegalGeneration
	case protocol.CodeTransactionAbortable:
		if version < 5 {
			code = protocol.CodeInvalidTxnState
		}
	case protocol.CodeProducerFenced:
		code = protocol.CodeInvalidProducerEpoch
	}
	if code == protocol.CodeCoordinatorLoadInProgress && version < 2 {
		return protocol.CodeCoordinatorNotAvailable
	}
	return code
}

// commitPending brings commits of a transaction into the topic. Errors are those of commit.
func (c *coordinator) commitPending(ctx context.Context, name string, by committer, in *txnEntry, commits map[group.TopicPartition]group.Commit) error {
	h := recordbatch.Header{ProducerID: in.producer.ID, ProducerEpoch: in.producer.Epoch, BaseSequence: -1}.InTransaction()
	return c.writeAs(ctx, name, h, in, func(s *shard) ([]recordbatch.Record, func(int64), error) {
		if err := c.mayCommitPending(s, name, by, in.producer.ID, commits); err != nil {
			return nil, nil, err
		}
		records, err := c.commitRecords(s, name, by.version, commits)
		return records, func(position int64) {
			for tp, x := range commits {
				s.pending.Set(in.producer.ID, name, tp, x, position)
			}
		}, err
	})
}

// mayCommitPending is mayCommit for transactions: a client that does not say who it is may, and a rebalance matters to
// nobody, since the generation has been checked.
func (c *coordinator) mayCommitPending(s *shard, name string, by committer, producerID int64, commits map[group.TopicPartition]group.Commit) error {
	if s.mustDrain(c.now(), producerID) {
		return protocol.CodeCoordinatorLoadInProgress
	}
	if by.member == "" && by.instance == "" && by.generation < 0 {
		return nil
	}
	by.version = epochVersion // of OffsetCommit, from which on an epoch is one
	err := c.mayCommit(s, name, by, maps.Keys(commits))
	switch {
	case errors.Is(err, group.ErrRebalanceInProgress):
		return nil
	case errors.Is(err, protocol.CodeGroupIDNotFound):
		return group.ErrIllegalGeneration
	}
	return err
}

// endPending has the commits of a producer's transaction count, or not: its marker is in the topic at an offset.
func (c *coordinator) endPending(index int32, producerID, marker int64, commit bool) {
	t := c.node.Topic(offsetsTopic)
	if t == nil {
		return
	}
	var s *shard
	var appends []*partition.Append
	err := c.on(t, index, func(shard *shard) {
		s = shard
		waited := !s.pending.Empty()
		if s.endPending(producerID, marker, commit); waited && s.pending.Empty() {
			// No other commit of a transaction comes between: they may never all be ended again.
			var err error
			if appends, err = c.rewriteIfGrown(c.ctx, s); err != nil {
				c.logger.Warn("the offsets topic is not shrunk", "partition", index, "err", err)
			}
		}
	})
	if err != nil || len(appends) == 0 {
		return // who leads reads the marker from the topic
	}
	p := s.partition
	c.running.Go(func() {
		if err := dropRewritten(c.ctx, p, appends); err != nil && c.ctx.Err() == nil {
			c.logger.Warn("the offsets topic is not shrunk", "partition", index, "err", err)
		}
	})
}

func (s *shard) endPending(producerID, marker int64, commit bool) {
	for _, x := range s.pending.End(producerID, marker) {
		if commit {
			s.offsets.Set(x.Group, x.Partition, x.Commit)
			s.pending.Supersede(x.Group, x.Partition, x.Position)
		}
	}
}

// setCommit notes a commit that counts, outside of transactions. What is pending for its partition is older.
func (s *shard) setCommit(name string, tp group.TopicPartition, x group.Commit) {
	s.offsets.Set(name, tp, x)
	s.pending.Supersede(name, tp, math.MaxInt64)
}

// forgetCommit forgets one.
func (s *shard) forgetCommit(name string, tp group.TopicPartition) {
	s.offsets.Delete(name, tp)
	s.pending.Supersede(name, tp, math.MaxInt64)
}

// A transaction that hangs does not keep the others waiting until its time is up: a drain lasts drainTime, and the next
// one begins drainInterval after it did. The more a partition has grown the longer drains last: when it has ten times the
// size at which they begin, all the time.
const (
	drainTime     = time.Second
	drainInterval = 10 * time.Second
)

// mustDrain says that no more commits of a producer's transactions are taken for now: the partition is to be rewritten,
// which waits for those that are pending. A transaction that has some there already would wait for itself.
func (s *shard) mustDrain(now time.Time, producerID int64) bool {
	size, most := s.partition.SizeBytes(), max(2*shrinkBytes, 2*shrinkFactor*s.live)
	if size <= most || s.pending.Empty() || s.pending.HasProducer(producerID) {
		return false
	}
	if now.Sub(s.drainBegan) >= drainInterval {
		s.drainBegan = now
	}
	return now.Sub(s.drainBegan) < drainTime*time.Duration(size/most)
}

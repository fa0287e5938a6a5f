package broker

// AddPartitionsToTxn (key 24), versions 0-5: partitions become part of the transaction of a transactional id, which
// begins one if there is none open (KIP-98). From version 4 on, for brokers, it speaks of many transactional
// ids, and can be a question only (KIP-890): the leader of a partition asks before it takes the first batch. These are for who
// may act for the cluster, CLUSTER_AUTHORIZATION_FAILED, the older ones for who may write by the transactional id and to the
// topics, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, TOPIC_AUTHORIZATION_FAILED.
//
// Answered when it is on disk; partitions that are part of it already are answered at once.
// One unknown or forbidden partition has the others not be tried, OPERATION_NOT_ATTEMPTED. Errors for all are
// INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED (INVALID_PRODUCER_EPOCH before version 2), CONCURRENT_TRANSACTIONS while
// the transaction before is being ended, POLICY_VIOLATION for more than 10,000 partitions.
// Verification answers TRANSACTION_ABORTABLE for what is not part of the transaction.

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/txn"
	"weir/protocol"
)

// Transaction versions of clients (KIP-890): in the second, each transaction has an epoch of its own, and the leaders
// of partitions add these.
const (
	clientVersion1 = 0
	clientVersion2 = 2
)

func (b *Broker) addPartitionsToTxn(ctx context.Context, c *call, req *kmsg.AddPartitionsToTxnRequest) (*kmsg.AddPartitionsToTxnResponse, error) {
	resp := req.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	if req.Version >= 4 {
		if err := c.may(acl.ClusterAction, acl.Cluster); err != nil {
			resp.ErrorCode = int16(errorCode(err))
			return resp, nil
		}
		return b.addForBroker(ctx, req), nil
	}
	var partitions []txn.Partition
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			partitions = append(partitions, txn.Partition{Topic: t.Topic, Index: p})
		}
	}
	codes := c.refusedEntries(req.TransactionalID, partitions)
	if codes == nil {
		codes = b.add(ctx, req.TransactionalID, txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}, clientVersion1, partitions)
	}
	for _, t := range req.Topics {
		out := kmsg.NewAddPartitionsToTxnResponseTopic()
		out.Topic = t.Topic
		for _, index := range t.Partitions {
			po := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
			po.Partition = index
			po.ErrorCode = int16(fencedBefore(2, req.Version, codes[txn.Partition{Topic: t.Topic, Index: index}]))
			out.Partitions = append(out.Partitions, po)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

// refusedEntries is nil if the client may write by the transactional id and to all partitions; if not, no partition is added.
func (c *call) refusedEntries(id string, partitions []txn.Partition) map[txn.Partition]protocol.ErrorCode {
	codes := make(map[txn.Partition]protocol.ErrorCode, len(partitions))
	denied := c.may(acl.Write, acl.TransactionalID(id))
	refused := denied != nil
	for _, x := range partitions {
		err := denied
		if err == nil {
			err = c.may(acl.Write, acl.Topic(x.Topic))
			refused = refused || err != nil
		}
		if err == nil {
			_, err = c.broker.checkPartition(x.Topic, x.Index)
		}
		if codes[x] = errorCode(err); err == nil {
			codes[x] = protocol.CodeOperationNotAttempted
		}
	}
	if !refused {
		return nil
	}
	return codes
}

// addForBroker answers versions 4 and 5.
func (b *Broker) addForBroker(ctx context.Context, req *kmsg.AddPartitionsToTxnRequest) *kmsg.AddPartitionsToTxnResponse {
	resp := req.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	for _, t := range req.Transactions {
		var partitions []txn.Partition
		for _, x := range t.Topics {
			for _, p := range x.Partitions {
				partitions = append(partitions, txn.Partition{Topic: x.Topic, Index: p})
			}
		}
		producer := txn.Producer{ID: t.ProducerID, Epoch: t.ProducerEpoch}
		var codes map[txn.Partition]protocol.ErrorCode
		if t.VerifyOnly {
			codes = b.verify(ctx, t.TransactionalID, producer, partitions)
		} else {
			codes = b.add(ctx, t.TransactionalID, producer, clientVersion2, partitions)
		}
		out := kmsg.NewAddPartitionsToTxnResponseTransaction()
		out.TransactionalID = t.TransactionalID
		for _, x := range t.Topics {
			to := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
			to.Topic = x.Topic
			for _, index := range x.Partitions {
				po := kmsg.NewAddPartitionsToTxnResponseTransactionTopicPartition()
				po.Partition, po.ErrorCode = index, int16(codes[txn.Partition{Topic: x.Topic, Index: index}])
				to.Partitions = append(to.Partitions, po)
			}
			out.Topics = append(out.Topics, to)
		}
		resp.Transactions = append(resp.Transactions, out)
	}
	return resp
}

// add takes partitions into a transaction, all of them or none.
func (b *Broker) add(ctx context.Context, id string, p txn.Producer, version int16, partitions []txn.Partition) map[txn.Partition]protocol.ErrorCode {
	codes := make(map[txn.Partition]protocol.ErrorCode, len(partitions))
	unknown := false
	for _, x := range partitions {
		_, err := b.checkPartition(x.Topic, x.Index)
		codes[x] = errorCode(err)
		unknown = unknown || codes[x] != protocol.CodeNone
	}
	all := protocol.CodeOperationNotAttempted
	switch {
	case unknown:
	case b.transactions.partitions.Load() >= maxOpenPartitions:
		all = protocol.CodePolicyViolation
	default:
		_, err := b.transactions.change(ctx, id, func(t *txn.Transaction, now time.Time, _ int64) txn.Step {
			return t.Add(now, p, version, partitions)
		})
		all = commitCode(err)
	}
	for x, code := range codes {
		if code == protocol.CodeNone {
			codes[x] = all
		}
	}
	return codes
}

// verify says which partitions are part of a transaction.
func (b *Broker) verify(ctx context.Context, id string, p txn.Producer, partitions []txn.Partition) map[txn.Partition]protocol.ErrorCode {
	codes := make(map[txn.Partition]protocol.ErrorCode, len(partitions))
	_, err := b.transactions.change(ctx, id, func(t *txn.Transaction, _ time.Time, _ int64) txn.Step {
		for _, x := range partitions {
			codes[x] = errorCode(t.Verify(p, x))
		}
		return txn.Step{}
	})
	if err != nil {
		for _, x := range partitions {
			codes[x] = commitCode(err)
		}
	}
	return codes
}

// fencedBefore words PRODUCER_FENCED for versions of a request that do not know it.
func fencedBefore(knows, version int16, code protocol.ErrorCode) protocol.ErrorCode {
	if code == protocol.CodeProducerFenced && version < knows {
		return protocol.CodeInvalidProducerEpoch
	}
	return code
}

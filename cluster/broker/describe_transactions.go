package broker

// DescribeTransactions (key 65), version 0 (KIP-664): what transactional ids that are coordinated here do.
// TRANSACTIONAL_ID_NOT_FOUND for one that there is not, TRANSACTIONAL_ID_AUTHORIZATION_FAILED for one that the client may not
// describe. Topics that it may not describe are left out.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/txn"
	"weir/protocol"
)

func (b *Broker) describeTransactions(_ context.Context, c *call, req *kmsg.DescribeTransactionsRequest) (*kmsg.DescribeTransactionsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
	named := make(map[string]bool, len(req.TransactionalIDs))
	for _, id := range req.TransactionalIDs {
		if !named[id] { // over and over it would be answered with far more than was asked
			resp.TransactionStates = append(resp.TransactionStates, b.describeTransaction(c, id))
		}
		named[id] = true
	}
	return resp, nil
}

func (b *Broker) describeTransaction(c *call, id string) kmsg.DescribeTransactionsResponseTransactionState {
	out := kmsg.NewDescribeTransactionsResponseTransactionState()
	out.TransactionalID, out.ProducerID, out.ProducerEpoch, out.StartTimestamp = id, txn.NoID, txn.NoEpoch, -1
	if err := c.may(acl.Describe, acl.TransactionalID(id)); err != nil {
		out.ErrorCode = int16(errorCode(err))
		return out
	}
	code := protocol.CodeTransactionalIDNotFound
	err := b.transactions.within(id, func(s *txnShard) {
		t := s.ids[id]
		if t == nil || t.Snapshot().Producer == txn.NoProducer {
			return
		}
		is := t.Snapshot()
		code = protocol.CodeNone
		out.State, out.TimeoutMillis, out.StartTimestamp = is.State.String(), int32(is.Timeout.Milliseconds()), is.Started
		out.ProducerID, out.ProducerEpoch = is.Producer.ID, is.Producer.Epoch
		for _, p := range is.Partitions {
			if !c.allowed(acl.Describe, acl.Topic(p.Topic)) {
				continue
			}
			if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != p.Topic {
				topic := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
				topic.Topic = p.Topic
				out.Topics = append(out.Topics, topic)
			}
			last := &out.Topics[len(out.Topics)-1]
			last.Partitions = append(last.Partitions, p.Index)
		}
	})
	if c := errorCode(err); err != nil && c != protocol.CodeInvalidProducerIDMapping { // which says that there are none at all
		code = c
	}
	out.ErrorCode = int16(code)
	return out
}

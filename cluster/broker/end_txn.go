package broker

// EndTxn (key 26), versions 0-5: a transaction is committed or aborted. Answered when that is decided, on disk; the
// markers follow. Version 5 is that of clients of transaction version 2 (KIP-890): it answers the producer id and epoch
// that the next transaction has.
//
// Asked again it answers the same. Errors: TRANSACTIONAL_ID_AUTHORIZATION_FAILED for who may not write by the id, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED (INVALID_PRODUCER_EPOCH before
// version 2), CONCURRENT_TRANSACTIONS while markers are on their way, INVALID_TXN_STATE when there is nothing to
// end, or it has ended the other way.

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/txn"
)

func (b *Broker) endTxn(ctx context.Context, c *call, req *kmsg.EndTxnRequest) (*kmsg.EndTxnResponse, error) {
	resp := req.ResponseKind().(*kmsg.EndTxnResponse)
	if err := c.may(acl.Write, acl.TransactionalID(req.TransactionalID)); err != nil {
		resp.ErrorCode = int16(errorCode(err))
		return resp, nil
	}
	r := txn.EndRequest{Producer: txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}, Commit: req.Commit, Version: clientVersion1}
	if req.Version >= 5 {
		r.Version = clientVersion2
	}
	p, err := b.transactions.change(ctx, req.TransactionalID, func(t *txn.Transaction, now time.Time, fresh int64) txn.Step {
		r.FreshID = fresh
		return t.End(now, r)
	})
	resp.ErrorCode = int16(fencedBefore(2, req.Version, commitCode(err)))
	if err == nil {
		resp.ProducerID, resp.ProducerEpoch = p.ID, p.Epoch
	}
	return resp, nil
}

package broker

// InitProducerId (key 22), versions 0-5: a producer id for an idempotent
// producer (KIP-98). Ids come in blocks from the controller and are never
// given twice, restarts included. As in Kafka, a producer without a
// transactional id that names its old id and epoch (v3, KIP-360) gets a new id. For who may write idempotently to the
// cluster, or write to any topic (KIP-679): CLUSTER_AUTHORIZATION_FAILED.
//
// With a transactional id, for who may write by it, TRANSACTIONAL_ID_AUTHORIZATION_FAILED: the producer of that, under an epoch that fences the one before. What that has open is
// aborted first, CONCURRENT_TRANSACTIONS. A producer that names who it is goes on, if it is the last one; else
// PRODUCER_FENCED (INVALID_PRODUCER_EPOCH before version 4). INVALID_TRANSACTION_TIMEOUT for none, or more than
// transaction.max.timeout.ms. Ids have 1 to 255 bytes, INVALID_REQUEST; there is room for 10,000, POLICY_VIOLATION.

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/cluster/txn"
	"weir/protocol"
)

func (b *Broker) initProducerID(ctx context.Context, c *call, req *kmsg.InitProducerIDRequest) (*kmsg.InitProducerIDResponse, error) {
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if err := c.mayInit(req.TransactionalID); err != nil {
		resp.ErrorCode = int16(errorCode(err))
		return resp, nil
	}
	switch {
	case (req.ProducerID == -1) != (req.ProducerEpoch == -1):
		resp.ErrorCode = int16(protocol.CodeInvalidRequest)
		return resp, nil
	case req.TransactionalID != nil:
		p, err := b.initTransactional(ctx, *req.TransactionalID, req)
		resp.ErrorCode = int16(fencedBefore(4, req.Version, commitCode(err)))
		if err == nil {
			resp.ProducerID, resp.ProducerEpoch = p.ID, p.Epoch
		}
		return resp, nil
	}
	id, err := b.producerIDs.next(ctx)
	if err != nil {
		resp.ErrorCode = int16(errorCode(err))
		var unavailable *cluster.UnavailableError
		if errors.As(err, &unavailable) || errors.Is(err, context.DeadlineExceeded) {
			// Kafka's word for having no ids at hand; the others that are
			// retried send clients looking for a transaction coordinator.
			resp.ErrorCode = int16(protocol.CodeCoordinatorLoadInProgress)
		}
		return resp, nil
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp, nil
}

// mayInit says whether the client may write by a transactional id, or, without one, idempotently: who may write to any topic may.
func (c *call) mayInit(id *string) error {
	if id != nil {
		return c.may(acl.Write, acl.TransactionalID(*id))
	}
	err := c.may(acl.IdempotentWrite, acl.Cluster)
	if err != nil && c.allowedOnAny(acl.Write, acl.TypeTopic) {
		return nil
	}
	return err
}

func (b *Broker) initTransactional(ctx context.Context, id string, req *kmsg.InitProducerIDRequest) (txn.Producer, error) {
	r := txn.InitRequest{Timeout: millis(req.TransactionTimeoutMillis), Expected: txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}}
	switch {
	case id == "" || len(id) > maxTransactionalIDBytes:
		return txn.NoProducer, invalidRequest("a transactional id has 1 to %d bytes", maxTransactionalIDBytes)
	case r.Expected.ID < txn.NoID || r.Expected.Epoch < txn.NoEpoch:
		return txn.NoProducer, invalidRequest("no producer has id %d and epoch %d", r.Expected.ID, r.Expected.Epoch)
	case r.Timeout <= 0 || r.Timeout > b.cfg.Producers.TransactionMaxTimeout:
		return txn.NoProducer, protocol.CodeInvalidTransactionTimeout
	}
	return b.transactions.begin(ctx, id, func(t *txn.Transaction, now time.Time, fresh int64) txn.Step {
		r.FreshID = fresh
		return t.Init(now, r)
	})
}

package broker

// InitProducerId (key 22), versions 0-4: a producer id for an idempotent
// producer (KIP-98). Ids come in blocks from the controller and are never
// given twice, restarts included. As in Kafka, a producer without a
// transactional id that names its old id and epoch (v3, KIP-360) gets a new id.
// Left out: transactional ids, refused until transactions are served.

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/protocol"
)

func (b *Broker) initProducerID(ctx context.Context, _ *call, req *kmsg.InitProducerIDRequest) (*kmsg.InitProducerIDResponse, error) {
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	switch {
	case (req.ProducerID == -1) != (req.ProducerEpoch == -1):
		resp.ErrorCode = int16(protocol.CodeInvalidRequest)
		return resp, nil
	case req.TransactionalID != nil:
		resp.ErrorCode = int16(protocol.CodeTransactionalIDAuthorizationFailed)
		return resp, nil
	}
	id, err := b.producerIDs.next(ctx)
	if err != nil {
		resp.ErrorCode = int16(errorCode(err))
		var unavailable *cluster.UnavailableError
		if errors.As(err, &unavailable) {
			// Kafka's word for having no ids at hand; the others that are
			// retried send clients looking for a transaction coordinator.
			resp.ErrorCode = int16(protocol.CodeCoordinatorLoadInProgress)
		}
		return resp, nil
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp, nil
}

package broker

// AddOffsetsToTxn (key 25), versions 0-4: the partition of the offsets topic that a group's offsets are in becomes part of
// a transaction; the offsets follow by TxnOffsetCommit. Errors are those of AddPartitionsToTxn, INVALID_GROUP_ID, and
// GROUP_AUTHORIZATION_FAILED for who may not read the group.
// Clients of transaction version 2 do not send it (KIP-890).

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/txn"
	"weir/protocol"
)

func (b *Broker) addOffsetsToTxn(ctx context.Context, c *call, req *kmsg.AddOffsetsToTxnRequest) (*kmsg.AddOffsetsToTxnResponse, error) {
	resp := req.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
	var p txn.Partition
	err := c.may(acl.Write, acl.TransactionalID(req.TransactionalID))
	if err == nil {
		err = c.may(acl.Read, acl.Group(req.Group))
	}
	if err == nil {
		p, err = b.offsetsPartition(ctx, req.Group)
	}
	code := commitCode(err)
	if err == nil {
		code = b.add(ctx, req.TransactionalID, txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}, clientVersion1, []txn.Partition{p})[p]
	}
	resp.ErrorCode = int16(fencedBefore(2, req.Version, code))
	return resp, nil
}

// offsetsPartition is where a group's offsets are. Errors: INVALID_GROUP_ID.
func (b *Broker) offsetsPartition(ctx context.Context, group string) (txn.Partition, error) {
	if group == "" || len(group) > maxGroupNameBytes {
		return txn.Partition{}, protocol.CodeInvalidGroupID
	}
	t, err := b.node.EnsureInternalTopic(ctx, offsetsTopic)
	if err != nil {
		return txn.Partition{}, err
	}
	return txn.Partition{Topic: offsetsTopic, Index: coordinatedBy(group, t.NumPartitions())}, nil
}

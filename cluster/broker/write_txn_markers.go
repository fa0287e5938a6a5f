package broker

// WriteTxnMarkers (key 27), versions 1-2 (KIP-98, KIP-890): a transaction coordinator, or an
// administrator who ends a hanging transaction (KIP-664), has the partitions that are led here
// take the markers of transactions. They are committed before the answer. Internal topics take
// them, too.
//
// Added by version: 2 the transaction version: from 2 on a marker's epoch is above that of the
// transaction.
// For who may alter the cluster, or act for it: CLUSTER_AUTHORIZATION_FAILED of each partition.

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/partition"
	"weir/protocol"
)

// maxMarkerWait bounds how long the markers of a request may take to be committed.
const maxMarkerWait = 30 * time.Second

// bumpsEpoch is the first transaction version that has an epoch for each transaction.
const bumpsEpoch = 2

// markerUnderWay is one marker on its way into one partition.
type markerUnderWay struct {
	marker, topic, partition int // where its answer is
	append                   *partition.Append
}

func (b *Broker) writeTxnMarkers(ctx context.Context, c *call, req *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error) {
	if err := c.may(acl.ClusterAction, acl.Cluster); err != nil && !c.allowed(acl.Alter, acl.Cluster) {
		return refusedMarkers(req, errorCode(err)), nil
	}
	return b.writeMarkers(ctx, req), nil
}

// refusedMarkers answers every partition of a request with a code.
func refusedMarkers(req *kmsg.WriteTxnMarkersRequest, code protocol.ErrorCode) *kmsg.WriteTxnMarkersResponse {
	resp := req.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	for _, in := range req.Markers {
		out := kmsg.NewWriteTxnMarkersResponseMarker()
		out.ProducerID = in.ProducerID
		for _, t := range in.Topics {
			to := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			to.Topic = t.Topic
			for _, index := range t.Partitions {
				po := kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
				po.Partition, po.ErrorCode = index, int16(code)
				to.Partitions = append(to.Partitions, po)
			}
			out.Topics = append(out.Topics, to)
		}
		resp.Markers = append(resp.Markers, out)
	}
	return resp
}

// writeMarkers is writeTxnMarkers for whoever asks. What groups have committed in the transactions counts, or is
// forgotten, before the answer.
func (b *Broker) writeMarkers(ctx context.Context, req *kmsg.WriteTxnMarkersRequest) *kmsg.WriteTxnMarkersResponse {
	ctx, cancel := context.WithTimeout(ctx, maxMarkerWait)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	var underWay []markerUnderWay
	for i, in := range req.Markers {
		out := kmsg.NewWriteTxnMarkersResponseMarker()
		out.ProducerID = in.ProducerID
		m := partition.Marker{
			ProducerID: in.ProducerID, ProducerEpoch: in.ProducerEpoch, CoordinatorEpoch: in.CoordinatorEpoch,
			Commit: in.Committed, Bumped: in.TransactionVersion >= bumpsEpoch,
		}
		for j, t := range in.Topics {
			to := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			to.Topic = t.Topic
			for k, index := range t.Partitions {
				po := kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
				po.Partition = index
				a, err := b.endTransaction(t.Topic, index, m)
				if err == nil {
					underWay = append(underWay, markerUnderWay{marker: i, topic: j, partition: k, append: a})
				}
				po.ErrorCode = int16(errorCode(err))
				to.Partitions = append(to.Partitions, po)
			}
			out.Topics = append(out.Topics, to)
		}
		resp.Markers = append(resp.Markers, out)
	}
	for _, u := range underWay {
		err := u.append.Wait(ctx)
		m, t := &req.Markers[u.marker], &req.Markers[u.marker].Topics[u.topic]
		if err == nil && t.Topic == offsetsTopic {
			b.groups.endPending(t.Partitions[u.partition], m.ProducerID, u.append.BaseOffset, m.Committed)
		}
		resp.Markers[u.marker].Topics[u.topic].Partitions[u.partition].ErrorCode = int16(errorCode(err))
	}
	return resp
}

// endTransaction takes a marker into the order of a partition that is led here. The Append tells
// when it is committed.
func (b *Broker) endTransaction(topic string, index int32, m partition.Marker) (*partition.Append, error) {
	if m.ProducerID < 0 || m.ProducerEpoch < 0 {
		return nil, invalidRequest("a marker names producer %d of epoch %d", m.ProducerID, m.ProducerEpoch)
	}
	p, err := b.partitionOf(topic, index, noEpoch)
	if err != nil {
		return nil, err
	}
	b.txnGuards.void(p, m.ProducerID)
	return p.ProposeMarker(m), nil
}

package broker

// ListOffsets (key 2), versions 1-11.
//
// Special timestamps: -1 latest (the high watermark, or with read_committed
// the last stable offset), -2 earliest (the log start), -3 the record with the
// largest timestamp (v7, KIP-734), -4 earliest local (v8, as -2: nothing is
// tiered), -5 latest tiered (v9: none), -6 earliest pending upload (v11: none).
// A time that no record reaches gives offset -1 without an error.
// The leader epoch in the answer is that of the record found.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/partition"
	"weir/protocol"
)

const (
	timestampLatest          = -1
	timestampEarliest        = -2
	timestampMax             = -3
	timestampEarliestLocal   = -4
	timestampLatestTiered    = -5
	timestampEarliestPending = -6
)

// specialSince is the first version that knows a special timestamp.
var specialSince = map[int64]int16{
	timestampLatest: 0, timestampEarliest: 0, timestampMax: 7,
	timestampEarliestLocal: 8, timestampLatestTiered: 9, timestampEarliestPending: 11,
}

func (b *Broker) listOffsets(_ context.Context, c *call, req *kmsg.ListOffsetsRequest) (*kmsg.ListOffsetsResponse, error) {
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	named := make(map[partKey]int)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			named[partKey{name: t.Topic, partition: p.Partition}]++
		}
	}
	for _, t := range req.Topics {
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = t.Topic
		denied := c.may(acl.Describe, acl.Topic(t.Topic))
		for _, in := range t.Partitions {
			po := kmsg.NewListOffsetsResponseTopicPartition()
			po.Partition, po.Timestamp, po.Offset, po.LeaderEpoch = in.Partition, -1, -1, -1
			if denied != nil {
				po.ErrorCode = int16(errorCode(denied))
			} else if named[partKey{name: t.Topic, partition: in.Partition}] > 1 {
				po.ErrorCode = int16(protocol.CodeInvalidRequest)
			} else if err := b.listOffset(req, t.Topic, &in, &po); err != nil {
				po.ErrorCode = int16(errorCode(err))
			}
			out.Partitions = append(out.Partitions, po)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func (b *Broker) listOffset(req *kmsg.ListOffsetsRequest, topic string, in *kmsg.ListOffsetsRequestTopicPartition,
	out *kmsg.ListOffsetsResponseTopicPartition) error {
	p, err := b.partitionOf(topic, in.Partition, in.CurrentLeaderEpoch)
	if err != nil {
		return err
	}
	if in.Timestamp < 0 {
		if since, known := specialSince[in.Timestamp]; !known || req.Version < since {
			return protocol.CodeUnsupportedVersion
		}
	}
	iso := partition.Isolation(req.IsolationLevel)
	switch in.Timestamp {
	case timestampLatest:
		out.Offset = p.Limit(iso)
		out.LeaderEpoch = p.EpochAt(out.Offset)
		return nil
	case timestampEarliest, timestampEarliestLocal:
		out.Offset = p.LogStartOffset()
		out.LeaderEpoch = p.EpochAt(out.Offset)
		return nil
	case timestampLatestTiered, timestampEarliestPending:
		return nil
	}
	find := p.MaxTimestamp
	if in.Timestamp >= 0 {
		find = func(iso partition.Isolation) (partition.Found, bool, error) {
			return p.OffsetForTimestamp(in.Timestamp, iso)
		}
	}
	found, ok, err := find(iso)
	if err != nil || !ok {
		return err
	}
	out.Offset, out.Timestamp, out.LeaderEpoch = found.Offset, found.Timestamp, found.Epoch
	return nil
}

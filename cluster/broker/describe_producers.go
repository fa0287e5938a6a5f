package broker

// DescribeProducers (key 61), version 0 (KIP-664): the idempotent producers
// that partitions remember, with their open transactions. For who may read the topic.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/partition"
)

func (b *Broker) describeProducers(_ context.Context, c *call, req *kmsg.DescribeProducersRequest) (*kmsg.DescribeProducersResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	named := make(map[partKey]bool)
	for _, t := range req.Topics {
		out := kmsg.NewDescribeProducersResponseTopic()
		out.Topic = t.Topic
		for _, index := range t.Partitions {
			po := kmsg.NewDescribeProducersResponseTopicPartition()
			po.Partition = index
			k := partKey{name: t.Topic, partition: index}
			var p *partition.Partition
			err := c.may(acl.Read, acl.Topic(t.Topic))
			if err == nil {
				p, err = b.partitionOf(t.Topic, index, noEpoch)
			}
			if named[k] {
				err = invalidRequest("partition %s-%d is named twice", t.Topic, index)
			}
			named[k] = true
			if err != nil {
				po.ErrorCode, po.ErrorMessage = int16(errorCode(err)), kmsg.StringPtr(err.Error())
				out.Partitions = append(out.Partitions, po)
				continue
			}
			for _, s := range p.Producers() {
				a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
				a.ProducerID, a.ProducerEpoch, a.LastSequence, a.LastTimestamp = s.ID, int32(s.Epoch), s.LastSequence, s.LastTimestamp
				a.CoordinatorEpoch, a.CurrentTxnStartOffset = s.CoordinatorEpoch, s.Transaction
				po.ActiveProducers = append(po.ActiveProducers, a)
			}
			out.Partitions = append(out.Partitions, po)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

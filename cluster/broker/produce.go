package broker

// Produce (key 0), versions 3-13; 0-2 are advertised and refused.
//
// Checked, in this order: the right to write to the topic; acks; per partition topic and partition, then the
// batch as recordbatch.Validate does, then the producer's sequence. All
// batches of a request are in their partitions' order before the next request
// of the connection is read; the answer waits for the event that acks asks
// for (partition/DESIGN.md).
//
// Added by version: 5 log start offset, 7 zstd, 8 record errors, 9 flexible,
// 10 leader hints (KIP-951), 13 topic ids.
// The first batch of a transaction in a partition is taken when the transaction's coordinator knows of it
// (txn_entry.go): it is asked, and from version 12 on told (KIP-890). INVALID_TXN_STATE, from version 11
// TRANSACTION_ABORTABLE, when it does not; NOT_ENOUGH_REPLICAS while it cannot say;
// TRANSACTIONAL_ID_AUTHORIZATION_FAILED without a transactional id, or without the right to write by it.
// Over the client's quota the connection is muted, acks=0 or not (quotas.go).

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/cluster/txn"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
	"weir/protocol/wire"
)

// produced is one partition's part of a produce request under way.
type produced struct {
	out           *kmsg.ProduceResponseTopicPartition
	append        *partition.Append
	logAppendTime int64
}

func (c *call) produce(r kmsg.Request) wire.Reply {
	req := r.(*kmsg.ProduceRequest)
	acks := partition.Acks(req.Acks)
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	pending := make([]produced, 0, len(req.Topics))
	var first []firstOfTxn
	resp.Topics = make([]kmsg.ProduceResponseTopic, len(req.Topics))
	for i := range req.Topics {
		in, out := &req.Topics[i], &resp.Topics[i]
		*out = kmsg.NewProduceResponseTopic()
		out.Topic, out.TopicID = in.Topic, in.TopicID
		topic, code := c.topicFor(acl.Write, req.Version >= 13, in.Topic, in.TopicID)
		out.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(in.Partitions))
		for j := range in.Partitions {
			po := &out.Partitions[j]
			*po = kmsg.NewProduceResponseTopicPartition()
			po.Partition, po.BaseOffset, po.LogAppendTime, po.LogStartOffset = in.Partitions[j].Partition, -1, -1, -1
			if topic != nil {
				p := produced{out: po}
				var entry *txnEntry
				if entry, code = c.produceOne(topic, acks, req, &in.Partitions[j], &p); p.append != nil {
					pending = append(pending, p)
				} else if entry != nil {
					first = append(first, firstOfTxn{p, entry})
				}
			}
			po.ErrorCode = int16(code)
		}
	}
	pending = append(pending, c.enter(req, acks, first)...)
	if acks == partition.AcksNone {
		return c.produceUnanswered(resp, pending)
	}
	return c.produceReply(req, resp, pending)
}

// produceOne brings one partition's batch into its partition's order. One that is the first of its transaction there
// is returned with what its coordinator is to be asked.
func (c *call) produceOne(t *cluster.Topic, acks partition.Acks, req *kmsg.ProduceRequest, in *kmsg.ProduceRequestTopicPartition,
	out *produced) (*txnEntry, protocol.ErrorCode) {
	if acks < partition.AcksAll || acks > partition.AcksLeader {
		return nil, protocol.CodeInvalidRequiredAcks
	}
	if t.Internal && c.Header.ClientID != adminClientID {
		return nil, protocol.CodeInvalidTopicException
	}
	p, err := t.Partition(in.Partition)
	if err != nil {
		return nil, errorCode(err)
	}
	if minISR := t.MinInsyncReplicas(); acks == partition.AcksAll && minISR > 1 && len(c.broker.node.Leadership(t, in.Partition).ISR) < minISR {
		return nil, protocol.CodeNotEnoughReplicas
	}
	batch, logAppendTime, err := prepare(t, req.Version, in.Records, c.broker.now())
	if err != nil {
		describeProduceError(err, out.out)
		return nil, errorCode(err)
	}
	out.logAppendTime = logAppendTime
	if h := batch.Header; h.IsTransactional() {
		if id := orEmpty(req.TransactionID); id == "" || !c.allowed(acl.Write, acl.TransactionalID(id)) {
			return nil, protocol.CodeTransactionalIDAuthorizationFailed
		}
		if batch.Continues = p.InTransaction(h.ProducerID, h.ProducerEpoch); !batch.Continues {
			return &txnEntry{
				partition: txn.Partition{Topic: t.Name, Index: in.Partition}, part: p, batch: batch,
				producer: txn.Producer{ID: h.ProducerID, Epoch: h.ProducerEpoch}, implicit: req.Version >= implicitVersion,
			}, protocol.CodeNone
		}
	}
	out.append = p.Propose(batch, acks)
	return nil, protocol.CodeNone
}

// Versions of Produce: from the first on clients know TRANSACTION_ABORTABLE, from the second on they leave it to the broker
// to tell the coordinator of partitions.
const (
	abortableVersion = 11
	implicitVersion  = 12
)

// firstOfTxn is a batch whose coordinator is to be asked.
type firstOfTxn struct {
	produced
	entry *txnEntry
}

// enter brings batches into their partitions' order that are the first of a transaction there, as far as its coordinator
// has it. The next request of the connection waits meanwhile, since its batches may have to come behind.
func (c *call) enter(req *kmsg.ProduceRequest, acks partition.Acks, all []firstOfTxn) (pending []produced) {
	entries := make([]*txnEntry, 0, len(all))
	for _, x := range all {
		entries = append(entries, x.entry)
	}
	c.broker.enterTransaction(context.Background(), orEmpty(req.TransactionID), entries)
	for _, x := range all {
		err := x.entry.err
		if err == nil {
			x.entry.mark(&x.entry.batch)
			err = x.entry.propose(func() error {
				x.append = x.entry.part.Propose(x.entry.batch, acks)
				return nil
			})
		}
		x.entry.leave()
		if err == nil {
			pending = append(pending, x.produced)
			continue
		}
		code := errorCode(err)
		if code == protocol.CodeTransactionAbortable && req.Version < abortableVersion {
			code = protocol.CodeInvalidTxnState
		}
		x.out.ErrorCode, x.out.ErrorMessage = int16(code), kmsg.StringPtr(err.Error())
	}
	return pending
}

// prepare checks a batch by its topic's rules and makes of it what is stored.
func prepare(t *cluster.Topic, version int16, records []byte, now time.Time) (partition.Batch, int64, error) {
	rules := t.Rules(now)
	rules.RefuseZstd = version < 7
	h, err := recordbatch.Validate(records, rules)
	if err != nil {
		return partition.Batch{}, -1, err
	}
	if want, ok := compressionOf(t.Config.Compression); ok && want.Codec != h.Codec() {
		if records, err = recordbatch.Recompress(records, want, t.MaxDecodedBytes(), rules.MaxBytes); err != nil {
			return partition.Batch{}, -1, err
		}
		if h, err = recordbatch.ParseHeader(records); err != nil {
			return partition.Batch{}, -1, err
		}
	}
	if h.SizeBytes() > int(t.Config.SegmentBytes) {
		return partition.Batch{}, -1, protocol.CodeRecordListTooLarge
	}
	logAppendTime := int64(-1)
	if t.Config.LogAppendTime {
		logAppendTime = rules.NowMillis
	}
	return partition.Batch{Header: h, Data: records}, logAppendTime, nil
}

// produceUnanswered ends an acks=0 request: silence, once the bytes of the request are
// not needed any more, or, since that is the only way to tell, the end of the connection.
func (c *call) produceUnanswered(resp *kmsg.ProduceResponse, pending []produced) wire.Reply {
	return lazy(func(ctx context.Context) (wire.Response, error) {
		for _, p := range pending {
			if err := p.append.Wait(ctx); err != nil { // nobody listens
				c.keep(p.append)
			}
		}
		c.settle()
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				if code := resp.Topics[i].Partitions[j].ErrorCode; code != 0 {
					return wire.Response{}, protocol.ErrorCode(code)
				}
			}
		}
		return wire.Response{Silent: true}, nil
	})
}

// produceReply answers now if every append is settled, else when the last one is.
func (c *call) produceReply(req *kmsg.ProduceRequest, resp *kmsg.ProduceResponse, pending []produced) wire.Reply {
	settled := true
	for i := range pending {
		settled = settled && pending[i].append.Settled()
	}
	if settled {
		c.collect(context.Background(), resp, pending)
		c.hintLeaders(req, resp)
		return c.ready(resp)
	}
	timeout := time.Duration(max(req.TimeoutMillis, 0)) * time.Millisecond
	return lazy(func(ctx context.Context) (wire.Response, error) {
		wait, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		c.collect(wait, resp, pending)
		if err := ctx.Err(); err != nil {
			return wire.Response{}, err // nobody is there to hear it
		}
		c.hintLeaders(req, resp)
		return c.encode(resp), nil
	})
}

// hintLeaders names the leaders of the partitions that this broker does not lead.
func (c *call) hintLeaders(req *kmsg.ProduceRequest, resp *kmsg.ProduceResponse) {
	if req.Version < 10 {
		return
	}
	hints := leaderHints{broker: c.broker, conn: c.Conn}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if protocol.ErrorCode(p.ErrorCode) != protocol.CodeNotLeaderOrFollower {
				continue
			}
			if topic, _ := c.broker.topicOf(req.Version >= 13, t.Topic, t.TopicID); topic != nil {
				if l, ok := hints.of(topic, p.Partition); ok {
					p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = l.LeaderID, l.LeaderEpoch
				}
			}
		}
	}
	for _, e := range hints.brokers {
		b := kmsg.NewProduceResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = e.id, e.host, e.port, e.rack
		resp.Brokers = append(resp.Brokers, b)
	}
}

func (c *call) collect(ctx context.Context, resp *kmsg.ProduceResponse, pending []produced) {
	for _, p := range pending {
		err := p.append.Wait(ctx)
		if err != nil {
			c.keep(p.append)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			p.out.ErrorCode = int16(protocol.CodeRequestTimedOut) // unknown: it may yet commit
			continue
		}
		if err != nil {
			p.out.ErrorCode = int16(errorCode(err))
			describeProduceError(err, p.out)
			continue
		}
		p.out.BaseOffset = p.append.BaseOffset
		p.out.LogStartOffset = p.append.LogStartOffset
		p.out.LogAppendTime = p.logAppendTime
		if original, retry := p.append.Original(); retry && p.logAppendTime >= 0 {
			p.out.LogAppendTime = original
		}
	}
}

// keep has the bytes of the request stay for as long as a write that hangs may read them.
func (c *call) keep(a *partition.Append) {
	held := a.Held()
	if held == nil {
		return
	}
	c.Retain()
	go func() { // ends with the write, or with the process
		<-held
		c.Release()
	}()
}

// describeProduceError adds what v8+ clients can read beside the code.
func describeProduceError(err error, out *kmsg.ProduceResponseTopicPartition) {
	out.ErrorMessage = kmsg.StringPtr(err.Error())
	var invalid *recordbatch.InvalidRecordError
	if !errors.As(err, &invalid) {
		return
	}
	for _, e := range invalid.RecordErrors {
		re := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		re.RelativeOffset, re.ErrorMessage = e.BatchIndex, kmsg.StringPtr(e.Message)
		out.ErrorRecords = append(out.ErrorRecords, re)
	}
}

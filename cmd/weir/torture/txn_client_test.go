//go:build torture

package torture

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol/recordbatch"
)

// ask puts one request to a broker, over a connection of its own.
func (c *trio) ask(i int, req kmsg.Request, resp kmsg.Response) error {
	nc, err := net.DialTimeout("tcp", c.brokers[i].address, time.Second)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	s := &speaker{nc, kmsg.NewRequestFormatter(kmsg.FormatterClientID("teller"))}
	return s.ask(req, resp)
}

// comeAgain are the answers after which a client of transactions asks once more.
var comeAgain = []error{
	kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.ConcurrentTransactions,
	kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.UnknownTopicOrPartition, kerr.RequestTimedOut,
}

// try does something until it gets an answer that is final. An error of the connection says nothing.
func (c *trio) try(what string, once func() error) error {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := once()
		var said *kerr.Error
		final := err == nil || errors.As(err, &said)
		for _, again := range comeAgain {
			final = final && !errors.Is(err, again)
		}
		if final {
			return err
		}
		if time.Since(began) > patience {
			c.t.Fatalf("%s: %v", what, err)
		}
	}
}

// Types of coordinators.
const (
	ofGroups       = 0
	ofTransactions = 1
)

// coordinatorOf is the broker that coordinates a group or a transactional id, from 0 on.
func (c *trio) coordinatorOf(kind int8, key string) (at int) {
	c.t.Helper()
	err := c.try("coordinator of "+key, func() error {
		for i := range c.brokers {
			if c.down[i] {
				continue
			}
			req, resp := kmsg.NewPtrFindCoordinatorRequest(), kmsg.NewPtrFindCoordinatorResponse()
			req.Version, req.CoordinatorType, req.CoordinatorKeys = 4, kind, []string{key}
			if err := c.ask(i, req, resp); err != nil {
				return err
			}
			if at = int(resp.Coordinators[0].NodeID) - 1; at >= 0 && !c.down[at] {
				return nil
			}
		}
		return kerr.CoordinatorNotAvailable
	})
	if err != nil {
		c.t.Fatalf("coordinator of %s: %v", key, err)
	}
	return at
}

// teller is a client of a transactional id that says exactly what it is told to, in either version of transactions:
// in the second, partitions are added where they are written, and each transaction has an epoch of its own.
type teller struct {
	c        *trio
	id       string
	version  int
	producer int64
	epoch    int16
	sequence map[int32]int32 // by partition, in this epoch
}

// in is the request's version for the version of transactions.
func (x *teller) in(first, second int16) int16 {
	if x.version == 1 {
		return first
	}
	return second
}

// tell asks the transaction's coordinator.
func (x *teller) tell(what string, req kmsg.Request, resp kmsg.Response, code func() int16) error {
	x.c.t.Helper()
	return x.c.try(what+" of "+x.id, func() error {
		if err := x.c.ask(x.c.coordinatorOf(ofTransactions, x.id), req, resp); err != nil {
			return err
		}
		return kerr.ErrorForCode(code())
	})
}

// claim makes the client the producer of its id.
func (x *teller) claim() {
	x.c.t.Helper()
	req, resp := kmsg.NewPtrInitProducerIDRequest(), kmsg.NewPtrInitProducerIDResponse()
	req.Version, req.TransactionalID, req.TransactionTimeoutMillis = 4, &x.id, 60_000
	req.ProducerID, req.ProducerEpoch = -1, -1
	if err := x.tell("claim", req, resp, func() int16 { return resp.ErrorCode }); err != nil {
		x.c.t.Fatalf("claim of %s: %v", x.id, err)
	}
	x.is(resp.ProducerID, resp.ProducerEpoch)
}

// is has the client go on as a producer.
func (x *teller) is(producer int64, epoch int16) {
	if x.producer != producer || x.epoch != epoch {
		x.sequence = map[int32]int32{}
	}
	x.producer, x.epoch = producer, epoch
}

// add takes partitions of the topic into the transaction.
func (x *teller) add(to topic, partitions ...int32) error {
	x.c.t.Helper()
	req, resp := kmsg.NewPtrAddPartitionsToTxnRequest(), kmsg.NewPtrAddPartitionsToTxnResponse()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = 3, x.id, x.producer, x.epoch
	req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: to.name, Partitions: partitions}}
	return x.tell("add", req, resp, func() int16 { return resp.Topics[0].Partitions[0].ErrorCode })
}

// produce writes a record of the transaction.
func (x *teller) produce(to topic, p int32, value string) error {
	x.c.t.Helper()
	now := time.Now().UnixMilli()
	h := recordbatch.Header{ProducerID: x.producer, ProducerEpoch: x.epoch, BaseSequence: x.sequence[p], BaseTimestamp: now, MaxTimestamp: now}.InTransaction()
	batch, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, []recordbatch.Record{{Timestamp: now, Value: []byte(value)}})
	if err != nil {
		x.c.t.Fatal(err)
	}
	req, resp := kmsg.NewPtrProduceRequest(), kmsg.NewPtrProduceResponse()
	req.Version, req.TransactionID, req.Acks, req.TimeoutMillis = x.in(11, 12), &x.id, -1, 5_000
	part := kmsg.ProduceRequestTopicPartition{Partition: p, Records: batch}
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: to.name, Partitions: []kmsg.ProduceRequestTopicPartition{part}}}
	err = x.c.try(fmt.Sprintf("produce %s", value), func() error {
		if err := x.c.ask(x.c.leader(to, p), req, resp); err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	})
	if err == nil {
		x.sequence[p]++
	}
	return err
}

// offset commits one of partition 0 for the group of the id's name.
func (x *teller) offset(to topic, offset int64) error {
	x.c.t.Helper()
	if x.version == 1 {
		req, resp := kmsg.NewPtrAddOffsetsToTxnRequest(), kmsg.NewPtrAddOffsetsToTxnResponse()
		req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = 3, x.id, x.producer, x.epoch, x.id
		if err := x.tell("add offsets", req, resp, func() int16 { return resp.ErrorCode }); err != nil {
			return err
		}
	}
	return x.offsetOnly(to, offset)
}

func (x *teller) offsetOnly(to topic, offset int64) error {
	x.c.t.Helper()
	req, resp := kmsg.NewPtrTxnOffsetCommitRequest(), kmsg.NewPtrTxnOffsetCommitResponse()
	req.Version, req.TransactionalID, req.Group = x.in(3, 5), x.id, x.id
	req.ProducerID, req.ProducerEpoch, req.Generation = x.producer, x.epoch, -1
	part := kmsg.TxnOffsetCommitRequestTopicPartition{Offset: offset, LeaderEpoch: -1}
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: to.name, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{part}}}
	return x.c.try("offset of "+x.id, func() error {
		if err := x.c.ask(x.c.coordinatorOf(ofGroups, x.id), req, resp); err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	})
}

// finish asks for the end, as whom the client was at that time, and returns who it is from then on.
func (x *teller) finish(commit bool) (producer int64, epoch int16, err error) {
	x.c.t.Helper()
	req, resp := kmsg.NewPtrEndTxnRequest(), kmsg.NewPtrEndTxnResponse()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = x.in(3, 5), x.id, x.producer, x.epoch, commit
	err = x.tell("end", req, resp, func() int16 { return resp.ErrorCode })
	if x.version == 1 {
		return x.producer, x.epoch, err
	}
	return resp.ProducerID, resp.ProducerEpoch, err
}

// seen is the state of the transaction in the eyes of its coordinator.
func (x *teller) seen() string {
	x.c.t.Helper()
	req, resp := kmsg.NewPtrDescribeTransactionsRequest(), kmsg.NewPtrDescribeTransactionsResponse()
	req.TransactionalIDs = []string{x.id}
	if err := x.tell("state", req, resp, func() int16 { return resp.TransactionStates[0].ErrorCode }); err != nil {
		x.c.t.Fatalf("state of %s: %v", x.id, err)
	}
	return resp.TransactionStates[0].State
}

// reach waits until the transaction is in a state.
func (x *teller) reach(state string) {
	x.c.t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		is := x.seen()
		if is == state {
			return
		}
		if time.Since(began) > patience {
			x.c.t.Fatalf("%s is in state %s, want %s", x.id, is, state)
		}
	}
}

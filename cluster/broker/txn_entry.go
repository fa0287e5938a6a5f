package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/metadata"
	"weir/cluster/txn"
	"weir/partition"
	"weir/protocol"
)

// txnEntry is something of a transaction on its way into a partition that is led here. The first of a transaction
// in its partition must not be taken unless its coordinator knows of it (KIP-890): nobody would ever end it.
type txnEntry struct {
	partition txn.Partition
	part      *partition.Partition
	producer  txn.Producer
	batch     partition.Batch // of Produce
	implicit  bool            // the partition is made part of the transaction; else it has to be one
	err       error           // the coordinator's answer

	leaderEpoch int32      // under which the coordinator was asked
	guards      *txnGuards // that it is registered with; nil when the transaction was open here already
	mu          sync.Mutex // guards broken, and is held while what enters is proposed
	broken      bool       // a marker has come since
}

// txnGuards are the entries whose coordinator is being asked, or has been a moment ago: a marker that is written
// meanwhile makes the answer void.
type txnGuards struct {
	mu   sync.Mutex // guards open
	open map[txnGuardKey]map[*txnEntry]bool
}

type txnGuardKey struct {
	part       *partition.Partition
	producerID int64
}

func newTxnGuards() *txnGuards { return &txnGuards{open: make(map[txnGuardKey]map[*txnEntry]bool)} }

func (e *txnEntry) key() txnGuardKey { return txnGuardKey{e.part, e.producer.ID} }

func (g *txnGuards) add(e *txnEntry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := e.key()
	if g.open[k] == nil {
		g.open[k] = make(map[*txnEntry]bool)
	}
	g.open[k][e] = true
	e.guards = g
}

func (g *txnGuards) remove(e *txnEntry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := e.key()
	if delete(g.open[k], e); len(g.open[k]) == 0 {
		delete(g.open, k)
	}
}

// void is called before a marker is proposed: what was answered before does not count behind it.
func (g *txnGuards) void(p *partition.Partition, producerID int64) {
	g.mu.Lock()
	entries := make([]*txnEntry, 0, 1)
	for e := range g.open[txnGuardKey{p, producerID}] {
		entries = append(entries, e)
	}
	g.mu.Unlock()
	for _, e := range entries {
		e.mu.Lock()
		e.broken = true
		e.mu.Unlock()
	}
}

// begins says that the entry is the first of its transaction in its partition, as far as was known here.
func (e *txnEntry) begins() bool { return e != nil && e.guards != nil }

// mark says in a batch under what its partition may take it. e may be nil: the batch is of no transaction.
func (e *txnEntry) mark(b *partition.Batch) {
	switch {
	case e.begins():
		b.LeaderEpoch = e.leaderEpoch
	case e != nil:
		b.Continues = true
	}
}

// propose runs f, which proposes what enters. Errors: NOT_ENOUGH_REPLICAS, which has clients come again, when a marker
// has come between. e may be nil: nothing is of a transaction.
func (e *txnEntry) propose(f func() error) error {
	if !e.begins() {
		return f()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.broken {
		return protocol.CodeNotEnoughReplicas
	}
	return f()
}

// leave is called when what enters has been proposed, or will not be.
func (e *txnEntry) leave() {
	if e.begins() {
		e.guards.remove(e)
	}
}

// entryTimeout bounds the question to a coordinator: the client's connection waits meanwhile.
const entryTimeout = 2 * time.Second

// enterTransaction asks the coordinator of a transactional id for those entries that are the first in their
// partitions, and notes its answers in them.
func (b *Broker) enterTransaction(ctx context.Context, id string, entries []*txnEntry) {
	var first []*txnEntry
	for _, e := range entries {
		if !e.part.InTransaction(e.producer.ID, e.producer.Epoch) {
			e.leaderEpoch, _ = e.part.Leading()
			b.txnGuards.add(e)
			first = append(first, e)
		}
	}
	if len(first) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, entryTimeout)
	defer cancel()
	b.askFor(ctx, id, first)
	// The coordinator may have waited for markers of the transaction before: then they came between.
	b.askFor(ctx, id, slices.DeleteFunc(first, func(e *txnEntry) bool { return e.err != nil || !e.rearm() }))
}

// rearm has markers count from now on, and says whether one has come.
func (e *txnEntry) rearm() (broken bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	broken, e.broken = e.broken, false
	return broken
}

// askFor notes the answers of a coordinator.
func (b *Broker) askFor(ctx context.Context, id string, entries []*txnEntry) {
	byProducer := make(map[txn.Producer][]*txnEntry) // most often there is one
	for _, e := range entries {
		byProducer[e.producer] = append(byProducer[e.producer], e)
	}
	for _, some := range byProducer {
		codes, err := b.askCoordinator(ctx, id, some)
		for _, e := range some {
			code, answered := codes[e.partition]
			switch {
			case err != nil:
				e.err = entryCode(errorCode(err))
			case !answered:
				e.err = protocol.CodeNotEnoughReplicas
			case code != protocol.CodeNone:
				e.err = entryCode(code)
			}
		}
	}
}

// entryCode words a coordinator's answer for producers: what they have to come again for is NOT_ENOUGH_REPLICAS.
func entryCode(code protocol.ErrorCode) protocol.ErrorCode {
	switch code {
	case protocol.CodeConcurrentTransactions, protocol.CodeNotCoordinator, protocol.CodeCoordinatorLoadInProgress,
		protocol.CodeCoordinatorNotAvailable, protocol.CodeUnknownTopicOrPartition, protocol.CodeOperationNotAttempted,
		protocol.CodeUnknownServerError, protocol.CodeRequestTimedOut: // the latter two are of the way to it
		return protocol.CodeNotEnoughReplicas
	case protocol.CodeProducerFenced:
		return protocol.CodeInvalidProducerEpoch
	}
	return code
}

// entryVersion is the version of AddPartitionsToTxn between brokers.
const entryVersion = 5

// askCoordinator has partitions verified, or made part of the transaction.
func (b *Broker) askCoordinator(ctx context.Context, id string, entries []*txnEntry) (map[txn.Partition]protocol.ErrorCode, error) {
	t := b.node.Topic(metadata.TransactionsTopic)
	if t == nil {
		return nil, txn.ErrUnknownProducer
	}
	leader := b.node.Leadership(t, coordinatedBy(id, t.NumPartitions())).Leader
	if leader == metadata.NoLeader {
		return nil, protocol.CodeCoordinatorNotAvailable
	}
	x := kmsg.NewAddPartitionsToTxnRequestTransaction()
	x.TransactionalID, x.ProducerID, x.ProducerEpoch = id, entries[0].producer.ID, entries[0].producer.Epoch
	x.VerifyOnly = !entries[0].implicit
	for _, e := range entries {
		topic := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
		topic.Topic, topic.Partitions = e.partition.Topic, []int32{e.partition.Index}
		x.Topics = append(x.Topics, topic)
	}
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version, req.Transactions = entryVersion, append(req.Transactions, x)
	resp, err := ask[*kmsg.AddPartitionsToTxnResponse](ctx, b, leader, req)
	if err != nil {
		return nil, err
	}
	codes := make(map[txn.Partition]protocol.ErrorCode)
	for _, x := range resp.Transactions {
		for _, t := range x.Topics {
			for _, p := range t.Partitions {
				codes[txn.Partition{Topic: t.Topic, Index: p.Partition}] = protocol.ErrorCode(p.ErrorCode)
			}
		}
	}
	return codes, nil
}

package broker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/cluster"
	"weir/cluster/metadata"
	"weir/cluster/txn"
	"weir/cluster/txn/record"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// Bounds of transactional ids.
const (
	maxTransactionalIDs     = 10_000
	maxOpenPartitions       = 1_000_000 // partitions of all transactions that are open
	maxTransactionalIDBytes = 255
)

// transactions is the coordinator of the transactional ids whose partition of __transaction_state this broker
// leads. Its rules are those of cluster/txn.
type transactions struct {
	node        *cluster.Node
	logger      *slog.Logger
	now         func() time.Time
	producerIDs *producerIDs
	markers     *markers

	loads   loads
	ctx     context.Context // of the background goroutines
	cancel  context.CancelFunc
	running sync.WaitGroup

	// What all shards take together.
	count, partitions atomic.Int64

	mu     sync.Mutex // guards shards; a leaf
	shards map[int32]*txnShard
}

// txnShard is the transactional ids of one partition of the topic.
type txnShard struct {
	ledger // its mu guards all below, too

	of            *transactions
	ids           map[string]*liveTransaction
	ctx           context.Context // of this leadership
	cancel        context.CancelFunc
	parts         int // partitions of transactions that are open
	was, wasParts int // ids, and these, as counted
}

// liveTransaction is a transactional id, and who waits for it. Its shard's mu guards it.
type liveTransaction struct {
	*txn.Transaction
	id      string
	sending bool          // markers are on their way
	moved   chan struct{} // closed with the next change
}

func newTransactions(n *cluster.Node, ids *producerIDs, m *markers, now func() time.Time, logger *slog.Logger) *transactions {
	c := &transactions{node: n, logger: logger, now: now, producerIDs: ids, markers: m, shards: make(map[int32]*txnShard)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.loads = loads{ctx: c.ctx, run: c.running.Go, read: readLedger}
	return c
}

// timeoutInterval is how often transactions are looked at that are open for too long.
const timeoutInterval = time.Second

// start loads what is led here and runs what goes on beside requests, until close.
func (c *transactions) start() {
	c.followLeadership()
	c.running.Go(func() {
		ticker := time.NewTicker(timeoutInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				c.expire()
			case <-c.ctx.Done():
				return
			}
		}
	})
}

// close ends what start has begun. No request may be under way.
func (c *transactions) close() {
	c.cancel()
	c.running.Wait()
}

func (c *transactions) shard(index int32) *txnShard {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shards[index]
	if s == nil {
		s = c.newShard(index)
		c.shards[index] = s
	}
	return s
}

func (c *transactions) newShard(index int32) *txnShard {
	s := &txnShard{of: c}
	s.ledger = newLedger(metadata.TransactionsTopic, index, s, c.loads, c.logger)
	s.close()
	return s
}

func (c *transactions) on(t *cluster.Topic, index int32, f func(*txnShard)) error {
	s := c.shard(index)
	return s.on(t, func() { f(s) })
}

// within runs f on the shard of a transactional id. Errors are those of ledger.on, and txn.ErrUnknownProducer
// when there are no transactions yet.
func (c *transactions) within(id string, f func(*txnShard)) error {
	t := c.node.Topic(metadata.TransactionsTopic)
	if t == nil {
		return txn.ErrUnknownProducer
	}
	return c.on(t, coordinatedBy(id, t.NumPartitions()), f)
}

// each runs f on every shard that is coordinated here. Errors: COORDINATOR_LOAD_IN_PROGRESS
// when one of them cannot be read; f has seen the others.
func (c *transactions) each(f func(*txnShard)) (err error) {
	t := c.node.Topic(metadata.TransactionsTopic)
	if t == nil {
		return nil
	}
	for i := range int32(t.NumPartitions()) {
		if e := c.on(t, i, f); e != nil && !errors.Is(e, protocol.CodeNotCoordinator) {
			err = e
		}
	}
	return err
}

// followLeadership takes up the partitions that are led here since, and gives up those that
// are not any more.
func (c *transactions) followLeadership() { _ = c.each(func(*txnShard) {}) } // has been logged

// enter implements book.
func (s *txnShard) enter(_ recordbatch.Header, r recordbatch.Record) error {
	id, err := record.ParseKey(r.Key)
	if err != nil {
		return err
	}
	if r.Value == nil {
		s.remove(id)
		return nil
	}
	is, err := record.ParseValue(r.Value)
	if err != nil {
		return err
	}
	s.remove(id)
	s.parts += len(is.Partitions)
	s.ids[id] = newLiveTransaction(id, txn.Restore(is))
	return nil
}

// blank implements book.
func (s *txnShard) blank() book { return s.of.newShard(s.index) }

// opened implements book: markers that were on their way are sent again.
func (s *txnShard) opened(read book) {
	from := read.(*txnShard)
	s.ids, s.parts = from.ids, from.parts
	s.ctx, s.cancel = context.WithCancel(s.of.ctx)
	for _, t := range s.ids {
		s.of.sendMarkers(s, t)
	}
}

// close implements book.
func (s *txnShard) close() {
	if s.cancel != nil {
		s.cancel()
	}
	for _, t := range s.ids {
		t.wake()
	}
	s.ids, s.parts = make(map[string]*liveTransaction), 0
}

// remove forgets an id.
func (s *txnShard) remove(id string) {
	if t := s.ids[id]; t != nil {
		s.parts -= len(t.Snapshot().Partitions)
		delete(s.ids, id)
	}
}

// counted implements book.
func (s *txnShard) counted() {
	s.of.count.Add(int64(len(s.ids) - s.was))
	s.of.partitions.Add(int64(s.parts - s.wasParts))
	s.was, s.wasParts = len(s.ids), s.parts
}

func newLiveTransaction(id string, t *txn.Transaction) *liveTransaction {
	return &liveTransaction{Transaction: t, id: id, moved: make(chan struct{})}
}

// wake has those who wait for a change look again.
func (t *liveTransaction) wake() {
	close(t.moved)
	t.moved = make(chan struct{})
}

// admit makes a transactional id. Errors: POLICY_VIOLATION when there is no room for more.
func (s *txnShard) admit(id string) (*liveTransaction, error) {
	if s.of.count.Load() >= maxTransactionalIDs {
		return nil, protocol.CodePolicyViolation
	}
	t := newLiveTransaction(id, txn.New())
	s.ids[id] = t
	return t, nil
}

// store brings what a step writes into the topic, and sees it done. It is called with mu held.
func (c *transactions) store(s *txnShard, t *liveTransaction, w *txn.Snapshot) (*partition.Append, error) {
	now := c.now().UnixMilli()
	records := []recordbatch.Record{{Timestamp: now, Key: record.Key(t.id), Value: record.Value(w)}}
	batch, err := newLedgerBatch(plainHeader, records, now)
	var a *partition.Append
	if err == nil {
		a, err = s.propose(batch, records, func(err error) { c.stored(s, t, err) })
	}
	if err != nil {
		t.Failed()
		s.drop(t)
		return nil, err
	}
	c.running.Go(func() { // whoever has asked may be gone by then
		if _, err := s.await(c.ctx, a); err != nil && c.ctx.Err() == nil {
			c.logger.Warn("a transaction is not stored", "transactional_id", t.id, "err", err)
		}
	})
	return a, nil
}

// stored is called with mu held when it is known what has become of a write.
func (c *transactions) stored(s *txnShard, t *liveTransaction, err error) {
	defer t.wake()
	if err != nil {
		// It may be in the log all the same: what is there counts, and is read again.
		t.Failed()
		s.epoch = notLoaded
		return
	}
	s.parts -= len(t.Snapshot().Partitions)
	t.Stored()
	s.parts += len(t.Snapshot().Partitions)
	if s.epoch != notLoaded { // else the next load does
		c.sendMarkers(s, t)
	}
}

// drop forgets an id of which nothing is stored.
func (s *txnShard) drop(t *liveTransaction) {
	if !t.Exists() && s.ids[t.id] == t {
		delete(s.ids, t.id)
	}
}

// input is what a client, or the clock, has for a transactional id; freshID is a producer id that nobody has had,
// or txn.NoID.
type input func(t *txn.Transaction, now time.Time, freshID int64) txn.Step

// change feeds an input to a transactional id, which has to exist, and answers when it is durable. Errors are those of
// the step, and of ledger.on.
func (c *transactions) change(ctx context.Context, id string, in input) (txn.Producer, error) {
	return c.try(ctx, id, false, in)
}

// begin is change for an id that may be new.
func (c *transactions) begin(ctx context.Context, id string, in input) (txn.Producer, error) {
	if _, err := c.node.EnsureInternalTopic(ctx, metadata.TransactionsTopic); err != nil {
		return txn.NoProducer, err
	}
	return c.try(ctx, id, true, in)
}

// patience is how long an input waits for what is under way with its transactional id, so that clients need not come
// again: most often that is the markers of the transaction before.
const patience = 500 * time.Millisecond

func (c *transactions) try(ctx context.Context, id string, create bool, in input) (txn.Producer, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for fresh := txn.NoID; ; {
		x := attempt{id: id, create: create, in: in, fresh: fresh}
		err := c.attempt(ctx, &x)
		switch {
		case errors.Is(err, txn.ErrNeedID):
			if fresh, err = c.producerIDs.next(ctx); err != nil {
				return txn.NoProducer, err
			}
			continue
		case err == nil || !errors.Is(err, txn.ErrConcurrent) || x.step.Write != nil:
			return x.step.Producer, err
		}
		select {
		case <-x.moved:
		case <-timer.C:
			return txn.NoProducer, err
		case <-ctx.Done():
			return txn.NoProducer, ctx.Err()
		}
	}
}

// attempt is an input on its way, and what has come of it.
type attempt struct {
	id     string
	create bool
	in     input
	fresh  int64

	step  txn.Step
	moved <-chan struct{} // closed when there is a reason to try again
}

func (c *transactions) attempt(ctx context.Context, x *attempt) error {
	var a *partition.Append
	var s *txnShard
	var failed error
	err := c.within(x.id, func(shard *txnShard) {
		s = shard
		t := s.ids[x.id]
		if t == nil && x.create {
			t, failed = s.admit(x.id)
		}
		if t == nil {
			x.step.Err = txn.ErrUnknownProducer
			return
		}
		defer s.drop(t)
		x.moved = t.moved
		if x.step = x.in(t.Transaction, c.now(), x.fresh); x.step.Write != nil {
			a, failed = c.store(s, t, x.step.Write)
		}
	})
	if err = errors.Join(err, failed); err == nil && a != nil {
		_, err = s.await(ctx, a)
	}
	if err != nil {
		x.step.Producer = txn.NoProducer
		return err
	}
	return x.step.Err
}

// expire aborts what is open for longer than its time-out.
func (c *transactions) expire() {
	c.mu.Lock()
	shards := slices.Collect(maps.Values(c.shards))
	c.mu.Unlock()
	topic := c.node.Topic(metadata.TransactionsTopic)
	if topic == nil {
		return
	}
	for _, s := range shards {
		_, _ = s.tryOn(topic, func() { c.expireIn(s, c.now()) }) // has been logged; a load that has failed is tried again
	}
}

// expireIn is called with mu held.
func (c *transactions) expireIn(s *txnShard, now time.Time) {
	for _, t := range s.ids {
		if step := t.Expire(now); step.Write != nil {
			c.logger.Info("a transaction is aborted that was open for too long", "transactional_id", t.id)
			_, _ = c.store(s, t, step.Write) // logged; else it is tried again
		}
	}
}

// forget drops transactional ids that have not been used for as long, with tombstones.
func (c *transactions) forget(age time.Duration) {
	now := c.now()
	_ = c.each(func(s *txnShard) {
		for _, t := range s.ids {
			if !t.Forgettable(now.Add(-age)) {
				continue
			}
			records := []recordbatch.Record{{Timestamp: now.UnixMilli(), Key: record.Key(t.id)}}
			batch, err := newLedgerBatch(plainHeader, records, now.UnixMilli())
			if err != nil {
				continue
			}
			if a, err := s.propose(batch, records, func(error) {}); err == nil {
				s.remove(t.id) // its next client begins behind the tombstone
				c.running.Go(func() { _, _ = s.await(c.ctx, a) })
			}
		}
	})
}

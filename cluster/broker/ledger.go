package broker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"weir/cluster"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// ledger is one partition of a topic that coordinators keep their state in, as its coordinator has it: what
// is committed there is in the book's tables, what is on its way is in ahead.
type ledger struct {
	topic  string
	index  int32
	book   book
	loads  loads
	logger *slog.Logger

	mu        sync.Mutex // guards all below, the book's tables, and the order of writes to the partition
	partition *partition.Partition
	loading   *loading  // what is being read into other tables
	epoch     int32     // the leadership whose records are in the tables; notLoaded
	failed    time.Time // when the partition could not be read
	ahead     []change
	batchMax  int // bytes of one batch of the topic
}

// book is what a ledger is kept for: tables that are made of its records. Its methods are called with mu held.
type book interface {
	// enter takes a record of the topic into the tables, and the header of its batch. An error is logged: admin
	// tools may write there, and what they write must not keep the broker from starting.
	enter(h recordbatch.Header, r recordbatch.Record) error
	// blank is another book of the kind, with empty tables. It is called without mu, and what it gives is used by one
	// goroutine, for enter only.
	blank() book
	// opened takes over what a blank one has read: all records. What they tell of comes to life.
	opened(read book)
	// close forgets everything, and answers who waits.
	close()
	// counted is called when what the tables take may have changed.
	counted()
}

// notLoaded is the epoch of a ledger that knows nothing.
const notLoaded = -1

// change is a write that is on its way into the topic.
type change struct {
	append  *partition.Append
	records []recordbatch.Record
	done    func(error) // runs with mu held, in the order of the changes
}

// loadChunkBytes is how much of a partition is in memory at a time while it is read.
const loadChunkBytes = 1 << 20

const (
	// loadRetryInterval is how often a partition that cannot be read is tried.
	loadRetryInterval = time.Second
	// loadPatience is how long a request waits for a load before its client is told to come again.
	loadPatience = 100 * time.Millisecond
)

// loads is how ledgers are read, beside requests.
type loads struct {
	ctx  context.Context // ends them
	run  func(func())
	read reader // readLedger, but in tests
}

// reader enters what is committed from an offset on into a book that nobody else has, and says how far that was.
type reader func(ctx context.Context, l *ledger, into book, p *partition.Partition, from int64, maxDecoded int) (next int64, err error)

// loading is a load that is under way.
type loading struct {
	partition *partition.Partition
	epoch     int32
	done      chan struct{} // closed when it has ended, however
}

func newLedger(topic string, index int32, b book, how loads, logger *slog.Logger) ledger {
	return ledger{topic: topic, index: index, book: b, loads: how, epoch: notLoaded, logger: logger}
}

// on runs f with mu held, when the tables hold what is committed. It gives a load that is under way a moment, since
// most are done in less. Errors: NOT_COORDINATOR when another broker leads the partition,
// COORDINATOR_LOAD_IN_PROGRESS while it is being read, or cannot be.
func (l *ledger) on(t *cluster.Topic, f func()) error {
	loaded, err := l.tryOn(t, f)
	if loaded == nil {
		return err
	}
	timer := time.NewTimer(loadPatience)
	defer timer.Stop()
	select {
	case <-loaded:
	case <-timer.C:
	case <-l.loads.ctx.Done():
	}
	_, err = l.tryOn(t, f)
	return err
}

// tryOn is on without waiting. loaded is closed at the end of the load that f has to wait for, nil if there is none.
func (l *ledger) tryOn(t *cluster.Topic, f func()) (loaded <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.book.counted()
	if loaded, err = l.ensureLoaded(t); err != nil {
		return loaded, err
	}
	l.catchUp()
	if l.epoch == notLoaded {
		return nil, protocol.CodeCoordinatorLoadInProgress // of a write nobody knows whether it is in the log
	}
	f()
	return nil, nil
}

// ensureLoaded has the partition read unless it is loaded as of this leadership. Errors are
// those of on; loaded is as for tryOn. It is called with mu held.
func (l *ledger) ensureLoaded(t *cluster.Topic) (loaded <-chan struct{}, err error) {
	p, err := t.Partition(l.index)
	var elsewhere *partition.NotLeaderError
	if errors.As(err, &elsewhere) {
		l.unload()
		return nil, protocol.CodeNotCoordinator
	}
	epoch := int32(notLoaded)
	if err == nil {
		var leading bool
		if epoch, leading = p.Leading(); !leading {
			l.unload()
			return nil, protocol.CodeNotCoordinator
		}
		if l.epoch == epoch && l.partition == p {
			return nil, nil
		}
		if x := l.loading; x != nil && x.epoch == epoch && x.partition == p {
			return x.done, protocol.CodeCoordinatorLoadInProgress
		}
	}
	if l.partition == p && err == nil {
		if l.catchUp(); len(l.ahead) > 0 {
			return nil, protocol.CodeCoordinatorLoadInProgress // what comes of it has to be in the log, or not, before that is read
		}
	}
	l.unload()
	if time.Since(l.failed) < loadRetryInterval {
		return nil, protocol.CodeCoordinatorLoadInProgress
	}
	if err != nil {
		l.loadFailed(err)
		return nil, protocol.CodeCoordinatorLoadInProgress
	}
	x := &loading{partition: p, epoch: epoch, done: make(chan struct{})}
	l.loading = x
	l.loads.run(func() { l.finishLoad(t, x) })
	return x.done, protocol.CodeCoordinatorLoadInProgress
}

// finishLoad reads a partition beside requests, and gives what it has read to the book if that still wants it.
func (l *ledger) finishLoad(t *cluster.Topic, x *loading) {
	defer close(x.done)
	read := l.book.blank()
	next, err := l.loads.read(l.loads.ctx, l, read, x.partition, x.partition.LogStartOffset(), t.MaxDecodedBytes())
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.book.counted()
	if l.loading != x || l.loads.ctx.Err() != nil {
		return
	}
	l.loading = nil
	if epoch, leading := x.partition.Leading(); !leading || epoch != x.epoch {
		return
	}
	if err == nil { // markers come beside the ledger
		_, err = readLedger(l.loads.ctx, l, read, x.partition, next, t.MaxDecodedBytes())
	}
	if err != nil {
		l.loadFailed(err)
		return
	}
	l.partition, l.epoch, l.failed, l.batchMax = x.partition, x.epoch, time.Time{}, int(t.Config.SegmentBytes)
	l.book.opened(read)
}

func (l *ledger) loadFailed(err error) {
	l.failed = time.Now()
	l.logger.Error("a coordinator is unavailable", "topic", l.topic, "partition", l.index, "err", err)
}

// unload forgets everything. It is called with mu held.
func (l *ledger) unload() {
	l.book.close()
	l.partition, l.loading, l.epoch, l.ahead = nil, nil, notLoaded, nil
}

// readLedger is the reader.
func readLedger(ctx context.Context, l *ledger, into book, p *partition.Partition, from int64, maxDecoded int) (next int64, err error) {
	var buf []byte
	for next = from; next < p.HighWatermark(); {
		if err := ctx.Err(); err != nil {
			return next, err
		}
		r, err := p.Read(next, loadChunkBytes, true)
		if err != nil {
			return next, err
		}
		buf, err = r.AppendTo(buf[:0])
		if err = errors.Join(err, r.Release()); err != nil {
			return next, err
		}
		if err := l.enter(into, buf, maxDecoded); err != nil {
			return next, err
		}
		next = r.NextOffset
	}
	return next, nil
}

func (l *ledger) enter(into book, batches []byte, maxDecoded int) error {
	for b := batches; len(b) > 0; {
		h, err := recordbatch.ParseHeader(b)
		if err != nil {
			return err
		}
		for r, err := range recordbatch.Records(b[:h.SizeBytes()], maxDecoded) {
			if err != nil {
				return err
			}
			if err := into.enter(h, r); err != nil {
				l.logger.Warn("a record makes no sense", "topic", l.topic, "partition", l.index, "offset", r.Offset, "err", err)
			}
		}
		b = b[h.SizeBytes():]
	}
	return nil
}

// leads says that the tables are those of the leadership that there is now: under another one there may be records
// that they do not tell of. It is called with mu held.
func (l *ledger) leads() bool {
	if l.partition == nil || l.epoch == notLoaded {
		return false
	}
	epoch, leading := l.partition.Leading()
	return leading && epoch == l.epoch
}

// coming lists the keys of the records that are on their way. It is called with mu held.
func (l *ledger) coming() map[string]bool {
	keys := make(map[string]bool)
	for _, x := range l.ahead {
		for _, r := range x.records {
			keys[string(r.Key)] = true
		}
	}
	return keys
}

// propose brings a batch of some records into the partition's order. done hears the outcome, with mu held, when it is
// known; so does who waits for the append, and then calls settle. It is called with mu held.
func (l *ledger) propose(batch partition.Batch, records []recordbatch.Record, done func(error)) (*partition.Append, error) {
	if !l.leads() {
		return nil, protocol.CodeNotCoordinator
	}
	if len(batch.Data) > l.batchMax {
		return nil, protocol.CodeUnknownServerError // Kafka's word for what is too large for the topic
	}
	a := l.partition.Propose(batch, partition.AcksAll)
	l.ahead = append(l.ahead, change{append: a, records: records, done: done})
	return a, nil
}

// await waits for a change and sees it done. It returns the partition that the ledger is of, if it still is.
func (l *ledger) await(ctx context.Context, a *partition.Append) (*partition.Partition, error) {
	err := a.Wait(ctx)
	p := l.settle()
	if elsewhere := (*partition.NotLeaderError)(nil); errors.As(err, &elsewhere) {
		return nil, protocol.CodeNotCoordinator
	}
	return p, err
}

// settle does what is known by now.
func (l *ledger) settle() *partition.Partition {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.book.counted()
	l.catchUp()
	return l.partition
}

// catchUp does the changes that are settled. Appends of a partition settle in
// order, so the first unsettled one ends the search. It is called with mu held.
func (l *ledger) catchUp() {
	for len(l.ahead) > 0 && l.ahead[0].append.Settled() {
		x := l.ahead[0]
		l.ahead = l.ahead[1:]
		x.done(x.append.Wait(context.Background()))
	}
	if len(l.ahead) == 0 {
		l.ahead = nil
	}
}

// newLedgerBatch makes the batch of some records, of h's producer.
func newLedgerBatch(h recordbatch.Header, records []recordbatch.Record, now int64) (partition.Batch, error) {
	h.BaseTimestamp, h.MaxTimestamp = now, now
	data, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, records)
	if err != nil {
		return partition.Batch{}, err
	}
	h, err = recordbatch.ParseHeader(data)
	return partition.Batch{Header: h, Data: data}, err
}

// plainHeader is that of batches outside of transactions.
var plainHeader = recordbatch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}

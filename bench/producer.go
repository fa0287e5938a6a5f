package bench

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// deliveryTimeout fails a record that got no acknowledgement, as Kafka's delivery.timeout.ms does;
// stopTimeout is what remains after the caller gave up.
const (
	deliveryTimeout = 2 * time.Minute
	stopTimeout     = 5 * time.Second
)

// payloadVariants is how many different values a producer without verification cycles through.
const payloadVariants = 64

// producer is one client and the goroutine that feeds it.
type producer struct {
	cfg     ProduceConfig
	id      uint32
	run64   uint64
	stamped bool
	client  *kgo.Client
	rec     *recorder
	keys    *keySource
	values  [][]byte     // unstamped payloads, shared by records
	free    chan *flight // records not in flight
	txn     *transaction // nil without
	made    int          // flights made so far
	start   time.Time
	sent    []uint64 // by key number, 1 element without keys; feeding goroutine only until the run ended

	// Written by the client's one callback goroutine, read after the flush.
	unacknowledged []SequenceName
	errs           errorSet

	lost error // why a transaction could not be committed; feeding goroutine only until the run ended
}

// flight is a record on its way, reused from send to send.
type flight struct {
	record   kgo.Record
	key      []byte
	value    []byte // own bytes of a stamped record
	at       time.Duration
	sequence SequenceName
	done     func(*kgo.Record, error)
}

func newProducer(cfg ProduceConfig, run64 uint64, index int, stamped bool) (*producer, error) {
	client, err := kgo.NewClient(slices.Concat(clientOptions(cfg.Target), producerOptions(cfg), transactionOptions(cfg, run64, index))...)
	if err != nil {
		return nil, err
	}
	p := &producer{
		cfg: cfg, id: uint32(index), run64: run64, stamped: stamped, client: client,
		rec:  &recorder{latency: newHistogram(), lag: newHistogram()},
		keys: newKeySource(cfg.Keys, cfg.Seed+uint64(index)),
		free: make(chan *flight, cfg.InFlight),
	}
	if cfg.Transaction > 0 {
		p.txn = &transaction{client: client, length: cfg.Transaction}
	}
	if stamped {
		p.sent = make([]uint64, max(cfg.Keys.N, 1))
	}
	for v := range payloadVariants {
		value := make([]byte, cfg.RecordBytes)
		fill(value, cfg.Payload, cfg.Seed<<16+uint64(index)<<8+uint64(v))
		p.values = append(p.values, value)
		// Large records need few variants: 16 MiB of them are enough.
		if (v+1)*cfg.RecordBytes >= 16<<20 {
			break
		}
	}
	return p, nil
}

func producerOptions(cfg ProduceConfig) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.DefaultProduceTopic(cfg.Topic),
		kgo.ProducerBatchMaxBytes(int32(cfg.BatchBytes)),
		kgo.BrokerMaxWriteBytes(int32(max(100<<20, cfg.BatchBytes+1<<20))),
		kgo.MaxBufferedRecords(cfg.InFlight + 1),
		kgo.ProducerLinger(cfg.Linger),
		kgo.RecordDeliveryTimeout(deliveryTimeout),
		kgo.RecordPartitioner(kgo.UniformBytesPartitioner(cfg.BatchBytes, true, true, nil)),
		kgo.ProducerBatchCompression(compression(cfg.Codec)),
	}
	switch cfg.Acks {
	case AcksAll:
		opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
	case AcksLeader:
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case AcksNone:
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	}
	if cfg.Acks == AcksAll && !cfg.Idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	if !cfg.idempotent() && !cfg.Verify {
		// As many as with idempotence. A verified run keeps to one, because a retry would reorder.
		opts = append(opts, kgo.MaxProduceRequestsInflightPerBroker(5))
	}
	return opts
}

func transactionOptions(cfg ProduceConfig, run64 uint64, index int) []kgo.Opt {
	if cfg.Transaction == 0 {
		return nil
	}
	return []kgo.Opt{
		kgo.TransactionalID(transactionalID(run64, index)),
		kgo.TransactionTimeout(2*cfg.Transaction + deliveryTimeout),
	}
}

func compression(c Codec) kgo.CompressionCodec {
	switch c {
	case CodecGzip:
		return kgo.GzipCompression()
	case CodecSnappy:
		return kgo.SnappyCompression()
	case CodecLZ4:
		return kgo.Lz4Compression()
	case CodecZstd:
		return kgo.ZstdCompression()
	default:
		return kgo.NoCompression()
	}
}

// run sends this producer's share of the schedule, or as fast as flights come free, until the count
// or ctx ends it.
func (p *producer) run(ctx context.Context, start time.Time) {
	p.start = start
	schedule := NewSchedule(p.cfg.Rate)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	// Sends go on after ctx ended the load: what was handed over is waited for.
	sendCtx := context.WithoutCancel(ctx)
	if !wait(ctx, timer, start, 0) || p.txn != nil && !p.transact(0, p.txn.begin()) {
		return
	}
	for n := int64(p.id); p.cfg.Records == 0 || n < p.cfg.Records; n += int64(p.cfg.Producers) {
		var at time.Duration
		if p.cfg.Rate > 0 {
			at = schedule.At(n)
			if !wait(ctx, timer, start, at) {
				break
			}
		}
		f := p.take(ctx)
		if f == nil {
			break
		}
		if p.txn != nil && !p.transact(p.txn.next(sendCtx)) {
			break
		}
		now := time.Since(start)
		if p.cfg.Rate > 0 {
			p.rec.sentLate(now - at)
		} else {
			at = now
		}
		p.load(f, n, at)
		if p.txn != nil {
			p.txn.records++
		}
		p.client.Produce(sendCtx, &f.record, f.done)
	}
}

// transact counts what a step of the transaction has lost, and says whether to go on.
func (p *producer) transact(failed int64, err error) bool {
	if err != nil {
		p.rec.failed(failed)
		p.lost = err
	}
	return err == nil
}

// flush waits for the answers: as long as deliveries may take, but only stopTimeout once the caller
// has given up. What has no answer by then counts as failed.
func (p *producer) flush(ctx context.Context) {
	patient, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopTimeout, cancel) })
	defer stop()
	if p.client.Flush(patient) != nil {
		// With a context that does not end, aborting ends when each record was told.
		_ = p.client.AbortBufferedRecords(context.WithoutCancel(ctx))
	}
	if p.txn != nil && p.lost == nil {
		p.transact(p.txn.end(patient))
	}
}

// take returns a flight, nil when ctx ended while all were under way.
func (p *producer) take(ctx context.Context) *flight {
	if ctx.Err() != nil {
		return nil
	}
	select {
	case f := <-p.free:
		return f
	default:
	}
	if p.made < p.cfg.InFlight {
		p.made++
		return p.newFlight()
	}
	select {
	case f := <-p.free:
		return f
	case <-ctx.Done():
		return nil
	}
}

func (p *producer) newFlight() *flight {
	f := &flight{}
	if p.stamped {
		f.value = append([]byte(nil), p.values[p.made%len(p.values)]...)
	}
	f.done = func(r *kgo.Record, err error) { p.acknowledged(f, r, err) }
	return f
}

func (p *producer) load(f *flight, n int64, at time.Duration) {
	f.at = at
	key := p.keys.next()
	f.record = kgo.Record{}
	if key != noKey {
		f.key = appendKey(f.key[:0], key)
		f.record.Key = f.key
	}
	if !p.stamped {
		f.record.Value = p.values[int(n/int64(p.cfg.Producers)%int64(len(p.values)))]
		return
	}
	slot := max(key, 0)
	f.sequence = SequenceName{Key: int32(key), Sequence: p.sent[slot]}
	p.sent[slot]++
	putStamp(f.value, stamp{run: p.run64, producer: p.id, key: int32(key), sequence: f.sequence.Sequence, intendedNanos: int64(at)})
	f.record.Value = f.value
}

func (p *producer) acknowledged(f *flight, r *kgo.Record, err error) {
	if err != nil {
		p.rec.failed(1)
		p.errs.add(err)
		if p.stamped {
			p.unacknowledged = append(p.unacknowledged, f.sequence)
		}
	} else {
		p.rec.answered(1, int64(len(r.Key)+len(r.Value)), time.Since(p.start)-f.at)
	}
	p.free <- f
}

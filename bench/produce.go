package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Kinds of run, as Result.Kind has them.
const (
	kindProduce    = "produce"
	kindConsume    = "consume"
	kindE2E        = "e2e"
	kindRawProduce = "raw-produce"
	kindRawConsume = "raw-consume"
)

// deliveryTimeout fails a record that got no acknowledgement, as Kafka's delivery.timeout.ms does;
// stopTimeout is what remains after the caller gave up.
const (
	deliveryTimeout = 2 * time.Minute
	stopTimeout     = 5 * time.Second
)

// payloadVariants is how many different values a producer without verification cycles through.
const payloadVariants = 64

// Produce runs a produce load. A cancelled ctx ends the load early; what was measured is returned. The
// error is about the run itself: failed records are counted in the result.
func Produce(ctx context.Context, cfg ProduceConfig) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s, err := openSession(ctx, cfg.Target)
	if err != nil {
		return nil, err
	}
	defer s.close()
	g, err := newGenerator(cfg, cfg.Verify)
	if err != nil {
		return nil, err
	}
	defer g.close()
	r := &Result{Kind: kindProduce, Config: cfg, Loop: loopText(cfg), LatencyOf: latencyText(cfg, "acknowledged")}
	r.Environment = s.environment(ctx, cfg.Acks)
	w, err := startWatch(cfg.BrokerPID)
	if err != nil {
		return nil, err
	}
	m, err := newMeter(cfg.Output, 0)
	if err != nil {
		return nil, err
	}
	m.recorders = g.recorders()
	if err := g.connect(ctx); err != nil {
		return nil, err
	}
	start := time.Now()
	m.run(start)
	end := g.run(ctx, start)
	if err := m.stop(end); err != nil {
		return nil, err
	}
	r.fill(m, end)
	if err := w.fill(r); err != nil {
		return nil, err
	}
	r.ErrorTexts = g.errorTexts()
	r.NotProven = append(r.Environment.notProven(), produceNotProven(cfg)...)
	if cfg.ManifestPath != "" {
		return r, g.manifest().WriteFile(cfg.ManifestPath)
	}
	return r, nil
}

func loopText(cfg ProduceConfig) string {
	if cfg.Rate > 0 {
		return fmt.Sprintf("open loop at %s msg/s by schedule", thousands(int64(cfg.Rate+0.5)))
	}
	return fmt.Sprintf("CLOSED LOOP, as fast as answers come with %s records in flight a producer", thousands(int64(cfg.InFlight)))
}

func latencyText(cfg ProduceConfig, end string) string {
	if cfg.Rate > 0 {
		return "intended send time → " + end
	}
	return "handed to the client → " + end + " (closed loop: mostly the wait in the client's own queue)"
}

func produceNotProven(cfg ProduceConfig) []string {
	var out []string
	if cfg.Rate == 0 {
		out = append(out, "latency under a given load: a closed loop slows down with the broker; use a rate")
	}
	if cfg.Acks == AcksNone {
		out = append(out, "that any record arrived: acks=0 counts what was handed to the socket")
	}
	if !cfg.Verify {
		out = append(out, "that records are intact, complete and in order: not verified")
	} else {
		out = append(out, "that records are intact, complete and in order: they were written so that a consume run with verification can tell")
	}
	return out
}

// generator is the sending side of a run: producers that share a schedule.
type generator struct {
	cfg       ProduceConfig
	run64     uint64 // names the run in payloads
	producers []*producer
}

func newGenerator(cfg ProduceConfig, stamped bool) (*generator, error) {
	g := &generator{cfg: cfg, run64: rand.Uint64() | 1}
	for i := range cfg.Producers {
		p, err := newProducer(cfg, g.run64, i, stamped)
		if err != nil {
			g.close()
			return nil, err
		}
		g.producers = append(g.producers, p)
	}
	return g, nil
}

// connect opens each producer's first connection and gets its producer id, so that the first records
// do not wait for that.
func (g *generator) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	for _, p := range g.producers {
		err := p.client.Ping(ctx)
		if err == nil && g.cfg.Acks == AcksAll {
			_, _, err = p.client.ProducerID(ctx)
		}
		if err != nil {
			return fmt.Errorf("connect producer: %w", err)
		}
	}
	return nil
}

func (g *generator) close() {
	for _, p := range g.producers {
		p.client.Close()
	}
}

func (g *generator) recorders() []*recorder {
	var out []*recorder
	for _, p := range g.producers {
		out = append(out, p.rec)
	}
	return out
}

// run makes the load and returns when the last answer came.
func (g *generator) run(ctx context.Context, start time.Time) time.Time {
	load := ctx
	if g.cfg.Duration > 0 {
		var cancel context.CancelFunc
		load, cancel = context.WithDeadline(ctx, start.Add(g.cfg.Duration))
		defer cancel()
	}
	var wg sync.WaitGroup
	for _, p := range g.producers {
		wg.Go(func() {
			p.run(load, start)
			p.flush(ctx)
		})
	}
	wg.Wait()
	return time.Now()
}

func (g *generator) errorTexts() []string {
	var all errorSet
	for _, p := range g.producers {
		for _, text := range p.errs.texts {
			all.add(errors.New(text))
		}
	}
	return all.texts
}

func (g *generator) manifest() *Manifest {
	m := &Manifest{Run: g.run64, Topic: g.cfg.Topic, Keys: g.cfg.Keys.N}
	for _, p := range g.producers {
		m.Producers = append(m.Producers, ManifestProducer{ID: p.id, Sent: p.sent, Unacknowledged: p.unacknowledged})
	}
	return m
}

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
	made    int          // flights made so far
	start   time.Time
	sent    []uint64 // by key number, 1 element without keys; feeding goroutine only until the run ended

	// Written by the client's one callback goroutine, read after the flush.
	unacknowledged []SequenceName
	errs           errorSet
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
	client, err := kgo.NewClient(append(clientOptions(cfg.Target), producerOptions(cfg)...)...)
	if err != nil {
		return nil, err
	}
	p := &producer{
		cfg: cfg, id: uint32(index), run64: run64, stamped: stamped, client: client,
		rec:  &recorder{latency: newHistogram(), lag: newHistogram()},
		keys: newKeySource(cfg.Keys, cfg.Seed+uint64(index)),
		free: make(chan *flight, cfg.InFlight),
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
	if cfg.Acks != AcksAll && !cfg.Verify {
		// As many as with acks=all. A verified run keeps to one, because a retry would reorder.
		opts = append(opts, kgo.MaxProduceRequestsInflightPerBroker(5))
	}
	return opts
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
	if !wait(ctx, timer, start, 0) {
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
		now := time.Since(start)
		if p.cfg.Rate > 0 {
			p.rec.sentLate(now - at)
		} else {
			at = now
		}
		p.load(f, n, at)
		p.client.Produce(sendCtx, &f.record, f.done)
	}
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

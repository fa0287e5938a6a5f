package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Kinds of run, as Result.Kind has them.
const (
	kindProduce    = "produce"
	kindConsume    = "consume"
	kindE2E        = "e2e"
	kindRawProduce = "raw-produce"
	kindRawConsume = "raw-consume"
)

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
	w, err := startWatch(cfg.BrokerPIDs)
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
		if err == nil && g.cfg.idempotent() {
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
		if p.lost != nil {
			all.add(p.lost)
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

package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// headStart is what the consumers get to open their connections before the first record is due.
const headStart = 200 * time.Millisecond

// E2E runs producers and consumers of the same records in this process. Latency runs from a record's
// intended send time until a consumer's poll returned it. The run ends when all that was acknowledged
// has been seen, or cfg.Drain after the last acknowledgement.
func E2E(ctx context.Context, cfg E2EConfig) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s, err := openSession(ctx, cfg.Target)
	if err != nil {
		return nil, err
	}
	defer s.close()
	g, err := newGenerator(cfg.ProduceConfig, true)
	if err != nil {
		return nil, err
	}
	defer g.close()
	t, err := newTail(ctx, s, cfg, g.run64)
	if err != nil {
		return nil, err
	}
	defer t.close()
	r := &Result{Kind: kindE2E, Config: cfg, Loop: loopText(cfg.ProduceConfig), LatencyOf: latencyText(cfg.ProduceConfig, "consumed")}
	r.Environment = s.environment(ctx, cfg.Acks)
	w, err := startWatch(cfg.BrokerPIDs)
	if err != nil {
		return nil, err
	}
	m, err := newMeter(cfg.Output, 0)
	if err != nil {
		return nil, err
	}
	for _, reader := range t.readers {
		m.recorders = append(m.recorders, reader.rec)
	}
	// The producers' recorders are not metered: a record counts once it was consumed.
	if err := g.connect(ctx); err != nil {
		return nil, err
	}
	start := time.Now().Add(headStart)
	m.run(start)
	t.begin(start)
	g.run(ctx, start)
	complete := t.drain(ctx, g.manifest().Acknowledged())
	if err := m.stop(t.lastSeen()); err != nil {
		return nil, err
	}
	if err := e2eResult(r, m, w, g, t, complete); err != nil {
		return nil, err
	}
	r.NotProven = append(r.Environment.notProven(), e2eNotProven(cfg)...)
	return r, nil
}

func e2eResult(r *Result, m *meter, w *watch, g *generator, t *tail, complete bool) error {
	r.fill(m, t.lastSeen())
	lag := newHistogram()
	for _, p := range g.producers {
		lag.Merge(p.rec.lag)
		r.Errors += p.rec.span.errors
	}
	if lag.TotalCount() > 0 {
		summary := summarize(lag)
		r.SendLag = &summary
	}
	if err := w.fill(r); err != nil {
		return err
	}
	r.ErrorTexts = append(g.errorTexts(), t.errs.texts...)
	manifest := g.manifest()
	if t.verifier != nil {
		r.Verify = t.verifier.Finish(manifest)
	}
	if missing := manifest.Acknowledged() - t.seen.Load(); !complete && missing > 0 {
		r.Errors += missing
		r.ErrorTexts = append(r.ErrorTexts, fmt.Sprintf("%d acknowledged records were not consumed in time", missing))
	}
	return nil
}

func e2eNotProven(cfg E2EConfig) []string {
	var out []string
	if cfg.Rate == 0 {
		out = append(out, "latency under a given load: a closed loop slows down with the broker; use a rate")
	}
	if !cfg.Verify {
		out = append(out, "that records are complete and in order: only their count was compared")
	}
	return append(out, "reads from the disk: consumers were at the end of the log all the time")
}

// tail is the receiving side of an end-to-end run: it reads everything from where the partitions
// ended when it was made.
type tail struct {
	cfg     E2EConfig
	run64   uint64
	readers []*reader
	seen    atomic.Int64
	news    chan struct{} // holds one token when seen has grown
	cancel  context.CancelFunc
	done    sync.WaitGroup
	start   time.Time

	mu       sync.Mutex // guards all below
	verifier *Verifier
	errs     errorSet
	last     time.Time
}

func newTail(ctx context.Context, s *session, cfg E2EConfig, run64 uint64) (*tail, error) {
	ends, err := s.endOffsets(ctx)
	if err != nil {
		return nil, err
	}
	t := &tail{cfg: cfg, run64: run64, news: make(chan struct{}, 1)}
	if cfg.Verify {
		t.verifier = NewVerifier(run64)
	}
	reading := &consumption{cfg: ConsumeConfig{Target: cfg.Target, Consumers: cfg.Consumers, FetchBytes: max(1<<20, cfg.BatchBytes)}}
	if err := reading.openReaders(s, ends); err != nil {
		return nil, err
	}
	t.readers = reading.readers
	return t, nil
}

func (t *tail) begin(start time.Time) {
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel, t.start, t.last = cancel, start, start
	for _, r := range t.readers {
		t.done.Go(func() {
			for ctx.Err() == nil {
				fetches := r.client.PollFetches(ctx)
				t.take(ctx, r, fetches, time.Since(start))
			}
		})
	}
}

func (t *tail) take(ctx context.Context, r *reader, fetches kgo.Fetches, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := int64(0)
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if p.Err != nil && ctx.Err() == nil {
			r.rec.failed(1)
			t.errs.add(p.Err)
		}
		for _, rec := range p.Records {
			s, err := parseStamp(rec.Value)
			if err == nil && s.run == t.run64 {
				seen++
				r.rec.answered(1, int64(len(rec.Key)+len(rec.Value)), now-time.Duration(s.intendedNanos))
			} else if errors.Is(err, errCorrupt) {
				r.rec.failed(1)
				t.errs.add(err)
			}
			if t.verifier != nil {
				t.verifier.Observe(rec.Partition, rec.Offset, rec.Key, rec.Value)
			}
		}
	})
	if seen == 0 {
		return
	}
	t.last = t.start.Add(now)
	t.seen.Add(seen)
	select {
	case t.news <- struct{}{}:
	default:
	}
}

// drain waits until want records were seen, at most cfg.Drain, and stops the readers.
func (t *tail) drain(ctx context.Context, want int64) bool {
	deadline := time.NewTimer(t.cfg.Drain)
	defer deadline.Stop()
	complete := true
	for complete && t.seen.Load() < want {
		select {
		case <-t.news:
		case <-deadline.C:
			complete = false
		case <-ctx.Done():
			complete = false
		}
	}
	t.cancel()
	t.done.Wait()
	return complete || t.seen.Load() >= want
}

func (t *tail) lastSeen() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

func (t *tail) close() {
	for _, r := range t.readers {
		r.client.Close()
	}
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Consume runs a consume load. A cancelled ctx ends it early; what was measured is returned.
func Consume(ctx context.Context, cfg ConsumeConfig) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var manifest *Manifest
	if cfg.ManifestPath != "" {
		m, err := ReadManifest(cfg.ManifestPath)
		if err != nil {
			return nil, err
		}
		manifest = m
	}
	s, err := openSession(ctx, cfg.Target)
	if err != nil {
		return nil, err
	}
	defer s.close()
	c, err := newConsumption(ctx, s, cfg, manifest)
	if err != nil {
		return nil, err
	}
	defer c.close()
	r := &Result{Kind: kindConsume, Config: cfg, Loop: fmt.Sprintf("CLOSED LOOP, %d consumers fetch as fast as answers come", len(c.readers))}
	r.Environment = s.environment(ctx, "")
	w, err := startWatch(cfg.BrokerPIDs)
	if err != nil {
		return nil, err
	}
	m, err := newMeter(cfg.Output, 0)
	if err != nil {
		return nil, err
	}
	for _, reader := range c.readers {
		m.recorders = append(m.recorders, reader.rec)
	}
	start := time.Now()
	m.run(start)
	end := c.run(ctx, start)
	if err := m.stop(end); err != nil {
		return nil, err
	}
	r.fill(m, end)
	if err := w.fill(r); err != nil {
		return nil, err
	}
	r.ErrorTexts = c.errs.texts
	r.NotProven = append(r.Environment.notProven(), consumeNotProven(cfg)...)
	if c.verifier != nil {
		r.Verify = c.verifier.Finish(manifest)
	}
	return r, nil
}

func consumeNotProven(cfg ConsumeConfig) []string {
	out := []string{"reads from the disk: what was just written is in the page cache"}
	switch {
	case !cfg.Verify:
		out = append(out, "that records are complete and in order: not verified (the client checks each batch's checksum)")
	case cfg.ManifestPath == "":
		out = append(out, "that the newest records are there: without the manifest of the produce run only gaps show")
	}
	return out
}

// consumption is the receiving side of a run.
type consumption struct {
	cfg     ConsumeConfig
	readers []*reader
	end     func()

	mu       sync.Mutex // guards all below
	verifier *Verifier
	errs     errorSet
	left     int64           // records still wanted, when bounded by a count
	open     map[int32]int64 // partition → end offset not yet reached, when bounded by ends
	last     time.Time       // when the newest record came
}

// reader is one client and the partitions dealt to it.
type reader struct {
	client *kgo.Client
	rec    *recorder
}

func newConsumption(ctx context.Context, s *session, cfg ConsumeConfig, manifest *Manifest) (*consumption, error) {
	c := &consumption{cfg: cfg, left: cfg.Records}
	if cfg.Verify {
		run := uint64(0)
		if manifest != nil {
			run = manifest.Run
		}
		c.verifier = NewVerifier(run)
	}
	starts := map[int32]int64{}
	if cfg.StartOffset == startOfLog {
		var err error
		if starts, err = s.startOffsets(ctx); err != nil {
			return nil, err
		}
	} else {
		for _, p := range s.partitions {
			starts[p] = cfg.StartOffset
		}
	}
	if cfg.Records == 0 && cfg.Duration == 0 {
		ends, err := s.endOffsets(ctx)
		if err != nil {
			return nil, err
		}
		c.open = map[int32]int64{}
		for p, end := range ends {
			if starts[p] < end {
				c.open[p] = end
			}
		}
	}
	return c, c.openReaders(s, starts)
}

// openReaders deals partitions out and leaves out consumers that would get none.
func (c *consumption) openReaders(s *session, starts map[int32]int64) error {
	n := min(c.cfg.Consumers, len(s.partitions))
	for i := range n {
		dealt := map[int32]kgo.Offset{}
		for j := i; j < len(s.partitions); j += n {
			p := s.partitions[j]
			dealt[p] = kgo.NewOffset().At(starts[p])
		}
		opts := append(clientOptions(c.cfg.Target), consumerOptions(c.cfg, dealt)...)
		client, err := kgo.NewClient(opts...)
		if err != nil {
			c.close()
			return err
		}
		c.readers = append(c.readers, &reader{client: client, rec: &recorder{latency: newHistogram(), lag: newHistogram()}})
	}
	return nil
}

func consumerOptions(cfg ConsumeConfig, dealt map[int32]kgo.Offset) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{cfg.Topic: dealt}),
		kgo.FetchMaxPartitionBytes(int32(cfg.FetchBytes)),
		kgo.FetchMaxBytes(int32(max(50<<20, cfg.FetchBytes))),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.KeepRetryableFetchErrors(),
		kgo.KeepControlRecords(), // not counted, but they reach the end of a partition
	}
	if cfg.ReadCommitted {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	return opts
}

func (c *consumption) close() {
	for _, r := range c.readers {
		r.client.Close()
	}
}

// run reads until the bound of the config is reached and returns when the last record came.
func (c *consumption) run(ctx context.Context, start time.Time) time.Time {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if c.cfg.Duration > 0 {
		ctx, cancel = context.WithDeadline(ctx, start.Add(c.cfg.Duration))
		defer cancel()
	}
	c.end, c.last = cancel, start
	if c.open != nil && len(c.open) == 0 {
		return time.Now()
	}
	var wg sync.WaitGroup
	for _, r := range c.readers {
		wg.Go(func() {
			for ctx.Err() == nil {
				fetches := r.client.PollFetches(ctx)
				c.take(ctx, r, fetches)
			}
		})
	}
	wg.Wait()
	if c.cfg.Duration > 0 {
		return time.Now()
	}
	return c.last
}

// take counts what one poll returned and ends the run when it is complete.
func (c *consumption) take(ctx context.Context, r *reader, fetches kgo.Fetches) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var records, bytes int64
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if p.Err != nil && ctx.Err() == nil && !errors.Is(p.Err, context.Canceled) {
			r.rec.failed(1)
			c.errs.add(p.Err)
		}
		for _, rec := range p.Records {
			if c.cfg.Records > 0 && c.left == 0 {
				break
			}
			if end, bounded := c.open[p.Partition]; c.open != nil && (!bounded || rec.Offset >= end) {
				break
			}
			if rec.Attrs.IsControl() {
				continue
			}
			c.left--
			records++
			bytes += int64(len(rec.Key) + len(rec.Value))
			if c.verifier != nil {
				c.verifier.Observe(rec.Partition, rec.Offset, rec.Key, rec.Value)
			}
		}
		if n := len(p.Records); n > 0 && p.Records[n-1].Offset+1 >= c.open[p.Partition] {
			delete(c.open, p.Partition)
		}
	})
	r.rec.count(records, bytes)
	if records > 0 {
		c.last = time.Now()
	}
	if (c.cfg.Records > 0 && c.left == 0) || (c.open != nil && len(c.open) == 0) {
		c.end()
	}
}

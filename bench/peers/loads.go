package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/bench"
)

const (
	recordBytes = 1024
	clients     = 2 // producers, consumers or connections of each load
)

// Loads, in the order of the table.
const (
	loadRaw64         = "produce, prebuilt batches of 64 KiB"
	loadRaw1024       = "produce, prebuilt batches of 1 MiB"
	loadRawSynced     = "produce, prebuilt batches of 64 KiB, each ack synced"
	loadRawConsume    = "consume, fetches of 1 MiB, dropped"
	loadClient        = "produce, full client"
	loadClientConsume = "consume, full client"
	loadLatency       = "produce at a fixed rate"
	loadNATSFast      = "produce, NATS fast batches"
	loadNATSSynced    = "produce, full client, each ack synced"
	loadProcess       = "process"
)

// Metrics; the unit is part of the name.
const (
	metricThroughput = "MiB/s"
	metricCPU        = "broker CPU-s per GiB"
	metricP50        = "p50 ms"
	metricP99        = "p99 ms"
	metricLag        = "generator late, p99 ms"
	metricStart      = "start to first answer, ms"
	metricIdle       = "memory idle after start, MiB"
	metricPeak       = "memory peak, MiB"
	metricPeakAnon   = "memory anonymous after the loads, MiB"
)

// promises are the topic configs that make an acks=all answer mean "in the page cache" and "on disk".
type promises struct{ cached, synced map[string]string }

// rawLoad is a load that the floor can run too.
type rawLoad struct {
	name       string
	produce    bool
	synced     bool
	batchBytes int
	totalBytes int64
}

func rawLoads(o options) []rawLoad {
	all := []rawLoad{
		{name: loadRaw64, produce: true, batchBytes: 64 << 10, totalBytes: o.rawMiB << 20},
		{name: loadRaw1024, produce: true, batchBytes: 1 << 20, totalBytes: o.rawMiB << 20},
		{name: loadRawConsume, batchBytes: 64 << 10, totalBytes: o.rawMiB << 20},
		{name: loadRawSynced, produce: true, synced: true, batchBytes: 64 << 10, totalBytes: o.syncMiB << 20},
	}
	if o.brokers > 1 { // a read is one broker's work, however many there are
		all = slices.DeleteFunc(all, func(l rawLoad) bool { return !l.produce })
	}
	return all
}

// sitting gathers the measurements of all rounds.
type sitting struct {
	o       options
	args    []string
	started time.Time
	env     bench.Environment
	samples map[sampleKey][]float64
}

type sampleKey struct{ load, peer, metric string }

func newSitting(o options, args []string) *sitting {
	return &sitting{o: o, args: args, started: time.Now(), env: bench.LocalEnvironment(bench.ClientVersion()), samples: map[sampleKey][]float64{}}
}

func (s *sitting) add(load, peer, metric string, value float64) {
	k := sampleKey{load, peer, metric}
	s.samples[k] = append(s.samples[k], value)
	fmt.Fprintf(os.Stderr, "  %-54s %-40s %10.2f\n", load, metric, value)
}

// result adds throughput and CPU of a run.
func (s *sitting) result(load, peer string, r *bench.Result) {
	s.add(load, peer, metricThroughput, r.MiBPerSecond)
	if r.Broker != nil && r.Broker.CPUSecondsPerGiB != nil {
		s.add(load, peer, metricCPU, *r.Broker.CPUSecondsPerGiB)
	}
}

// measure runs one peer's part of a round in a folder of its own.
func (s *sitting) measure(ctx context.Context, p peer, work string) error {
	dir := filepath.Join(work, p.name())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return p.measure(ctx, s, dir)
}

// startedIdle notes the start of a peer and its memory after a second without requests.
func (s *sitting) startedIdle(ctx context.Context, peer string, c cluster) error {
	s.add(loadProcess, peer, metricStart, c.started().Seconds()*1000)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	m, err := c.memory()
	s.add(loadProcess, peer, metricIdle, mib(m.RSSBytes))
	return err
}

// peak notes a peer's memory at the end of its loads.
func (s *sitting) peak(peer string, c cluster) error {
	m, err := c.memory()
	s.add(loadProcess, peer, metricPeak, mib(m.PeakRSSBytes))
	s.add(loadProcess, peer, metricPeakAnon, mib(m.RSSAnonBytes))
	return err
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// kafkaLoads runs every load on brokers that speak the Kafka protocol.
func (s *sitting) kafkaLoads(ctx context.Context, peer string, c cluster, p promises) error {
	if err := s.startedIdle(ctx, peer, c); err != nil {
		return err
	}
	k := &kafkaSide{sitting: s, peer: peer, cluster: c, promises: p}
	steps := []func(context.Context) error{k.warmUp, k.rawProduceConsume, k.client, k.latency, k.synced}
	if len(c) > 1 {
		steps = []func(context.Context) error{k.warmUp, k.rawReplicated, k.latency, k.acknowledgements}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return s.peak(peer, c)
}

type kafkaSide struct {
	*sitting
	peer     string
	cluster  cluster
	promises promises
	topics   int
}

// target returns a new topic with configs.
func (k *kafkaSide) target(ctx context.Context, configs map[string]string) (bench.Target, error) {
	k.topics++
	t := bench.Target{
		Brokers: k.cluster.addresses(), Topic: fmt.Sprintf("peers-%d", k.topics), CreateTopic: true,
		Partitions: k.o.partitions, ReplicationFactor: len(k.cluster), TopicConfigs: configs, BrokerPIDs: k.cluster.pids(),
	}
	if len(k.cluster) == 1 {
		return t, nil
	}
	return t, k.replicate(ctx, &t)
}

// drop deletes a topic, so that its dirty pages do not weigh on what comes next.
func (k *kafkaSide) drop(ctx context.Context, t bench.Target) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(t.Brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = kadm.NewClient(client).DeleteTopic(ctx, t.Topic)
	return err
}

func (s *sitting) raw(l rawLoad, t bench.Target) bench.RawConfig {
	cfg := bench.DefaultRawConfig()
	// Each broker leads partitions, and a connection is to one of them.
	cfg.Target, cfg.Connections, cfg.RecordBytes = t, max(clients, s.o.brokers), recordBytes
	cfg.BatchBytes, cfg.TotalBytes = l.batchBytes, l.totalBytes
	return cfg
}

// warmUp moves bytes both ways through both clients until a just-in-time compiler has seen it all.
func (k *kafkaSide) warmUp(ctx context.Context) error {
	t, err := k.target(ctx, k.promises.cached)
	if err != nil {
		return err
	}
	cfg := k.raw(rawLoad{batchBytes: 64 << 10, totalBytes: k.o.warmupMiB << 20}, t)
	if _, err := bench.RawProduce(ctx, cfg); err != nil {
		return err
	}
	if _, err := bench.RawConsume(ctx, cfg); err != nil {
		return err
	}
	if _, err := bench.Produce(ctx, k.produce(t, k.o.warmupMiB<<10)); err != nil {
		return err
	}
	return k.drop(ctx, t)
}

func (k *kafkaSide) rawProduceConsume(ctx context.Context) error {
	var filled bench.Target
	for _, l := range rawLoads(k.o) {
		if l.synced {
			continue
		}
		// What the first load wrote is read.
		t, run := filled, bench.RawConsume
		if l.produce {
			var err error
			if t, err = k.target(ctx, k.promises.cached); err != nil {
				return err
			}
			run = bench.RawProduce
		}
		r, err := run(ctx, k.raw(l, t))
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		k.result(l.name, k.peer, r)
		if l.name == loadRaw64 {
			filled = t
			continue
		}
		if err := k.drop(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (k *kafkaSide) produce(t bench.Target, records int64) bench.ProduceConfig {
	cfg := bench.DefaultProduceConfig()
	cfg.Target, cfg.Producers, cfg.RecordBytes = t, clients, recordBytes
	cfg.Records, cfg.Duration = records, 0
	return cfg
}

// client runs the full client both ways on one topic.
func (k *kafkaSide) client(ctx context.Context) error {
	t, err := k.target(ctx, k.promises.cached)
	if err != nil {
		return err
	}
	r, err := bench.Produce(ctx, k.produce(t, k.o.records))
	if err != nil {
		return err
	}
	if !r.OK() {
		return fmt.Errorf("%s: %v", loadClient, r.ErrorTexts)
	}
	k.result(loadClient, k.peer, r)
	cfg := bench.DefaultConsumeConfig()
	cfg.Target, cfg.Consumers = t, clients
	if r, err = bench.Consume(ctx, cfg); err != nil {
		return err
	}
	if r.Records != k.o.records || !r.OK() {
		return fmt.Errorf("%s: got %d records, want %d: %v", loadClientConsume, r.Records, k.o.records, r.ErrorTexts)
	}
	k.result(loadClientConsume, k.peer, r)
	return k.drop(ctx, t)
}

// latency runs the open loop.
func (k *kafkaSide) latency(ctx context.Context) error {
	t, err := k.target(ctx, k.promises.cached)
	if err != nil {
		return err
	}
	if err := k.openLoop(ctx, loadLatency, k.produce(t, 0), k.o.rate); err != nil {
		return err
	}
	return k.drop(ctx, t)
}

// openLoop runs a load of rate records a second and notes its latencies.
func (k *kafkaSide) openLoop(ctx context.Context, load string, cfg bench.ProduceConfig, rate float64) error {
	cfg.Rate, cfg.Records, cfg.Duration, cfg.Linger = rate, 0, time.Duration(k.o.seconds)*time.Second, 0
	r, err := bench.Produce(ctx, cfg)
	if err != nil {
		return err
	}
	if !r.OK() {
		return fmt.Errorf("%s: %v", load, r.ErrorTexts)
	}
	k.result(load, k.peer, r)
	k.add(load, k.peer, metricP50, millis(r.Latency.P50))
	k.add(load, k.peer, metricP99, millis(r.Latency.P99))
	if r.SendLag != nil {
		k.add(load, k.peer, metricLag, millis(r.SendLag.P99))
	}
	return nil
}

func millis(micros int64) float64 { return float64(micros) / 1000 }

// synced runs with the promise that an answer means "on disk".
func (k *kafkaSide) synced(ctx context.Context) error {
	for _, l := range rawLoads(k.o) {
		if !l.synced {
			continue
		}
		t, err := k.target(ctx, k.promises.synced)
		if err != nil {
			return err
		}
		r, err := bench.RawProduce(ctx, k.raw(l, t))
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		k.result(l.name, k.peer, r)
		if err := k.drop(ctx, t); err != nil {
			return err
		}
	}
	t, err := k.target(ctx, k.promises.synced)
	if err != nil {
		return err
	}
	r, err := bench.Produce(ctx, k.produce(t, k.o.syncMiB<<10))
	if err != nil {
		return err
	}
	if !r.OK() {
		return fmt.Errorf("%s: %v", loadNATSSynced, r.ErrorTexts)
	}
	k.result(loadNATSSynced, k.peer, r)
	return k.drop(ctx, t)
}

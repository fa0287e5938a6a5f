package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/bench/raw"
)

// RawConfig describes a raw load: prebuilt uncompressed batches of records without keys over plain
// connections, so that the client's own cost is small. Duration bounds a produce load beside
// TotalBytes.
type RawConfig struct {
	Target
	Output
	Connections int           `json:"connections"`
	BatchBytes  int           `json:"batch_bytes"`  // of a produced batch, header included; one record at least
	RecordBytes int           `json:"record_bytes"` // bytes of the record's value
	Acks        Acks          `json:"acks"`
	Pipeline    int           `json:"pipeline"`    // produce requests in flight on a connection
	FetchBytes  int           `json:"fetch_bytes"` // most bytes of a fetch
	TotalBytes  int64         `json:"total_bytes"` // of batches, all connections together
	Duration    time.Duration `json:"duration_nanos,omitempty"`
	Seed        uint64        `json:"seed"`
}

// DefaultRawConfig returns 4 GiB of 1 KiB records in 64 KiB batches over two connections.
func DefaultRawConfig() RawConfig {
	return RawConfig{
		Target:      Target{Topic: "weir-bench", CreateTopic: true, Partitions: 4, ReplicationFactor: -1},
		Connections: 2,
		BatchBytes:  64 << 10,
		RecordBytes: 1024,
		Acks:        AcksAll,
		Pipeline:    8,
		FetchBytes:  1 << 20,
		TotalBytes:  4 << 30,
		Seed:        1,
	}
}

// Validate returns the first thing wrong with c.
func (c RawConfig) Validate() error {
	if err := errors.Join(c.Target.validate(), c.Output.validate(), c.Acks.validate()); err != nil {
		return err
	}
	switch {
	case c.Connections < 1 || c.Connections > maxProducers:
		return fmt.Errorf("connections: got %d, want 1 to %d", c.Connections, maxProducers)
	case c.RecordBytes < 1 || c.RecordBytes > maxRecordBytes:
		return fmt.Errorf("record size: got %d bytes, want 1 to %d", c.RecordBytes, maxRecordBytes)
	case c.BatchBytes < 1 || c.BatchBytes > maxBatchBytes:
		return fmt.Errorf("batch size: got %d bytes, want 1 to %d", c.BatchBytes, maxBatchBytes)
	case c.Pipeline < 1 || c.Pipeline > 1000:
		return fmt.Errorf("pipeline: got %d requests, want 1 to 1000", c.Pipeline)
	case c.FetchBytes < 1 || c.FetchBytes > maxBatchBytes:
		return fmt.Errorf("fetch size: got %d bytes, want 1 to %d", c.FetchBytes, maxBatchBytes)
	case c.TotalBytes < 1 || c.Duration < 0:
		return fmt.Errorf("total of %d bytes and duration %v do not bound the run", c.TotalBytes, c.Duration)
	}
	return nil
}

// RawProduce runs a raw produce load. Its first error ends it and is returned.
func RawProduce(ctx context.Context, cfg RawConfig) (*Result, error) {
	r := &Result{
		Kind: kindRawProduce, Config: cfg, LatencyOf: "batch sent → acknowledged (closed loop)",
		Loop: fmt.Sprintf("CLOSED LOOP, %d connections with %d batches of %s in flight each, prebuilt", cfg.Connections, cfg.Pipeline, byteSize(int64(cfg.BatchBytes))),
	}
	return runRaw(ctx, cfg, r, cfg.Acks, func(ctx context.Context, done raw.Done) error {
		return raw.Produce(ctx, cfg.produce(cfg.Brokers[0], false), done)
	})
}

// RawConsume runs a raw consume load: it reads the topic from its start, again and again, until
// TotalBytes were read. Fetched batches are followed by their headers and dropped.
func RawConsume(ctx context.Context, cfg RawConfig) (*Result, error) {
	r := &Result{
		Kind: kindRawConsume, Config: cfg, LatencyOf: "fetch sent → answer read (closed loop)",
		Loop: fmt.Sprintf("CLOSED LOOP, %d connections, fetches of %s one at a time, dropped", cfg.Connections, byteSize(int64(cfg.FetchBytes))),
	}
	return runRaw(ctx, cfg, r, "", func(ctx context.Context, done raw.Done) error {
		return raw.Consume(ctx, cfg.consume(cfg.Brokers[0], false), done)
	})
}

func (c RawConfig) produce(address string, floor bool) raw.ProduceConfig {
	acks := map[Acks]int16{AcksNone: 0, AcksLeader: 1, AcksAll: -1}[c.Acks]
	return raw.ProduceConfig{
		Address: address, Topic: c.Topic, Connections: c.Connections, BatchBytes: c.BatchBytes, RecordBytes: c.RecordBytes,
		Acks: acks, Pipeline: c.Pipeline, TotalBytes: c.TotalBytes, Seed: c.Seed, Floor: floor,
	}
}

func (c RawConfig) consume(address string, floor bool) raw.ConsumeConfig {
	return raw.ConsumeConfig{
		Address: address, Topic: c.Topic, Connections: c.Connections, FetchBytes: c.FetchBytes, TotalBytes: c.TotalBytes, Floor: floor,
	}
}

func runRaw(ctx context.Context, cfg RawConfig, r *Result, acks Acks, load func(context.Context, raw.Done) error) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s, err := openSession(ctx, cfg.Target)
	if err != nil {
		return nil, err
	}
	defer s.close()
	r.Environment = s.environment(ctx, acks)
	if err := measureRaw(ctx, cfg, r, cfg.BrokerPIDs, load); err != nil {
		return nil, err
	}
	r.NotProven = append(r.Environment.notProven(),
		"latency under a given load: a closed loop slows down with the broker",
		"what a full client gets: batches were built before the run and answers were only checked for errors")
	return r, nil
}

// measureRaw runs load under the meter; pids are the processes that serve it.
func measureRaw(ctx context.Context, cfg RawConfig, r *Result, pids []int, load func(context.Context, raw.Done) error) error {
	if cfg.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cfg.Duration)
		defer cancel()
	}
	w, err := startWatch(pids)
	if err != nil {
		return err
	}
	m, err := newMeter(cfg.Output, cfg.Connections)
	if err != nil {
		return err
	}
	start := time.Now()
	m.run(start)
	err = load(ctx, func(connection int, records, bytes int64, latency time.Duration) {
		m.recorders[connection].answered(records, bytes, latency)
	})
	end := time.Now()
	if err := errors.Join(err, m.stop(end)); err != nil {
		return err
	}
	r.fill(m, end)
	return w.fill(r)
}

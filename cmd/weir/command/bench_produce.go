package command

import (
	"context"
	"math"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"weir/bench"
	"weir/cmd/weir/fault"
)

type benchProduceOptions struct {
	benchOptions
	load loadOptions
	raw  rawOptions

	idempotent bool
	txn        time.Duration
	guarantees bool
}

// loadOptions shape what producers send; produce and e2e share them.
type loadOptions struct {
	rate       rateValue
	producers  int
	size       sizeValue
	batch      sizeValue
	linger     time.Duration
	codec      string
	acks       string
	keys       string
	payload    string
	inFlight   int
	seed       uint64
	partitions int
	replicas   int
	configs    []string
}

func (o *loadOptions) addFlags(f *pflag.FlagSet, d bench.ProduceConfig) {
	*o = loadOptions{rate: rateValue(d.Rate), size: sizeValue(d.RecordBytes), batch: sizeValue(d.BatchBytes)}
	f.Var(&o.rate, "rate", "records a second by schedule, with latency from the intended send time; max is as fast as answers come")
	f.IntVar(&o.producers, "producers", d.Producers, "clients, each with its own connections")
	f.Var(&o.size, "size", "bytes of a record's value")
	f.Var(&o.batch, "batch", "most bytes of a batch")
	f.DurationVar(&o.linger, "linger", d.Linger, "how long to gather records into a batch")
	f.StringVarP(&o.codec, "compression", "z", string(d.Codec), "none, gzip, snappy, lz4 or zstd")
	f.StringVar(&o.acks, "acks", string(d.Acks), "0, 1 or all")
	f.StringVar(&o.keys, "keys", "none", "none, uniform:N or zipf:N")
	f.StringVar(&o.payload, "payload", string(d.Payload), "random (does not compress) or text (three to one)")
	f.IntVar(&o.inFlight, "in-flight", d.InFlight, "most unacknowledged records of a producer")
	f.Uint64Var(&o.seed, "seed", d.Seed, "of what is drawn at random")
	f.IntVarP(&o.partitions, "partitions", "p", d.Partitions, "of the topic, if this creates it")
	f.IntVarP(&o.replicas, "replicas", "r", d.ReplicationFactor, "of the topic, if this creates it (-1 is the broker's default)")
	f.StringArrayVarP(&o.configs, "config", "c", nil, "setting key=value of the topic, if this creates it")
}

// config puts the flags into a load. Errors are usage errors.
func (o *loadOptions) config(common benchOptions, cfg bench.ProduceConfig) (bench.ProduceConfig, error) {
	acks, err := bench.ParseAcks(o.acks)
	if err != nil {
		return cfg, fault.Usage("--acks: %v", err)
	}
	keys, err := bench.ParseKeySpec(o.keys)
	if err != nil {
		return cfg, fault.Usage("--keys: %v", err)
	}
	configs, err := keyValues("-c", o.configs)
	if err != nil {
		return cfg, err
	}
	cfg.Rate, cfg.Producers, cfg.RecordBytes, cfg.BatchBytes = float64(o.rate), o.producers, clampInt(o.size), clampInt(o.batch)
	cfg.Linger, cfg.Codec, cfg.Acks, cfg.Keys, cfg.Payload = o.linger, bench.Codec(o.codec), acks, keys, bench.Payload(o.payload)
	cfg.InFlight, cfg.Seed = o.inFlight, o.seed
	cfg.Records, cfg.Duration, cfg.Verify, cfg.ManifestPath = common.records, common.duration, common.verify, common.manifest
	cfg.Target.CreateTopic, cfg.Target.Partitions, cfg.Target.ReplicationFactor, cfg.Target.TopicConfigs = true, o.partitions, o.replicas, configs
	return cfg, nil
}

func clampInt(v sizeValue) int { return int(min(v, math.MaxInt32)) }

func newBenchProduce(s *Streams) *cobra.Command {
	d := bench.DefaultProduceConfig()
	var o benchProduceOptions
	o.topic, o.duration = d.Topic, d.Duration
	cmd := &cobra.Command{
		Use:   "produce",
		Short: "Measure writing",
		Long: `Write records for some time and say how fast and how late. The topic is created if it is not there.

  weir bench produce
  weir bench produce --rate 20k/s --size 1KiB --keys zipf:10000 -z lz4
  weir bench produce --raw --floor ./floor-files --pid 4711
  weir bench produce --guarantees --rounds 9 -d 2s`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.records > 0 && !cmd.Flags().Changed("duration") {
				o.duration = 0
			}
			return runBenchProduce(cmd.Context(), s, o)
		},
	}
	o.benchOptions.addFlags(cmd)
	o.load.addFlags(cmd.Flags(), d)
	o.raw.addFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.idempotent, "idempotent", d.Idempotent, "with acks=all: the broker recognises what is sent again")
	f.DurationVar(&o.txn, "txn", 0, "write in transactions, committed after so long, such as 100ms")
	f.BoolVar(&o.guarantees, "guarantees", false, "run --rounds times plain, idempotent and in transactions (of 100ms, or --txn) in turn, and compare")
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runBenchProduce(ctx context.Context, s *Streams, o benchProduceOptions) error {
	cfg, err := o.load.config(o.benchOptions, bench.DefaultProduceConfig())
	if err != nil {
		return err
	}
	if err := o.checkModes(); err != nil {
		return err
	}
	cfg.Idempotent, cfg.Transaction = o.idempotent, o.txn
	target, err := o.target(ctx, s)
	if err != nil {
		return err
	}
	target.CreateTopic, target.Partitions, target.ReplicationFactor, target.TopicConfigs = true, cfg.Partitions, cfg.ReplicationFactor, cfg.TopicConfigs
	cfg.Target, cfg.Output = target, o.output(s)
	if o.raw.raw {
		raw := bench.DefaultRawConfig()
		raw.Target, raw.Output = cfg.Target, cfg.Output
		raw.BatchBytes, raw.RecordBytes, raw.Acks, raw.Seed = cfg.BatchBytes, cfg.RecordBytes, cfg.Acks, cfg.Seed
		if err := raw.Validate(); err != nil {
			return fault.Usage("%v", err)
		}
		r, err := o.raw.run(ctx, raw, true)
		return o.report(ctx, s, r, err)
	}
	if err := cfg.Validate(); err != nil {
		return fault.Usage("%v", err)
	}
	if o.guarantees {
		r, err := bench.CompareGuarantees(ctx, cfg, o.raw.rounds)
		return o.report(ctx, s, r, err)
	}
	r, err := bench.Produce(ctx, cfg)
	return o.report(ctx, s, r, err)
}

// checkModes refuses what makes no sense together, and fills in the length of the transactions to compare with.
func (o *benchProduceOptions) checkModes() error {
	switch {
	case o.raw.dir != "" && !o.raw.raw:
		return fault.Usage("--floor compares with prebuilt batches: add --raw")
	case o.raw.raw && (o.guarantees || o.txn != 0):
		return fault.Usage("--raw sends batches without producer ids: leave out --txn and --guarantees")
	case o.guarantees && (o.verify || o.manifest != "" || o.hdrLog != ""):
		return fault.Usage("--guarantees makes many runs: --verify, --manifest and --hdr-log are about one")
	}
	if o.guarantees && o.txn == 0 {
		o.txn = 100 * time.Millisecond
	}
	return nil
}

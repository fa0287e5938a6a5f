package command

import (
	"context"

	"github.com/spf13/cobra"

	"weir/bench"
	"weir/cmd/weir/fault"
)

type benchConsumeOptions struct {
	benchOptions
	consumers     int
	fetch         sizeValue
	from          int64
	readCommitted bool
	raw           rawOptions
}

func newBenchConsume(s *Streams) *cobra.Command {
	d := bench.DefaultConsumeConfig()
	o := benchConsumeOptions{fetch: sizeValue(d.FetchBytes)}
	o.topic, o.duration = d.Topic, d.Duration
	cmd := &cobra.Command{
		Use:   "consume",
		Short: "Measure reading",
		Long: `Read a topic, by default from its first record to what is its end now, and say how fast.

  weir bench consume
  weir bench consume --verify --manifest run.json
  weir bench consume --raw --total 4GiB --floor ./floor-files --pid 4711`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runBenchConsume(cmd.Context(), s, o) },
	}
	o.addFlags(cmd)
	f := cmd.Flags()
	f.IntVar(&o.consumers, "consumers", d.Consumers, "clients, among which the partitions are dealt out")
	f.Var(&o.fetch, "fetch", "most bytes of one partition in an answer")
	f.Int64Var(&o.from, "from", d.StartOffset, "offset to begin at in each partition; -2 is the first")
	f.BoolVar(&o.readCommitted, "read-committed", false, "leave out what a transaction has not committed")
	o.raw.addFlags(cmd)
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runBenchConsume(ctx context.Context, s *Streams, o benchConsumeOptions) error {
	if o.raw.dir != "" && !o.raw.raw {
		return fault.Usage("--floor compares with prebuilt batches: add --raw")
	}
	target, err := o.target(ctx, s)
	if err != nil {
		return err
	}
	if o.raw.raw {
		raw := bench.DefaultRawConfig()
		target.CreateTopic = false
		raw.Target, raw.Output, raw.FetchBytes = target, o.output(s), clampInt(o.fetch)
		if err := raw.Validate(); err != nil {
			return fault.Usage("%v", err)
		}
		r, err := o.raw.run(ctx, raw, false)
		return o.report(ctx, s, r, err)
	}
	cfg := bench.DefaultConsumeConfig()
	cfg.Target, cfg.Output = target, o.output(s)
	cfg.Consumers, cfg.FetchBytes, cfg.StartOffset, cfg.ReadCommitted = o.consumers, clampInt(o.fetch), o.from, o.readCommitted
	cfg.Records, cfg.Duration, cfg.Verify, cfg.ManifestPath = o.records, o.duration, o.verify, o.manifest
	if err := cfg.Validate(); err != nil {
		return fault.Usage("%v", err)
	}
	r, err := bench.Consume(ctx, cfg)
	return o.report(ctx, s, r, err)
}

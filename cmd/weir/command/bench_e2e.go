package command

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"weir/bench"
	"weir/cmd/weir/fault"
)

type benchE2EOptions struct {
	benchOptions
	load      loadOptions
	consumers int
	drain     time.Duration
}

func newBenchE2E(s *Streams) *cobra.Command {
	d := bench.DefaultE2EConfig()
	var o benchE2EOptions
	o.topic, o.duration = d.Topic, d.Duration
	cmd := &cobra.Command{
		Use:   "e2e",
		Short: "Measure from writing to reading",
		Long: `Write records and read them at the same time, and say how long each took from the time it was meant to
be sent until a consumer had it.

  weir bench e2e
  weir bench e2e --rate 1k/s --size 100 --verify`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.records > 0 && !cmd.Flags().Changed("duration") {
				o.duration = 0
			}
			return runBenchE2E(cmd.Context(), s, o)
		},
	}
	o.addFlags(cmd)
	o.load.addFlags(cmd.Flags(), d.ProduceConfig)
	cmd.Flags().IntVar(&o.consumers, "consumers", d.Consumers, "clients that read, among which the partitions are dealt out")
	cmd.Flags().DurationVar(&o.drain, "drain", d.Drain, "longest wait at the end for what was acknowledged and not yet read")
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runBenchE2E(ctx context.Context, s *Streams, o benchE2EOptions) error {
	cfg := bench.DefaultE2EConfig()
	var err error
	if cfg.ProduceConfig, err = o.load.config(o.benchOptions, cfg.ProduceConfig); err != nil {
		return err
	}
	cfg.Consumers, cfg.Drain = o.consumers, o.drain
	target, err := o.target(ctx, s)
	if err != nil {
		return err
	}
	target.CreateTopic, target.Partitions, target.ReplicationFactor, target.TopicConfigs = true, cfg.Partitions, cfg.ReplicationFactor, cfg.TopicConfigs
	cfg.Target, cfg.Output = target, o.output(s)
	if err := cfg.Validate(); err != nil {
		return fault.Usage("%v", err)
	}
	r, err := bench.E2E(ctx, cfg)
	return o.report(ctx, s, r, err)
}

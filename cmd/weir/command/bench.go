package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"weir/bench"
	"weir/bench/floor"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

// kafkaPerf is the line of Kafka's own perf tools, for scripts that read it.
const kafkaPerf output.Format = "kafka-perf"

func newBench(s *Streams) *cobra.Command {
	cmd := group("bench", "Measure a broker",
		newBenchProduce(s), newBenchConsume(s), newBenchE2E(s), newBenchFloor(s))
	cmd.Long = `Put load on a broker and measure it: throughput, latency to the 99.99th percentile, and with --pid what
the broker's process used. It drives any broker that speaks Kafka's protocol. What a run does not prove
stands below its figures.

  weir bench produce --rate 20k/s --pid $(pgrep -d, -f 'weir start')
  weir bench produce --verify --manifest run.json && weir bench consume --verify --manifest run.json
  weir bench e2e -o json`
	return cmd
}

// benchOptions are what all loads have in common.
type benchOptions struct {
	conn     connect.Options
	topic    string
	pids     []int
	records  int64
	duration time.Duration
	verify   bool
	manifest string
	hdrLog   string
	quiet    bool
	format   output.Format
}

func (o *benchOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.topic, "topic", "t", o.topic, "topic")
	f.IntSliceVar(&o.pids, "pid", nil, "the broker's process on this machine, to report its CPU and memory; those of several brokers with commas")
	f.Int64VarP(&o.records, "records", "n", 0, "stop after so many records")
	f.DurationVarP(&o.duration, "duration", "d", o.duration, "stop after so long")
	f.BoolVar(&o.verify, "verify", false, "write, or check, payloads that show loss, duplicates, disorder and damage")
	f.StringVar(&o.manifest, "manifest", "", "file that says what was sent, for a later consume --verify")
	f.StringVar(&o.hdrLog, "hdr-log", "", "write a histogram a second to this file")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress lines")
	formatFlag(cmd, &o.format, []output.Format{output.Table, output.JSON, output.JSONL, kafkaPerf})
}

// target checks that the broker answers, and describes it for the load.
func (o *benchOptions) target(ctx context.Context, s *Streams) (bench.Target, error) {
	if len(o.conn.Properties) > 0 {
		return bench.Target{}, fault.Usage("-X: a load is described by its own flags")
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return bench.Target{}, err
	}
	cl.Close()
	brokers, err := o.conn.Addresses(s.Getenv)
	return bench.Target{Brokers: brokers, Topic: o.topic, BrokerPIDs: o.pids}, err
}

func (o *benchOptions) output(s *Streams) bench.Output {
	out := bench.Output{HDRLogPath: o.hdrLog}
	if f, ok := s.Err.(*os.File); ok && !o.quiet {
		out = bench.ProgressTo(f)
		out.HDRLogPath = o.hdrLog
	}
	return out
}

// report prints a result. A run with errors or violations is a failure, after its figures.
func (o *benchOptions) report(ctx context.Context, s *Streams, r *bench.Result, err error) error {
	if err != nil {
		return fault.Explain("the load could not run", err)
	}
	switch o.format {
	case output.JSON:
		err = r.WriteJSON(s.Out)
	case output.JSONL:
		err = output.Line(s.Out, r)
	case kafkaPerf:
		err = r.WriteKafkaPerf(s.Out)
	default:
		err = r.WriteText(s.Out)
	}
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case r.Verify != nil && !r.Verify.OK():
		return &fault.Error{What: "the records are not what was written", Do: "See the counts above"}
	case !r.OK():
		return &fault.Error{What: fmt.Sprintf("%s failed", output.Plural(r.Errors, "record")), Do: "See the errors above"}
	}
	return nil
}

// floorVerb is the command by which a comparison starts the floor program in a process of its own.
const floorVerb = "floor"

func newBenchFloor(s *Streams) *cobra.Command {
	return &cobra.Command{
		Use: floorVerb, Short: "The least that a log server can do, to measure against", Hidden: true,
		DisableFlagParsing: true,
		RunE:               func(_ *cobra.Command, args []string) error { return runBenchFloor(s.In, s.Out, args) },
	}
}

func runBenchFloor(in io.Reader, out io.Writer, args []string) error {
	return floor.Main(args, in, out)
}

// rawOptions are about loads of prebuilt batches, with which the floor program is compared.
type rawOptions struct {
	raw    bool
	dir    string
	rounds int
	total  sizeValue
	sync   bool
}

func (o *rawOptions) addFlags(cmd *cobra.Command) {
	o.rounds, o.total = 3, 1<<30
	f := cmd.Flags()
	f.BoolVar(&o.raw, "raw", false, "send prebuilt batches over plain connections, so that the client costs little")
	f.StringVar(&o.dir, "floor", "", "also run the least that a server can do, with its files in this folder, and compare (with --raw)")
	f.BoolVar(&o.sync, "floor-sync", true, "the floor answers after fdatasync, as acks=all promises here")
	f.IntVar(&o.rounds, "rounds", o.rounds, "with --floor or --guarantees: how often each runs; medians count")
	f.Var(&o.total, "total", "with --raw: bytes to move")
}

// run makes a raw load, beside the floor if that is wanted.
func (o *rawOptions) run(ctx context.Context, cfg bench.RawConfig, produce bool) (*bench.Result, error) {
	cfg.TotalBytes = int64(o.total)
	if o.dir == "" {
		if produce {
			return bench.RawProduce(ctx, cfg)
		}
		return bench.RawConsume(ctx, cfg)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	fc := bench.FloorConfig{Command: []string{self, "bench", floorVerb}, Dir: o.dir, Rounds: o.rounds, Sync: o.sync}
	return bench.CompareFloor(ctx, cfg, fc, produce)
}

package command

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/cmd/weir/record"
	"weir/cmd/weir/seek"
)

type replayOptions struct {
	conn           connect.Options
	topic          string
	from, to       string
	into           string
	partitions     []int32
	filters        []string
	key            string
	hasKey         bool
	rate           rateValue
	keepTimestamps bool
	keepPartitions bool
	readCommitted  bool
	dryRun         bool
	resume         string
	format         output.Format
}

func (o *replayOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "start", "first position, or a range A..B")
	f.StringVar(&o.to, "to", "", "position to stop before (default what is the end now)")
	f.StringVar(&o.into, "into", "", "write the records to this topic (default: print them)")
	f.Int32SliceVarP(&o.partitions, "partition", "p", nil, "only these partitions (default all)")
	f.StringArrayVar(&o.filters, "filter", nil, "only records with this: "+record.FilterHelp)
	f.StringVarP(&o.key, "key", "k", "", "only records with exactly this key")
	f.Var(&o.rate, "rate", "at most so many records, such as 500/s")
	f.BoolVar(&o.keepTimestamps, "keep-timestamps", false, "write the records with the timestamps they have (default now)")
	f.BoolVar(&o.keepPartitions, "preserve-partitions", false, "write each record to the partition number it has (default by key, or spread)")
	f.BoolVar(&o.readCommitted, "read-committed", false, "leave out what a transaction has not committed")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be read; write nothing")
	f.StringVar(&o.resume, "resume", "", "keep the position in this file, and go on from it if it exists")
	formatFlag(cmd, &o.format, record.Formats)
	completeWords(cmd, "from", true, positionWords...)
	completeWords(cmd, "to", true, positionWords...)
	completeWords(cmd, "filter", true, "key=", "value:", "header.")
}

func newReplay(s *Streams) *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay TOPIC",
		Short: "Read a bounded part of a topic again, into another topic if wanted",
		Long: `Read what lies between two positions once more, and write it to another topic or print it. The end
is fixed when the replay begins, so it comes to an end.

  weir replay orders --from -1h --into orders-again
  weir replay orders --from @2026-11-23T09:00:00Z --to @2026-11-23T10:00:00Z --key u1
  weir replay orders --into staging --rate 500/s --resume replay.json

Records of one key keep their order. With --resume, a replay that was stopped goes on where it was; the
records of its last second may then come twice.

` + positionHelp,
		Args:              between(1, 1),
		ValidArgsFunction: completeTopics(s, &o.conn, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.topic, o.hasKey = args[0], cmd.Flags().Changed("key")
			return runReplay(cmd.Context(), s, o)
		},
	}
	o.addFlags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("into", completeTopics(s, &o.conn, -1))
	withConnection(s, cmd, &o.conn)
	return cmd
}

// replayReport is what came of a replay.
type replayReport struct {
	Topic   string  `json:"topic"`
	Into    string  `json:"into"`
	Read    int64   `json:"records_read"`
	Written int64   `json:"records_written"`
	Seconds float64 `json:"seconds"`
}

func runReplay(ctx context.Context, s *Streams, o replayOptions) error {
	rng, filter, err := o.check(s)
	if err != nil {
		return err
	}
	if o.readCommitted {
		o.conn.Set("isolation.level", "read_committed")
	}
	cl, err := s.open(ctx, &o.conn, append(consumeOpts(), produceOpts()...)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	topics, err := findTopics(ctx, cl, []string{o.topic}, false, true)
	if err != nil {
		return err
	}
	where, err := newPositions(ctx, cl, topics, o.readCommitted)
	if err != nil {
		return err
	}
	spans, err := where.spans(ctx, s, topics, o.partitions, rng.From, rng.To)
	if err != nil {
		return err
	}
	state := newReplayState(o, spans)
	if o.resume != "" {
		if err := state.load(o.resume); err != nil {
			return err
		}
		spans = state.spans()
	}
	if o.dryRun {
		return o.plan(s, spans)
	}
	if o.into == "" {
		return o.print(ctx, s, cl, spans, filter)
	}
	target, err := ensureTopic(ctx, s, cl, o.into)
	if err != nil {
		return err
	}
	if err := o.checkTarget(topics[0], target); err != nil {
		return err
	}
	c := &copier{cl: cl, to: newSender(cl), opts: o, filter: filter, state: state, pace: pacer{rate: o.rate}, flushed: time.Now()}
	if s.ErrTerminal {
		c.progress = output.NewProgress(s.Err, "replay", "record", total(spans), s.Now)
	}
	return c.run(ctx, s, spans)
}

// check reads the flags that need no broker.
func (o *replayOptions) check(s *Streams) (rng seek.Range, filter record.Filter, err error) {
	if rng, err = parseRange(s, o.from, o.to); err != nil {
		return rng, nil, err
	}
	if rng.From.IsZero() {
		rng.From.Kind = seek.Start
	}
	if rng.To.IsZero() {
		rng.To.Kind = seek.End
	}
	filters := o.filters
	if o.hasKey {
		filters = append([]string{"key=" + o.key}, filters...)
	}
	if filter, err = record.ParseFilter(filters); err != nil {
		return rng, nil, fault.Usage("%v", err)
	}
	if o.into == "" && (o.keepTimestamps || o.keepPartitions || o.resume != "") {
		return rng, nil, fault.Usage("--keep-timestamps, --preserve-partitions and --resume are about writing: say where with --into TOPIC")
	}
	return rng, filter, nil
}

func (o *replayOptions) checkTarget(source, target kadm.TopicDetail) error {
	if o.keepPartitions && len(target.Partitions) < len(source.Partitions) {
		return &fault.Error{
			What: fmt.Sprintf("topic %q has %d partitions and %q has %d", target.Topic, len(target.Partitions), source.Topic, len(source.Partitions)),
			Why:  "--preserve-partitions needs at least as many",
			Do:   fmt.Sprintf("Add some: weir topic add-partitions %s --to %d", target.Topic, len(source.Partitions)),
		}
	}
	return nil
}

func total(spans []span) (n int64) {
	for _, s := range spans {
		n += s.to - s.from
	}
	return n
}

// plan prints what would be read.
func (o *replayOptions) plan(s *Streams, spans []span) error {
	type row struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		From      int64  `json:"from"`
		To        int64  `json:"to"`
		Records   int64  `json:"records_at_most"`
	}
	rows := make([]row, len(spans))
	for i, sp := range spans {
		rows[i] = row{sp.topic, sp.partition, sp.from, sp.to, sp.to - sp.from}
	}
	if o.into != "" {
		s.note("%s at most would go from %s to %s; nothing is written.", output.Plural(total(spans), "record"), o.topic, o.into)
	}
	return output.List(s.Out, o.format, rows, []output.Column[row]{
		{Name: "PARTITION", Cell: func(r row) string { return strconv.Itoa(int(r.Partition)) }},
		{Name: "FROM", Cell: func(r row) string { return strconv.FormatInt(r.From, 10) }},
		{Name: "TO", Cell: func(r row) string { return strconv.FormatInt(r.To, 10) }},
		{Name: "RECORDS", Cell: func(r row) string { return output.Count(r.Records) }},
	})
}

// print is a replay to stdout.
func (o *replayOptions) print(ctx context.Context, s *Streams, cl *connect.Client, spans []span, filter record.Filter) error {
	out, err := record.NewWriter(s.Out, record.Options{Format: o.format, Now: s.Now()})
	if err != nil {
		return fault.Usage("%v", err)
	}
	pace := pacer{rate: o.rate}
	r := reading{cl: cl, spans: spans, quiet: quietTime, notice: s.note}
	err = r.run(ctx, func(batch []*kgo.Record) error {
		for _, rec := range batch {
			if !filter.Match(rec) {
				continue
			}
			if err := pace.wait(ctx); err != nil {
				return err
			}
			if err := out.Write(rec); err != nil {
				return err
			}
			if o.rate > 0 {
				if err := out.Flush(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

func (r replayReport) write(out io.Writer, format output.Format) error {
	return output.One(out, format, r, func(w io.Writer) error {
		took := time.Duration(r.Seconds * float64(time.Second))
		_, err := fmt.Fprintf(w, "replayed %s of %s read from %s into %s in %s (%s)\n", output.Plural(r.Written, "record"),
			output.Count(r.Read), r.Topic, r.Into, output.Span(took), output.Rate(r.Written, took, "record"))
		return err
	})
}

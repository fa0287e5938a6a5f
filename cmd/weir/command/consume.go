package command

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/cmd/weir/record"
	"weir/cmd/weir/seek"
)

type consumeOptions struct {
	conn          connect.Options
	topics        []string
	from, to      string
	count         int64
	partitions    []int32
	exit, follow  bool
	template      string
	format        output.Format
	filters       []string
	readCommitted bool
	metaOnly      bool
	regex         bool
	group         string
}

func (o *consumeOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "first position, or a range A..B (default start when an end is given, else end)")
	f.StringVar(&o.to, "to", "", "position to stop before")
	f.Int64VarP(&o.count, "count", "n", 0, "stop after so many records")
	f.Int32SliceVarP(&o.partitions, "partition", "p", nil, "only these partitions (default all)")
	f.StringVarP(&o.group, "group", "g", "", "read as a member of this group: go on where it is, and commit what is printed")
	f.BoolVarP(&o.exit, "exit", "e", false, "stop at what is the end now")
	f.BoolVar(&o.follow, "follow", false, "go on with what comes (the default without an end)")
	f.StringVarP(&o.template, "format", "f", "", `print by a template, such as '%p %o %k=%v\n'`)
	f.StringArrayVar(&o.filters, "filter", nil, "only records with this: "+record.FilterHelp)
	f.BoolVar(&o.readCommitted, "read-committed", false, "leave out what a transaction has not committed")
	f.BoolVar(&o.metaOnly, "meta-only", false, "print sizes instead of keys, values and headers")
	f.BoolVarP(&o.regex, "regex", "r", false, "the topics are regular expressions")
	formatFlag(cmd, &o.format, record.Formats)
	completeWords(cmd, "from", true, positionWords...)
	completeWords(cmd, "to", true, positionWords...)
	completeWords(cmd, "filter", true, "key=", "value:", "header.")
}

const positionHelp = `Positions: start, end, an offset (120), +10 after the start, -10 before the end, a time
(@2026-11-23T09:00:00Z, @1732352400), -2h, group:NAME. A range A..B holds A and not B.`

func newConsume(s *Streams) *cobra.Command {
	var o consumeOptions
	cmd := &cobra.Command{
		Use:     "consume TOPIC...",
		Aliases: []string{"c"},
		Short:   "Read records of topics",
		Long: `Read records and print them. Without an end, wait for more.

  weir consume orders --from start
  weir consume orders --from -1h --to now -o jsonl
  weir consume orders --from +10 -n 5 -f '%k=%v\n'
  weir consume orders --filter key=u1 --filter value:paid -e
  weir consume -r '^orders\.' --from end
  weir consume orders -g billing

` + positionHelp,
		Args:              needs(1),
		ValidArgsFunction: completeTopics(s, &o.conn, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.topics = args
			return runConsume(cmd.Context(), s, o)
		},
	}
	o.addFlags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("group", completeGroups(s, &o.conn)) // fails only for a flag that is not there
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runConsume(ctx context.Context, s *Streams, o consumeOptions) error {
	rng, err := o.span(s)
	if err != nil {
		return err
	}
	if o.group != "" {
		if err := o.checkGroup(rng); err != nil {
			return err
		}
	}
	filter, err := record.ParseFilter(o.filters)
	if err != nil {
		return fault.Usage("%v", err)
	}
	out, err := record.NewWriter(s.Out, record.Options{Format: o.format, Template: o.template, Meta: o.metaOnly, Now: s.Now()})
	if err != nil {
		return fault.Usage("%v", err)
	}
	if o.readCommitted {
		o.conn.Set("isolation.level", "read_committed")
	}
	cl, err := s.open(ctx, &o.conn, consumeOpts()...)
	if err != nil {
		return err
	}
	defer cl.Close()
	topics, err := findTopics(ctx, cl, o.topics, o.regex, false)
	if err != nil {
		return err
	}
	if o.group != "" {
		err := runConsumeGroup(ctx, s, o, topicsOf(topics), rng.From, filter, out)
		if closed := out.Close(); err == nil {
			err = closed
		}
		return err
	}
	committed := cl.OptValue(kgo.FetchIsolationLevel) == kgo.ReadCommitted()
	where, err := newPositions(ctx, cl, topics, committed)
	if err != nil {
		return err
	}
	spans, err := where.spans(ctx, s, topics, o.partitions, rng.From, rng.To)
	if err != nil {
		return err
	}
	if rng.From.Kind == seek.End && rng.To.IsZero() && s.ErrTerminal {
		s.note("Waiting for new records; --from start shows what is there. Ctrl-C stops.")
	}
	r := reading{cl: cl, spans: spans, quiet: quietTime, notice: s.note}
	err = r.run(ctx, printTo(out, filter, o.count, rng.To.IsZero()))
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

func topicsOf(details []kadm.TopicDetail) (names []string) {
	for _, d := range details {
		names = append(names, d.Topic)
	}
	return names
}

// printTo writes what passes the filter, up to count records if that is above zero. Each batch is flushed
// when live is set: there is no end to wait for.
func printTo(out *record.Writer, filter record.Filter, count int64, live bool) func([]*kgo.Record) error {
	return func(batch []*kgo.Record) error {
		for _, r := range batch {
			if !filter.Match(r) {
				continue
			}
			if err := out.Write(r); err != nil {
				return err
			}
			if count--; count == 0 {
				return errEnough
			}
		}
		if live {
			return out.Flush()
		}
		return nil
	}
}

// span reads --from, --to, -e, -n and --follow together.
func (o *consumeOptions) span(s *Streams) (seek.Range, error) {
	rng, err := parseRange(s, o.from, o.to)
	if err != nil {
		return rng, err
	}
	switch {
	case o.count < 0:
		return rng, fault.Usage("-n %d: it must be above zero", o.count)
	case o.follow && (o.exit || !rng.To.IsZero()):
		return rng, fault.Usage("--follow has no end, and one is given")
	case o.exit && !rng.To.IsZero():
		return rng, fault.Usage("-e stops at the end, and --to elsewhere: give one")
	case o.exit:
		rng.To = seek.Point{Kind: seek.End}
	}
	if rng.From.IsZero() {
		rng.From.Kind = seek.End
		if !rng.To.IsZero() || o.count > 0 {
			rng.From.Kind = seek.Start
		}
	}
	return rng, nil
}

// parseRange reads --from, which may hold a whole range, and --to.
func parseRange(s *Streams, from, to string) (rng seek.Range, err error) {
	if from != "" {
		if rng, err = seek.ParseRange(from, s.Now()); err != nil {
			return rng, fault.Usage("--from: %v", err)
		}
	}
	if to == "" {
		return rng, nil
	}
	if !rng.To.IsZero() {
		return rng, fault.Usage("--from %s has an end already, and --to gives another", from)
	}
	if rng.To, err = seek.Parse(to, s.Now()); err != nil {
		return rng, fault.Usage("--to: %v", err)
	}
	return rng, nil
}

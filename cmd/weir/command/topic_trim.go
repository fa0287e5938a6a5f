package command

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/cmd/weir/seek"
)

type topicTrimOptions struct {
	conn       connect.Options
	topic      string
	to         string
	partitions []int32
	yes        bool
	dryRun     bool
}

func newTopicTrim(s *Streams) *cobra.Command {
	var o topicTrimOptions
	cmd := &cobra.Command{
		Use:   "trim TOPIC --to POSITION",
		Short: "Delete the records of a topic before a position",
		Long: `Delete the records of a topic that lie before a position. This asks first.

  weir topic trim orders --to -7d
  weir topic trim orders --to 1200 -p 3 --dry-run

` + positionHelp,
		Args:              between(1, 1),
		ValidArgsFunction: completeTopics(s, &o.conn, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.topic = args[0]
			return runTopicTrim(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "position of the first record to keep")
	f.Int32SliceVarP(&o.partitions, "partition", "p", nil, "only these partitions (default all)")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would be deleted")
	completeWords(cmd, "to", true, positionWords...)
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runTopicTrim(ctx context.Context, s *Streams, o topicTrimOptions) error {
	if o.to == "" {
		return fault.Usage("say with --to which record is the first to keep")
	}
	to, err := seek.Parse(o.to, s.Now())
	if err != nil {
		return fault.Usage("--to: %v", err)
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	topics, err := findTopics(ctx, cl, []string{o.topic}, false, true)
	if err != nil {
		return err
	}
	where, err := newPositions(ctx, cl, topics, false)
	if err != nil {
		return err
	}
	spans, err := where.spans(ctx, s, topics, o.partitions, seek.Point{Kind: seek.Start}, to)
	if err != nil {
		return err
	}
	if n := total(spans); n == 0 {
		s.note("Nothing lies before %s.", o.to)
		return nil
	} else if o.dryRun {
		return writeTrims(s, spans)
	} else if err := s.confirm(o.yes, fmt.Sprintf("Delete %s of %s?", output.Plural(n, "record"), o.topic)); err != nil {
		return err
	}
	return o.trim(ctx, s, cl, spans)
}

func (o *topicTrimOptions) trim(ctx context.Context, s *Streams, cl *connect.Client, spans []span) error {
	var offsets kadm.Offsets
	for _, sp := range spans {
		if sp.to > sp.from {
			offsets.AddOffset(sp.topic, sp.partition, sp.to, -1)
		}
	}
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	responses, err := cl.Admin.DeleteRecords(ctx, offsets)
	if err != nil {
		return cl.Explain(fmt.Sprintf("cannot trim topic %q", o.topic), err)
	}
	var done []span
	failed := 0
	for _, sp := range spans {
		r, ok := responses.Lookup(sp.topic, sp.partition)
		switch {
		case ok && r.Err != nil:
			failed++
			s.note("%s %v", s.colour("31", "error:"), fault.Explain(fmt.Sprintf("cannot trim %v", sp), r.Err))
		case ok:
			sp.to = r.LowWatermark
			done = append(done, sp)
		}
	}
	if err := writeTrims(s, done); err != nil {
		return err
	}
	if failed > 0 {
		return fault.Partly(failed, failed+len(done), "partitions")
	}
	return nil
}

// writeTrims shows the first offset of each partition before and after.
func writeTrims(s *Streams, spans []span) error {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return output.List(s.Out, output.Table, spans, []output.Column[span]{
		{Name: "TOPIC", Cell: func(sp span) string { return sp.topic }},
		{Name: "PARTITION", Cell: func(sp span) string { return number(int64(sp.partition)) }},
		{Name: "START", Cell: func(sp span) string { return number(sp.from) }},
		{Name: "NEW-START", Cell: func(sp span) string { return number(sp.to) }},
		{Name: "DELETED", Cell: func(sp span) string { return output.Count(sp.to - sp.from) }},
	})
}

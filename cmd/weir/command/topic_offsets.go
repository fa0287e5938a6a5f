package command

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/cmd/weir/seek"
)

type topicOffsetsOptions struct {
	conn   connect.Options
	names  []string
	regex  bool
	at     string
	format output.Format
}

func newTopicOffsets(s *Streams) *cobra.Command {
	var o topicOffsetsOptions
	cmd := &cobra.Command{
		Use:   "offsets TOPIC...",
		Short: "Show the first and end offsets of topics, and what a position means in them",
		Long: `Show for each partition the first offset, the end offset (which the next record gets) and how many
lie between, or which offset a position stands for.

  weir topic offsets orders
  weir topic offsets orders --at -1h

` + positionHelp,
		Args:              needs(1),
		ValidArgsFunction: completeTopics(s, &o.conn, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return runTopicOffsets(cmd.Context(), s, o)
		},
	}
	cmd.Flags().BoolVarP(&o.regex, "regex", "r", false, "the topics are regular expressions")
	cmd.Flags().StringVar(&o.at, "at", "", "also the offset of this position")
	formatFlag(cmd, &o.format, listFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

type offsetsRow struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Start     int64  `json:"start_offset"`
	End       int64  `json:"end_offset"`
	Records   int64  `json:"records"` // offsets between the two
	Leader    int32  `json:"leader"`
	At        *int64 `json:"at_offset,omitempty"`
}

func runTopicOffsets(ctx context.Context, s *Streams, o topicOffsetsOptions) error {
	var point seek.Point
	if o.at != "" {
		var err error
		if point, err = seek.Parse(o.at, s.Now()); err != nil {
			return fault.Usage("--at: %v", err)
		}
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	topics, err := findTopics(ctx, cl, o.names, o.regex, false)
	if err != nil {
		return err
	}
	where, err := newPositions(ctx, cl, topics, false)
	if err != nil {
		return err
	}
	var rows []offsetsRow
	for _, t := range topics {
		for _, p := range t.Partitions.Sorted() {
			b, err := where.bounds(t.Topic, p.Partition)
			if err != nil {
				return err
			}
			row := offsetsRow{t.Topic, p.Partition, b.Start, b.End, b.End - b.Start, p.Leader, nil}
			if !point.IsZero() {
				at, _, err := where.resolve(ctx, point, t.Topic, p.Partition)
				if err != nil {
					return err
				}
				row.At = &at
			}
			rows = append(rows, row)
		}
	}
	return output.List(s.Out, o.format, rows, offsetsColumns(o.at))
}

func offsetsColumns(at string) []output.Column[offsetsRow] {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	columns := []output.Column[offsetsRow]{
		{Name: "TOPIC", Cell: func(r offsetsRow) string { return r.Topic }},
		{Name: "PARTITION", Cell: func(r offsetsRow) string { return number(int64(r.Partition)) }},
		{Name: "START", Cell: func(r offsetsRow) string { return number(r.Start) }},
		{Name: "END", Cell: func(r offsetsRow) string { return number(r.End) }},
		{Name: "RECORDS", Cell: func(r offsetsRow) string { return output.Count(r.Records) }},
		{Name: "LEADER", Wide: true, Cell: func(r offsetsRow) string { return number(int64(r.Leader)) }},
	}
	if at != "" {
		columns = append(columns, output.Column[offsetsRow]{Name: "AT", Cell: func(r offsetsRow) string { return number(*r.At) }})
	}
	return columns
}

package command

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

func newTopic(s *Streams) *cobra.Command {
	cmd := group("topic", "Make, see, change and remove topics",
		newTopicList(s), newTopicCreate(s), newTopicDescribe(s), newTopicAlter(s), newTopicDelete(s),
		newTopicAddPartitions(s), newTopicTrim(s), newTopicOffsets(s))
	cmd.Aliases = []string{"topics"}
	return cmd
}

type topicListOptions struct {
	conn     connect.Options
	names    []string
	regex    bool
	internal bool
	format   output.Format
}

func newTopicList(s *Streams) *cobra.Command {
	var o topicListOptions
	cmd := &cobra.Command{
		Use:     "list [TOPIC...]",
		Aliases: []string{"ls"},
		Short:   "List topics",
		Long: `List topics, all or those named.

  weir topic list
  weir topic list -r '^orders' -o json`,
		Args:              needs(0),
		ValidArgsFunction: completeTopics(s, &o.conn, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return runTopicList(cmd.Context(), s, o)
		},
	}
	cmd.Flags().BoolVarP(&o.regex, "regex", "r", false, "the topics are regular expressions")
	cmd.Flags().BoolVar(&o.internal, "internal", false, "the broker's own topics too")
	formatFlag(cmd, &o.format, listFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

// topicRow is a topic in a list.
type topicRow struct {
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"` // of the partition with the fewest
	Leaderless int    `json:"leaderless_partitions"`
	Internal   bool   `json:"internal"`
	ID         string `json:"id"`
}

func rowOf(d kadm.TopicDetail) topicRow {
	row := topicRow{Topic: d.Topic, Partitions: len(d.Partitions), Replicas: d.Partitions.NumReplicas(), Internal: d.IsInternal, ID: topicID(d.ID)}
	for _, p := range d.Partitions {
		row.Replicas = min(row.Replicas, len(p.Replicas))
		if p.Leader < 0 {
			row.Leaderless++
		}
	}
	return row
}

func runTopicList(ctx context.Context, s *Streams, o topicListOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	var rows []topicRow
	if len(o.names) > 0 {
		found, err := findTopics(ctx, cl, o.names, o.regex, o.internal)
		if err != nil {
			return err
		}
		for _, d := range found {
			rows = append(rows, rowOf(d))
		}
	} else {
		details, err := listTopics(ctx, cl)
		if err != nil {
			return err
		}
		for _, d := range details.Sorted() {
			if o.internal || !d.IsInternal {
				rows = append(rows, rowOf(d))
			}
		}
	}
	return output.List(s.Out, o.format, rows, []output.Column[topicRow]{
		{Name: "TOPIC", Cell: func(r topicRow) string { return r.Topic }},
		{Name: "PARTITIONS", Cell: func(r topicRow) string { return strconv.Itoa(r.Partitions) }},
		{Name: "REPLICAS", Cell: func(r topicRow) string { return strconv.Itoa(r.Replicas) }},
		{Name: "LEADERLESS", Wide: true, Cell: func(r topicRow) string { return strconv.Itoa(r.Leaderless) }},
		{Name: "INTERNAL", Wide: true, Cell: func(r topicRow) string { return strconv.FormatBool(r.Internal) }},
		{Name: "ID", Wide: true, Cell: func(r topicRow) string { return r.ID }},
	})
}

// topicID writes an id as Kafka's tools do.
func topicID(id kadm.TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// eachTopic is eachOf for topics.
func eachTopic(s *Streams, names []string, done func(name string) (string, error)) error {
	return eachOf(s, "topics", names, done)
}

// eachOf does one thing per name and tells how each went: a line at stdout for what was done, the
// error at stderr for what was not. More than one with some failed is "partly done".
func eachOf(s *Streams, kind string, names []string, done func(name string) (string, error)) error {
	failed := 0
	var last error
	for _, name := range names {
		line, err := done(name)
		if err != nil {
			if failed++; len(names) > 1 {
				s.note("%s %v", s.colour("31", "error:"), err)
			}
			last = err
			continue
		}
		fmt.Fprintln(s.Out, line)
	}
	if len(names) == 1 {
		return last
	}
	if failed > 0 {
		return fault.Partly(failed, len(names), kind)
	}
	return nil
}

// asking bounds a request for which a person waits.
func asking(ctx context.Context, cl *connect.Client) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, cl.Timeout+time.Second) // the broker's own limit comes first
}

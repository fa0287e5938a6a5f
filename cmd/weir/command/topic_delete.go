package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/output"
)

type topicDeleteOptions struct {
	conn     connect.Options
	names    []string
	regex    bool
	ifExists bool
	yes      bool
	dryRun   bool
}

func newTopicDelete(s *Streams) *cobra.Command {
	var o topicDeleteOptions
	cmd := &cobra.Command{
		Use:   "delete TOPIC...",
		Short: "Delete topics and all their records",
		Long: `Delete topics and all their records. This asks first.

  weir topic delete orders
  weir topic delete -r '^test-' --dry-run`,
		Aliases:           []string{"rm"},
		Args:              needs(1),
		ValidArgsFunction: completeTopics(s, &o.conn, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return runTopicDelete(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.regex, "regex", "r", false, "the topics are regular expressions")
	f.BoolVar(&o.ifExists, "if-exists", false, "a topic that is not there is no error")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would be deleted")
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runTopicDelete(ctx context.Context, s *Streams, o topicDeleteOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	topics, err := o.targets(ctx, s, cl)
	if err != nil || len(topics) == 0 {
		return err
	}
	where, err := peekPositions(ctx, cl, topics)
	if err != nil {
		return err
	}
	var names []string
	for _, t := range topics {
		names = append(names, t.Topic)
		if o.dryRun {
			fmt.Fprintf(s.Out, "would delete topic %s (%s)\n", t.Topic, contents(where, t))
		} else if !o.yes {
			s.note("topic %s: %s", t.Topic, contents(where, t))
		}
	}
	if o.dryRun {
		return nil
	}
	question := fmt.Sprintf("Delete %s and all its records?", names[0])
	if len(names) > 1 {
		question = fmt.Sprintf("Delete these %d topics and all their records?", len(names))
	}
	if err := s.confirm(o.yes, question); err != nil {
		return err
	}
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	responses, err := cl.Admin.DeleteTopics(ctx, names...)
	if err != nil {
		return cl.Explain("cannot delete "+strings.Join(names, ", "), err)
	}
	return eachTopic(s, names, func(name string) (string, error) {
		r, err := responses.On(name, nil)
		if err == nil {
			err = r.Err
		}
		return "deleted topic " + name, refused(fmt.Sprintf("cannot delete topic %q", name), err, r.ErrMessage)
	})
}

// targets are the topics to delete; with --if-exists, those of them that are there.
func (o *topicDeleteOptions) targets(ctx context.Context, s *Streams, cl *connect.Client) ([]kadm.TopicDetail, error) {
	if !o.ifExists || o.regex {
		return findTopics(ctx, cl, o.names, o.regex, false)
	}
	names := distinct(o.names)
	details, err := listTopics(ctx, cl, names...)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		gone := details[n].Err == kerr.UnknownTopicOrPartition
		if gone {
			s.note("topic %s is not there", n)
		}
		return gone
	})
	if len(names) == 0 {
		return nil, nil
	}
	return findTopics(ctx, cl, names, false, true)
}

// contents says how much a topic holds.
func contents(where *positions, t kadm.TopicDetail) string {
	var n int64
	for _, p := range t.Partitions.Numbers() {
		if b, err := where.bounds(t.Topic, p); err == nil {
			n += b.End - b.Start
		}
	}
	return output.Plural(int64(len(t.Partitions)), "partition") + ", " + output.Plural(n, "record")
}

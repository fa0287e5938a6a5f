package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

type topicAddPartitionsOptions struct {
	conn    connect.Options
	names   []string
	add, to int
	dryRun  bool
}

func newTopicAddPartitions(s *Streams) *cobra.Command {
	var o topicAddPartitionsOptions
	cmd := &cobra.Command{
		Use:   "add-partitions TOPIC... --add N | --to N",
		Short: "Give topics more partitions",
		Long: `Give topics more partitions. It cannot be undone, and from then on a key may go to another partition
than it did: the order of its records holds within each of the two, not across.

  weir topic add-partitions orders --to 12
  weir topic add-partitions orders --add 4 --dry-run`,
		Args:              needs(1),
		ValidArgsFunction: completeTopics(s, &o.conn, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return runTopicAddPartitions(cmd.Context(), s, o)
		},
	}
	cmd.Flags().IntVarP(&o.add, "add", "n", 0, "how many more")
	cmd.Flags().IntVar(&o.to, "to", 0, "how many there are to be")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only check whether it could be done")
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runTopicAddPartitions(ctx context.Context, s *Streams, o topicAddPartitionsOptions) error {
	if (o.add > 0) == (o.to > 0) || o.add < 0 || o.to < 0 {
		return fault.Usage("say how many with --add N or --to N, above zero")
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	topics, err := findTopics(ctx, cl, o.names, false, true)
	if err != nil {
		return err
	}
	update, verb := cl.Admin.UpdatePartitions, "has"
	if o.dryRun {
		update, verb = cl.Admin.ValidateUpdatePartitions, "would have"
	}
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	had := map[string]int{}
	for _, t := range topics {
		had[t.Topic] = len(t.Partitions)
	}
	return eachTopic(s, distinct(o.names), func(name string) (string, error) {
		want := o.to
		if o.add > 0 {
			want = had[name] + o.add
		}
		what := fmt.Sprintf("cannot give topic %q %d partitions", name, want)
		if want <= had[name] {
			return "", &fault.Error{What: what, Code: kerr.InvalidPartitions.Message,
				Why: fmt.Sprintf("It has %d, and partitions are never removed", had[name])}
		}
		responses, err := update(ctx, want, name)
		message := ""
		if err == nil {
			r, onErr := responses.On(name, nil)
			if message, err = r.ErrMessage, onErr; err == nil {
				err = r.Err
			}
		}
		if err != nil {
			return "", refused(what, err, message)
		}
		return fmt.Sprintf("topic %s %s %s (%d before)", name, verb, output.Plural(int64(want), "partition"), had[name]), nil
	})
}

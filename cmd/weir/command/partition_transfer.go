package command

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
)

type partitionTransferOptions struct {
	conn       connect.Options
	topic, num string
	to         int32
}

func newPartitionTransferLeader(s *Streams) *cobra.Command {
	var o partitionTransferOptions
	cmd := &cobra.Command{
		Use:   "transfer-leader TOPIC PARTITION",
		Short: "Hand the leadership of a partition over",
		Long: `Hand the leadership of a partition to its preferred leader, the first of its replicas. Kafka's protocol has
no way to name another; to make another the first, move the partition.

  weir partition transfer-leader orders 0
  weir partition transfer-leader orders 0 --to 2`,
		Args:              between(2, 2),
		ValidArgsFunction: completeTopics(s, &o.conn, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.topic, o.num = args[0], args[1]
			return runPartitionTransfer(cmd.Context(), s, o)
		},
	}
	cmd.Flags().Int32Var(&o.to, "to", -1, "broker that is to lead (default the preferred leader)")
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runPartitionTransfer(ctx context.Context, s *Streams, o partitionTransferOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	_, p, err := findPartition(ctx, cl, o.topic, o.num)
	if err != nil {
		return err
	}
	if len(p.Replicas) == 0 {
		return &fault.Error{What: fmt.Sprintf("%v has no replicas", p)}
	}
	to := o.to
	if to < 0 {
		to = p.Replicas[0]
	}
	what := fmt.Sprintf("cannot make broker %d lead %v", to, p)
	switch {
	case p.Leader == to:
		fmt.Fprintf(s.Out, "broker %d leads %v already\n", to, p)
		return nil
	case !slices.Contains(p.Replicas, to):
		return &fault.Error{What: what, Why: fmt.Sprintf("It holds no replica; those are on %s", ids(p.Replicas)),
			Do: fmt.Sprintf("Move one there: weir partition move %s %d --to %s", p.Topic, p.Number, ids(append([]int32{to}, p.Replicas[1:]...)))}
	case to != p.Replicas[0]:
		rest := slices.DeleteFunc(slices.Clone(p.Replicas), func(id int32) bool { return id == to })
		return &fault.Error{What: what, Why: fmt.Sprintf("Only the preferred leader can be asked to, and that is broker %d", p.Replicas[0]),
			Do: fmt.Sprintf("Make it the first of the replicas, then try again: weir partition move %s %d --to %s", p.Topic, p.Number, ids(append([]int32{to}, rest...)))}
	}
	return o.elect(ctx, s, cl, p, what)
}

// elect has the preferred leader elected and waits until it leads.
func (o *partitionTransferOptions) elect(ctx context.Context, s *Streams, cl *connect.Client, p partitionView, what string) error {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	set := kadm.TopicsSet{}
	set.Add(p.Topic, p.Number)
	results, err := cl.Admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, set)
	if err != nil {
		return cl.Explain(what, err)
	}
	if r, ok := results[p.Topic][p.Number]; ok && !errors.Is(r.Err, kerr.ElectionNotNeeded) && r.Err != nil {
		return refused(what, r.Err, r.ErrMessage)
	}
	pace := pacer{rate: listRate}
	for pace.wait(ctx) == nil {
		v, err := readCluster(ctx, cl)
		if err != nil {
			return err
		}
		if now, _ := v.partition(p.Topic, p.Number); now.Leader == p.Replicas[0] {
			fmt.Fprintf(s.Out, "broker %d leads %v now\n", now.Leader, p)
			return nil
		}
	}
	return &fault.Error{What: fmt.Sprintf("broker %d does not lead %v yet", p.Replicas[0], p), Do: "Look again: weir partition list " + p.Topic, Exit: fault.TooLate}
}

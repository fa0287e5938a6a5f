package command

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

type decommissionOptions struct {
	conn   connect.Options
	id     int32
	yes    bool
	dryRun bool
}

func newBrokerDecommission(s *Streams) *cobra.Command {
	var o decommissionOptions
	cmd := &cobra.Command{
		Use:   "decommission BROKER",
		Short: "Move everything off a broker and take it out of the cluster",
		Long: `Move every replica that a broker holds to the others, wait until they are there, and take the broker out
of the cluster. This asks first. Interrupted, the moves go on; given again, the command goes on with them.

  weir broker decommission 4 --dry-run
  weir broker decommission 4`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.id, err = brokerNumber(args[0]); err != nil {
				return err
			}
			return runDecommission(cmd.Context(), s, o)
		},
	}
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only show what would be moved where")
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runDecommission(ctx context.Context, s *Streams, o decommissionOptions) error {
	cl, v, err := s.openCluster(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, known := v.broker(o.id); !known {
		return &fault.Error{What: fmt.Sprintf("there is no broker %d", o.id), Do: "See them: weir broker list"}
	}
	v.ping(ctx, cl)
	plan, err := planDecommission(v, o.id)
	if err != nil {
		return err
	}
	if o.dryRun {
		for _, m := range plan {
			fmt.Fprintf(s.Out, "would move %s[%d] from %s to %s\n", m.Topic, m.Partition, ids(m.From), ids(m.To))
		}
		fmt.Fprintf(s.Out, "would take broker %d out of the cluster\n", o.id)
		return nil
	}
	partitions := output.Plural(int64(len(plan)), "partition")
	if err := s.confirm(o.yes, fmt.Sprintf("Move %s off broker %d and take it out of the cluster?", partitions, o.id)); err != nil {
		return err
	}
	if err := carryOut(ctx, s, cl, plan); err != nil {
		return err
	}
	if err := unregister(ctx, cl, v, o.id); err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "broker %d is out of the cluster, %s moved; it can be stopped\n", o.id, partitions)
	return nil
}

// carryOut starts the moves of a plan that are not under way and waits for all.
func carryOut(ctx context.Context, s *Streams, cl *connect.Client, plan []move) error {
	start, goals := map[topicPartition][]int32{}, map[topicPartition][]int32{}
	for _, m := range plan {
		at := topicPartition{m.Topic, m.Partition}
		goals[at] = m.To
		if !m.underWay {
			start[at] = m.To
		}
	}
	if len(start) > 0 {
		if err := assign(ctx, cl, start); err != nil {
			return err
		}
	}
	if len(goals) == 0 {
		return nil
	}
	return awaitMoves(ctx, s, cl, goals, sameBrokers)
}

// unregister asks another broker than the one that goes: that one does not learn any more what became of it.
func unregister(ctx context.Context, cl *connect.Client, v *clusterView, id int32) error {
	other := slices.IndexFunc(v.brokers, func(b brokerView) bool { return b.id != id && b.state.answers() })
	if other < 0 {
		return &fault.Error{What: fmt.Sprintf("cannot take broker %d out of the cluster", id), Why: "No other broker answers"}
	}
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = id
	what := fmt.Sprintf("cannot take broker %d out of the cluster", id)
	answer, err := cl.Broker(int(v.brokers[other].id)).RetriableRequest(ctx, req)
	if err != nil {
		return cl.Explain(what, err)
	}
	resp := answer.(*kmsg.UnregisterBrokerResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return refused(what, err, text(resp.ErrorMessage))
	}
	return nil
}

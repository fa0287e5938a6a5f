package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

type partitionMoveOptions struct {
	conn       connect.Options
	topic, num string
	to         []int32
	cancel     bool
	watch      bool
	throttle   byteRate
}

func newPartitionMove(s *Streams) *cobra.Command {
	var o partitionMoveOptions
	cmd := &cobra.Command{
		Use:   "move TOPIC PARTITION",
		Short: "Move the replicas of a partition to other brokers",
		Long: `Move the replicas of a partition to the brokers named; the first is to be the preferred leader. The records
are copied before the old replicas go, and the move goes on by itself when this command has ended.

What a broker sends to replicas that are behind is bounded by leader.replication.throttled.rate, of all partitions
together. --throttle sets it for the brokers of the partition until nothing moves any more. Interrupted, the
move goes on at that rate; given again, the command watches it and lifts the throttle at its end.

  weir partition move orders 0 --to 2,3,4 --watch
  weir partition move orders 0 --to 2,3,4 --watch --throttle 20MiB/s
  weir partition move orders 0 --cancel`,
		Args:              between(2, 2),
		ValidArgsFunction: completeTopics(s, &o.conn, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.topic, o.num = args[0], args[1]
			return runPartitionMove(cmd.Context(), s, o)
		},
	}
	cmd.Flags().Int32SliceVar(&o.to, "to", nil, "brokers that are to hold the replicas")
	cmd.Flags().BoolVar(&o.cancel, "cancel", false, "give up a move that is under way")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "wait until the move has ended")
	cmd.Flags().Var(&o.throttle, "throttle", "with --watch: bytes a second that a broker sends meanwhile to replicas that are behind")
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runPartitionMove(ctx context.Context, s *Streams, o partitionMoveOptions) error {
	if o.cancel == (len(o.to) > 0) || o.cancel && o.watch {
		return fault.Usage("say where to with --to, or --cancel")
	}
	throttled := o.throttle.sizeValue > 0
	if throttled && !o.watch {
		return fault.Usage("--throttle goes with --watch, which lifts it when the move has ended")
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	v, p, err := findPartition(ctx, cl, o.topic, o.num)
	if err != nil {
		return err
	}
	at := topicPartition{p.Topic, p.Number}
	if o.cancel {
		if err := assign(ctx, cl, map[topicPartition][]int32{at: nil}); err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "the move of %v is given up\n", p)
		return liftThrottle(ctx, s, cl, p)
	}
	if err := v.checkBrokers(o.to); err != nil {
		return err
	}
	if slices.Equal(p.Replicas, o.to) && len(p.Adding)+len(p.Removing) == 0 {
		fmt.Fprintf(s.Out, "%v is on %s already\n", p, ids(o.to))
		if throttled {
			return liftThrottle(ctx, s, cl, p)
		}
		return nil
	}
	if throttled {
		if err := o.setThrottle(ctx, cl, v, p); err != nil {
			return err
		}
	}
	goals := map[topicPartition][]int32{at: o.to}
	if err := assign(ctx, cl, goals); err != nil {
		return err
	}
	if !o.watch {
		fmt.Fprintf(s.Out, "%v moves from %s to %s\n", p, ids(p.Replicas), ids(o.to))
		return nil
	}
	if err := awaitMoves(ctx, s, cl, goals, slices.Equal[[]int32]); err != nil {
		if throttled {
			s.note("the brokers stay throttled; given again, the command watches the move and lifts that at its end")
		}
		return err
	}
	if throttled {
		err = liftThrottle(ctx, s, cl, p)
	}
	fmt.Fprintf(s.Out, "%v has moved from %s to %s\n", p, ids(p.Replicas), ids(o.to))
	return err
}

// assign asks for replicas to be moved; nil gives up a move. The first refusal is the error; what else was
// asked for may be under way.
func assign(ctx context.Context, cl *connect.Client, goals map[topicPartition][]int32) error {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	var req kadm.AlterPartitionAssignmentsReq
	for at, brokers := range goals {
		req.Assign(at.topic, at.partition, brokers)
	}
	responses, err := cl.Admin.AlterPartitionAssignments(ctx, req)
	if err != nil {
		return cl.Explain("cannot move partitions", err)
	}
	for _, r := range responses.Sorted() {
		if r.Err == nil {
			continue
		}
		what := fmt.Sprintf("cannot move %s[%d]", r.Topic, r.Partition)
		if errors.Is(r.Err, kerr.NoReassignmentInProgress) {
			return &fault.Error{What: fmt.Sprintf("%s[%d] is not being moved", r.Topic, r.Partition), Code: kerr.NoReassignmentInProgress.Message, Err: r.Err}
		}
		return refused(what, r.Err, r.ErrMessage)
	}
	return nil
}

// moveLook is between two looks at moves.
const moveLook = 500 * time.Millisecond

// sameBrokers compares replicas whose order does not matter.
func sameBrokers(a, b []int32) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// awaitMoves returns when every partition is where it is to be, as arrived judges. It tells how many are, at stderr, or
// of a single one how much is copied. A
// cluster that does not answer for cl.Timeout is an error; the moves themselves may take any time.
func awaitMoves(ctx context.Context, s *Streams, cl *connect.Client, goals map[topicPartition][]int32, arrived func(is, goal []int32) bool) error {
	var progress *output.Progress
	if s.ErrTerminal && len(goals) > 1 {
		progress = output.NewProgress(s.Err, "move", "partition", int64(len(goals)), s.Now)
		defer progress.Clear()
	}
	tick := time.NewTicker(moveLook)
	defer tick.Stop()
	told, heard := -1, time.Now()
	var bytes copying
	for {
		v, done, err := movesDone(ctx, cl, goals, arrived)
		switch {
		case ctx.Err() != nil:
			return &fault.Error{What: "the moves go on without this command", Do: "Watch them: weir partition list", Exit: fault.Interrupted, Err: ctx.Err()}
		case err != nil && time.Since(heard) > cl.Timeout:
			return err
		case err == nil:
			heard = time.Now()
			if progress.Set(int64(done)); progress == nil && done != told && len(goals) > 1 {
				s.note("%d of %d partitions have moved", done, len(goals))
			}
			if told = done; done == len(goals) {
				return nil
			}
			if len(goals) == 1 {
				bytes.tell(ctx, s, cl, v, goals)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func movesDone(ctx context.Context, cl *connect.Client, goals map[topicPartition][]int32, arrived func(is, goal []int32) bool) (*clusterView, int, error) {
	v, err := readCluster(ctx, cl)
	if err != nil {
		return nil, 0, err
	}
	done, gone := 0, 0
	for _, p := range v.partitions {
		goal, asked := goals[topicPartition{p.Topic, p.Number}]
		if !asked {
			continue
		}
		gone++
		if len(p.Adding)+len(p.Removing) == 0 && arrived(p.Replicas, goal) {
			done++
		}
	}
	return v, done + len(goals) - gone, nil // a topic that was deleted meanwhile has nothing left to move
}

package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"weir/cmd/weir/local"
	"weir/cmd/weir/output"
)

func newDevRestart(s *Streams) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "restart NODE",
		Short: "Start a broker of a local cluster again",
		Long: `Start a broker of a cluster that weir dev --nodes started once more, as it was started before. One that
runs is stopped first, in order. It belongs to the cluster as before: Ctrl-C at weir dev stops it too.

  weir dev restart 2`,
		Args:              between(1, 1),
		ValidArgsFunction: completeNodes(&data),
		RunE:              func(cmd *cobra.Command, args []string) error { return runDevRestart(cmd.Context(), s, data, args[0]) },
	}
	devDataFlag(cmd, &data)
	return cmd
}

func runDevRestart(ctx context.Context, s *Streams, data, word string) error {
	var started local.Node
	var where local.Dir
	supervised := false
	err := changeDev(ctx, data, "cannot start node "+word+" again", func(dir local.Dir, state *local.State) error {
		n, err := devNode(state, word)
		if err != nil {
			return err
		}
		if n.Up() {
			if err := dir.End(state, local.Restarted, s.Now(), n); err != nil {
				return err
			}
			forced, err := n.Process.Stop(ctx, local.StopGrace)
			if err != nil {
				return err
			}
			if forced {
				s.note("%s node %d did not stop within %s and was killed", s.colour("33", "warning:"), n.ID, output.Span(local.StopGrace))
			} else {
				s.note("node %d has stopped (pid %d)", n.ID, n.Process.Pid)
			}
		}
		_, err = dir.Start(state, n, s.Now())
		started, where, supervised = *n, dir, state.Supervised()
		return err
	})
	if err != nil {
		return err
	}
	if err := awaitNode(ctx, where, &started, []int32{int32(started.ID)}); err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "node %d is up (pid %d) on %s\n", started.ID, started.Process.Pid, started.Kafka)
	if !supervised {
		unsupervised(s, data)
	}
	return nil
}

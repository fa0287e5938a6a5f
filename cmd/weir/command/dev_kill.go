package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"weir/cmd/weir/fault"
	"weir/cmd/weir/local"
)

func newDevKill(s *Streams) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "kill NODE",
		Short: "Kill a broker of a local cluster, as a crash would",
		Long: `Kill a broker of a cluster that weir dev --nodes started, with SIGKILL: it can neither finish nor say
good-bye. It stays down until weir dev restart.

  weir dev kill 2`,
		Args:              between(1, 1),
		ValidArgsFunction: completeNodes(&data),
		RunE:              func(cmd *cobra.Command, args []string) error { return runDevKill(cmd.Context(), s, data, args[0]) },
	}
	devDataFlag(cmd, &data)
	return cmd
}

func runDevKill(ctx context.Context, s *Streams, data, word string) error {
	return changeDev(ctx, data, "cannot kill node "+word, func(dir local.Dir, state *local.State) error {
		n, err := devNode(state, word)
		if err != nil {
			return err
		}
		if !n.Up() {
			return &fault.Error{What: fmt.Sprintf("node %d does not run", n.ID), Do: "Start it: " + devVerb("restart", data, n.ID)}
		}
		if err := dir.End(state, local.Killed, s.Now(), n); err != nil {
			return err
		}
		if err := n.Process.Kill(ctx); err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "killed node %d (pid %d)\n", n.ID, n.Process.Pid)
		var others []string
		for i := range state.Nodes {
			if state.Nodes[i].Up() {
				others = append(others, state.Nodes[i].Kafka)
			}
		}
		switch {
		case 2*len(others) > len(state.Nodes):
			s.note("What it led finds a new leader in a second or two. Watch:\n  weir partition list -b %s\n  %s",
				strings.Join(others, ","), devVerb("restart", data, n.ID))
		default:
			s.note("Of %d brokers %d are left, no majority: writing waits until one comes back.\n  %s", len(state.Nodes), len(others), devVerb("restart", data, n.ID))
		}
		return nil
	})
}

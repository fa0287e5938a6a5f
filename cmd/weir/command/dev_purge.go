package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"weir/cmd/weir/local"
	"weir/cmd/weir/output"
)

type devPurgeOptions struct {
	data   string
	yes    bool
	dryRun bool
}

func newDevPurge(s *Streams) *cobra.Command {
	var o devPurgeOptions
	cmd := &cobra.Command{
		Use:   "purge",
		Short: "Stop a local cluster and remove its data",
		Long: `Stop all brokers of a cluster that weir dev --nodes started and remove their data and logs. This asks first.
Files in the folder that are not the cluster's stay.

  weir dev purge
  weir dev purge --dry-run`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDevPurge(cmd.Context(), s, o) },
	}
	devDataFlag(cmd, &o.data)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only show what would be removed")
	return cmd
}

func runDevPurge(ctx context.Context, s *Streams, o devPurgeOptions) error {
	dir, state, err := loadDev(o.data)
	if err != nil {
		return err
	}
	nodes := output.Plural(int64(len(state.Nodes)), "broker")
	if o.dryRun {
		for _, n := range state.Nodes {
			fmt.Fprintf(s.Out, "would remove %s and %s\n", dir.Data(n.ID), dir.Log(n.ID))
		}
		return nil
	}
	if err := s.confirm(o.yes, fmt.Sprintf("Remove %s and everything in them from %s?", nodes, o.data)); err != nil {
		return err
	}
	err = changeDev(ctx, o.data, "cannot remove the cluster in "+o.data, func(dir local.Dir, state *local.State) error {
		if _, err := stopNodes(ctx, s, dir, state); err != nil {
			return err
		}
		return errors.Join(supervisorEnds(ctx, state), dir.Remove(state))
	})
	if err != nil {
		return err
	}
	left, err := dir.RemoveDir()
	if err != nil {
		return err
	}
	if left > 0 {
		s.note("%s holds other files and stays", o.data)
	}
	fmt.Fprintf(s.Out, "removed %s and their data from %s\n", nodes, o.data)
	return nil
}

package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"weir/cmd/weir/local"
	"weir/cmd/weir/output"
)

func newDevStop(s *Streams) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Stop all brokers of a local cluster",
		Long: `Stop all brokers of a cluster that weir dev --nodes started, in order, wherever they were started from.
weir dev itself, if it still runs, ends with them. The data stays.

  weir dev stop`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDevStop(cmd.Context(), s, data) },
	}
	devDataFlag(cmd, &data)
	return cmd
}

func runDevStop(ctx context.Context, s *Streams, data string) error {
	return changeDev(ctx, data, "cannot stop the cluster in "+data, func(dir local.Dir, state *local.State) error {
		stopped, err := stopNodes(ctx, s, dir, state)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "stopped %s; the data is in %s\n", output.Plural(int64(len(stopped)), "broker"), data)
		return supervisorEnds(ctx, state)
	})
}

// supervisorPatience is how long weir dev may take to see that its brokers are gone.
const supervisorPatience = 5 * time.Second

// supervisorEnds waits for weir dev to end after its brokers, so that who starts it next does not meet it.
func supervisorEnds(ctx context.Context, state *local.State) error {
	if state.Supervisor == nil {
		return nil
	}
	limit, cancel := context.WithTimeout(ctx, supervisorPatience)
	defer cancel()
	if err := state.Supervisor.Wait(limit); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil // it holds nothing, and says why it runs on
}

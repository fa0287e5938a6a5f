package command

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"weir/cmd/weir/connect"
)

type quotaDeleteOptions struct {
	conn   connect.Options
	entity []string
	dryRun bool
}

func newQuotaDelete(s *Streams) *cobra.Command {
	var o quotaDeleteOptions
	cmd := &cobra.Command{
		Use:     "delete ENTITY",
		Aliases: []string{"rm"},
		Short:   "Remove all quotas of a client id, a user, or a client id of a user",
		Long: `Remove all quotas that a client id, user, or client id of a user has of its own, and show what they were. Clients that have to wait
go on at once.

  weir quota delete client-id=billing
  weir quota delete client-id --dry-run`,
		Args:              between(1, len(quotaTypes)),
		ValidArgsFunction: completeEntities(s, &o.conn),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.entity = args
			return runQuotaDelete(cmd.Context(), s, o)
		},
	}
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only show what would be removed")
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runQuotaDelete(ctx context.Context, s *Streams, o quotaDeleteOptions) error {
	cl, e, row, err := s.openQuotas(ctx, &o.conn, o.entity)
	if err != nil {
		return err
	}
	defer cl.Close()
	var ops []kadm.AlterClientQuotaOp
	for _, key := range slices.Sorted(maps.Keys(row.Quotas)) {
		ops = append(ops, kadm.AlterClientQuotaOp{Key: key, Remove: true})
	}
	if err := alterQuotas(ctx, cl, e, ops, o.dryRun); err != nil {
		return err
	}
	verb := "removed "
	if o.dryRun {
		verb = "would remove "
	}
	fmt.Fprint(s.Out, verb)
	return row.write(s.Out)
}

package command

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"weir/cluster/quota"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/output"
)

type quotaDescribeOptions struct {
	conn   connect.Options
	entity []string
	format output.Format
}

func newQuotaDescribe(s *Streams) *cobra.Command {
	var o quotaDescribeOptions
	cmd := &cobra.Command{
		Use:   "describe ENTITY",
		Short: "Show the quotas of a client id, a user, or a client id of a user",
		Long: `Show the quotas that one client id, user, or client id of a user has of its own.

  weir quota describe client-id=billing
  weir quota describe client-id                      each client id without a quota of its own
  weir quota describe user=ANONYMOUS client-id=billing -o json`,
		Args:              between(1, len(quotaTypes)),
		ValidArgsFunction: completeEntities(s, &o.conn),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.entity = args
			return runQuotaDescribe(cmd.Context(), s, o)
		},
	}
	formatFlag(cmd, &o.format, objectFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runQuotaDescribe(ctx context.Context, s *Streams, o quotaDescribeOptions) error {
	cl, _, row, err := s.openQuotas(ctx, &o.conn, o.entity)
	if err != nil {
		return err
	}
	defer cl.Close()
	return output.One(s.Out, o.format, row, row.write)
}

func (r quotaRow) write(w io.Writer) error {
	if _, err := fmt.Fprintln(w, r.Entity); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(r.Quotas)) {
		value := strconv.FormatFloat(r.Quotas[key], 'f', -1, 64)
		if k, known := quota.Lookup(key); known {
			value += " (" + quotaText(r, k) + ")"
		}
		if _, err := fmt.Fprintf(w, "  %s=%s\n", key, value); err != nil {
			return err
		}
	}
	return nil
}

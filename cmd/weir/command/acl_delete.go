package command

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
)

type aclDeleteOptions struct {
	conn   connect.Options
	which  aclSelection
	dryRun bool
}

func newACLDelete(s *Streams) *cobra.Command {
	var o aclDeleteOptions
	cmd := &cobra.Command{
		Use:     "delete",
		Aliases: []string{"rm"},
		Short:   "Remove ACLs",
		Long: `Remove the ACLs that the flags select, and show which these were. --topic and its like select those of just that name, or, with
--prefix, of just that prefix.

  weir acl delete --topic orders --principal User:ANONYMOUS --dry-run
  weir acl delete --host 10.0.0.7`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runACLDelete(cmd.Context(), s, o) },
	}
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only show what would be removed")
	o.which.addFlags(s, cmd, &o.conn)
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runACLDelete(ctx context.Context, s *Streams, o aclDeleteOptions) error {
	filters, err := o.which.filters(kmsg.ACLResourcePatternTypeLiteral)
	if err != nil {
		return err
	}
	if f := &filters[0]; f.ResourceName == nil && f.Principal == nil && f.Host == nil && f.Operation == kmsg.ACLOperationAny &&
		f.PermissionType == kmsg.ACLPermissionTypeAny {
		return fault.Usage("say which ACLs: by --topic, --group, --transactional-id, --cluster, --principal, --host, --operation or --permission")
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	if o.dryRun {
		rows, err := readACLs(ctx, cl, filters)
		if err != nil {
			return err
		}
		return writeACLs(s, "would remove", rows)
	}
	rows, err := deleteACLs(ctx, cl, filters)
	if err != nil {
		return err
	}
	return writeACLs(s, "removed", rows)
}

func deleteACLs(ctx context.Context, cl *connect.Client, filters []kmsg.DeleteACLsRequestFilter) (rows []aclRow, err error) {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	req := kmsg.NewPtrDeleteACLsRequest()
	req.Filters = filters
	resp, err := req.RequestWith(ctx, cl.Client)
	if err != nil {
		return nil, cl.Explain("cannot remove ACLs", err)
	}
	for _, r := range resp.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return nil, refused("cannot remove ACLs", err, text(r.ErrorMessage))
		}
		for _, m := range r.MatchingACLs {
			rows = append(rows, newACLRow(m.ResourceType, m.ResourceName, m.ResourcePatternType, m.Principal, m.Host, m.Operation, m.PermissionType))
		}
	}
	return rows, nil
}

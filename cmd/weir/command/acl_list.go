package command

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

// aclSelection is which ACLs a command is about. What is not said takes all.
type aclSelection struct {
	resources             aclResources
	principal, host       string
	permission, operation string
}

func (a *aclSelection) addFlags(s *Streams, cmd *cobra.Command, conn *connect.Options) {
	f := cmd.Flags()
	f.StringVar(&a.principal, "principal", "", "only those of this principal, as User:NAME")
	f.StringVar(&a.host, "host", "", "only those for this host, as it was given")
	f.StringVar(&a.permission, "permission", "", "only those that allow, or that deny")
	f.StringVar(&a.operation, "operation", "", "only those for this operation")
	completeWords(cmd, "principal", true, "User:")
	completeWords(cmd, "permission", false, "allow", "deny")
	completeWords(cmd, "operation", false, aclOperations...)
	a.resources.addFlags(s, cmd, conn)
}

// filters say the selection in Kafka's words. named is how names are meant without --prefix.
func (a *aclSelection) filters(named kmsg.ACLResourcePatternType) (all []kmsg.DeleteACLsRequestFilter, err error) {
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	f.Operation, f.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	if a.principal != "" {
		if err := checkPrincipals([]string{a.principal}); err != nil {
			return nil, err
		}
		f.Principal = &a.principal
	}
	if a.host != "" {
		f.Host = &a.host
	}
	if a.operation != "" {
		if f.Operation, err = parseACLOperation(a.operation); err != nil {
			return nil, err
		}
	}
	switch strings.ToLower(a.permission) {
	case "":
	case "allow":
		f.PermissionType = kmsg.ACLPermissionTypeAllow
	case "deny":
		f.PermissionType = kmsg.ACLPermissionTypeDeny
	default:
		return nil, fault.Usage("--permission is allow or deny, not %q", a.permission)
	}
	resources, err := a.resources.named()
	if err != nil {
		return nil, err
	}
	if a.resources.prefix {
		named, f.ResourcePatternType = kmsg.ACLResourcePatternTypePrefixed, kmsg.ACLResourcePatternTypePrefixed
	}
	for _, r := range resources {
		one := f
		one.ResourceType, one.ResourceName, one.ResourcePatternType = r.kind, &r.name, named
		all = append(all, one)
	}
	if len(resources) == 0 {
		all = append(all, f)
	}
	return all, nil
}

type aclListOptions struct {
	conn   connect.Options
	which  aclSelection
	format output.Format
}

func newACLList(s *Streams) *cobra.Command {
	var o aclListOptions
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List who may do what",
		Long: `List ACLs. --topic and its like list all that are about what has that name, also by a prefix or a wildcard; with --prefix only those
of just that prefix.

  weir acl list
  weir acl list --topic orders --operation read
  weir acl list --principal User:ANONYMOUS -o json`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runACLList(cmd.Context(), s, o) },
	}
	o.which.addFlags(s, cmd, &o.conn)
	formatFlag(cmd, &o.format, listFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runACLList(ctx context.Context, s *Streams, o aclListOptions) error {
	filters, err := o.which.filters(kmsg.ACLResourcePatternTypeMatch)
	if err != nil {
		return err
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	rows, err := readACLs(ctx, cl, filters)
	if err != nil {
		return err
	}
	return output.List(s.Out, o.format, rows, aclColumns)
}

// readACLs lists what the filters take, sorted, each once.
func readACLs(ctx context.Context, cl *connect.Client, filters []kmsg.DeleteACLsRequestFilter) ([]aclRow, error) {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	rows := []aclRow{}
	for _, f := range filters {
		req := kmsg.NewPtrDescribeACLsRequest()
		req.ResourceType, req.ResourceName, req.ResourcePatternType = f.ResourceType, f.ResourceName, f.ResourcePatternType
		req.Principal, req.Host, req.Operation, req.PermissionType = f.Principal, f.Host, f.Operation, f.PermissionType
		resp, err := req.RequestWith(ctx, cl.Client)
		if err != nil {
			return nil, cl.Explain("cannot list ACLs", err)
		}
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return nil, refused("cannot list ACLs", err, text(resp.ErrorMessage))
		}
		for _, r := range resp.Resources {
			for _, a := range r.ACLs {
				rows = append(rows, newACLRow(r.ResourceType, r.ResourceName, r.ResourcePatternType, a.Principal, a.Host, a.Operation, a.PermissionType))
			}
		}
	}
	slices.SortFunc(rows, aclRow.compare)
	return slices.Compact(rows), nil
}

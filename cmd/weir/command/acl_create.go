package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

type aclCreateOptions struct {
	conn        connect.Options
	resources   aclResources
	allow, deny []string
	hosts       []string
	operations  []string
	dryRun      bool
}

func newACLCreate(s *Streams) *cobra.Command {
	var o aclCreateOptions
	cmd := &cobra.Command{
		Use:     "create",
		Aliases: []string{"add"},
		Short:   "Let clients do something, or forbid it",
		Long: `Add ACLs: one for each principal, host, operation and resource that is named. A principal that is denied something by one ACL is not
allowed it by another. Without authentication everybody is User:ANONYMOUS, and the host decides.

  weir acl create --allow User:ANONYMOUS --host 10.0.0.7 --operation read,write --topic orders
  weir acl create --allow 'User:*' --host 10.0.0.0/8 --operation read --topic orders. --prefix --group billing-
  weir acl create --deny 'User:*' --host 10.0.0.9 --operation all --cluster`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runACLCreate(cmd.Context(), s, o) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.allow, "allow", nil, "principal that may, as User:NAME, may be given again")
	f.StringArrayVar(&o.deny, "deny", nil, "principal that may not, as User:NAME, may be given again")
	f.StringSliceVar(&o.hosts, "host", []string{"*"}, "address, or range of addresses, that it comes from")
	f.StringSliceVar(&o.operations, "operation", nil, "what it does: "+strings.Join(aclOperations, ", "))
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would be added")
	completeWords(cmd, "allow", true, "User:")
	completeWords(cmd, "deny", true, "User:")
	completeWords(cmd, "operation", false, aclOperations...)
	o.resources.addFlags(s, cmd, &o.conn)
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runACLCreate(ctx context.Context, s *Streams, o aclCreateOptions) error {
	creations, err := o.creations()
	if err != nil {
		return err
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	if !o.dryRun {
		if err := createACLs(ctx, cl, creations); err != nil {
			return err
		}
	}
	rows := make([]aclRow, 0, len(creations))
	for _, c := range creations {
		rows = append(rows, newACLRow(c.ResourceType, c.ResourceName, c.ResourcePatternType, c.Principal, c.Host, c.Operation, c.PermissionType))
	}
	verb := "created"
	if o.dryRun {
		verb = "would create"
	}
	return writeACLs(s, verb, rows)
}

// writeACLs tells what has become of ACLs.
func writeACLs(s *Streams, verb string, rows []aclRow) error {
	fmt.Fprintf(s.Out, "%s %s\n", verb, output.Plural(int64(len(rows)), "ACL"))
	if len(rows) == 0 {
		return nil
	}
	slices.SortFunc(rows, aclRow.compare)
	return output.List(s.Out, output.Table, rows, aclColumns)
}

// creations are the ACLs that the flags ask for.
func (o *aclCreateOptions) creations() (all []kmsg.CreateACLsRequestCreation, err error) {
	resources, err := o.resources.named()
	switch {
	case err != nil:
		return nil, err
	case len(o.allow)+len(o.deny) == 0:
		return nil, fault.Usage("say for whom: --allow or --deny with User:NAME, or User:* for everybody")
	case len(o.operations) == 0:
		return nil, fault.Usage("say --operation")
	case len(resources) == 0:
		return nil, fault.Usage("say for what: --topic, --group, --transactional-id or --cluster")
	}
	if err := checkPrincipals(slices.Concat(o.allow, o.deny)); err != nil {
		return nil, err
	}
	for _, word := range o.operations {
		op, err := parseACLOperation(word)
		if err != nil {
			return nil, err
		}
		for _, r := range resources {
			for _, host := range o.hosts {
				in := kmsg.NewCreateACLsRequestCreation()
				in.ResourceType, in.ResourceName, in.ResourcePatternType, in.Host, in.Operation = r.kind, r.name, o.resources.pattern(), host, op
				for _, in.Principal = range o.allow {
					in.PermissionType = kmsg.ACLPermissionTypeAllow
					all = append(all, in)
				}
				for _, in.Principal = range o.deny {
					in.PermissionType = kmsg.ACLPermissionTypeDeny
					all = append(all, in)
				}
			}
		}
	}
	return all, nil
}

func createACLs(ctx context.Context, cl *connect.Client, creations []kmsg.CreateACLsRequestCreation) error {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	req := kmsg.NewPtrCreateACLsRequest()
	req.Creations = creations
	resp, err := req.RequestWith(ctx, cl.Client)
	if err != nil {
		return cl.Explain("cannot create ACLs", err)
	}
	for i, r := range resp.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			c := &creations[i]
			return refused(fmt.Sprintf("cannot create the ACL of %s for %s:%s", c.Principal, aclWord(c.ResourceType), c.ResourceName), err, text(r.ErrorMessage))
		}
	}
	return nil
}

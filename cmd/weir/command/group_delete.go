package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/output"
)

type groupDeleteOptions struct {
	conn   connect.Options
	names  []string
	yes    bool
	dryRun bool
}

func newGroupDelete(s *Streams) *cobra.Command {
	var o groupDeleteOptions
	cmd := &cobra.Command{
		Use:   "delete GROUP...",
		Short: "Delete consumer groups and the offsets that they have committed",
		Long: `Delete consumer groups and the offsets that they have committed. One that has members is refused: stop
its consumers first. This asks first.

  weir group delete billing
  weir group delete billing --dry-run`,
		Aliases:           []string{"rm"},
		Args:              needs(1),
		ValidArgsFunction: completeGroups(s, &o.conn),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return runGroupDelete(cmd.Context(), s, o)
		},
	}
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only show what would be deleted")
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runGroupDelete(ctx context.Context, s *Streams, o groupDeleteOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	groups, err := knownGroups(ctx, cl, o.names)
	if err != nil {
		return err
	}
	var names []string
	for _, g := range groups {
		names = append(names, g.Group)
		if o.dryRun {
			fmt.Fprintf(s.Out, "would delete group %s (%s)\n", g.Group, groupContents(g))
		} else if !o.yes {
			s.note("group %s: %s", g.Group, groupContents(g))
		}
	}
	if o.dryRun {
		return nil
	}
	question := fmt.Sprintf("Delete group %s and its committed offsets?", names[0])
	if len(names) > 1 {
		question = fmt.Sprintf("Delete these %d groups and their committed offsets?", len(names))
	}
	if err := s.confirm(o.yes, question); err != nil {
		return err
	}
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	responses, err := cl.Admin.DeleteGroups(ctx, names...)
	if err != nil {
		return cl.Explain("cannot delete "+strings.Join(names, ", "), err)
	}
	return eachOf(s, "groups", names, func(name string) (string, error) {
		r := responses[name]
		return "deleted group " + name, refused(fmt.Sprintf("cannot delete group %q", name), r.Err, r.ErrMessage)
	})
}

// groupContents says what would go with a group.
func groupContents(g kadm.DescribedGroupLag) string {
	committed := 0
	for _, l := range g.Lag.Sorted() {
		if l.Commit.At >= 0 {
			committed++
		}
	}
	return g.State + ", " + output.Plural(int64(len(g.Members)), "member") + ", " + output.Plural(int64(committed), "committed offset")
}

package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

func newGroups(s *Streams) *cobra.Command {
	cmd := group("group", "See, reset, change and remove consumer groups", newGroupList(s), newGroupDescribe(s), newGroupWatch(s), newGroupAlter(s), newGroupReset(s), newGroupClone(s), newGroupDelete(s))
	cmd.Aliases = []string{"groups"}
	return cmd
}

type groupListOptions struct {
	conn   connect.Options
	states []string
	format output.Format
}

func newGroupList(s *Streams) *cobra.Command {
	var o groupListOptions
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List consumer groups",
		Long: `List consumer groups, all or those in some states.

  weir group list
  weir group list --state Stable --state Empty -o json`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runGroupList(cmd.Context(), s, o) },
	}
	cmd.Flags().StringSliceVar(&o.states, "state", nil, "only groups in this state: Stable, Empty, PreparingRebalance, CompletingRebalance, Assigning, Reconciling")
	formatFlag(cmd, &o.format, listFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

// groupRow is a group in a list.
type groupRow struct {
	Group       string `json:"group"`
	Type        string `json:"type"` // classic or consumer: its protocol
	State       string `json:"state"`
	Protocol    string `json:"protocol_type"` // empty for a group that never had members
	Coordinator int32  `json:"coordinator"`
}

func runGroupList(ctx context.Context, s *Streams, o groupListOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	listed, err := cl.Admin.ListGroups(ctx, o.states...)
	if err != nil && !partlyListed(err) {
		return cl.Explain("cannot list groups", err)
	}
	missing := err
	consumers, err := cl.Admin.ListGroupsByType(ctx, []string{"consumer"}, o.states...)
	if err != nil && !partlyListed(err) {
		consumers = nil // the broker has no types: all are classic
	}
	rows := []groupRow{}
	for _, g := range listed.Sorted() {
		kind := "classic"
		if _, ok := consumers[g.Group]; ok {
			kind = "consumer"
		}
		rows = append(rows, groupRow{g.Group, kind, g.State, g.ProtocolType, g.Coordinator})
	}
	err = output.List(s.Out, o.format, rows, []output.Column[groupRow]{
		{Name: "GROUP", Cell: func(r groupRow) string { return r.Group }},
		{Name: "TYPE", Cell: func(r groupRow) string { return r.Type }},
		{Name: "STATE", Cell: func(r groupRow) string { return r.State }},
		{Name: "PROTOCOL TYPE", Wide: true, Cell: func(r groupRow) string { return r.Protocol }},
		{Name: "COORDINATOR", Wide: true, Cell: func(r groupRow) string { return fmt.Sprint(r.Coordinator) }},
	})
	return partly(err, "groups", missing)
}

// completeGroups offers the names of groups. It is silent when no broker answers.
func completeGroups(s *Streams, o *connect.Options) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var names []string
		atOnce(cmd.Context(), s, o, func(ctx context.Context, cl *connect.Client) {
			if listed, err := cl.Admin.ListGroups(ctx); err == nil {
				names = slices.DeleteFunc(listed.Groups(), func(n string) bool { return slices.Contains(args, n) })
			}
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// knownGroups reads groups by name, with their lag. One that does not exist is an error that says which do.
// A coordinator that has just died has a successor in a second or two: it is waited for, at most cl.Timeout.
func knownGroups(ctx context.Context, cl *connect.Client, names []string) (groups []kadm.DescribedGroupLag, err error) {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	names = distinct(names)
	for pace := (pacer{rate: listRate}); pace.wait(ctx) == nil; {
		if groups, err = askGroups(ctx, cl, names); !coordinatorless(err) {
			break
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	return groups, cl.Explain("cannot read "+strings.Join(names, ", "), err)
}

// askGroups is knownGroups without patience.
func askGroups(ctx context.Context, cl *connect.Client, names []string) ([]kadm.DescribedGroupLag, error) {
	lags, err := cl.Admin.Lag(ctx, names...)
	if err != nil {
		return nil, err
	}
	groups := make([]kadm.DescribedGroupLag, 0, len(names))
	consumers, err := consumerGroups(ctx, cl, names)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		g := lags[n]
		if c, ok := consumers[n]; ok {
			g = consumerGroupLag(ctx, cl, c)
		}
		if errors.Is(g.Error(), kerr.GroupIDNotFound) || g.Error() == nil && g.State == "Dead" { // as older brokers say it
			return nil, noSuchGroup(ctx, cl, n)
		}
		if err := g.Error(); err != nil {
			return nil, cl.Explain(fmt.Sprintf("cannot read group %q", n), err)
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// coordinatorless reports whether err may pass when a group has found its coordinator, or a new one.
func coordinatorless(err error) bool {
	var dial *net.OpError
	return leaderless(err) || errors.As(err, &dial)
}

func noSuchGroup(ctx context.Context, cl *connect.Client, name string) error {
	e := &fault.Error{
		What: fmt.Sprintf("group %q does not exist on %s", name, cl.Seeds), Code: "GROUP_ID_NOT_FOUND",
		Do: "See what there is: weir group list", Exit: fault.Failed,
	}
	if listed, err := cl.Admin.ListGroups(ctx); err == nil || partlyListed(err) {
		e.Why = fault.DidYouMean(name, listed.Groups())
	}
	return e
}

package command

import (
	"github.com/spf13/cobra"

	"weir/cmd/weir/fault"
)

func newGroupClone(s *Streams) *cobra.Command {
	var o groupResetOptions
	cmd := &cobra.Command{
		Use:   "clone GROUP NEW-GROUP",
		Short: "Give one group the committed offsets of another",
		Long: `Give a consumer group, new or without members, the offsets that another one has committed. Without --execute it
only shows what would change. It is what weir group reset NEW-GROUP --to group:GROUP --all-topics does.

  weir group clone billing billing-2
  weir group clone billing billing-2 --topic orders --execute`,
		Args:              between(2, 2),
		ValidArgsFunction: completeGroups(s, &o.conn),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == args[1] {
				return fault.Usage("%s cannot be cloned into itself", args[0])
			}
			o.group, o.to, o.allTopics = args[1], "group:"+args[0], len(o.topics) == 0
			return runGroupReset(cmd.Context(), s, o)
		},
	}
	o.addFlags(cmd, s)
	return cmd
}

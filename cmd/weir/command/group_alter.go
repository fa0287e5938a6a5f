package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/config"
	"weir/cmd/weir/connect"
)

type groupAlterOptions struct {
	conn    connect.Options
	names   []string
	configs []string
	unset   []string
	dryRun  bool
}

func newGroupAlter(s *Streams) *cobra.Command {
	var o groupAlterOptions
	cmd := &cobra.Command{
		Use:   "alter GROUP... -c KEY=VALUE",
		Short: "Change settings of consumer groups",
		Long: `Change settings of groups of the consumer protocol, by their Kafka names. What is not named stays as it is.
Members go by them from their next heartbeat on. A group need not exist yet.

  weir group alter billing -c consumer.session.timeout.ms=60000
  weir group alter billing --unset consumer.session.timeout.ms
  weir group describe billing --all`,
		Args:              needs(1),
		ValidArgsFunction: completeGroups(s, &o.conn),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return runGroupAlter(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.configs, "config", "c", nil, "group setting key=value, may be given again")
	f.StringSliceVar(&o.unset, "unset", nil, "group setting to put back to its default")
	f.BoolVar(&o.dryRun, "dry-run", false, "only check and show what would change")
	completeWords(cmd, "config", true, keysOf(config.ScopeGroup, "=")...)
	completeWords(cmd, "unset", false, keysOf(config.ScopeGroup, "")...)
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runGroupAlter(ctx context.Context, s *Streams, o groupAlterOptions) error {
	values, err := keyValues("-c", o.configs)
	if err == nil {
		err = checkSettingFlags(values, o.unset)
	}
	if err != nil {
		return err
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	was, err := readSettings(ctx, cl, kmsg.ConfigResourceTypeGroupConfig, o.names, true)
	if err != nil {
		return err
	}
	verb := "changed"
	if o.dryRun {
		verb = "would change"
	}
	return eachOf(s, "groups", o.names, func(name string) (string, error) {
		what := fmt.Sprintf("cannot change group %q", name)
		ops, changes, err := settingChanges(what, was[name], values, o.unset, "weir group describe "+name+" --all")
		if err == nil {
			err = alterSettings(ctx, cl, what, kmsg.ConfigResourceTypeGroupConfig, name, ops, o.dryRun)
		}
		return fmt.Sprintf("%s group %s: %s", verb, name, strings.Join(changes, "; ")), err
	})
}

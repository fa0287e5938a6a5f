package command

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/config"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

type clusterConfigOptions struct {
	conn    connect.Options
	broker  string // empty: all
	all     bool
	configs []string
	unset   []string
	dryRun  bool
	format  output.Format
}

func newClusterConfig(s *Streams) *cobra.Command {
	var o clusterConfigOptions
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show or change settings of running brokers",
		Long: `Show what is set for all brokers, or what one runs with, and change it while they run. A broker's
own value wins over one for all, and that over its file; a topic's own wins over what its broker has.

  weir cluster config
  weir cluster config -c log.retention.ms=86400000
  weir cluster config --broker 2 --all
  weir cluster config --broker 2 --unset log.retention.ms`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runClusterConfig(cmd.Context(), s, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.broker, "broker", "", "id of the broker that is meant instead of all")
	f.BoolVar(&o.all, "all", false, "with --broker: show the defaults, too")
	f.StringArrayVarP(&o.configs, "config", "c", nil, "setting key=value, may be given again")
	f.StringSliceVar(&o.unset, "unset", nil, "setting to take back")
	f.BoolVar(&o.dryRun, "dry-run", false, "only check and show what would change")
	completeWords(cmd, "config", true, keysOf(config.ScopeBroker, "=")...)
	completeWords(cmd, "unset", false, keysOf(config.ScopeBroker, "")...)
	formatFlag(cmd, &o.format, objectFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

// clusterConfig is what -o json shows.
type clusterConfig struct {
	Broker   string      `json:"broker"` // empty: all
	Settings []configRow `json:"configs"`
}

func runClusterConfig(ctx context.Context, s *Streams, o clusterConfigOptions) error {
	if _, err := strconv.ParseUint(o.broker, 10, 31); err != nil && o.broker != "" {
		return fault.Usage("--broker takes the id of a broker, not %q", o.broker)
	}
	values, err := keyValues("-c", o.configs)
	if err != nil {
		return err
	}
	alters := len(values)+len(o.unset) > 0
	if alters {
		if err := checkSettingFlags(values, o.unset); err != nil {
			return err
		}
	}
	cl, v, err := s.openCluster(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	if alters && v.controller < 0 {
		return &fault.Error{What: "cannot change " + brokersNamed(o.broker), Why: "The cluster has no controller now.", Do: "Try again: weir cluster health"}
	}
	if alters {
		return o.alter(ctx, s, cl, v, values)
	}
	settings, err := readSettings(ctx, cl, kmsg.ConfigResourceTypeBroker, []string{o.broker}, o.all)
	if err != nil {
		return err
	}
	shown := clusterConfig{o.broker, settings[o.broker]}
	return output.One(s.Out, o.format, shown, shown.write)
}

func (c clusterConfig) write(w io.Writer) error {
	if len(c.Settings) == 0 {
		_, err := fmt.Fprintf(w, "nothing is set for %s\n", brokersNamed(c.Broker))
		return err
	}
	return settingsTable(w, c.Settings)
}

func brokersNamed(id string) string {
	if id == "" {
		return "all brokers"
	}
	return "broker " + id
}

func (o *clusterConfigOptions) alter(ctx context.Context, s *Streams, cl *connect.Client, v *clusterView, values map[string]string) error {
	what := "cannot change " + brokersNamed(o.broker)
	was, err := o.known(ctx, cl, v)
	if err != nil {
		return err
	}
	ops, changes, err := settingChanges(what, was, values, o.unset, "weir cluster config --broker ID --all")
	if err == nil {
		err = alterSettings(ctx, cl, what, kmsg.ConfigResourceTypeBroker, o.broker, ops, o.dryRun)
	}
	if err != nil {
		return err
	}
	verb := "changed"
	if o.dryRun {
		verb = "would change"
	}
	_, err = fmt.Fprintf(s.Out, "%s %s: %s\n", verb, brokersNamed(o.broker), strings.Join(changes, "; "))
	return err
}

// known is all settings that there are: those of the broker, or for all what is set and else what some broker has.
func (o *clusterConfigOptions) known(ctx context.Context, cl *connect.Client, v *clusterView) ([]configRow, error) {
	id := o.broker
	if id == "" {
		id = strconv.Itoa(int(v.controller))
	}
	settings, err := readSettings(ctx, cl, kmsg.ConfigResourceTypeBroker, slices.Compact([]string{id, o.broker}), true)
	if err != nil {
		return nil, err
	}
	byKey := map[string]configRow{}
	for _, name := range []string{id, o.broker} {
		for _, row := range settings[name] {
			byKey[row.Key] = row
		}
	}
	return slices.Collect(maps.Values(byKey)), nil
}

package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"weir/cluster/config"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
)

type topicAlterOptions struct {
	conn    connect.Options
	names   []string
	regex   bool
	configs []string
	unset   []string
	dryRun  bool
}

func newTopicAlter(s *Streams) *cobra.Command {
	var o topicAlterOptions
	cmd := &cobra.Command{
		Use:   "alter TOPIC... -c KEY=VALUE",
		Short: "Change settings of topics",
		Long: `Change settings of topics, by their Kafka names. What is not named stays as it is.

  weir topic alter orders -c retention.ms=86400000
  weir topic alter orders --unset retention.ms
  weir topic alter -r '^orders' -c cleanup.policy=compact --dry-run`,
		Args:              needs(1),
		ValidArgsFunction: completeTopics(s, &o.conn, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return runTopicAlter(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.configs, "config", "c", nil, "topic setting key=value, may be given again")
	f.StringSliceVar(&o.unset, "unset", nil, "topic setting to put back to its default")
	f.BoolVarP(&o.regex, "regex", "r", false, "the topics are regular expressions")
	f.BoolVar(&o.dryRun, "dry-run", false, "only check and show what would change")
	completeWords(cmd, "config", true, keysOf(config.ScopeTopic, "=")...)
	completeWords(cmd, "unset", false, keysOf(config.ScopeTopic, "")...)
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runTopicAlter(ctx context.Context, s *Streams, o topicAlterOptions) error {
	values, err := keyValues("-c", o.configs)
	if err != nil {
		return err
	}
	if err := checkSettingFlags(values, o.unset); err != nil {
		return err
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	topics, err := findTopics(ctx, cl, o.names, o.regex, true)
	if err != nil {
		return err
	}
	before, err := describeTopics(ctx, cl, topics, true)
	if err != nil {
		return err
	}
	was := map[string]topicDescription{}
	var names []string
	for _, d := range before {
		was[d.Topic] = d
		names = append(names, d.Topic)
	}
	return eachTopic(s, names, func(name string) (string, error) {
		return o.alter(ctx, cl, was[name], values)
	})
}

// alter changes one topic and returns what changed in words.
func (o *topicAlterOptions) alter(ctx context.Context, cl *connect.Client, was topicDescription, values map[string]string) (string, error) {
	what := fmt.Sprintf("cannot change topic %q", was.Topic)
	ops, changes, err := settingChanges(what, was.Configs, values, o.unset, "weir topic describe "+was.Topic+" --all")
	if err != nil {
		return "", err
	}
	apply, verb := cl.Admin.AlterTopicConfigs, "changed"
	if o.dryRun {
		apply, verb = cl.Admin.ValidateAlterTopicConfigs, "would change"
	}
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	responses, err := apply(ctx, ops, was.Topic)
	message := ""
	if err == nil {
		r, onErr := responses.On(was.Topic, nil)
		if message, err = r.ErrMessage, onErr; err == nil {
			err = r.Err
		}
	}
	if err != nil {
		return "", refused(what, err, message)
	}
	return fmt.Sprintf("%s topic %s: %s", verb, was.Topic, strings.Join(changes, "; ")), nil
}

// settingChanges turns what is to be set and unset into a request, and into words, for something whose settings are
// was, all of them. names is the command that shows which there are.
func settingChanges(what string, was []configRow, values map[string]string, unset []string, names string) (ops []kadm.AlterConfig, changes []string, err error) {
	known := map[string]configRow{}
	for _, c := range was {
		known[c.Key] = c
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value := values[key]
		ops = append(ops, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &value})
		changes = append(changes, key+" "+settingText(key, known[key].Value, known[key].Sensitive)+" -> "+settingText(key, &value, false))
	}
	for _, key := range unset {
		ops = append(ops, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: key})
		changes = append(changes, key+" "+settingText(key, known[key].Value, known[key].Sensitive)+" -> default")
	}
	for _, op := range ops {
		if _, ok := known[op.Name]; !ok && len(known) > 0 {
			return nil, nil, &fault.Error{What: fmt.Sprintf("%s: no setting %q", what, op.Name), Code: kerr.InvalidConfig.Message,
				Why: fault.DidYouMean(op.Name, slices.Sorted(maps.Keys(known))), Do: "See the names: " + names}
		}
	}
	return ops, changes, nil
}

// checkSettingFlags refuses -c and --unset that say nothing, or both for one key.
func checkSettingFlags(values map[string]string, unset []string) error {
	if len(values)+len(unset) == 0 {
		return fault.Usage("say what to change with -c key=value or --unset key")
	}
	for _, key := range unset {
		if _, both := values[key]; both {
			return fault.Usage("%s is given to -c and to --unset", key)
		}
	}
	return nil
}

package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"weir/cluster/config"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

type topicCreateOptions struct {
	conn        connect.Options
	names       []string
	partitions  int32
	replicas    int16
	configs     []string
	ifNotExists bool
	dryRun      bool
}

func (o *topicCreateOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Int32VarP(&o.partitions, "partitions", "p", -1, "number of partitions (default the broker's num.partitions)")
	f.Int16VarP(&o.replicas, "replicas", "r", -1, "copies of each partition (default the broker's default.replication.factor)")
	f.StringArrayVarP(&o.configs, "config", "c", nil, "topic setting key=value by its Kafka name, may be given again")
	f.BoolVar(&o.ifNotExists, "if-not-exists", false, "a topic that is there already is no error")
	f.BoolVar(&o.dryRun, "dry-run", false, "only check whether it could be done")
	completeWords(cmd, "config", true, keysOf(config.ScopeTopic, "=")...)
}

func newTopicCreate(s *Streams) *cobra.Command {
	var o topicCreateOptions
	cmd := &cobra.Command{
		Use:   "create TOPIC...",
		Short: "Create topics",
		Long: `Create topics.

  weir topic create orders -p 12
  weir topic create audit -c retention.ms=-1 -c min.insync.replicas=2 -r 3`,
		Args:              needs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return runTopicCreate(cmd.Context(), s, o)
		},
	}
	o.addFlags(cmd)
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runTopicCreate(ctx context.Context, s *Streams, o topicCreateOptions) error {
	if o.partitions == 0 || o.partitions < -1 {
		return fault.Usage("-p %d: a topic has at least one partition", o.partitions)
	}
	if o.replicas == 0 || o.replicas < -1 {
		return fault.Usage("-r %d: there is at least one copy", o.replicas)
	}
	configs, err := keyValues("-c", o.configs)
	if err != nil {
		return err
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	create := cl.Admin.CreateTopics
	if o.dryRun {
		create = cl.Admin.ValidateCreateTopics
	}
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	values := map[string]*string{}
	for k, v := range configs {
		values[k] = &v
	}
	names := distinct(o.names)
	responses, err := create(ctx, o.partitions, o.replicas, values, names...)
	if err != nil {
		return cl.Explain("cannot create topics on "+cl.Seeds, err)
	}
	return eachTopic(s, names, func(name string) (string, error) { return o.outcome(ctx, cl, name, responses) })
}

// outcome puts what became of one topic into words.
func (o *topicCreateOptions) outcome(ctx context.Context, cl *connect.Client, name string, responses kadm.CreateTopicResponses) (string, error) {
	r, err := responses.On(name, nil)
	if err == nil {
		err = r.Err
	}
	switch {
	case o.ifNotExists && errors.Is(err, kerr.TopicAlreadyExists):
		return fmt.Sprintf("topic %s is there already", name), nil
	case err != nil:
		return "", refused(fmt.Sprintf("cannot create topic %q", name), err, r.ErrMessage)
	}
	partitions := r.NumPartitions
	if partitions <= 0 { // a broker before version 5 of the request does not say
		if details, err := listTopics(ctx, cl, name); err == nil {
			partitions = int32(len(details[name].Partitions))
		}
	}
	verb := "created"
	if o.dryRun {
		verb = "would create"
	}
	if partitions <= 0 {
		return fmt.Sprintf("%s topic %s", verb, name), nil
	}
	return fmt.Sprintf("%s topic %s (%s)", verb, name, output.Plural(int64(partitions), "partition")), nil
}

// refused explains a code together with the broker's own sentence about it, which says more.
func refused(what string, err error, message string) error {
	err = fault.Explain(what, err)
	var e *fault.Error
	if message = strings.TrimSuffix(strings.TrimSpace(message), "."); message != "" && errors.As(err, &e) {
		e.Why = strings.ToUpper(message[:1]) + message[1:]
	}
	return err
}

// keyValues reads key=value flags. A key given twice is refused.
func keyValues(flag string, pairs []string) (map[string]string, error) {
	values := make(map[string]string, len(pairs))
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if k = strings.TrimSpace(k); !ok || k == "" {
			return nil, fault.Usage("%s %s: write key=value", flag, p)
		}
		if _, twice := values[k]; twice {
			return nil, fault.Usage("%s %s is given twice", flag, k)
		}
		values[k] = v
	}
	return values, nil
}

package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"weir/cluster/quota"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
)

type quotaSetOptions struct {
	conn    connect.Options
	entity  []string
	configs []string
	unset   []string
	dryRun  bool
}

func newQuotaSet(s *Streams) *cobra.Command {
	var o quotaSetOptions
	cmd := &cobra.Command{
		Use:   "set ENTITY -c KEY=VALUE",
		Short: "Set quotas of clients",
		Long: `Set what clients may take of each broker, by Kafka's names: producer_byte_rate and consumer_byte_rate, bytes a second, and
request_percentage, time of one processor. What is not named stays as it is. Clients that are connected are held to it at once.
The most particular quota counts: of a client id of a user, then of the user, then of the client id.

  weir quota set client-id=billing -c producer_byte_rate=10MiB -c consumer_byte_rate=20MiB
  weir quota set client-id -c request_percentage=50        each client id without a quota of its own
  weir quota set client-id=billing --unset producer_byte_rate`,
		Args:              between(1, len(quotaTypes)),
		ValidArgsFunction: completeEntities(s, &o.conn),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.entity = args
			return runQuotaSet(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.configs, "config", "c", nil, "quota key=value, may be given again")
	f.StringSliceVar(&o.unset, "unset", nil, "quota to remove")
	f.BoolVar(&o.dryRun, "dry-run", false, "only check")
	completeWords(cmd, "config", true, quotaKeys("=")...)
	completeWords(cmd, "unset", false, quotaKeys("")...)
	withConnection(s, cmd, &o.conn)
	return cmd
}

// quotaKeys are the names of quotas, each with end appended.
func quotaKeys(end string) (keys []string) {
	for _, k := range quota.Kinds() {
		keys = append(keys, k.String()+end)
	}
	return keys
}

func runQuotaSet(ctx context.Context, s *Streams, o quotaSetOptions) error {
	e, err := parseEntity(o.entity)
	if err != nil {
		return err
	}
	ops, changes, err := quotaOps(o)
	if err != nil {
		return err
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := alterQuotas(ctx, cl, e, ops, o.dryRun); err != nil {
		return err
	}
	verb := "changed"
	if o.dryRun {
		verb = "would change"
	}
	fmt.Fprintf(s.Out, "%s quotas of %s: %s\n", verb, entityWords(e), strings.Join(changes, "; "))
	return nil
}

// quotaOps reads the flags, and says in words what they ask for.
func quotaOps(o quotaSetOptions) (ops []kadm.AlterClientQuotaOp, changes []string, err error) {
	values, err := keyValues("-c", o.configs)
	if err == nil {
		err = checkSettingFlags(values, o.unset)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value, err := quotaValue(key, values[key])
		if err != nil {
			return nil, nil, err
		}
		ops = append(ops, kadm.AlterClientQuotaOp{Key: key, Value: value})
		changes = append(changes, key+"="+strconv.FormatFloat(value, 'f', -1, 64))
	}
	for _, key := range distinct(o.unset) {
		ops = append(ops, kadm.AlterClientQuotaOp{Key: key, Remove: true})
		changes = append(changes, key+" removed")
	}
	return ops, changes, nil
}

// quotaValue reads a percentage, or bytes in any unit.
func quotaValue(key, value string) (float64, error) {
	k, known := quota.Lookup(key)
	if !known {
		return 0, fault.Usage("there is no quota %q; there are %s", key, strings.Join(quotaKeys(""), ", "))
	}
	if k == quota.Request {
		percent, err := strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
		if err != nil {
			return 0, fault.Usage("%s: %q is not a percentage", key, value)
		}
		return percent, nil
	}
	var size sizeValue
	if err := size.Set(strings.TrimSuffix(value, "/s")); err != nil {
		return 0, fault.Usage("%s: %v", key, err)
	}
	return float64(size), nil
}

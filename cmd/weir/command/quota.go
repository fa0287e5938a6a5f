package command

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"weir/cluster/quota"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

func newQuota(s *Streams) *cobra.Command {
	cmd := group("quota", "See and set what clients may take", newQuotaList(s), newQuotaDescribe(s), newQuotaSet(s), newQuotaDelete(s))
	cmd.Aliases = []string{"quotas"}
	return cmd
}

// Types of entities that have quotas, by Kafka's names.
var quotaTypes = []string{"client-id", "user"}

// quotaRow is an entity and its quotas by Kafka's names. The entity is written as the commands take it.
type quotaRow struct {
	Entity string             `json:"entity"`
	Quotas map[string]float64 `json:"quotas"`
}

type quotaListOptions struct {
	conn   connect.Options
	format output.Format
}

func newQuotaList(s *Streams) *cobra.Command {
	var o quotaListOptions
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List quotas of clients",
		Long: `List whom quotas are set for. "client-id=NAME" is a client id, "client-id" alone each that has no quota of its own; so it is
with users, and with client ids of users.

  weir quota list
  weir quota list -o json`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runQuotaList(cmd.Context(), s, o) },
	}
	formatFlag(cmd, &o.format, listFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runQuotaList(ctx context.Context, s *Streams, o quotaListOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	rows, err := readQuotas(ctx, cl)
	if err != nil {
		return err
	}
	columns := []output.Column[quotaRow]{{Name: "ENTITY", Cell: func(r quotaRow) string { return r.Entity }}}
	for i, name := range []string{"PRODUCE", "FETCH", "REQUESTS"} {
		k := quota.Kinds()[i]
		columns = append(columns, output.Column[quotaRow]{Name: name, Cell: func(r quotaRow) string { return quotaText(r, k) }})
	}
	return output.List(s.Out, o.format, rows, columns)
}

// quotaText is how people read a quota.
func quotaText(r quotaRow, k quota.Kind) string {
	value, set := r.Quotas[k.String()]
	switch {
	case !set:
		return "-"
	case k == quota.Request:
		return strconv.FormatFloat(value, 'g', -1, 64) + "%"
	}
	return output.Bytes(int64(value)) + "/s"
}

func readQuotas(ctx context.Context, cl *connect.Client) ([]quotaRow, error) {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	described, err := cl.Admin.DescribeClientQuotas(ctx, false, nil)
	if err != nil {
		return nil, cl.Explain("cannot read quotas", err)
	}
	rows := []quotaRow{}
	for _, d := range described {
		r := quotaRow{Entity: entityWords(d.Entity), Quotas: map[string]float64{}}
		for _, v := range d.Values {
			r.Quotas[v.Key] = v.Value
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b quotaRow) int { return strings.Compare(a.Entity, b.Entity) })
	return rows, nil
}

// entityWords is how an entity is written, its types in the order of the alphabet.
func entityWords(e kadm.ClientQuotaEntity) string {
	var words []string
	for _, c := range e {
		if c.Name == nil {
			words = append(words, c.Type)
		} else {
			words = append(words, c.Type+"="+*c.Name)
		}
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// parseEntity reads an entity from its words.
func parseEntity(words []string) (kadm.ClientQuotaEntity, error) {
	var e kadm.ClientQuotaEntity
	for _, word := range words {
		c := kadm.ClientQuotaEntityComponent{Type: word}
		if kind, name, named := strings.Cut(word, "="); named {
			c = kadm.ClientQuotaEntityComponent{Type: kind, Name: &name}
		}
		if !slices.Contains(quotaTypes, c.Type) || c.Name != nil && *c.Name == "" {
			return nil, fault.Usage("%q is nobody who could have a quota: write client-id=NAME or user=NAME, or without a name for all that have none of their own", word)
		}
		if slices.ContainsFunc(e, func(o kadm.ClientQuotaEntityComponent) bool { return o.Type == c.Type }) {
			return nil, fault.Usage("%s is given twice", c.Type)
		}
		e = append(e, c)
	}
	return e, nil
}

// completeEntities offers those that have quotas when nothing is written yet, and the types.
func completeEntities(s *Streams, o *connect.Options) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		offered := map[string]bool{}
		for _, kind := range quotaTypes {
			offered[kind], offered[kind+"="] = true, true
		}
		atOnce(cmd.Context(), s, o, func(ctx context.Context, cl *connect.Client) {
			rows, _ := readQuotas(ctx, cl) // who presses a key is not told why there are none
			for _, r := range rows {
				for _, word := range strings.Fields(r.Entity) {
					offered[word] = true
				}
			}
		})
		var words []string
		for word := range offered {
			kind, _, _ := strings.Cut(word, "=")
			if !slices.ContainsFunc(args, func(a string) bool { return a == kind || strings.HasPrefix(a, kind+"=") }) {
				words = append(words, word)
			}
		}
		slices.Sort(words)
		return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// openQuotas connects and finds the quotas of the entity that words name. The caller closes the client.
func (s *Streams) openQuotas(ctx context.Context, o *connect.Options, words []string) (*connect.Client, kadm.ClientQuotaEntity, quotaRow, error) {
	e, err := parseEntity(words)
	if err != nil {
		return nil, nil, quotaRow{}, err
	}
	cl, err := s.open(ctx, o)
	if err != nil {
		return nil, nil, quotaRow{}, err
	}
	row, err := quotasOf(ctx, cl, e)
	if err != nil {
		cl.Close()
	}
	return cl, e, row, err
}

// quotasOf finds the quotas of an entity.
func quotasOf(ctx context.Context, cl *connect.Client, e kadm.ClientQuotaEntity) (quotaRow, error) {
	rows, err := readQuotas(ctx, cl)
	if err != nil {
		return quotaRow{}, err
	}
	words := entityWords(e)
	var others []string
	for _, r := range rows {
		if r.Entity == words {
			return r, nil
		}
		others = append(others, r.Entity)
	}
	return quotaRow{}, &fault.Error{What: fmt.Sprintf("%s has no quota of its own on %s", words, cl.Seeds), Why: fault.DidYouMean(words, others),
		Do: "See what there is: weir quota list", Exit: fault.Failed}
}

// alterQuotas changes quotas of an entity, or only has that checked.
func alterQuotas(ctx context.Context, cl *connect.Client, e kadm.ClientQuotaEntity, ops []kadm.AlterClientQuotaOp, dryRun bool) error {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	alter := cl.Admin.AlterClientQuotas
	if dryRun {
		alter = cl.Admin.ValidateAlterClientQuotas
	}
	what := "cannot change the quotas of " + entityWords(e)
	altered, err := alter(ctx, []kadm.AlterClientQuotaEntry{{Entity: e, Ops: ops}})
	if err != nil {
		return cl.Explain(what, err)
	}
	return refused(what, altered[0].Err, altered[0].ErrMessage)
}

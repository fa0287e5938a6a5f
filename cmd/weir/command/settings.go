package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/output"
)

// writeSettings writes a table of settings below something else, none if there are none.
func writeSettings(w io.Writer, settings []configRow) error {
	if len(settings) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return settingsTable(w, settings)
}

func settingsTable(w io.Writer, settings []configRow) error {
	return output.List(w, output.Table, settings, []output.Column[configRow]{
		{Name: "SETTING", Cell: func(c configRow) string { return c.Key }},
		{Name: "VALUE", Cell: func(c configRow) string { return settingText(c.Key, c.Value, c.Sensitive) }},
		{Name: "SOURCE", Cell: func(c configRow) string { return c.Source }},
	})
}

// readSettings reads the settings of groups or brokers, by name; of a broker that knows none of groups, there are
// none. all has it keep those that are the default.
func readSettings(ctx context.Context, cl *connect.Client, kind kmsg.ConfigResourceType, names []string, all bool) (map[string][]configRow, error) {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range names {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kind, name
		req.Resources = append(req.Resources, r)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, cl.Explain("cannot read the settings of "+strings.Join(names, ", "), err)
	}
	settings := make(map[string][]configRow, len(names))
	for _, r := range resp.Resources {
		rows := []configRow{}
		for _, c := range r.Configs {
			if all || c.Source != kmsg.ConfigSourceDefaultConfig {
				rows = append(rows, configRow{c.Name, c.Value, sourceWord(c.Source), c.IsSensitive})
			}
		}
		slices.SortFunc(rows, func(a, b configRow) int { return strings.Compare(a.Key, b.Key) })
		settings[r.ResourceName] = rows
	}
	return settings, nil
}

// alterSettings changes the settings of a group or of brokers, or only has that checked.
func alterSettings(ctx context.Context, cl *connect.Client, what string, kind kmsg.ConfigResourceType, name string, ops []kadm.AlterConfig, dryRun bool) error {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = dryRun
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, op := range ops {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = op.Name, op.Value
		if op.Value == nil {
			c.Op = kmsg.IncrementalAlterConfigOpDelete
		}
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return cl.Explain(what, err)
	}
	return refused(what, kerr.ErrorForCode(resp.Resources[0].ErrorCode), text(resp.Resources[0].ErrorMessage))
}

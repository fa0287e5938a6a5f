package command

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/output"
)

// withConnection adds the connection flags to cmd and makes `-X list` print what -X takes instead of
// running.
func withConnection(s *Streams, cmd *cobra.Command, o *connect.Options) {
	o.AddFlags(cmd.Flags())
	completeWords(cmd, "property", true, propertyWords()...)
	run, args := cmd.RunE, cmd.Args
	cmd.Args = func(cmd *cobra.Command, given []string) error {
		if args == nil || asksForProperties(o) {
			return nil
		}
		return args(cmd, given)
	}
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		if asksForProperties(o) {
			return listProperties(s)
		}
		return run(cmd, given)
	}
}

func asksForProperties(o *connect.Options) bool {
	return len(o.Properties) == 1 && (o.Properties[0] == "list" || o.Properties[0] == "help")
}

func listProperties(s *Streams) error {
	return output.List(s.Out, output.Table, connect.Properties(), []output.Column[connect.Property]{
		{Name: "PROPERTY", Cell: func(p connect.Property) string { return p.Name }},
		{Name: "ALSO", Cell: func(p connect.Property) string {
			if len(p.Aliases) > 0 {
				return p.Aliases[0]
			}
			return ""
		}},
		{Name: "MEANING", Cell: func(p connect.Property) string { return p.Help }},
	})
}

// open connects with the command's flags.
func (s *Streams) open(ctx context.Context, o *connect.Options, defaults ...kgo.Opt) (*connect.Client, error) {
	return o.Open(ctx, s.Getenv, s.Err, defaults...)
}

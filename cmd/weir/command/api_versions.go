package command

import (
	"context"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/output"
)

// apiRange is one Kafka API and the versions of it that a broker speaks, both ends included.
type apiRange struct {
	Key  int16  `json:"key"`
	Name string `json:"name"`
	Min  int16  `json:"min_version"`
	Max  int16  `json:"max_version"`
}

func newAPIVersions(s *Streams) *cobra.Command {
	var conn connect.Options
	var format output.Format
	cmd := &cobra.Command{
		Use:   "api-versions",
		Short: "List the Kafka APIs a broker speaks, and in which versions",
		Args:  between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runAPIVersions(cmd.Context(), s, conn, format)
		},
	}
	formatFlag(cmd, &format, listFormats)
	withConnection(s, cmd, &conn)
	return cmd
}

func runAPIVersions(ctx context.Context, s *Streams, conn connect.Options, format output.Format) error {
	cl, err := s.open(ctx, &conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, cl.Timeout)
	defer cancel()
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "weir", "cli"
	resp, err := req.RequestWith(ctx, cl.SeedBrokers()[0])
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return cl.Explain("cannot list the API versions of "+cl.Seeds, err)
	}
	return writeAPIRanges(s.Out, format, resp.ApiKeys)
}

func writeAPIRanges(w io.Writer, format output.Format, keys []kmsg.ApiVersionsResponseApiKey) error {
	ranges := make([]apiRange, len(keys))
	for i, k := range keys {
		ranges[i] = apiRange{Key: k.ApiKey, Name: kmsg.NameForKey(k.ApiKey), Min: k.MinVersion, Max: k.MaxVersion}
	}
	number := func(n int16) string { return strconv.Itoa(int(n)) }
	return output.List(w, format, ranges, []output.Column[apiRange]{
		{Name: "API", Cell: func(a apiRange) string { return a.Name }},
		{Name: "KEY", Cell: func(a apiRange) string { return number(a.Key) }},
		{Name: "MIN", Cell: func(a apiRange) string { return number(a.Min) }},
		{Name: "MAX", Cell: func(a apiRange) string { return number(a.Max) }},
	})
}

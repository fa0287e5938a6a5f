package command

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/output"
)

func newBroker(s *Streams) *cobra.Command {
	cmd := group("broker", "See brokers, drain one, and take one out of the cluster",
		newBrokerList(s), newBrokerDrain(s), newBrokerUndrain(s), newBrokerDecommission(s))
	cmd.Aliases = []string{"brokers"}
	return cmd
}

func newBrokerList(s *Streams) *cobra.Command {
	var conn connect.Options
	var format output.Format
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List brokers",
		Long: `List the brokers of the cluster: where each is, whether it answers, what it leads and holds.

  weir broker list
  weir broker list -o json`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runBrokerList(cmd.Context(), s, &conn, format) },
	}
	formatFlag(cmd, &format, listFormats)
	withConnection(s, cmd, &conn)
	return cmd
}

type brokerRow struct {
	Broker     int32       `json:"broker"`
	Address    string      `json:"address"`
	Rack       *string     `json:"rack"`
	State      brokerState `json:"state"`
	Controller bool        `json:"controller"`
	Leads      int         `json:"leads"`
	Replicas   int         `json:"replicas"`
	SizeBytes  *int64      `json:"size_bytes"` // null when the broker does not say
}

func (v *clusterView) brokerRows() []brokerRow {
	var rows []brokerRow
	for _, b := range v.brokers {
		row := brokerRow{Broker: b.id, Address: b.address, State: b.state, Controller: b.id == v.controller}
		if b.rack != "" {
			row.Rack = &b.rack
		}
		for _, p := range v.partitions {
			row.Leads += count(p.Leader == b.id)
			for _, id := range p.Replicas {
				row.Replicas += count(id == b.id)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func runBrokerList(ctx context.Context, s *Streams, conn *connect.Options, format output.Format) error {
	cl, v, err := s.openCluster(ctx, conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	v.ping(ctx, cl)
	rows := v.brokerRows()
	for i := range rows {
		if rows[i].State.answers() {
			rows[i].SizeBytes = brokerSize(ctx, cl, rows[i].Broker)
		}
	}
	return output.List(s.Out, format, rows, []output.Column[brokerRow]{
		{Name: "BROKER", Cell: func(r brokerRow) string { return strconv.Itoa(int(r.Broker)) }},
		{Name: "ADDRESS", Cell: func(r brokerRow) string { return r.Address }},
		{Name: "RACK", Cell: func(r brokerRow) string { return text(r.Rack) }},
		{Name: "STATE", Cell: func(r brokerRow) string { return string(r.State) }},
		{Name: "CONTROLLER", Cell: func(r brokerRow) string {
			if r.Controller {
				return "yes"
			}
			return ""
		}},
		{Name: "LEADS", Cell: func(r brokerRow) string { return strconv.Itoa(r.Leads) }},
		{Name: "REPLICAS", Cell: func(r brokerRow) string { return strconv.Itoa(r.Replicas) }},
		{Name: "SIZE", Cell: func(r brokerRow) string {
			if r.SizeBytes == nil {
				return ""
			}
			return output.Bytes(*r.SizeBytes)
		}},
	})
}

// brokerSize is what a broker's partitions take of its disk, nil when it does not say.
func brokerSize(ctx context.Context, cl *connect.Client, id int32) *int64 {
	ctx, cancel := context.WithTimeout(ctx, min(cl.Timeout, pingTimeout))
	defer cancel()
	dirs, err := cl.Admin.DescribeBrokerLogDirs(ctx, id, nil)
	if err != nil || dirs.Error() != nil {
		return nil
	}
	size := dirs.Size()
	return &size
}

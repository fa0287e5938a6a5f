package command

import (
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"weir/cmd/weir/local"
	"weir/cmd/weir/output"
)

// devRow is a node of a local cluster in a list. pid and since are of its process if that runs, since
// else of its end.
type devRow struct {
	Node  int        `json:"node"`
	Kafka string     `json:"kafka"`
	Peer  string     `json:"peer"`
	Pid   *int       `json:"pid"`
	Up    bool       `json:"up"`
	Since *time.Time `json:"since"` // null when nobody saw it end
	Ended string     `json:"ended,omitempty"`
	Log   string     `json:"log"`
}

func newDevStatus(s *Streams) *cobra.Command {
	var data string
	var format output.Format
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the brokers of a local cluster",
		Long: `Show the brokers of a cluster that weir dev --nodes started: which run, where, and since when.

  weir dev status
  weir dev status -o json`,
		Args: between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			dir, state, err := loadDev(data)
			if err != nil {
				return err
			}
			var rows []devRow
			for i := range state.Nodes {
				rows = append(rows, devRowOf(dir, &state.Nodes[i]))
			}
			if err := writeDevRows(s, format, rows); err != nil {
				return err
			}
			if !state.Supervised() && slices.ContainsFunc(rows, func(r devRow) bool { return r.Up }) {
				unsupervised(s, data)
			}
			return nil
		},
	}
	devDataFlag(cmd, &data)
	formatFlag(cmd, &format, listFormats)
	return cmd
}

// unsupervised tells that no Ctrl-C ends the brokers.
func unsupervised(s *Streams, data string) {
	s.note("weir dev does not run in the foreground any more; %s stops the brokers", devVerb("stop", data))
}

func devRowOf(dir local.Dir, n *local.Node) devRow {
	row := devRow{Node: n.ID, Kafka: n.Kafka, Peer: n.Peer, Up: n.Up(), Log: dir.Log(n.ID)}
	switch {
	case row.Up:
		row.Pid, row.Since = &n.Process.Pid, &n.Process.Started
	case n.Ended != "":
		row.Ended, row.Since = string(n.Ended), &n.At
	default: // and nobody looked
		row.Ended = string(local.ByItself)
	}
	return row
}

func writeDevRows(s *Streams, f output.Format, rows []devRow) error {
	return output.List(s.Out, f, rows, []output.Column[devRow]{
		{Name: "NODE", Cell: func(r devRow) string { return strconv.Itoa(r.Node) }},
		{Name: "KAFKA", Cell: func(r devRow) string { return r.Kafka }},
		{Name: "PEER", Wide: true, Cell: func(r devRow) string { return r.Peer }},
		{Name: "PID", Cell: func(r devRow) string {
			if r.Pid == nil {
				return ""
			}
			return strconv.Itoa(*r.Pid)
		}},
		{Name: "STATE", Cell: func(r devRow) string {
			if r.Up {
				return "up"
			}
			return "down"
		}},
		{Name: "SINCE", Cell: func(r devRow) string {
			if r.Since == nil {
				return ""
			}
			return output.Time(*r.Since)
		}},
		{Name: "ENDED", Cell: func(r devRow) string { return r.Ended }},
		{Name: "LOG", Wide: true, Cell: func(r devRow) string { return r.Log }},
	})
}

package command

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/output"
)

func newCluster(s *Streams) *cobra.Command {
	return group("cluster", "See the cluster as a whole", newClusterInfo(s), newClusterHealth(s), newClusterQuorum(s), newClusterConfig(s))
}

func newClusterInfo(s *Streams) *cobra.Command {
	var conn connect.Options
	var format output.Format
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Show what the cluster consists of",
		Long: `Show what the cluster consists of.

  weir cluster info
  weir cluster info -o json`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runClusterInfo(cmd.Context(), s, &conn, format) },
	}
	formatFlag(cmd, &format, objectFormats)
	withConnection(s, cmd, &conn)
	return cmd
}

type clusterInfo struct {
	ID              string      `json:"cluster_id"`
	Controller      *int32      `json:"controller"` // null: not known
	Brokers         []brokerRow `json:"brokers"`
	Topics          int         `json:"topics"`
	Partitions      int         `json:"partitions"`
	Leaderless      int         `json:"leaderless_partitions"`
	UnderReplicated int         `json:"under_replicated_partitions"`
	Moving          int         `json:"moving_partitions"`
	Features        []feature   `json:"features"`
}

func runClusterInfo(ctx context.Context, s *Streams, conn *connect.Options, format output.Format) error {
	cl, v, err := s.openCluster(ctx, conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	v.ping(ctx, cl)
	features, err := readFeatures(ctx, cl)
	if err != nil {
		return err
	}
	info := clusterInfo{ID: v.id, Features: features, Topics: v.topics, Partitions: len(v.partitions), Brokers: v.brokerRows()}
	if v.controller >= 0 {
		info.Controller = &v.controller
	}
	for _, p := range v.partitions {
		info.Leaderless += count(p.Leaderless)
		info.UnderReplicated += count(p.UnderReplicated)
		info.Moving += count(len(p.Adding)+len(p.Removing) > 0)
	}
	return output.One(s.Out, format, info, info.write)
}

func (i clusterInfo) write(w io.Writer) error {
	controller := "none"
	if i.Controller != nil {
		controller = strconv.Itoa(int(*i.Controller))
	}
	up := 0
	for _, b := range i.Brokers {
		up += count(b.State.answers())
	}
	return output.Rows(w, [][]string{
		{"cluster", i.ID},
		{"controller", controller},
		{"brokers", fmt.Sprintf("%d, %d up", len(i.Brokers), up)},
		{"topics", strconv.Itoa(i.Topics)},
		{"partitions", fmt.Sprintf("%d, %d leaderless, %d under-replicated, %d moving", i.Partitions, i.Leaderless, i.UnderReplicated, i.Moving)},
		{"features", featureWords(i.Features)},
	})
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

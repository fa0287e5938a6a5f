package command

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

func newPartition(s *Streams) *cobra.Command {
	cmd := group("partition", "See partitions, move their replicas and leaders", newPartitionList(s), newPartitionMove(s), newPartitionTransferLeader(s))
	cmd.Aliases = []string{"partitions"}
	return cmd
}

type partitionListOptions struct {
	conn            connect.Options
	topics          []string
	regex           bool
	internal        bool
	underReplicated bool
	leaderless      bool
	format          output.Format
}

func newPartitionList(s *Streams) *cobra.Command {
	var o partitionListOptions
	cmd := &cobra.Command{
		Use:     "list [TOPIC...]",
		Aliases: []string{"ls"},
		Short:   "List partitions, their leaders and replicas",
		Long: `List partitions, of all topics or of those named: who leads each, where its replicas are, which are in
sync, and what moves.

  weir partition list orders
  weir partition list --under-replicated --leaderless -o json`,
		Args:              needs(0),
		ValidArgsFunction: completeTopics(s, &o.conn, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.topics = args
			return runPartitionList(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.regex, "regex", "r", false, "the topics are regular expressions")
	f.BoolVar(&o.internal, "internal", false, "the broker's own topics too")
	f.BoolVar(&o.underReplicated, "under-replicated", false, "only those with replicas that are not in sync")
	f.BoolVar(&o.leaderless, "leaderless", false, "only those without a leader; with --under-replicated either")
	formatFlag(cmd, &o.format, listFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runPartitionList(ctx context.Context, s *Streams, o partitionListOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	var names []string
	if len(o.topics) > 0 {
		found, err := findTopics(ctx, cl, o.topics, o.regex, o.internal)
		if err != nil {
			return err
		}
		for _, t := range found {
			names = append(names, t.Topic)
		}
	}
	v, err := readCluster(ctx, cl)
	if err != nil {
		return err
	}
	rows := slices.DeleteFunc(v.partitions, func(p partitionView) bool {
		switch {
		case len(names) > 0 && !slices.Contains(names, p.Topic), len(names) == 0 && p.Internal && !o.internal:
			return true
		case o.underReplicated || o.leaderless:
			return !(o.underReplicated && p.UnderReplicated || o.leaderless && p.Leaderless)
		}
		return false
	})
	return output.List(s.Out, o.format, rows, []output.Column[partitionView]{
		{Name: "PARTITION", Cell: partitionView.String},
		{Name: "LEADER", Cell: func(p partitionView) string {
			if p.Leaderless {
				return "none"
			}
			return strconv.Itoa(int(p.Leader))
		}},
		{Name: "EPOCH", Cell: func(p partitionView) string { return strconv.Itoa(int(p.Epoch)) }},
		{Name: "REPLICAS", Cell: func(p partitionView) string { return ids(p.Replicas) }},
		{Name: "IN-SYNC", Cell: func(p partitionView) string { return ids(p.InSync) }},
		{Name: "OFFLINE", Cell: func(p partitionView) string { return ids(p.Offline) }},
		{Name: "STATE", Cell: partitionView.state},
	})
}

// state is a partition's condition in words, the worst first.
func (p partitionView) state() string {
	var words []string
	if p.Leaderless {
		words = append(words, "leaderless")
	}
	if p.UnderReplicated {
		words = append(words, "under-replicated")
	}
	if len(p.Adding)+len(p.Removing) > 0 {
		words = append(words, "moving to "+ids(p.goal()))
	}
	if len(words) == 0 {
		return "ok"
	}
	return strings.Join(words, ", ")
}

// findPartition looks up what a command line names as TOPIC PARTITION.
func findPartition(ctx context.Context, cl *connect.Client, topic, number string) (*clusterView, partitionView, error) {
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n < 0 {
		return nil, partitionView{}, fault.Usage("%q is no partition: they are counted from 0", number)
	}
	found, err := findTopics(ctx, cl, []string{topic}, false, true)
	if err != nil {
		return nil, partitionView{}, err
	}
	v, err := readCluster(ctx, cl)
	if err != nil {
		return nil, partitionView{}, err
	}
	p, ok := v.partition(topic, int32(n))
	if !ok {
		return nil, partitionView{}, missingPartition(found[0], int32(n))
	}
	return v, p, nil
}

// checkBrokers refuses brokers that are not there.
func (v *clusterView) checkBrokers(wanted []int32) error {
	var all []int32
	for _, b := range v.brokers {
		if b.state != brokerGone {
			all = append(all, b.id)
		}
	}
	for i, id := range wanted {
		if !slices.Contains(all, id) {
			return &fault.Error{What: fmt.Sprintf("there is no broker %d", id), Why: "There are " + ids(all), Do: "See them: weir broker list"}
		}
		if slices.Contains(wanted[:i], id) {
			return fault.Usage("--to names broker %d twice", id)
		}
	}
	return nil
}

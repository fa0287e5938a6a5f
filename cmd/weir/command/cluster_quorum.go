package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

func newClusterQuorum(s *Streams) *cobra.Command {
	var conn connect.Options
	var format output.Format
	var replication bool
	cmd := &cobra.Command{
		Use:   "quorum",
		Short: "Show the controllers and how far each has come",
		Long: `Show the quorum that keeps the cluster's metadata: who leads it, who votes, and how far the others are
behind. --replication shows each of them, as Kafka's kafka-metadata-quorum does.

  weir cluster quorum
  weir cluster quorum --replication`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runClusterQuorum(cmd.Context(), s, &conn, format, replication)
		},
	}
	cmd.Flags().BoolVar(&replication, "replication", false, "a line for each controller")
	formatFlag(cmd, &format, objectFormats)
	withConnection(s, cmd, &conn)
	return cmd
}

type quorum struct {
	Leader        int32       `json:"leader"` // -1: none known
	Epoch         int32       `json:"leader_epoch"`
	HighWatermark int64       `json:"high_watermark"`
	Nodes         []quorumRow `json:"replicas"`
}

type quorumRow struct {
	Node         int32  `json:"node"`
	Role         string `json:"role"` // leader, follower or observer
	LogEndOffset int64  `json:"log_end_offset"`
	Lag          int64  `json:"lag"` // entries behind the leader
	LastFetch    *int64 `json:"last_fetch_timestamp"`
	LastCaughtUp *int64 `json:"last_caught_up_timestamp"`
}

const metadataTopic = "__cluster_metadata"

func runClusterQuorum(ctx context.Context, s *Streams, conn *connect.Options, format output.Format, replication bool) error {
	cl, err := s.open(ctx, conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	q, err := readQuorum(ctx, cl)
	if err != nil {
		return err
	}
	if !replication {
		return output.One(s.Out, format, q, func(w io.Writer) error { return q.write(w, s.Now()) })
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	ago := func(ms *int64) string {
		if ms == nil {
			return ""
		}
		return output.Span(max(0, s.Now().Sub(time.UnixMilli(*ms)))) + " ago"
	}
	return output.List(s.Out, format, q.Nodes, []output.Column[quorumRow]{
		{Name: "NODE", Cell: func(r quorumRow) string { return number(int64(r.Node)) }},
		{Name: "ROLE", Cell: func(r quorumRow) string { return r.Role }},
		{Name: "LOG-END", Cell: func(r quorumRow) string { return number(r.LogEndOffset) }},
		{Name: "LAG", Cell: func(r quorumRow) string { return number(r.Lag) }},
		{Name: "LAST-FETCH", Cell: func(r quorumRow) string { return ago(r.LastFetch) }},
		{Name: "CAUGHT-UP", Cell: func(r quorumRow) string { return ago(r.LastCaughtUp) }},
	})
}

func readQuorum(ctx context.Context, cl *connect.Client) (*quorum, error) {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	req := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = metadataTopic
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	const what = "cannot describe the quorum"
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, cl.Explain(what, err)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, refused(what, err, text(resp.ErrorMessage))
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, &fault.Error{What: what, Why: "The broker left it out of its answer"}
	}
	p := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return nil, refused(what, err, text(p.ErrorMessage))
	}
	return quorumOf(p), nil
}

func quorumOf(p kmsg.DescribeQuorumResponseTopicPartition) *quorum {
	q := &quorum{Leader: p.LeaderID, Epoch: p.LeaderEpoch, HighWatermark: p.HighWatermark}
	var end int64
	for _, r := range p.CurrentVoters {
		if r.ReplicaID == p.LeaderID {
			end = r.LogEndOffset
		}
	}
	add := func(role string, replicas []kmsg.DescribeQuorumResponseTopicPartitionReplicaState) {
		for _, r := range replicas {
			row := quorumRow{Node: r.ReplicaID, Role: role, LogEndOffset: r.LogEndOffset, Lag: max(0, end-r.LogEndOffset),
				LastFetch: known(r.LastFetchTimestamp), LastCaughtUp: known(r.LastCaughtUpTimestamp)}
			if r.ReplicaID == p.LeaderID {
				row.Role = "leader"
			}
			q.Nodes = append(q.Nodes, row)
		}
	}
	add("follower", p.CurrentVoters)
	add("observer", p.Observers)
	order := []string{"leader", "follower", "observer"}
	slices.SortStableFunc(q.Nodes, func(a, b quorumRow) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Role), slices.Index(order, b.Role)), cmp.Compare(a.Node, b.Node))
	})
	return q
}

func (q *quorum) write(w io.Writer, now time.Time) error {
	voters, observers := []int32{}, []int32{}
	lag, behind := int64(0), time.Duration(0)
	for _, r := range q.Nodes {
		if r.Role == "observer" {
			observers = append(observers, r.Node)
			continue
		}
		voters = append(voters, r.Node)
		lag = max(lag, r.Lag)
		if r.LastCaughtUp != nil && r.Role != "leader" {
			behind = max(behind, now.Sub(time.UnixMilli(*r.LastCaughtUp)))
		}
	}
	leader := "none"
	if q.Leader >= 0 {
		leader = fmt.Sprintf("%d, epoch %d", q.Leader, q.Epoch)
	}
	slices.Sort(voters)
	return output.Rows(w, [][]string{
		{"leader", leader},
		{"high watermark", strconv.FormatInt(q.HighWatermark, 10)},
		{"largest lag", fmt.Sprintf("%d, caught up %s ago", lag, output.Span(behind))},
		{"voters", ids(voters)},
		{"observers", ids(observers)},
	})
}

func known(ms int64) *int64 {
	if ms < 0 {
		return nil
	}
	return &ms
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

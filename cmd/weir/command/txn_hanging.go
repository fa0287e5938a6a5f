package command

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/output"
)

type txnHangingOptions struct {
	conn   connect.Options
	topics []string
	older  time.Duration
	format output.Format
}

func newTxnHanging(s *Streams) *cobra.Command {
	var o txnHangingOptions
	cmd := &cobra.Command{
		Use:   "hanging [TOPIC...]",
		Short: "Find transactions that no coordinator knows of",
		Long: `Find transactions that are open in partitions, and that no transactional id has open: nothing ends them, and readers of
what is committed stand still before them. End them with weir txn abort --hanging.

  weir txn hanging
  weir txn hanging orders -o json`,
		ValidArgsFunction: completeTopics(s, &o.conn, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.topics = args
			return runTxnHanging(cmd.Context(), s, o)
		},
	}
	olderFlag(cmd, &o.older)
	formatFlag(cmd, &o.format, listFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

func olderFlag(cmd *cobra.Command, older *time.Duration) {
	cmd.Flags().DurationVar(older, "older-than", 20*time.Minute, "hanging are those that have written nothing for so long; above the longest time-out")
}

// hangingRow is a transaction that hangs in a partition.
type hangingRow struct {
	Topic         string    `json:"topic"`
	Partition     int32     `json:"partition"`
	ProducerID    int64     `json:"producer_id"`
	ProducerEpoch int16     `json:"producer_epoch"`
	StartOffset   int64     `json:"start_offset"`
	LastWrite     time.Time `json:"last_write"`

	coordinatorEpoch int32
}

func (r hangingRow) partition() string { return fmt.Sprintf("%s-%d", r.Topic, r.Partition) }

// name tells it from others.
func (r hangingRow) name() string {
	return fmt.Sprintf("the transaction of producer %d in %s", r.ProducerID, r.partition())
}

func runTxnHanging(ctx context.Context, s *Streams, o txnHangingOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	rows, err := findHanging(ctx, cl, o.topics, s.Now().Add(-o.older))
	if err != nil {
		return err
	}
	return output.List(s.Out, o.format, rows, []output.Column[hangingRow]{
		{Name: "PARTITION", Cell: hangingRow.partition},
		{Name: "PRODUCER", Cell: func(r hangingRow) string { return fmt.Sprint(r.ProducerID) }},
		{Name: "EPOCH", Cell: func(r hangingRow) string { return fmt.Sprint(r.ProducerEpoch) }},
		{Name: "START OFFSET", Cell: func(r hangingRow) string { return fmt.Sprint(r.StartOffset) }},
		{Name: "LAST WRITE", Cell: func(r hangingRow) string { return output.Time(r.LastWrite) }},
	})
}

// findHanging compares what is open in partitions with what coordinators have open. Partitions are asked first: what
// is begun since is not taken for something else.
func findHanging(ctx context.Context, cl *connect.Client, topics []string, before time.Time) ([]hangingRow, error) {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	var set kadm.TopicsSet
	for _, t := range topics {
		set.Add(t)
	}
	const what = "cannot look for hanging transactions"
	producers, err := cl.Admin.DescribeProducers(ctx, set)
	if err != nil {
		return nil, cl.Explain(what, err)
	}
	known, err := cl.Admin.DescribeTransactions(ctx)
	if err != nil {
		return nil, cl.Explain(what, err)
	}
	open := make(map[int64]kadm.TopicsSet)
	for _, t := range known {
		open[t.ProducerID] = t.Topics
	}
	rows := []hangingRow{}
	for _, p := range producers.SortedPartitions() {
		if p.Err != nil {
			return nil, cl.Explain(what, p.Err)
		}
		for _, x := range p.ActiveProducers.Sorted() {
			last := time.UnixMilli(x.LastTimestamp)
			if x.CurrentTxnStartOffset < 0 || last.After(before) || open[x.ProducerID].Lookup(p.Topic, p.Partition) {
				continue
			}
			rows = append(rows, hangingRow{p.Topic, p.Partition, x.ProducerID, x.ProducerEpoch, x.CurrentTxnStartOffset, last.UTC(), x.CoordinatorEpoch})
		}
	}
	return rows, nil
}

// abortHanging writes a marker where the transaction hangs.
func abortHanging(ctx context.Context, cl *connect.Client, r hangingRow) error {
	var set kadm.TopicsSet
	set.Add(r.Topic, r.Partition)
	responses, err := cl.Admin.WriteTxnMarkers(ctx, kadm.TxnMarkers{
		ProducerID: r.ProducerID, ProducerEpoch: r.ProducerEpoch, CoordinatorEpoch: max(r.coordinatorEpoch, 0), Topics: set,
	})
	if err != nil {
		return err
	}
	p, ok := responses[r.ProducerID].Topics[r.Topic].Partitions[r.Partition]
	if !ok {
		return kerr.UnknownServerError
	}
	return p.Err
}

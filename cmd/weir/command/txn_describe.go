package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

type txnDescribeOptions struct {
	conn   connect.Options
	ids    []string
	format output.Format
}

func newTxnDescribe(s *Streams) *cobra.Command {
	var o txnDescribeOptions
	cmd := &cobra.Command{
		Use:   "describe ID...",
		Short: "Show what transactional ids are doing",
		Long: `Show the state of transactional ids, their producer, for how long a transaction is open, and the partitions in it.

  weir txn describe billing-1
  weir txn describe billing-1 -o json`,
		Args:              needs(1),
		ValidArgsFunction: completeTxns(s, &o.conn),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ids = args
			return runTxnDescribe(cmd.Context(), s, o)
		},
	}
	formatFlag(cmd, &o.format, objectFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

// txnDescription is a transactional id as it is shown.
type txnDescription struct {
	ID            string         `json:"transactional_id"`
	State         string         `json:"state"`
	ProducerID    int64          `json:"producer_id"`
	ProducerEpoch int16          `json:"producer_epoch"`
	TimeoutMillis int32          `json:"timeout_ms"`
	Started       *time.Time     `json:"started"` // null when nothing is open
	Partitions    []txnPartition `json:"partitions"`
	Coordinator   int32          `json:"coordinator"`

	open time.Duration
}

type txnPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

func runTxnDescribe(ctx context.Context, s *Streams, o txnDescribeOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	described := []txnDescription{}
	for _, id := range distinct(o.ids) {
		d, err := describeTxn(ctx, cl, id, s.Now())
		if err != nil {
			return err
		}
		described = append(described, d)
	}
	return writeDescriptions(s.Out, o.format, described)
}

func describeTxn(ctx context.Context, cl *connect.Client, id string, now time.Time) (txnDescription, error) {
	all, err := cl.Admin.DescribeTransactions(ctx, id)
	if err == nil {
		err = all[id].Err
	}
	if errors.Is(err, kerr.TransactionalIDNotFound) {
		return txnDescription{}, noSuchTxn(ctx, cl, id)
	}
	if err != nil {
		return txnDescription{}, cl.Explain(fmt.Sprintf("cannot read transactional id %q", id), err)
	}
	t := all[id]
	d := txnDescription{
		ID: id, State: t.State, ProducerID: t.ProducerID, ProducerEpoch: t.ProducerEpoch, TimeoutMillis: t.TimeoutMillis,
		Partitions: []txnPartition{}, Coordinator: t.Coordinator,
	}
	if t.StartTimestamp >= 0 {
		started := time.UnixMilli(t.StartTimestamp).UTC()
		d.Started, d.open = &started, now.Sub(started)
	}
	for _, topic := range t.Topics.Sorted() {
		for _, p := range topic.Partitions {
			d.Partitions = append(d.Partitions, txnPartition{topic.Topic, p})
		}
	}
	return d, nil
}

func (d txnDescription) write(w io.Writer) error {
	open := ""
	if d.Started != nil {
		open = fmt.Sprintf(", open for %s of %s", output.Span(d.open), output.Span(time.Duration(d.TimeoutMillis)*time.Millisecond))
	}
	if _, err := fmt.Fprintf(w, "%s: %s, producer %d epoch %d%s, coordinator %d\n", d.ID, d.State, d.ProducerID, d.ProducerEpoch, open, d.Coordinator); err != nil {
		return err
	}
	for _, p := range d.Partitions {
		if _, err := fmt.Fprintf(w, "  %s-%d\n", p.Topic, p.Partition); err != nil {
			return err
		}
	}
	return nil
}

func noSuchTxn(ctx context.Context, cl *connect.Client, id string) error {
	e := &fault.Error{
		What: fmt.Sprintf("transactional id %q does not exist on %s", id, cl.Seeds), Code: "TRANSACTIONAL_ID_NOT_FOUND",
		Do: "See what there is: weir txn list", Exit: fault.Failed,
	}
	if listed, err := cl.Admin.ListTransactions(ctx, nil, nil); err == nil || partlyListed(err) {
		e.Why = fault.DidYouMean(id, listed.TransactionalIDs())
	}
	return e
}

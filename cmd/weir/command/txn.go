package command

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/output"
)

func newTxn(s *Streams) *cobra.Command {
	cmd := group("txn", "See and end transactions", newTxnList(s), newTxnDescribe(s), newTxnAbort(s), newTxnHanging(s))
	cmd.Aliases = []string{"transaction", "transactions"}
	return cmd
}

type txnListOptions struct {
	conn   connect.Options
	states []string
	format output.Format
}

func newTxnList(s *Streams) *cobra.Command {
	var o txnListOptions
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List transactional ids",
		Long: `List transactional ids, all or those in some states.

  weir txn list
  weir txn list --state Ongoing -o json`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runTxnList(cmd.Context(), s, o) },
	}
	cmd.Flags().StringSliceVar(&o.states, "state", nil, "only ids in this state: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort")
	formatFlag(cmd, &o.format, listFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

// txnRow is a transactional id in a list.
type txnRow struct {
	ID          string `json:"transactional_id"`
	State       string `json:"state"`
	ProducerID  int64  `json:"producer_id"`
	Coordinator int32  `json:"coordinator"`
}

func runTxnList(ctx context.Context, s *Streams, o txnListOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	listed, err := cl.Admin.ListTransactions(ctx, nil, o.states)
	if err != nil && !partlyListed(err) {
		return cl.Explain("cannot list transactional ids", err)
	}
	missing := err
	rows := []txnRow{}
	for _, t := range listed.Sorted() {
		rows = append(rows, txnRow{t.TxnID, t.State, t.ProducerID, t.Coordinator})
	}
	err = output.List(s.Out, o.format, rows, []output.Column[txnRow]{
		{Name: "TRANSACTIONAL ID", Cell: func(r txnRow) string { return r.ID }},
		{Name: "STATE", Cell: func(r txnRow) string { return r.State }},
		{Name: "PRODUCER", Cell: func(r txnRow) string { return fmt.Sprint(r.ProducerID) }},
		{Name: "COORDINATOR", Wide: true, Cell: func(r txnRow) string { return fmt.Sprint(r.Coordinator) }},
	})
	return partly(err, "transactional ids", missing)
}

// completeTxns offers transactional ids. It is silent when no broker answers.
func completeTxns(s *Streams, o *connect.Options) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var ids []string
		atOnce(cmd.Context(), s, o, func(ctx context.Context, cl *connect.Client) {
			if listed, err := cl.Admin.ListTransactions(ctx, nil, nil); err == nil {
				ids = slices.DeleteFunc(listed.TransactionalIDs(), func(id string) bool { return slices.Contains(args, id) })
			}
		})
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

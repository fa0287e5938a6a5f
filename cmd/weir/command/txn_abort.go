package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
)

type txnAbortOptions struct {
	conn    connect.Options
	names   []string // transactional ids; topics, if hanging
	hanging bool
	older   time.Duration
	yes     bool
	dryRun  bool
}

func newTxnAbort(s *Streams) *cobra.Command {
	var o txnAbortOptions
	cmd := &cobra.Command{
		Use:   "abort ID... | --hanging [TOPIC...]",
		Short: "Abort open transactions, and fence their producers",
		Long: `Abort the transactions that transactional ids have open. Their producers are fenced: they hear of it with their
next request, and cannot go on. With --hanging, those that no coordinator knows of (weir txn hanging). This asks first.

  weir txn abort billing-1
  weir txn abort --hanging orders --dry-run`,
		ValidArgsFunction: completeTxns(s, &o.conn),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.names = distinct(args); len(o.names) == 0 && !o.hanging {
				return fault.Usage("which transactional id? See what there is: weir txn list")
			}
			return runTxnAbort(cmd.Context(), s, o)
		},
	}
	cmd.Flags().BoolVar(&o.hanging, "hanging", false, "abort what no coordinator knows of, in all topics or those named")
	olderFlag(cmd, &o.older)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only show what would be aborted")
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runTxnAbort(ctx context.Context, s *Streams, o txnAbortOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	names, abort, err := abortable(ctx, s, cl, o)
	if err != nil {
		return err
	}
	for _, n := range names {
		if o.dryRun {
			fmt.Fprintln(s.Out, "would abort", n)
		} else if !o.yes {
			s.note("%s", n)
		}
	}
	if o.dryRun || len(names) == 0 {
		return nil
	}
	if err := s.confirm(o.yes, "Abort what is open, and fence the producers?"); err != nil {
		return err
	}
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	return eachOf(s, "transactions", names, func(n string) (string, error) {
		return "aborted " + n, cl.Explain("cannot abort "+n, abort[n](ctx))
	})
}

// abortable names what is to be aborted, and says how.
func abortable(ctx context.Context, s *Streams, cl *connect.Client, o txnAbortOptions) (names []string, abort map[string]func(context.Context) error, err error) {
	abort = make(map[string]func(context.Context) error)
	if o.hanging {
		rows, err := findHanging(ctx, cl, o.names, s.Now().Add(-o.older))
		for _, r := range rows {
			names = append(names, r.name())
			abort[r.name()] = func(ctx context.Context) error { return abortHanging(ctx, cl, r) }
		}
		return names, abort, err
	}
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	for _, id := range o.names {
		d, err := describeTxn(ctx, cl, id, s.Now())
		if err != nil {
			return nil, nil, err
		}
		name := fmt.Sprintf("%s (%s)", id, d.State)
		names = append(names, name)
		abort[name] = func(ctx context.Context) error { return fenceTxn(ctx, cl, id) }
	}
	return names, abort, nil
}

// fencingTimeoutMillis is the time-out of a transaction that never begins.
const fencingTimeoutMillis = 60_000

// fenceTxn becomes the producer of a transactional id. What is open is aborted by that; it has to be asked for until that
// is done, which the client does.
func fenceTxn(ctx context.Context, cl *connect.Client, id string) error {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &id, fencingTimeoutMillis
	req.ProducerID, req.ProducerEpoch = -1, -1
	for pace := (pacer{rate: listRate}); pace.wait(ctx) == nil; {
		resp, err := req.RequestWith(ctx, cl.Client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if !errors.Is(err, kerr.ConcurrentTransactions) {
			return err
		}
	}
	return ctx.Err()
}

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

// txnOptions are how records are written in transactions. Without a bound the whole input is one.
type txnOptions struct {
	id       string
	records  int           // commit after so many; 0 is no bound
	interval time.Duration // and so long after the first; 0 is no bound
}

func (o *txnOptions) addFlags(s *Streams, cmd *cobra.Command, conn *connect.Options) {
	f := cmd.Flags()
	f.StringVar(&o.id, "txn", "", "write in transactions, under this transactional id: one for all of the input, unless the next two say else")
	f.IntVar(&o.records, "txn-records", 0, "with --txn: commit after so many records")
	f.DurationVar(&o.interval, "txn-interval", 0, "with --txn: commit a transaction so long after its first record, such as 100ms")
	_ = cmd.RegisterFlagCompletionFunc("txn", completeTxns(s, conn))
}

func (o *txnOptions) check(acks string) error {
	switch {
	case o.records < 0 || o.interval < 0:
		return fault.Usage("--txn-records and --txn-interval are counted from 0")
	case o.id == "" && (o.records > 0 || o.interval > 0):
		return fault.Usage("--txn-records and --txn-interval are about transactions: add --txn ID")
	case o.id != "" && (acks == "0" || acks == "1"):
		return fault.Usage("--txn writes with acks=all: leave out --acks %s", acks)
	}
	return nil
}

// clientOpts are in place of produceOpts.
func (o *txnOptions) clientOpts() []kgo.Opt {
	return []kgo.Opt{partitioned(), kgo.TransactionalID(o.id), kgo.TransactionTimeout(time.Minute)} // as long as the Java client
}

// maxHeldPlaces is of how many records of a transaction it is kept where they went, to be told once it is committed.
const maxHeldPlaces = 4 << 20

// place is where a record went.
type place struct {
	partition int32
	offset    int64
	timestamp int64 // Unix milliseconds
}

// transactions writes records in transactions, one after the other. What is printed is committed.
type transactions struct {
	*receipts
	s    *Streams
	opts txnOptions

	open  bool // and the rest of the open one: used by run only
	began time.Time
	sent  int
	timer *time.Timer // of the interval

	count int // of those that are committed

	lock   sync.Mutex // guards what follows; promises run on the client's goroutines
	held   []place
	lost   error         // of the first record that failed
	failed chan struct{} // closed with it
}

// produceInTransactions writes what read returns, to io.EOF. The errors are those of a command; who they leave in the
// middle of a transaction has aborted it.
func produceInTransactions(ctx context.Context, s *Streams, out *receipts, o txnOptions, read recordSource) error {
	t := &transactions{receipts: out, s: s, opts: o, timer: time.NewTimer(time.Hour), failed: make(chan struct{})}
	defer t.timer.Stop()
	if err := t.init(ctx); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	input, ended := pump(ctx, read)
	defer func() { stop(); <-ended }()
	if err := t.run(ctx, input); err != nil {
		return t.giveUp(ctx, err)
	}
	t.tell("")
	return t.print()
}

// init takes over the transactional id, which aborts what a run before has left open.
func (t *transactions) init(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.cl.Timeout)
	defer cancel()
	_, _, err := t.cl.ProducerID(ctx)
	return t.cl.Explain(fmt.Sprintf("cannot begin transactions as %q", t.opts.id), err)
}

type readRecord struct {
	r   *kgo.Record
	err error
}

// pump reads beside its caller until an error, or the end of ctx; ended is closed then.
func pump(ctx context.Context, read recordSource) (input <-chan readRecord, ended <-chan struct{}) {
	to, done := make(chan readRecord), make(chan struct{})
	go func() {
		defer close(done)
		for {
			r, err := read(ctx)
			select {
			case to <- readRecord{r, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return to, done
}

func (t *transactions) run(ctx context.Context, input <-chan readRecord) error {
	for {
		var due bool
		select {
		case in := <-input:
			if errors.Is(in.err, io.EOF) {
				return t.commit()
			}
			if in.err != nil {
				return in.err
			}
			if err := t.write(in.r); err != nil {
				return err
			}
			due = t.opts.records > 0 && t.sent >= t.opts.records
		case <-t.timer.C:
			due = t.open
		case <-t.failed:
			return t.failure()
		case <-t.ctx.Done():
			return t.stalled()
		case <-ctx.Done():
			return ctx.Err()
		}
		if due {
			if err := t.commit(); err != nil {
				return err
			}
		}
	}
}

func (t *transactions) write(r *kgo.Record) error {
	if !t.open {
		if err := t.cl.BeginTransaction(); err != nil {
			return err
		}
		t.open, t.sent, t.began = true, 0, time.Now()
		if t.opts.interval > 0 {
			t.timer.Reset(t.opts.interval)
		}
	}
	t.sent++
	t.send(r, t.promise)
	return nil
}

func (t *transactions) promise(r *kgo.Record, err error) {
	t.lock.Lock()
	defer t.lock.Unlock()
	switch {
	case err != nil && t.lost == nil:
		t.lost = err
		close(t.failed)
	case err == nil && !t.quiet && len(t.held) < maxHeldPlaces:
		t.held = append(t.held, place{r.Partition, r.Offset, r.Timestamp.UnixMilli()})
	}
}

func (t *transactions) failure() error {
	t.lock.Lock()
	defer t.lock.Unlock()
	return t.lost
}

// errUnknown says that it is not known what has become of a commit.
var errUnknown = errors.New("the commit was not confirmed")

// commit ends the open transaction, if any, and prints what was in it.
func (t *transactions) commit() error {
	if !t.open {
		return nil
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := t.failure(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), t.cl.Timeout) // not that of the command: an interrupt comes too late
	defer cancel()
	if err := t.cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		if code := (*kerr.Error)(nil); errors.As(err, &code) && !code.Retriable {
			return err
		}
		return errors.Join(errUnknown, err)
	}
	t.open = false
	t.count++
	t.done += t.sent
	for _, p := range t.held {
		t.line(&kgo.Record{Topic: t.topic, Partition: p.partition, Offset: p.offset, Timestamp: time.UnixMilli(p.timestamp)})
	}
	if left := t.sent - len(t.held); left > 0 && !t.quiet {
		t.s.note("where %s more went is not shown: -q shows none, --txn-records makes smaller transactions", output.Plural(int64(left), "record"))
	}
	t.held = t.held[:0]
	if t.eager || t.opts.records > 0 || t.opts.interval > 0 { // else it was the only one
		return t.print()
	}
	return nil
}

// giveUp aborts what is open and says what is committed.
func (t *transactions) giveUp(ctx context.Context, cause error) error {
	switch {
	case !t.open:
		t.tell("")
	case errors.Is(cause, errUnknown):
		t.abort()
		t.tell(fmt.Sprintf("it is not known whether the last transaction, of %s, is committed", output.Plural(int64(t.sent), "record")))
	case t.abort():
		t.tell(fmt.Sprintf("the open transaction of %s is aborted", output.Plural(int64(t.sent), "record")))
	default:
		t.tell(fmt.Sprintf("the open transaction of %s is not committed, and could not be ended: the broker aborts it within %v",
			output.Plural(int64(t.sent), "record"), t.timeout()))
	}
	if err := t.print(); err != nil {
		return err
	}
	if ctx.Err() != nil && errors.Is(cause, ctx.Err()) {
		return cause
	}
	err := t.explain(cause)
	if t.done > 0 {
		err = fault.Partial(err)
	}
	return err
}

// abort says whether the broker has heard of it. A fenced producer has been aborted.
func (t *transactions) abort() bool {
	ctx, cancel := context.WithTimeout(context.Background(), t.cl.Timeout)
	defer cancel()
	err := t.cl.AbortBufferedRecords(ctx)
	if err == nil {
		err = t.cl.EndTransaction(ctx, kgo.TryAbort)
	}
	return err == nil || fenced(err)
}

// tell says what is committed, after what happened to the rest.
func (t *transactions) tell(rest string) {
	committed := fmt.Sprintf("%s committed in %s", output.Plural(int64(t.done), "record"), output.Plural(int64(t.count), "transaction"))
	switch {
	case rest == "" && t.count == 0:
	case rest == "":
		t.s.note("%s", committed)
	case t.count == 0:
		t.s.note("%s", rest)
	default:
		t.s.note("%s; %s before", rest, committed)
	}
}

func (t *transactions) timeout() time.Duration {
	d, _ := t.cl.OptValue(kgo.TransactionTimeout).(time.Duration)
	return d
}

func (t *transactions) explain(cause error) error {
	switch late := t.open && time.Since(t.began) >= t.timeout(); {
	case fenced(cause) && late:
		return &fault.Error{What: fmt.Sprintf("the transaction was open for longer than %v, and the broker has aborted it", t.timeout()), Err: cause,
			Do: "Commit more often, by --txn-records or --txn-interval, or allow more: -X transaction.timeout.ms=MS"}
	case fenced(cause):
		return &fault.Error{What: fmt.Sprintf("transactional id %q is no longer this run's", t.opts.id), Code: code(cause), Err: cause,
			Why: "Another producer has begun with it since, or weir txn abort was run", Do: "Give each producer that runs at the same time an id of its own"}
	case errors.Is(cause, errUnknown):
		return t.cl.Explain("the commit was not confirmed", cause)
	}
	return t.cl.Explain(fmt.Sprintf("cannot go on writing to topic %q", t.topic), cause)
}

// fenced says whether a producer has been told that its epoch is over.
func fenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}

func code(err error) string {
	if c := (*kerr.Error)(nil); errors.As(err, &c) {
		return c.Message
	}
	return ""
}

package command

import (
	"bufio"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/cmd/weir/record"
)

// sender produces records and gives up when answers stop coming: a client by itself tries for ever, and
// its delivery timeout counts from the record's own timestamp, which may be years old.
type sender struct {
	cl     *connect.Client
	ctx    context.Context // of the records; ends on a stall, not with an interrupt
	cancel context.CancelCauseFunc

	mu      sync.Mutex // guards what follows
	timer   *time.Timer
	answers int64
	seen    int64 // answers when the timer was set
}

// errStalled is the reason that a sender gives when it knows no better.
var errStalled = fmt.Errorf("the broker does not answer any more: %w", context.DeadlineExceeded)

// newSender starts the watch, which close ends.
func newSender(cl *connect.Client) *sender {
	s := &sender{cl: cl}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = time.AfterFunc(cl.Timeout, s.look)
	return s
}

// look ends the sending when records wait and none has been answered since it last looked.
func (s *sender) look() {
	waiting := s.cl.BufferedProduceRecords()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers == s.seen && waiting > 0 {
		s.cancel(s.cl.Explain("no record was answered for in "+s.cl.Timeout.String(), errStalled))
	}
	if s.ctx.Err() == nil {
		s.seen = s.answers
		s.timer.Reset(s.cl.Timeout)
	}
}

// send hands over one record; promise is called when it is answered for or given up, on a goroutine of
// the client.
func (s *sender) send(r *kgo.Record, promise func(*kgo.Record, error)) {
	s.cl.Produce(s.ctx, r, func(r *kgo.Record, err error) {
		s.mu.Lock()
		s.answers++
		s.mu.Unlock()
		promise(r, err)
	})
}

// flush returns when all that was sent is answered for, or with the reason why it never will be.
func (s *sender) flush() error {
	if s.cl.Flush(s.ctx) != nil {
		return s.stalled()
	}
	return nil
}

// stalled is why sending was given up, nil while it was not.
func (s *sender) stalled() error { return context.Cause(s.ctx) }

func (s *sender) close() {
	s.cancel(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.Stop()
}

// receipts prints where each record went, as the answers come.
type receipts struct {
	*sender
	topic string
	quiet bool
	eager bool // flush each line

	lock         sync.Mutex // guards what follows; promises run on the client's goroutines
	out          *bufio.Writer
	text         []byte
	done, failed int
	first        error // of those that failed
	cannotPrint  error
}

func newReceipts(s *Streams, to *sender, topic string, quiet bool) *receipts {
	return &receipts{sender: to, topic: topic, quiet: quiet, eager: s.OutTerminal, out: bufio.NewWriterSize(s.Out, 32<<10)}
}

func (p *receipts) promise(r *kgo.Record, err error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if err != nil {
		p.failed++
		if p.first == nil {
			p.first = err
		}
		return
	}
	p.done++
	p.line(r)
	if p.cannotPrint == nil && (p.eager || p.cl.BufferedProduceRecords() <= 1) {
		p.cannotPrint = p.out.Flush() // somebody looks, or no other receipt is under way
	}
}

// line tells where a record went, unless nobody wants to know. It is called with lock held, or when no promise is out.
func (p *receipts) line(r *kgo.Record) {
	if p.quiet || p.cannotPrint != nil {
		return
	}
	if p.cl.OptValue(kgo.RequiredAcks) == kgo.NoAck() {
		p.text = fmt.Appendf(p.text[:0], "%s[%d]  %s  not acknowledged\n", r.Topic, r.Partition, output.Time(r.Timestamp))
	} else {
		p.text = fmt.Appendf(p.text[:0], "%s  %s\n", record.Place(r), output.Time(r.Timestamp))
	}
	_, p.cannotPrint = p.out.Write(p.text)
}

// print has all receipts leave, and returns why they cannot.
func (p *receipts) print() error {
	if p.cannotPrint == nil {
		p.cannotPrint = p.out.Flush()
	}
	return p.cannotPrint
}

// finish waits for what is under way, also after an interrupt, and tells what came of all. cause is why
// there are no more records, nil when the input ended.
func (p *receipts) finish(ctx context.Context, cause error) error {
	stalled := p.flush()
	p.lock.Lock()
	defer p.lock.Unlock()
	cannotPrint := p.print()
	var failure error
	switch {
	case stalled != nil:
		failure = stalled
	case p.failed > 0:
		what := fmt.Sprintf("cannot write to topic %q", p.topic)
		if p.done > 0 || p.failed > 1 {
			what = fmt.Sprintf("%s could not be written to topic %q, %d could; the first", output.Plural(int64(p.failed), "record"), p.topic, p.done)
		}
		failure = p.cl.Explain(what, p.first)
	case ctx.Err() != nil:
		return ctx.Err()
	case cause != nil:
		failure = fault.Explain(fmt.Sprintf("cannot go on after %s", output.Plural(int64(p.done), "record")), cause)
	default:
		return cannotPrint
	}
	if p.done > 0 {
		failure = fault.Partial(failure)
	}
	return failure
}

package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/jsonl"
	"weir/cmd/weir/output"
	"weir/cmd/weir/record"
)

// anyPartition in a record leaves the choice to its key, or to chance.
const anyPartition = -1

// produceOpts are what a client needs to be written to: idempotent, acks from all, keys hashed as the
// Java client does, and what has no key kept together (KIP-794), so that lines of a pipe stay in order
// over long stretches.
func produceOpts() []kgo.Opt {
	return []kgo.Opt{
		kgo.RecordPartitioner(partitioner{kgo.UniformBytesPartitioner(64<<10, true, true, nil)}),
		kgo.AllowIdempotentProduceCancellation(), // what is cancelled is the end of the client, see sender
	}
}

// partitioner takes the record's own partition unless that is anyPartition. The partitioner within
// chooses by backup, as kgo calls it: by how much each partition has waiting.
type partitioner struct{ kgo.Partitioner }

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	inner := p.Partitioner.ForTopic(topic)
	return topicPartitioner{inner, inner.(kgo.TopicBackupPartitioner)}
}

type topicPartitioner struct {
	kgo.TopicPartitioner
	byBackup kgo.TopicBackupPartitioner
}

func (p topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition != anyPartition || p.TopicPartitioner.RequiresConsistency(r)
}

func (p topicPartitioner) PartitionByBackup(r *kgo.Record, n int, backup kgo.TopicBackupIter) int {
	if r.Partition != anyPartition {
		return int(r.Partition)
	}
	return p.byBackup.PartitionByBackup(r, n, backup)
}

// ensureTopic returns what the broker knows of the topic. A missing one is created if the broker creates
// topics by itself, which is told at stderr.
func ensureTopic(ctx context.Context, s *Streams, cl *connect.Client, name string) (kadm.TopicDetail, error) {
	lookup := func() (kadm.TopicDetail, error) {
		details, err := listTopics(ctx, cl, name)
		return details[name], err
	}
	d, err := lookup()
	switch {
	case err != nil:
		return d, err
	case d.Err == nil:
		return d, nil
	case d.Err != kerr.UnknownTopicOrPartition:
		return d, fault.Explain(fmt.Sprintf("cannot write to topic %q", name), d.Err)
	case !autoCreates(ctx, cl):
		return d, missingTopic(ctx, cl, name)
	}
	wait, cancel := context.WithTimeout(ctx, min(cl.Timeout, 5*time.Second))
	defer cancel()
	pace := pacer{rate: 20}
	for pace.wait(wait) == nil {
		req := kmsg.NewPtrMetadataRequest()
		req.AllowAutoTopicCreation = true
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(wait, cl)
		if err != nil {
			break
		}
		if len(resp.Topics) == 1 && kerr.ErrorForCode(resp.Topics[0].ErrorCode) == kerr.InvalidTopicException {
			return d, fault.Explain(fmt.Sprintf("cannot create topic %q", name), kerr.InvalidTopicException)
		}
		if d, err = lookup(); err != nil {
			return d, err
		}
		if d.Err == nil && len(d.Partitions) > 0 {
			s.note("created topic %s (%s)", name, output.Plural(int64(len(d.Partitions)), "partition"))
			return d, nil
		}
	}
	if ctx.Err() != nil {
		return d, ctx.Err()
	}
	return d, missingTopic(ctx, cl, name)
}

// autoCreates asks a broker whether it creates topics that are asked for. One that does not say may.
func autoCreates(ctx context.Context, cl *connect.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, cl.Timeout)
	defer cancel()
	brokers, err := cl.Admin.ListBrokers(ctx)
	if err != nil || len(brokers) == 0 {
		return true
	}
	configs, err := cl.Admin.DescribeBrokerConfigs(ctx, brokers[0].NodeID)
	if err != nil {
		return true
	}
	for _, c := range configs {
		for _, entry := range c.Configs {
			if entry.Key == "auto.create.topics.enable" {
				return !strings.EqualFold(entry.MaybeValue(), "false")
			}
		}
	}
	return true
}

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

// nextRecord returns records one after the other, then io.EOF. It ends early with ctx.
type nextRecord func(ctx context.Context) (*kgo.Record, jsonl.Given, error)

func fromList(list []*kgo.Record) nextRecord {
	return func(ctx context.Context) (*kgo.Record, jsonl.Given, error) {
		if len(list) == 0 {
			return nil, jsonl.Given{}, io.EOF
		}
		r := list[0]
		list = list[1:]
		return r, jsonl.Given{}, ctx.Err()
	}
}

// fromReader reads in a goroutine of its own, so that an interrupt is not kept waiting by a read from a
// terminal. That goroutine ends with the input, or with the process.
func fromReader(r *record.Reader) nextRecord {
	type item struct {
		r     *kgo.Record
		given jsonl.Given
		err   error
	}
	var items chan item
	return func(ctx context.Context) (*kgo.Record, jsonl.Given, error) {
		if items == nil {
			items = make(chan item, 256)
			go func() {
				for {
					var i item
					i.r, i.given, i.err = r.Next()
					select {
					case items <- i:
					case <-ctx.Done():
						return
					}
					if i.err != nil {
						return
					}
				}
			}()
		}
		select {
		case i := <-items:
			return i.r, i.given, i.err
		case <-ctx.Done():
			return nil, jsonl.Given{}, ctx.Err()
		}
	}
}

// receipts prints where each record went, as the answers come.
type receipts struct {
	*sender
	topic string
	quiet bool
	eager bool // flush each line

	lock         sync.Mutex // guards what follows; promises run on the client's goroutines
	out          *bufio.Writer
	line         []byte
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
	if p.quiet || p.cannotPrint != nil {
		return
	}
	if p.cl.OptValue(kgo.RequiredAcks) == kgo.NoAck() {
		p.line = fmt.Appendf(p.line[:0], "%s[%d]  %s  not acknowledged\n", r.Topic, r.Partition, output.Time(r.Timestamp))
	} else {
		p.line = fmt.Appendf(p.line[:0], "%s  %s\n", record.Place(r), output.Time(r.Timestamp))
	}
	if _, p.cannotPrint = p.out.Write(p.line); p.cannotPrint == nil && (p.eager || p.cl.BufferedProduceRecords() <= 1) {
		p.cannotPrint = p.out.Flush() // somebody looks, or no other receipt is under way
	}
}

// finish waits for what is under way, also after an interrupt, and tells what came of all. cause is why
// there are no more records, nil when the input ended.
func (p *receipts) finish(ctx context.Context, cause error) error {
	stalled := p.flush()
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.cannotPrint == nil {
		p.cannotPrint = p.out.Flush()
	}
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
		return p.cannotPrint
	}
	if p.done > 0 {
		failure = fault.Partial(failure)
	}
	return failure
}

// What the client can put into a batch: it counts nanoseconds on the way.
const (
	minMillis = -1 << 63 / 1_000_000
	maxMillis = (1<<63 - 1) / 1_000_000
)

// writableTime refuses a timestamp that the client would write as another.
func writableTime(t time.Time) error {
	if ms := t.UnixMilli(); ms < minMillis || ms > maxMillis {
		return &fault.Error{What: fmt.Sprintf("a record's timestamp of %d ms is too far from 1970", ms),
			Why: "Only the years 1678 to 2261 can be written"}
	}
	return nil
}

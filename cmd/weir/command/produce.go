package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/jsonl"
	"weir/cmd/weir/output"
	"weir/cmd/weir/record"
	"weir/cmd/weir/seek"
)

type produceOptions struct {
	conn        connect.Options
	topic       string
	values      []string
	key         string
	hasKey      bool
	headers     []string
	partition   int32
	template    string
	input       output.Format
	codec       string
	acks        string
	rate        rateValue
	tombstone   bool
	file        string
	timestamp   string
	quiet       bool
	repartition bool
	txn         txnOptions
}

func (o *produceOptions) addFlags(s *Streams, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.key, "key", "k", "", "key of the records that bring none")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "header name:value, may be given again")
	f.Int32VarP(&o.partition, "partition", "p", -1, "partition (default by key, or spread)")
	f.StringVarP(&o.template, "format", "f", "", `read stdin by a template, such as '%k=%v\n'`)
	f.VarP(&formatValue{&o.input, record.InputFormats}, "input", "i", "what stdin holds: "+output.Join(record.InputFormats))
	f.StringVarP(&o.codec, "compression", "z", "", "none, gzip, snappy, lz4 or zstd, with :LEVEL if wanted")
	f.StringVar(&o.acks, "acks", "", "who must have a record before it counts: 0, 1 or all (default all)")
	f.Var(&o.rate, "rate", "at most so many records, such as 500/s")
	f.BoolVar(&o.tombstone, "tombstone", false, "write one record whose value is null; needs a key")
	f.StringVar(&o.file, "file", "", "read this file instead of stdin")
	f.StringVar(&o.timestamp, "timestamp", "", "time of the records that bring none, such as 2026-11-23T09:00:00Z or -1h (default now)")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "do not print where each record went")
	f.BoolVar(&o.repartition, "repartition", false, "choose partitions anew, even for JSONL records that name theirs")
	o.txn.addFlags(s, cmd, &o.conn)
	completeWords(cmd, "compression", false, connect.Codecs...)
	completeWords(cmd, "acks", false, "all", "1", "0")
	completeWords(cmd, "input", false, words(record.InputFormats)...)
}

func newProduce(s *Streams) *cobra.Command {
	o := produceOptions{input: record.Lines}
	cmd := &cobra.Command{
		Use:     "produce TOPIC [VALUE...]",
		Aliases: []string{"p"},
		Short:   "Write records to a topic",
		Long: `Write records to a topic: each VALUE is one, and without any VALUE each line of stdin is one.
Where each record went is printed as topic[partition]@offset, with its timestamp.

  weir produce orders -k u1 'hello'
  weir produce orders -H source:web < lines.txt
  weir produce orders -f '%k=%v\n' < pairs.txt
  weir consume orders --from start -e -o jsonl | weir produce copy -i jsonl
  weir produce orders --txn import-7 --file orders.txt

JSONL records go to the partition that they name, with their key, headers and timestamp, byte for byte.
A topic that does not exist is created if the broker allows it, and that is said.

With --txn all records come to be seen together by consumers that read committed, or not at all: bad input and Ctrl-C
abort. --txn-records and --txn-interval commit on the way; then what was committed stays. What is printed is
committed. The next run with the same id aborts what one before has left, and ends one that still runs.`,
		Args:              needs(1),
		ValidArgsFunction: completeTopics(s, &o.conn, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.topic, o.values = args[0], args[1:]
			o.hasKey = cmd.Flags().Changed("key")
			return runProduce(cmd.Context(), s, o)
		},
	}
	o.addFlags(s, cmd)
	withConnection(s, cmd, &o.conn)
	return cmd
}

func runProduce(ctx context.Context, s *Streams, o produceOptions) error {
	form, err := o.defaults(s.Now())
	if err != nil {
		return err
	}
	next, closeInput, err := o.source(ctx, s)
	if err != nil {
		return err
	}
	defer closeInput()
	if err := o.setProperties(); err != nil {
		return err
	}
	cl, err := s.open(ctx, &o.conn, o.clientOpts()...)
	if err != nil {
		return err
	}
	defer cl.Close()
	topic, err := ensureTopic(ctx, s, cl, o.topic)
	if err != nil {
		return err
	}
	if o.partition >= 0 && int(o.partition) >= len(topic.Partitions) {
		return missingPartition(topic, o.partition)
	}
	form.partitions = int32(len(topic.Partitions))

	to := newSender(cl)
	defer to.close()
	out := newReceipts(s, to, o.topic, o.quiet)
	read := form.source(next, o.rate)
	if o.txn.id != "" {
		return produceInTransactions(ctx, s, out, o.txn, read)
	}
	for to.stalled() == nil {
		r, err := read(ctx)
		if err == io.EOF {
			return out.finish(ctx, nil)
		}
		if err != nil {
			return out.finish(ctx, err)
		}
		to.send(r, out.promise)
	}
	return out.finish(ctx, nil)
}

func (o *produceOptions) clientOpts() []kgo.Opt {
	if o.txn.id != "" {
		return o.txn.clientOpts()
	}
	return produceOpts()
}

// setProperties checks the flags that are about the client and hands them to it.
func (o *produceOptions) setProperties() error {
	if o.acks != "" {
		if _, err := connect.Acks(o.acks); err != nil {
			return fault.Usage("--acks %s: %v", o.acks, err)
		}
		o.conn.Set("acks", o.acks)
	}
	if o.codec != "" {
		if _, err := connect.Compression(o.codec); err != nil {
			return fault.Usage("-z %s: %v", o.codec, err)
		}
		o.conn.Set("compression.type", o.codec)
	}
	return nil
}

// defaults checks the flags that shape records.
func (o *produceOptions) defaults(now time.Time) (*form, error) {
	f := &form{topic: o.topic, partition: o.partition, repartition: o.repartition}
	if o.partition < -1 {
		return nil, fault.Usage("-p %d: partitions are counted from 0", o.partition)
	}
	if err := o.txn.check(o.acks); err != nil {
		return nil, err
	}
	if o.hasKey {
		f.key = []byte(o.key)
	}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fault.Usage("-H %s: write name:value", h)
		}
		f.headers = append(f.headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	if o.timestamp != "" {
		t, err := seek.ParseTime(o.timestamp, now)
		if err != nil {
			return nil, fault.Usage("--timestamp: %v", err)
		}
		f.timestamp = t
	}
	if o.tombstone && !o.hasKey {
		return nil, fault.Usage("--tombstone marks a key as gone: it needs -k KEY")
	}
	if o.tombstone && (len(o.values) > 0 || o.file != "" || o.template != "") {
		return nil, fault.Usage("--tombstone is a record without a value: give it no VALUE, file or template")
	}
	if len(o.values) > 0 && (o.file != "" || o.template != "" || o.input != record.Lines) {
		return nil, fault.Usage("--file, -f and -i are about records that are read, and here a VALUE is given")
	}
	return f, nil
}

// source returns where the records come from.
func (o *produceOptions) source(ctx context.Context, s *Streams) (next nextRecord, closeInput func(), err error) {
	closeInput = func() {}
	if o.tombstone {
		return fromList([]*kgo.Record{{}}), closeInput, nil
	}
	if len(o.values) > 0 {
		list := make([]*kgo.Record, len(o.values))
		for i, v := range o.values {
			list[i] = &kgo.Record{Value: []byte(v)}
		}
		return fromList(list), closeInput, nil
	}
	in := s.In
	if o.file != "" {
		f, err := os.Open(o.file)
		if err != nil {
			return nil, nil, &fault.Error{What: "cannot read " + o.file, Why: err.Error(), Err: err}
		}
		in, closeInput = f, func() { f.Close() }
	} else if s.InTerminal {
		s.note("Type records, one a line. %s", o.howToEnd())
	}
	r, err := record.NewReader(in, o.input, o.template)
	if err != nil {
		closeInput()
		return nil, nil, fault.Usage("-f %s: %v", o.template, err)
	}
	return fromReader(ctx, r), closeInput, nil
}

func (o *produceOptions) howToEnd() string {
	if o.txn.id != "" {
		return "Ctrl-D commits, Ctrl-C aborts what is not committed."
	}
	return "Ctrl-D ends."
}

// form fills in what the command line says about every record.
type form struct {
	topic       string
	key         []byte // nil: none
	headers     []kgo.RecordHeader
	partition   int32 // -1: not said
	timestamp   time.Time
	repartition bool
	partitions  int32 // how many the topic has
}

// recordSource returns records that are ready to be sent, then io.EOF. It ends early with ctx.
type recordSource func(ctx context.Context) (*kgo.Record, error)

// source completes what next returns, at a rate.
func (f *form) source(next nextRecord, rate rateValue) recordSource {
	pace := pacer{rate: rate}
	return func(ctx context.Context) (*kgo.Record, error) {
		r, given, err := next(ctx)
		if err == nil {
			err = f.complete(r, given)
		}
		if err == nil {
			err = pace.wait(ctx)
		}
		return r, err
	}
}

func (f *form) complete(r *kgo.Record, given jsonl.Given) error {
	r.Topic = f.topic
	if r.Key == nil {
		r.Key = f.key
	}
	r.Headers = append(r.Headers, f.headers...)
	switch {
	case f.partition >= 0:
		r.Partition = f.partition
	case !given.Partition || f.repartition:
		r.Partition = anyPartition
	case r.Partition < 0 || r.Partition >= f.partitions:
		return &fault.Error{What: fmt.Sprintf("a record names partition %d, and topic %q has %d", r.Partition, f.topic, f.partitions),
			Do: "Choose partitions anew with --repartition, or add some: weir topic add-partitions " + f.topic}
	}
	if !given.Timestamp {
		r.Timestamp = f.timestamp
		return nil
	}
	return writableTime(r.Timestamp)
}

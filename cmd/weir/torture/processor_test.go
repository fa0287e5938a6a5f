//go:build torture

package torture

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"weir/cmd/weir/torture/history"
)

// A processor is this test's binary once more, so that it can be killed like a broker. It is told by the
// environment what to do, and has the test note its events: a batch of them goes to standard output, and
// the answer comes to standard input, so that all processes have one order of what was before and after.
const processorEnv = "WEIR_TORTURE_PROCESSOR"

// exitFenced is how a processor ends that was told that there is another one.
const exitFenced = 3

// processor is what one is told: it is the only one with its Process, and may be one of many with its ID.
type processor struct {
	Seeds       []string
	Stage       int // of stages
	ID, Process int
	Seed        uint64

	rng     *rand.Rand
	session *kgo.GroupTransactSession
	events  *json.Encoder
	out     *bufio.Writer
	in      *bufio.Reader
	txns, n uint64 // begun, sent
}

// stage is a link of the chain.
type stage struct {
	from, to topic
	opts     []kgo.Opt
	static   bool // members have names
}

// stages have all kinds of groups, and both versions of transactions.
var stages = []stage{
	{from: chainIn, to: chainA, opts: []kgo.Opt{kgo.Balancers(kgo.CooperativeStickyBalancer())}},
	{from: chainA, to: chainB, opts: []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}},
	{from: chainB, to: chainOut, static: true, opts: []kgo.Opt{kgo.Balancers(kgo.RangeBalancer()), kgo.MaxVersions(kversion.V3_7_0())}},
}

func groupOf(stage int) string { return fmt.Sprintf("stage-%d", stage) }

// process is all that this process does when it is a processor.
func process(task string) (code int) {
	p := processor{out: bufio.NewWriter(os.Stdout), in: bufio.NewReader(os.Stdin)}
	p.events = json.NewEncoder(p.out)
	if err := json.Unmarshal([]byte(task), &p); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p.rng = rand.New(rand.NewPCG(p.Seed, uint64(p.Process)))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := p.run(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "processor %d: %v\n", p.Process, err)
	for _, fenced := range []error{kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.FencedInstanceID} {
		if errors.Is(err, fenced) {
			return exitFenced
		}
	}
	return 1
}

// note returns when the test has the events.
func (p *processor) note(events ...history.Event) error {
	for _, e := range events {
		if err := p.events.Encode(e); err != nil {
			return err
		}
	}
	if err := p.out.WriteByte('\n'); err != nil {
		return err
	}
	if err := p.out.Flush(); err != nil {
		return err
	}
	_, err := p.in.ReadByte()
	return err
}

func (p *processor) run(ctx context.Context) (err error) {
	s := stages[p.Stage]
	opts := append(patient(p.Seeds), kgo.TransactionalID(fmt.Sprintf("id-%d", p.ID)), kgo.TransactionTimeout(time.Minute),
		kgo.ConsumerGroup(groupOf(p.Stage)), kgo.ConsumeTopics(s.from.name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.HeartbeatInterval(300*time.Millisecond), kgo.SessionTimeout(3*time.Second), kgo.RebalanceTimeout(5*time.Second),
		kgo.RequestTimeoutOverhead(2*time.Second), kgo.ProduceRequestTimeout(2*time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if s.static {
		opts = append(opts, kgo.InstanceID(fmt.Sprintf("member-%d", p.ID)))
	}
	if p.session, err = kgo.NewGroupTransactSession(append(opts, s.opts...)...); err != nil {
		return err
	}
	defer p.session.Close()
	if err := p.note(history.Event{Op: history.Claim, Process: p.Process, ID: p.ID}); err != nil {
		return err
	}
	if err := p.claim(ctx); err != nil {
		return err
	}
	if err := p.note(history.Event{Op: history.Claimed, Process: p.Process}); err != nil {
		return err
	}
	for ctx.Err() == nil {
		fetches := p.session.PollRecords(ctx, p.size())
		var robbed error // all else its client sees to
		fetches.EachError(func(_ string, _ int32, err error) {
			if errors.Is(err, kerr.FencedInstanceID) {
				robbed = err
			}
		})
		if robbed != nil {
			return robbed
		}
		if records := fetches.Records(); len(records) > 0 {
			if err := p.transaction(records); err != nil {
				return err
			}
		}
	}
	return nil
}

// claim makes the processor the producer of its transactional id. Its client does not try brokers that are away for long.
func (p *processor) claim(ctx context.Context) error {
	for began := time.Now(); ; {
		_, _, err := p.session.Client().ProducerID(ctx)
		var refused *kerr.Error
		if err == nil || errors.As(err, &refused) || time.Since(began) > patience {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// size is how many records the next transaction takes at most.
func (p *processor) size() int {
	if p.rng.IntN(5) == 0 {
		return 100 + p.rng.IntN(400)
	}
	return 1 + p.rng.IntN(4)
}

// transaction writes what comes of some records. Each tenth is aborted.
func (p *processor) transaction(records []*kgo.Record) error {
	ctx, s := context.Background(), stages[p.Stage]
	p.txns++
	name := history.NewValue(p.Process, p.txns)
	var sends []*kgo.Record
	var before []history.Event
	for _, r := range records {
		p.n++
		out := transformed(p.Stage, r, history.NewValue(p.Process, p.n))
		sends = append(sends, out)
		before = append(before,
			history.Event{Op: history.Take, Txn: name, Partition: s.from.partition(r.Partition), Offset: r.Offset},
			history.Event{Op: history.Send, Process: p.Process, Txn: name, Partition: s.to.partition(out.Partition), Value: named(out.Value), Sum: sum(out)})
	}
	if err := p.note(before...); err != nil {
		return err
	}
	if err := p.session.Begin(); err != nil {
		return err
	}
	acked, err := p.produce(ctx, sends)
	if err := p.note(acked...); err != nil {
		return err
	}
	if p.rng.IntN(8) == 0 {
		time.Sleep(time.Duration(p.rng.Int64N(int64(300 * time.Millisecond)))) // the work of a slow one; others are done meanwhile
	}
	try, op := kgo.TryCommit, history.Commit
	if err != nil || p.rng.IntN(10) == 0 {
		try, op = kgo.TryAbort, history.Abort
	}
	if err := p.note(history.Event{Op: op, Txn: name}); err != nil {
		return err
	}
	committed, endErr := p.session.End(ctx, try)
	if endErr != nil {
		return errors.Join(endErr, err)
	}
	op = history.Aborted
	if committed {
		op = history.Committed
	}
	return p.note(history.Event{Op: op, Txn: name})
}

// produce sends records, and returns which of them were acknowledged, and the first error.
func (p *processor) produce(ctx context.Context, records []*kgo.Record) (acked []history.Event, err error) {
	var mu sync.Mutex // guards both
	s := stages[p.Stage]
	for _, r := range records {
		p.session.Produce(ctx, r, func(r *kgo.Record, e error) {
			mu.Lock()
			defer mu.Unlock()
			if e != nil {
				if err == nil {
					err = e
				}
				return
			}
			acked = append(acked, history.Event{Op: history.Ack, Process: p.Process, Partition: s.to.partition(r.Partition), Value: named(r.Value), Offset: r.Offset})
		})
	}
	if e := p.session.Client().Flush(ctx); e != nil {
		return nil, e
	}
	mu.Lock()
	defer mu.Unlock()
	return acked, err
}

// transformed is what a stage makes of a record: it has the same key, the name of the record that
// all began with, and a checksum over everything that it was made of.
func transformed(stage int, r *kgo.Record, value uint64) *kgo.Record {
	origin, body := origin(stage, r)
	h := fnv.New64a()
	fmt.Fprintf(h, "stage %d of %s: %x", stage, r.Key, body)
	where := fnv.New32a()
	where.Write(r.Key)
	to := stages[stage].to
	return &kgo.Record{
		Topic: to.name, Partition: int32(where.Sum32() % uint32(to.partitions)), Key: r.Key,
		Value: sealed(value, h.Sum(binary.BigEndian.AppendUint64(nil, origin))),
	}
}

// origin takes apart what is read by a stage, or behind the last one: the name of what all began with, and the rest.
func origin(stage int, r *kgo.Record) (name uint64, body []byte) {
	text := r.Value[8 : len(r.Value)-8]
	if stage == 0 {
		return named(r.Value), text
	}
	return binary.BigEndian.Uint64(text), text[8:]
}

//go:build torture

package torture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/torture/history"
)

// topic is one that the load writes to; number times maxPartitions counts its
// partitions among all of the history.
type topic struct {
	name       string
	number     int32
	partitions int32
	configs    []string
}

const maxPartitions = 100

func (t topic) partition(p int32) int32 { return t.number*maxPartitions + p }

// style is how a producer sends.
type style struct {
	name       string
	idempotent bool
	acks       kgo.Acks
	codec      kgo.CompressionCodec
	weak       bool // the leader alone acknowledges, and may be lost
	hasty      bool // sends again what is not acknowledged within 100 ms
}

var styles = []style{
	{"idempotent", true, kgo.AllISRAcks(), kgo.NoCompression(), false, false},
	{"idempotent, zstd", true, kgo.AllISRAcks(), kgo.ZstdCompression(), false, false},
	{"acks=all, gzip", false, kgo.AllISRAcks(), kgo.GzipCompression(), false, false},
	{"acks=1, lz4", false, kgo.LeaderAck(), kgo.Lz4Compression(), false, false},
	{"acks=1, snappy", false, kgo.LeaderAck(), kgo.SnappyCompression(), false, false},
}

// load is producers and consumers that outlive their broker, and what they
// have seen.
type load struct {
	t         testing.TB
	b         *broker
	topics    []topic
	styles    []style
	record    history.Recorder
	producers sync.WaitGroup
	consumers sync.WaitGroup
	stopSend  chan struct{}
	sending   context.Context // of records
	giveUp    context.CancelFunc
	stopPoll  context.CancelFunc
	pause     time.Duration // between bursts of a producer
	opts      []kgo.Opt     // of all clients

	unanswered atomic.Int64 // records whose outcome no client knows
}

// fitsSmallSegment bounds batches: what gathers in an outage has to fit a segment of 64 KiB.
var fitsSmallSegment = kgo.ProducerBatchMaxBytes(32 << 10)

const keysPerProducer = 8

// start runs a producer of each style over all topics, and two consumers.
func (l *load) start(seed uint64, styles []style) {
	l.stopSend, l.styles = make(chan struct{}), styles
	l.sending, l.giveUp = context.WithCancel(context.Background())
	for i, s := range styles {
		l.producers.Go(func() { l.produce(i+1, s, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stopPoll = cancel
	for i := range 2 {
		l.consumers.Go(func() { l.consume(ctx, 1000+i) })
	}
}

// stopProducing has everything sent that was begun, within patience. The broker has to be up.
func (l *load) stopProducing() {
	close(l.stopSend)
	defer l.giveUp()
	defer time.AfterFunc(patience, l.giveUp).Stop()
	l.producers.Wait()
}

func (l *load) stopConsuming() {
	l.stopPoll()
	l.consumers.Wait()
}

// produce sends bursts to random places until it is stopped.
func (l *load) produce(id int, s style, rng *rand.Rand) {
	opts := []kgo.Opt{
		kgo.RequiredAcks(s.acks), kgo.ProducerBatchCompression(s.codec), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0), kgo.MaxBufferedRecords(500),
	}
	if !s.idempotent {
		// With one request in flight a retry cannot pass what came after it.
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	opts = append(opts, l.opts...)
	if s.hasty {
		opts = append(opts, kgo.ProduceRequestTimeout(100*time.Millisecond)) // then the broker says that it does not know
	}
	client := l.b.client(opts...)
	defer client.Close()
	for n := uint64(1); ; {
		for range 1 + rng.IntN(30) {
			l.send(client, id, n, s, rng)
			n++
		}
		select {
		case <-l.stopSend:
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := client.Flush(ctx); err != nil {
				l.t.Errorf("producer %d (%s) cannot end: %v", id, s.name, err)
			}
			return
		case <-time.After(l.pause):
		}
	}
}

// to is where a producer's records of a key go.
func (l *load) to(id, key int) (topic, int32) {
	to := l.topics[key%len(l.topics)]
	return to, int32((id + key) % int(to.partitions)) // one key, one partition
}

// places are the pairs of producer and partition that are written.
func (l *load) places() map[[2]int32]bool {
	all := map[[2]int32]bool{}
	for i := range l.styles {
		for key := range keysPerProducer {
			to, p := l.to(i+1, key)
			all[[2]int32{int32(i + 1), to.partition(p)}] = true
		}
	}
	return all
}

func (l *load) send(client *kgo.Client, id int, n uint64, s style, rng *rand.Rand) {
	key := rng.IntN(keysPerProducer)
	to, p := l.to(id, key)
	value := history.NewValue(id, n)
	r := &kgo.Record{
		Topic: to.name, Partition: p,
		Key: fmt.Appendf(nil, "producer %d key %d", id, key), Value: payload(value, rng),
	}
	sent := history.Event{Process: id, Partition: to.partition(p), Value: value, Sum: sum(r), Idempotent: s.idempotent, Op: history.Send}
	l.record.Add(sent)
	client.Produce(l.sending, r, func(r *kgo.Record, err error) {
		if err == nil {
			l.record.Add(history.Event{Op: history.Ack, Process: id, Partition: sent.Partition, Value: value, Offset: r.Offset, Weak: s.weak})
			return
		}
		// A client that gives up over connections that break proves nothing;
		// what the broker itself refuses is another matter.
		var refused *kerr.Error
		if errors.As(err, &refused) {
			l.t.Errorf("producer %d (%s): record %d: %v", id, s.name, n, err)
		}
		l.unanswered.Add(1)
	})
}

// payload names the value in some text that compresses a little.
func payload(value uint64, rng *rand.Rand) []byte {
	var text []byte
	for range rng.IntN(40) {
		text = fmt.Appendf(text, "filler %d ", rng.Uint32())
	}
	return sealed(value, text)
}

// sealed is the value's name, a text, and a checksum of both.
func sealed(value uint64, text []byte) []byte {
	b := append(binary.BigEndian.AppendUint64(nil, value), text...)
	h := fnv.New64a()
	h.Write(b)
	return h.Sum(b)
}

// sum is over everything that a consumer gets of a record.
func sum(r *kgo.Record) uint64 {
	h := fnv.New64a()
	h.Write(r.Key)
	h.Write([]byte{0})
	h.Write(r.Value)
	return h.Sum64()
}

// named takes the name out of a payload, 0 when it is damaged.
func named(value []byte) uint64 {
	if len(value) < 16 {
		return 0
	}
	h := fnv.New64a()
	h.Write(value[:len(value)-8])
	if h.Sum64() != binary.BigEndian.Uint64(value[len(value)-8:]) {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

// consume follows all partitions from the start, by itself.
func (l *load) consume(ctx context.Context, id int) {
	assigned := map[string]map[int32]kgo.Offset{}
	numbers := map[string]topic{}
	for _, t := range l.topics {
		numbers[t.name] = t
		assigned[t.name] = map[int32]kgo.Offset{}
		for p := range t.partitions {
			assigned[t.name][p] = kgo.NewOffset().At(0)
		}
	}
	client := l.b.client(append([]kgo.Opt{kgo.ConsumePartitions(assigned), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(200 * time.Millisecond), kgo.KeepRetryableFetchErrors()}, l.opts...)...)
	defer client.Close()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(topic string, p int32, err error) {
			var broken *kerr.Error
			var cut *kgo.ErrDataLoss
			if errors.As(err, &broken) && !broken.Retriable || errors.As(err, &cut) {
				l.t.Errorf("consumer %d: %s-%d: %v", id, topic, p, err)
			}
		})
		var events []history.Event
		fetches.EachRecord(func(r *kgo.Record) {
			events = append(events, polled(history.Poll, id, numbers[r.Topic], r))
		})
		l.record.Add(events...)
	}
}

func polled(op history.Op, process int, t topic, r *kgo.Record) history.Event {
	return history.Event{Op: op, Process: process, Partition: t.partition(r.Partition), Value: named(r.Value), Sum: sum(r), Offset: r.Offset}
}

// readAll notes everything that is in the topics now.
func (l *load) readAll() {
	l.t.Helper()
	for _, t := range l.topics {
		starts, ends := l.b.bounds(t.name)
		assigned := map[int32]kgo.Offset{}
		left := map[int32]int64{}
		for p := range t.partitions {
			start, _ := starts.Lookup(t.name, p)
			end, _ := ends.Lookup(t.name, p)
			l.record.Add(history.Event{Op: history.Bounds, Partition: t.partition(p), Offset: start.Offset, End: end.Offset})
			if start.Offset < end.Offset {
				assigned[p] = kgo.NewOffset().At(start.Offset)
				left[p] = end.Offset
			}
		}
		l.readTopic(t, assigned, left)
	}
}

func (l *load) readTopic(t topic, assigned map[int32]kgo.Offset, left map[int32]int64) {
	l.t.Helper()
	client := l.b.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t.name: assigned}), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			l.t.Fatalf("the final reading of %s: %v, partitions left: %v", t.name, err, left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			l.record.Add(polled(history.Final, 0, t, r))
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
}

// judge reads everything once more and passes the verdict.
func (l *load) judge() history.Report {
	l.t.Helper()
	l.readAll()
	return l.verdict()
}

// verdict is passed over what is noted, which has the final reading.
func (l *load) verdict() history.Report {
	l.t.Helper()
	began := time.Now()
	report := history.Check(l.record.Events())
	l.t.Logf("%d records sent, %d acknowledged (%d given up), %d polled, %d in the end (%d copies where retries may leave them); judged in %v",
		report.Sent, report.Acked, l.unanswered.Load(), report.Polled, report.Final, report.Duplicates, time.Since(began).Round(time.Millisecond))
	for _, v := range report.Violations {
		l.t.Error(v)
	}
	if more := report.Total - len(report.Violations); more > 0 {
		l.t.Errorf("and %d more", more)
	}
	return report
}

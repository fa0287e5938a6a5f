package raw

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"weir/bench/internal/fakebroker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestBuildBatch decodes batches of any shape with the client's own decoder.
func TestBuildBatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxBytes := rapid.IntRange(1, 20_000).Draw(t, "max bytes")
		recordBytes := rapid.IntRange(1, 3000).Draw(t, "record bytes")
		b, n := buildBatch(maxBytes, recordBytes, 1234, rapid.Uint64().Draw(t, "seed"))
		if len(b) > maxBytes && n != 1 {
			t.Fatalf("%d bytes with %d records, want at most %d", len(b), n, maxBytes)
		}
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(b); err != nil {
			t.Fatal(err)
		}
		if crc := crc32.Checksum(b[21:], castagnoli); uint32(batch.CRC) != crc || int(batch.Length) != len(b)-12 || batch.Magic != 2 {
			t.Fatalf("head %+v of %d bytes with checksum %08x", batch, len(b), crc)
		}
		if int(batch.NumRecords) != n || int(batch.LastOffsetDelta) != n-1 || batch.ProducerID != -1 || batch.FirstTimestamp != 1234 {
			t.Fatalf("head %+v, want %d records", batch, n)
		}
		rest := batch.Records
		for i := range n {
			length, used := binary.Varint(rest)
			var r kmsg.Record
			if err := r.ReadFrom(rest[:used+int(length)]); err != nil {
				t.Fatal(err)
			}
			if int(r.OffsetDelta) != i || len(r.Value) != recordBytes || r.Key != nil {
				t.Fatalf("record %d: %+v", i, r)
			}
			rest = rest[used+int(length):]
		}
		if len(rest) != 0 {
			t.Fatalf("%d bytes after the last record", len(rest))
		}
	})
}

// chain returns batches at consecutive offsets from base.
func chain(base int64, n int) []byte {
	var out []byte
	for range n {
		b, records := buildBatch(2000, 300, 0, 1)
		binary.BigEndian.PutUint64(b, uint64(base))
		base += int64(records)
		out = append(out, b...)
	}
	return out
}

func TestScanBatches(t *testing.T) {
	one, records := buildBatch(2000, 300, 0, 1)
	n := int64(records)
	for name, c := range map[string]struct {
		bytes   []byte
		next    int64
		want    fetched
		refused string
	}{
		"nothing":             {nil, 7, fetched{next: 7}, ""},
		"three":               {chain(100, 3), 100, fetched{100 + 3*n, 3 * n, 3 * int64(len(one))}, ""},
		"begins below":        {chain(100, 2), 101, fetched{100 + 2*n, 2 * n, 2 * int64(len(one))}, ""},
		"last one cut":        {chain(0, 2)[:len(one)+70], 0, fetched{n, n, int64(len(one))}, ""},
		"head cut":            {chain(0, 1)[:40], 0, fetched{}, ""},
		"a hole":              {append(chain(0, 1), chain(n+1, 1)...), 0, fetched{}, "want"},
		"the same once more":  {append(chain(0, 1), chain(0, 1)...), 0, fetched{}, "want"},
		"below what is asked": {chain(0, 1), n, fetched{}, "want"},
		"a length too small":  {append(make([]byte, 11), make([]byte, 60)...), 0, fetched{}, "batch of 12 bytes"},
	} {
		got, err := scanBatches(c.bytes, c.next)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: got %+v, %v", name, got, err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}

// start returns a fake broker with a topic of 3 partitions.
func start(t *testing.T, faults fakebroker.Faults) *fakebroker.Broker {
	t.Helper()
	b := fakebroker.Start(t, faults)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	return b
}

// tally counts what a load reports.
type tally struct {
	answers, records, bytes atomic.Int64
}

func (c *tally) done(_ int, records, bytes int64, _ time.Duration) {
	c.answers.Add(1)
	c.records.Add(records)
	c.bytes.Add(bytes)
}

func produceConfig(b *fakebroker.Broker) ProduceConfig {
	return ProduceConfig{Address: b.Addr, Topic: "t", Connections: 2, BatchBytes: 4096, RecordBytes: 500, Acks: -1, Pipeline: 4, TotalBytes: 400_000}
}

// TestProduceAndConsume: every promise and more or fewer connections than partitions.
func TestProduceAndConsume(t *testing.T) {
	for name, change := range map[string]func(*ProduceConfig){
		"acks=all":           func(*ProduceConfig) {},
		"acks=1":             func(c *ProduceConfig) { c.Acks = 1 },
		"acks=0":             func(c *ProduceConfig) { c.Acks = 0 },
		"one at a time":      func(c *ProduceConfig) { c.Pipeline = 1 },
		"one connection":     func(c *ProduceConfig) { c.Connections = 1 },
		"shared partitions":  func(c *ProduceConfig) { c.Connections = 5 },
		"one record a batch": func(c *ProduceConfig) { c.BatchBytes = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, fakebroker.Faults{})
			cfg := produceConfig(b)
			change(&cfg)
			var sent, read tally
			if err := Produce(t.Context(), cfg, sent.done); err != nil {
				t.Fatal(err)
			}
			stored := b.End("t", 0) + b.End("t", 1) + b.End("t", 2)
			if stored != sent.records.Load() || int64(b.Batches()) != sent.answers.Load() || sent.bytes.Load() == 0 {
				t.Errorf("%d records in %d batches are stored, reported were %d in %d", stored, b.Batches(), sent.records.Load(), sent.answers.Load())
			}
			err := Consume(t.Context(), ConsumeConfig{Address: b.Addr, Topic: "t", Connections: cfg.Connections, FetchBytes: 10_000}, read.done)
			if err != nil {
				t.Fatal(err)
			}
			// Each of the five connections reads its own partitions; two of them share theirs with others.
			readers := int64(1)
			if cfg.Connections > 3 {
				readers = 2
			}
			if got := read.records.Load(); got < stored || got > readers*stored {
				t.Errorf("read %d records, stored are %d", got, stored)
			}
		})
	}
}

// TestConsumeStartsOver until it has read as much as asked.
func TestConsumeStartsOver(t *testing.T) {
	b := start(t, fakebroker.Faults{})
	var sent, read tally
	if err := Produce(t.Context(), produceConfig(b), sent.done); err != nil {
		t.Fatal(err)
	}
	want := 3 * sent.bytes.Load()
	if err := Consume(t.Context(), ConsumeConfig{Address: b.Addr, Topic: "t", Connections: 2, FetchBytes: 10_000, TotalBytes: want}, read.done); err != nil {
		t.Fatal(err)
	}
	if got := read.bytes.Load(); got < want-1 || got > want+4*10_000 {
		t.Errorf("read %d bytes, want %d", got, want)
	}
}

// TestProduceFailsByTheAnswersCode: no refusal passes for an acknowledgement.
func TestProduceFailsByTheAnswersCode(t *testing.T) {
	b := start(t, fakebroker.Faults{RefuseFrom: 20})
	var sent tally
	err := Produce(t.Context(), produceConfig(b), sent.done)
	if !errors.Is(err, kerr.MessageTooLarge) || sent.answers.Load() >= 20 {
		t.Errorf("got %v after %d answers", err, sent.answers.Load())
	}
}

// TestPipelineIsBounded: the broker, which holds its answers back, gets no more than the pipeline allows.
func TestPipelineIsBounded(t *testing.T) {
	release := make(chan struct{})
	var once sync.Once
	ctx, cancel := context.WithCancel(t.Context())
	b := start(t, fakebroker.Faults{BeforeProduce: func(batch int) {
		if batch == 1 {
			once.Do(cancel) // nothing more is sent
			<-release
		}
	}})
	cfg := produceConfig(b)
	cfg.Connections, cfg.Pipeline, cfg.TotalBytes = 1, 3, 0
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	var sent tally
	if err := Produce(ctx, cfg, sent.done); err != nil {
		t.Fatal(err)
	}
	if got := sent.answers.Load(); got < 1 || got > 3 || int64(b.Batches()) != got {
		t.Errorf("%d batches sent with 3 allowed in flight, %d answered", b.Batches(), got)
	}
}

func TestErrorsOfTheTarget(t *testing.T) {
	b := start(t, fakebroker.Faults{})
	cfg := produceConfig(b)
	cfg.Topic = "none"
	if err := Produce(t.Context(), cfg, nil); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("no such topic: %v", err)
	}
	if _, err := Dial("127.0.0.1:1"); err == nil {
		t.Error("nobody listens, yet it connected")
	}
	if err := Consume(t.Context(), ConsumeConfig{Address: b.Addr, Topic: "t", Connections: 1, FetchBytes: 1}, nil); err != nil {
		t.Errorf("an empty topic: %v", err)
	}
}

// FuzzScanBatches: whatever a broker answers, the walk ends, stays inside and moves forward.
func FuzzScanBatches(f *testing.F) {
	f.Add(chain(0, 2), int64(0))
	f.Add(chain(5, 1)[:70], int64(5))
	f.Add(append(make([]byte, 8), 0xff, 0xff, 0xff, 0xff), int64(1))
	f.Add(make([]byte, 200), int64(-1))
	f.Add(append([]byte{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, chain(0, 1)[8:]...), int64(0))
	f.Add(append([]byte{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, chain(0, 1)[8:]...), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, b []byte, next int64) {
		got, err := scanBatches(b, next)
		if got.next < next || got.bytes > int64(len(b)) || (err == nil && got.bytes == 0 && got.next != next) {
			t.Fatalf("got %+v, %v from %d bytes at %d", got, err, len(b), next)
		}
	})
}

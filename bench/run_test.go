package bench

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/bench/internal/fakebroker"
)

// small returns a closed loop of many small batches against b.
func small(b *fakebroker.Broker, records int64) ProduceConfig {
	c := DefaultProduceConfig()
	c.Brokers, c.Topic, c.Partitions, c.ReplicationFactor = []string{b.Addr}, "t", 3, 1
	c.Records, c.Duration = records, 0
	c.RecordBytes, c.BatchBytes, c.Linger = 200, 4096, 0
	c.Verify = true
	return c
}

func consume(c ProduceConfig) ConsumeConfig {
	out := DefaultConsumeConfig()
	out.Target = c.Target
	out.Verify = c.Verify
	out.ManifestPath = c.ManifestPath
	return out
}

// produced runs c and fails unless each record was acknowledged.
func produced(t *testing.T, c ProduceConfig) *Result {
	t.Helper()
	r, err := Produce(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() || r.Records != c.Records {
		t.Fatalf("%d records of %d acknowledged, %d errors %v", r.Records, c.Records, r.Errors, r.ErrorTexts)
	}
	return r
}

// TestProduceThenConsume writes with every kind of key, codec and acks, reads it back in another run
// and verifies it by the manifest.
func TestProduceThenConsume(t *testing.T) {
	for name, change := range map[string]func(*ProduceConfig){
		"no keys":         func(*ProduceConfig) {},
		"uniform keys":    func(c *ProduceConfig) { c.Keys = KeySpec{KeysUniform, 50} },
		"zipf keys":       func(c *ProduceConfig) { c.Keys = KeySpec{KeysZipf, 500} },
		"three producers": func(c *ProduceConfig) { c.Producers, c.Keys = 3, KeySpec{KeysUniform, 10} },
		"acks=1":          func(c *ProduceConfig) { c.Acks = AcksLeader },
		"open loop":       func(c *ProduceConfig) { c.Rate = 20_000 },
		"one in flight":   func(c *ProduceConfig) { c.InFlight, c.Records = 1, 50 },
		"gzip":            func(c *ProduceConfig) { c.Codec, c.Payload = CodecGzip, PayloadText },
		"snappy":          func(c *ProduceConfig) { c.Codec = CodecSnappy },
		"lz4":             func(c *ProduceConfig) { c.Codec = CodecLZ4 },
		"zstd":            func(c *ProduceConfig) { c.Codec = CodecZstd },
	} {
		t.Run(name, func(t *testing.T) {
			b := fakebroker.Start(t, fakebroker.Faults{})
			c := small(b, 3000)
			c.ManifestPath = filepath.Join(t.TempDir(), "manifest.json")
			c.TopicConfigs = map[string]string{"write.caching": "true"}
			change(&c)
			p := produced(t, c)
			if p.Latency.Count != c.Records || p.Latency.Max == 0 || b.Batches() < 2 {
				t.Errorf("latency %+v of %d batches", p.Latency, b.Batches())
			}
			if b.Config("t", "write.caching") != "true" {
				t.Error("the topic was not created with its config")
			}
			if open := c.Rate > 0; (p.SendLag != nil) != open || strings.HasPrefix(p.Loop, "open loop") != open {
				t.Errorf("loop %q, lag %v", p.Loop, p.SendLag)
			}
			r, err := Consume(t.Context(), consume(c))
			if err != nil {
				t.Fatal(err)
			}
			if !r.OK() || r.Records != c.Records || !r.Verify.Complete || r.Verify.Checked != c.Records || r.Bytes != p.Bytes {
				t.Errorf("consumed %d records, %d bytes of %d: %+v", r.Records, r.Bytes, p.Bytes, r.Verify)
			}
		})
	}
}

// TestConsumeFindsWhatABrokerDid: a broker that acknowledges and then harms is found out.
func TestConsumeFindsWhatABrokerDid(t *testing.T) {
	for name, c := range map[string]struct {
		faults fakebroker.Faults
		of     func(*VerifyReport) int64
	}{
		"lost":       {fakebroker.Faults{LoseBatch: 3}, func(r *VerifyReport) int64 { return r.Lost }},
		"duplicated": {fakebroker.Faults{RepeatBatch: 3}, func(r *VerifyReport) int64 { return r.Duplicated }},
		"reordered":  {fakebroker.Faults{SwapBatch: 3}, func(r *VerifyReport) int64 { return r.Reordered }},
		"corrupted":  {fakebroker.Faults{DamageBatch: 3}, func(r *VerifyReport) int64 { return r.Corrupted }},
	} {
		t.Run(name, func(t *testing.T) {
			b := fakebroker.Start(t, c.faults)
			p := small(b, 2000)
			p.Partitions, p.Keys = 1, KeySpec{KeysUniform, 2}
			p.ManifestPath = filepath.Join(t.TempDir(), "manifest.json")
			produced(t, p)
			r, err := Consume(t.Context(), consume(p))
			if err != nil {
				t.Fatal(err)
			}
			if c.of(r.Verify) == 0 || r.OK() || len(r.Verify.Examples) == 0 {
				t.Errorf("got %+v", r.Verify)
			}
		})
	}
}

// TestProduceCountsRefusals: what the broker refuses is an error by name and not a record.
func TestProduceCountsRefusals(t *testing.T) {
	b := fakebroker.Start(t, fakebroker.Faults{RefuseFrom: 2})
	c := small(b, 500)
	c.Acks = AcksLeader // a refusal ends an idempotent producer's partition
	c.ManifestPath = filepath.Join(t.TempDir(), "manifest.json")
	r, err := Produce(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ReadManifest(c.ManifestPath)
	if err != nil {
		t.Fatal(err)
	}
	if r.OK() || r.Records+r.Errors != 500 || r.Errors == 0 || m.Acknowledged() != r.Records || !strings.Contains(strings.Join(r.ErrorTexts, ""), "MESSAGE_TOO_LARGE") {
		t.Errorf("%d records, %d errors %v, %d acknowledged by the manifest", r.Records, r.Errors, r.ErrorTexts, m.Acknowledged())
	}
}

// TestOpenLoopCountsTheStall: a broker stands still while 100 records fall due, one in flight. By the
// schedule most of them waited; a generator that counts from the send would report one slow record.
func TestOpenLoopCountsTheStall(t *testing.T) {
	const stall = 400 * time.Millisecond
	b := fakebroker.Start(t, fakebroker.Faults{BeforeProduce: func(batch int) {
		if batch == 1 {
			time.Sleep(stall) // the load under test, not a synchronisation
		}
	}})
	c := small(b, 100)
	c.Rate, c.InFlight = 1000, 1
	r := produced(t, c)
	// Record 50 was due at 50 ms and could not be answered before the stall was over.
	if least := (stall - 60*time.Millisecond).Microseconds(); r.Latency.P50 < least {
		t.Errorf("p50 is %d µs, want at least %d: the wait was left out", r.Latency.P50, least)
	}
	if r.SendLag == nil || r.SendLag.P50 < 200_000 {
		t.Errorf("the generator was behind its schedule, it says %+v", r.SendLag)
	}
}

// TestProduceStopsWhenCancelled: what was sent until then is reported.
func TestProduceStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := fakebroker.Start(t, fakebroker.Faults{BeforeProduce: func(batch int) {
		if batch == 5 {
			cancel()
		}
	}})
	c := small(b, 0)
	c.Duration = time.Hour
	r, err := Produce(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Records == 0 || r.ElapsedSeconds > 60 {
		t.Errorf("%d records in %v s", r.Records, r.ElapsedSeconds)
	}
}

// TestConsumeBounds: by count, from an offset, by time, and nothing at all.
func TestConsumeBounds(t *testing.T) {
	b := fakebroker.Start(t, fakebroker.Faults{})
	p := small(b, 1000)
	p.Partitions = 1
	produced(t, p)
	for name, c := range map[string]struct {
		change func(*ConsumeConfig)
		want   int64
	}{
		"count":             {func(c *ConsumeConfig) { c.Records = 123 }, 123},
		"from an offset":    {func(c *ConsumeConfig) { c.StartOffset = 900 }, 100},
		"from the end":      {func(c *ConsumeConfig) { c.StartOffset = 1000 }, 0},
		"time":              {func(c *ConsumeConfig) { c.Duration = 300 * time.Millisecond }, 1000},
		"too many clients":  {func(c *ConsumeConfig) { c.Consumers = 8 }, 1000},
		"one fetch a batch": {func(c *ConsumeConfig) { c.FetchBytes = 1 }, 1000},
	} {
		cfg := consume(p)
		cfg.Verify = false
		c.change(&cfg)
		r, err := Consume(t.Context(), cfg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Records != c.want || r.Errors != 0 {
			t.Errorf("%s: %d records, want %d, %v", name, r.Records, c.want, r.ErrorTexts)
		}
	}
}

func TestE2E(t *testing.T) {
	for name, change := range map[string]func(*E2EConfig){
		"open loop, verified": func(c *E2EConfig) { c.Rate, c.Verify, c.Keys = 10_000, true, KeySpec{KeysUniform, 20} },
		"closed loop":         func(c *E2EConfig) { c.Rate, c.Producers = 0, 2 },
		"two consumers":       func(c *E2EConfig) { c.Rate, c.Consumers, c.Verify = 10_000, 2, true },
	} {
		t.Run(name, func(t *testing.T) {
			b := fakebroker.Start(t, fakebroker.Faults{})
			before := small(b, 50)
			produced(t, before) // older records do not count
			c := DefaultE2EConfig()
			c.ProduceConfig = small(b, 1000)
			c.ProduceConfig.Verify = false
			change(&c)
			r, err := E2E(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if !r.OK() || r.Records != 1000 || r.Latency.Count != 1000 {
				t.Errorf("%d records, %d errors %v, %+v", r.Records, r.Errors, r.ErrorTexts, r.Verify)
			}
			if c.Verify && (r.Verify.Checked != 1000 || !r.Verify.Complete) {
				t.Errorf("got %+v", r.Verify)
			}
		})
	}
}

// TestE2EReportsWhatNeverCame: acknowledged, lost, and said so after the drain.
func TestE2EReportsWhatNeverCame(t *testing.T) {
	b := fakebroker.Start(t, fakebroker.Faults{LoseBatch: 2})
	c := DefaultE2EConfig()
	c.ProduceConfig = small(b, 200)
	c.Drain = 300 * time.Millisecond
	r, err := E2E(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.OK() || r.Verify.Lost == 0 || r.Errors != r.Verify.Lost || r.Records+r.Verify.Lost != 200 {
		t.Errorf("%d records, %d errors %v, %+v", r.Records, r.Errors, r.ErrorTexts, r.Verify)
	}
}

func TestRunErrors(t *testing.T) {
	b := fakebroker.Start(t, fakebroker.Faults{})
	c := small(b, 10)
	c.CreateTopic = false
	if _, err := Produce(t.Context(), c); err == nil || !strings.Contains(err.Error(), "UNKNOWN_TOPIC_OR_PARTITION") {
		t.Errorf("no such topic: %v", err)
	}
	c.CreateTopic, c.BrokerPIDs = true, []int{1 << 30}
	if _, err := Produce(t.Context(), c); err == nil || !strings.Contains(err.Error(), "broker process") {
		t.Errorf("no such process: %v", err)
	}
	c.BrokerPIDs, c.HDRLogPath = nil, filepath.Join(t.TempDir(), "none", "run.hdr")
	if _, err := Produce(t.Context(), c); err == nil || !strings.Contains(err.Error(), "hdr log") {
		t.Errorf("no folder for the log: %v", err)
	}
	if _, err := Produce(t.Context(), small(&fakebroker.Broker{Addr: "127.0.0.1:1"}, 1)); err == nil || !strings.Contains(err.Error(), "no broker answers") {
		t.Errorf("nobody listens: %v", err)
	}
	read := consume(c)
	read.ManifestPath = "none"
	if _, err := Consume(t.Context(), read); err == nil || !strings.Contains(err.Error(), "manifest") {
		t.Errorf("no manifest: %v", err)
	}
}

// TestRawLoads: what the raw client wrote, a full client reads; what it reads is counted right.
func TestRawLoads(t *testing.T) {
	b := fakebroker.Start(t, fakebroker.Faults{})
	c := DefaultRawConfig()
	c.Brokers, c.Topic, c.Partitions, c.ReplicationFactor = []string{b.Addr}, "raw", 3, 1
	c.BatchBytes, c.RecordBytes, c.TotalBytes, c.BrokerPIDs = 8<<10, 1000, 1<<20, []int{os.Getpid()}
	p, err := RawProduce(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	// Eight records of a little over 1000 bytes fit into a batch; each connection sends as many whole batches as fit into half.
	if p.Records%8 != 0 || p.Bytes > 1<<20 || p.Bytes < 1<<20-2*8<<10 || p.Broker == nil {
		t.Errorf("%d records, %d bytes, broker %v", p.Records, p.Bytes, p.Broker)
	}
	full := DefaultConsumeConfig()
	full.Target = Target{Brokers: c.Brokers, Topic: c.Topic}
	if r, err := Consume(t.Context(), full); err != nil || r.Records != p.Records || r.Bytes != p.Records*1000 || r.Errors != 0 {
		t.Errorf("a full client read %+v, %v", r, err)
	}
	c.FetchBytes, c.TotalBytes = 32<<10, 3<<20
	r, err := RawConsume(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Bytes < 3<<20 || r.Records*p.Bytes != r.Bytes*p.Records {
		t.Errorf("read %d records, %d bytes; written were %d and %d", r.Records, r.Bytes, p.Records, p.Bytes)
	}
}

// TestCompareFloor runs both sides in turn, the floor in a process of its own.
func TestCompareFloor(t *testing.T) {
	b := fakebroker.Start(t, fakebroker.Faults{})
	c := DefaultRawConfig()
	c.Brokers, c.ReplicationFactor, c.TotalBytes, c.BrokerPIDs = []string{b.Addr}, 1, 4<<20, []int{os.Getpid()}
	for _, produce := range []bool{true, false} {
		for _, sync := range []bool{false, true} {
			dir := t.TempDir()
			fc := FloorConfig{Command: []string{os.Args[0], floorVerb}, Dir: dir, Rounds: 2, Sync: sync}
			r, err := CompareFloor(t.Context(), c, fc, produce)
			if err != nil {
				t.Fatal(err)
			}
			if f := r.Floor; f == nil || f.Rounds != 2 || f.MiBPerSecond <= 0 || f.ThroughputRatio == nil || r.Records == 0 {
				t.Errorf("produce %v: got %+v of %+v", produce, f, r)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		}
	}
}

// TestFloorReplicas runs a leader and two followers, each a process: all three have stored the load.
func TestFloorReplicas(t *testing.T) {
	c := DefaultRawConfig()
	c.Brokers, c.TotalBytes = []string{"none"}, 4<<20
	for _, sync := range []bool{false, true} {
		dir := t.TempDir()
		fc := FloorConfig{Command: []string{os.Args[0], floorVerb}, Dir: dir, Rounds: 1, Sync: sync, Replicas: 3}
		r, err := RunFloor(t.Context(), c, fc, true)
		if err != nil {
			t.Fatal(err)
		}
		if r.Records == 0 || r.Errors != 0 || len(r.Broker.PIDs) != 3 {
			t.Errorf("sync %v: got %+v by %+v", sync, r, r.Broker)
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
	fc := FloorConfig{Command: []string{filepath.Join(t.TempDir(), "none")}, Dir: t.TempDir(), Rounds: 1, Replicas: 3}
	if _, err := RunFloor(t.Context(), c, fc, true); err == nil {
		t.Error("a floor that cannot start went unnoticed")
	}
}

// TestRequestsAreFew: a run asks for metadata a handful of times, not for each record.
func TestRequestsAreFew(t *testing.T) {
	keys := make(chan int16, 10_000)
	b := fakebroker.Start(t, fakebroker.Faults{RequestsServed: func(key int16) { keys <- key }})
	produced(t, small(b, 2000))
	close(keys)
	var all []int16
	for k := range keys {
		all = append(all, k)
	}
	other := slices.DeleteFunc(all, func(k int16) bool { return k == 0 })
	if len(other) > 50 {
		t.Errorf("%d requests beside produce: %v", len(other), other)
	}
}

package bench

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -run %s -update writes it):\n%s", path, t.Name(), got)
	}
}

func pointer[T any](v T) *T { return &v }

// sampleResult has every part of a report.
func sampleResult(kind string) *Result {
	latency := Micros{Count: 200_000, Mean: 1234.5, P50: 900, P90: 2100, P95: 3500, P99: 12_345, P999: 45_678, P9999: 99_000, Max: 1_234_000}
	cfg := DefaultProduceConfig()
	cfg.Target = brokers(cfg.Target)
	cfg.Keys = KeySpec{KeysZipf, 1000}
	return &Result{
		Kind: kind, Loop: "open loop at 20,000 msg/s by schedule", Config: cfg,
		Started:        time.Date(2026, 11, 23, 9, 41, 7, 412_000_000, time.UTC),
		ElapsedSeconds: 10.25, Records: 200_000, Bytes: 204_800_000, Errors: 3,
		RecordsPerSecond: 19512.195122, MiBPerSecond: 19.0548780488,
		LatencyOf: "intended send time → acknowledged", Latency: latency,
		SendLag:    &Micros{Count: 200_000, Mean: 40, P50: 30, P90: 60, P95: 80, P99: 200, P999: 900, P9999: 1500, Max: 2000},
		Intervals:  []Interval{{FromSeconds: 0, ToSeconds: 1, Records: 19_000, RecordsPerSecond: 19_000, MiBPerSecond: 18.55, P50Micros: 900, P99Micros: 12_000, MaxMicros: 20_000}},
		ErrorTexts: []string{"MESSAGE_TOO_LARGE"},
		Verify:     &VerifyReport{Checked: 200_000, Lost: 1, Complete: true, Unacknowledged: 3, Foreign: 2, Examples: []string{"producer 3 key number 0: sequence 7 is missing"}},
		Broker: &ProcessUse{
			PIDs: []int{42}, Name: "weir", UserSeconds: 1, SystemSeconds: 0.5, CPUSeconds: 1.5, CPUSecondsPerGiB: pointer(7.864), PeakRSSBytes: 80 << 20,
			RSSBytes: 60 << 20, RSSAnonBytes: 20 << 20, RSSFileBytes: 40 << 20, PSSBytes: 58 << 20, Threads: 9, VoluntarySwitches: 12_345, PreemptedSwitches: 67,
		},
		Client: ProcessUse{PIDs: []int{43}, UserSeconds: 2, SystemSeconds: 1, CPUSeconds: 3},
		Floor: &FloorReport{
			Rounds: 3, CPUSecondsPerGiB: 0.6, MiBPerSecond: 1800, BrokerCPU: 0.78, BrokerMiB: 1500,
			CPURatio: pointer(1.3), ThroughputRatio: pointer(0.8333), CPURatios: []float64{1.28, 1.3, 1.35},
		},
		Environment: Environment{
			CPU: "AMD EPYC", Cores: 2, Memory: 24 << 30, Kernel: "Linux 6.18.44", Filesystem: "ext4", Go: "go1.26.8", Client: "franz-go v1.22.2",
			Broker: "with 30 APIs, Produce to v12, Fetch to v18", Acks: "all", Durability: durablePageCache, Replication: 1, Brokers: 1, Loopback: true,
		},
		NotProven: []string{"one machine", "replication 1"},
	}
}

func TestReportFormats(t *testing.T) {
	for name, write := range map[string]func(*Result, *bytes.Buffer) error{
		"result.txt":  func(r *Result, b *bytes.Buffer) error { return r.WriteText(b) },
		"result.json": func(r *Result, b *bytes.Buffer) error { return r.WriteJSON(b) },
	} {
		var b bytes.Buffer
		if err := write(sampleResult(kindProduce), &b); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

// TestJSONReadsBack: the document has numbers where numbers belong.
func TestJSONReadsBack(t *testing.T) {
	var b bytes.Buffer
	if err := sampleResult(kindProduce).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Records int64                      `json:"records"`
		Latency map[string]float64         `json:"latency_micros"`
		Broker  struct{ PeakRSSBytes any } `json:"broker"`
		Config  struct{ Keys string }      `json:"config"`
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Records != 200_000 || got.Latency["p99_99"] != 99_000 || got.Config.Keys != "zipf:1000" {
		t.Errorf("got %+v", got)
	}
}

// TestKafkaPerfLines holds the lines to what Kafka's own tools print (4.3.1).
func TestKafkaPerfLines(t *testing.T) {
	for kind, want := range map[string]string{
		kindProduce: "200000 records sent, 19512.195122 records/sec (19.05 MB/sec), 1.23 ms avg latency, 1234.00 ms max latency, 0 ms 50th, 3 ms 95th, 12 ms 99th, 45 ms 99.9th.\n",
		kindConsume: "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n" +
			"2026-11-23 09:41:07:412, 2026-11-23 09:41:17:662, 195.3125, 19.0549, 200000, 19512.1951, 0, 10250, 19.0549, 19512.1951\n",
	} {
		var b strings.Builder
		if err := sampleResult(kind).WriteKafkaPerf(&b); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("%s:\n got %s\nwant %s", kind, b.String(), want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	h := newHistogram()
	for range 99 {
		recordMicros(h, 1500*time.Microsecond)
	}
	recordMicros(h, 2*time.Second)
	i := newInterval(5*time.Second, 10*time.Second, counts{records: 200_000, bytes: 200 << 20, errors: 1}, h)
	want := "   10.0 s  40,000 msg/s  40.00 MiB/s  p50 1.50 ms  p99 1.50 ms  max 2.00 s  1 errors\n"
	if got := progressLine(i); got != want {
		t.Errorf(" got %q\nwant %q", got, want)
	}
}

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -4321: "-4,321"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) is %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{1023: "1023 B", 1024: "1.0 KiB", 3 << 19: "1.5 MiB", 5 << 29: "2.50 GiB"} {
		if got := byteSize(n); got != want {
			t.Errorf("byteSize(%d) is %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{7: "7 µs", 1500: "1.50 ms", 2_500_000: "2.50 s"} {
		if got := micros(n); got != want {
			t.Errorf("micros(%d) is %q, want %q", n, got, want)
		}
	}
}

// TestHistogramKeepsThreeDigits over the whole range, and takes what is beyond it as its end.
func TestHistogramKeepsThreeDigits(t *testing.T) {
	for d := 10 * time.Microsecond; d < time.Hour; d = d * 3 / 2 {
		h := newHistogram()
		recordMicros(h, d)
		got := float64(h.Max())
		if want := float64(d.Microseconds()); got < want || got > want*1.001+1 {
			t.Errorf("%v was kept as %v µs", d, got)
		}
	}
	h := newHistogram()
	recordMicros(h, 5*time.Hour)
	recordMicros(h, -time.Second)
	if s := summarize(h); s.Count != 2 || s.Max < maxLatencyMicros || s.P50 != 0 {
		t.Errorf("beyond the range: %+v", s)
	}
}

// TestMeter runs three seconds of a known load on a clock of its own.
func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var progress strings.Builder
		path := filepath.Join(t.TempDir(), "run.hdr")
		m, err := newMeter(Output{Progress: &progress, ProgressEvery: 2 * time.Second, HDRLogPath: path}, 2)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		m.run(start)
		for range 350 { // the last half second is a partial interval
			time.Sleep(10 * time.Millisecond)
			m.recorders[0].answered(1, 1024, 5*time.Millisecond)
			m.recorders[1].answered(1, 1024, 10*time.Millisecond)
			m.recorders[1].sentLate(time.Millisecond)
		}
		m.recorders[0].failed(2)
		if err := m.stop(time.Now()); err != nil {
			t.Fatal(err)
		}
		r := &Result{}
		r.fill(m, time.Now())
		if r.Records != 700 || r.Bytes != 700<<10 || r.Errors != 2 || r.ElapsedSeconds != 3.5 || r.RecordsPerSecond != 200 {
			t.Errorf("got %+v", r)
		}
		if l := r.Latency; l.Count != 700 || l.P50/1000 != 5 || l.P99/1000 != 10 || r.SendLag.Count != 350 {
			t.Errorf("latency %+v, lag %+v", l, r.SendLag)
		}
		checkIntervals(t, r.Intervals)
		if lines := strings.Count(progress.String(), "\n"); lines != 1 {
			t.Errorf("%d lines of progress in 3.5 s, want one each 2 s:\n%s", lines, progress.String())
		}
		checkHDRLog(t, path)
	})
}

func checkIntervals(t *testing.T, intervals []Interval) {
	t.Helper()
	if len(intervals) != 4 {
		t.Fatalf("%d intervals, want 4", len(intervals))
	}
	records, at := int64(0), 0.0
	for i, v := range intervals {
		records += v.Records
		if v.FromSeconds != at {
			t.Errorf("interval %d begins at %v s, want %v", i, v.FromSeconds, at)
		}
		at = v.ToSeconds
	}
	if records != 700 || at != 3.5 {
		t.Errorf("intervals hold %d records up to %v s", records, at)
	}
}

func checkHDRLog(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	log := hdrhistogram.NewHistogramLogReader(f)
	total := int64(0)
	for {
		h, err := log.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		total += h.TotalCount()
	}
	if total != 700 {
		t.Errorf("the log holds %d values, want 700", total)
	}
}

func TestDurabilityOf(t *testing.T) {
	for _, c := range []struct {
		configs map[string]string
		want    string
	}{
		{map[string]string{"write.caching": "true"}, durablePageCache},
		{map[string]string{"write.caching": "true", "flush.messages": "1"}, durablePageCache},
		{map[string]string{"write.caching": "false", "flush.messages": "9223372036854775807"}, durableOnDisk},
		{map[string]string{"flush.messages": "1"}, durableOnDisk},
		{map[string]string{"flush.messages": "9223372036854775807"}, durableKafka},
		{nil, durableKafka},
	} {
		if got := durabilityOf(c.configs); got != c.want {
			t.Errorf("%v: got %q, want %q", c.configs, got, c.want)
		}
	}
}

// TestNotProven: the footer names what flatters a run.
func TestNotProven(t *testing.T) {
	flattering := Environment{Cores: 2, Loopback: true, Replication: 1, Durability: durablePageCache}
	if got := strings.Join(flattering.notProven(), "\n"); !strings.Contains(got, "one machine") || !strings.Contains(got, "replication 1") || !strings.Contains(got, "page cache") {
		t.Errorf("got %s", got)
	}
	honest := Environment{Replication: 3, Durability: durableOnDisk}
	if got := honest.notProven(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestAllLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:9092": true, "localhost:9092": true, "[::1]:9092": true, "10.0.0.1:9092": false, "kafka:9092": false} {
		if got := allLoopback([]string{"127.0.0.1:1", address}); got != want {
			t.Errorf("%s: got %v", address, got)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := Median(c.values); got != c.want {
			t.Errorf("%v: got %v, want %v", c.values, got, c.want)
		}
	}
}

// TestFloorReport compares medians, not means.
func TestFloorReport(t *testing.T) {
	run := func(cpu, mib float64) *Result {
		return &Result{MiBPerSecond: mib, Broker: &ProcessUse{CPUSecondsPerGiB: &cpu}}
	}
	r := floorReport([]*Result{run(1.2, 900), run(9, 100), run(1.0, 1000)}, []*Result{run(1, 1000), run(0.8, 1800), run(1, 1500)})
	if *r.CPURatio != 1.2 || *r.ThroughputRatio != 0.6 || len(r.CPURatios) != 3 || r.CPURatios[1] != 11.25 {
		t.Errorf("got %+v", r)
	}
	if r := floorReport([]*Result{{MiBPerSecond: 10}}, []*Result{run(1, 20)}); r.CPURatio != nil || *r.ThroughputRatio != 0.5 {
		t.Errorf("without the broker's process: %+v", r)
	}
}

// TestGuaranteesReport compares each guarantee with the plain runs, medians with medians.
func TestGuaranteesReport(t *testing.T) {
	run := func(mib float64) *Result { return &Result{MiBPerSecond: mib} }
	runs := [guaranteeKinds][]*Result{
		plain:         {run(100), run(10), run(200)},
		idempotent:    {run(98), run(11), run(400)},
		transactional: {run(90), run(9), run(100)},
	}
	g := guaranteesReport(runs)
	if g.PlainMiB != 100 || *g.Idempotent.ThroughputRatio != 0.98 || *g.Transactions.ThroughputRatio != 0.9 || g.Idempotent.CPURatio != nil {
		t.Errorf("got %+v", g)
	}
	if want := []float64{0.9, 0.9, 0.5}; !slices.Equal(g.Transactions.Ratios, want) {
		t.Errorf("each round: %v, want %v", g.Transactions.Ratios, want)
	}
	for i, cpu := range []float64{1, 2, 3} {
		for _, r := range runs[i] {
			r.Broker = &ProcessUse{CPUSecondsPerGiB: &cpu}
		}
	}
	var b strings.Builder
	g = guaranteesReport(runs)
	g.Transaction = 100 * time.Millisecond
	g.writeText(&b)
	if want := "transactions of 100ms 90.00 MiB/s, 0.900 × plain (0.90 0.90 0.50); 3.000 CPU-s per GiB, 3.00 × plain\n"; !strings.HasSuffix(b.String(), want) {
		t.Errorf("got  %swant %s", b.String(), want)
	}
}

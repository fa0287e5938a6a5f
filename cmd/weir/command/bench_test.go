package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"weir/bench"
	"weir/cmd/weir/fault"
)

func TestBenchProduceThenConsume(t *testing.T) {
	c := newCLI(t)
	manifest := filepath.Join(t.TempDir(), "run.json")
	out := c.ok("bench", "produce", "-n", "500", "--size", "100", "--keys", "uniform:10", "-z", "lz4", "-t", "load", "-p", "2", "-c", "retention.ms=60000",
		"--verify", "--manifest", manifest, "--pid", strconv.Itoa(os.Getpid()), "--rate", "max")
	if !strings.Contains(out, "500 records") || !strings.Contains(out, "not proven by this run") {
		t.Errorf("got\n%s", out)
	}
	if got := c.ok("topic", "describe", "load"); !strings.HasPrefix(got, "load: 2 partitions, 500 records") || !strings.Contains(got, "60000") {
		t.Errorf("the topic is\n%s", got)
	}
	var r bench.Result
	if err := json.Unmarshal([]byte(c.ok("bench", "consume", "-t", "load", "--verify", "--manifest", manifest, "-o", "jsonl")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Verify == nil || !r.Verify.OK() || !r.Verify.Complete || r.Verify.Checked != 500 {
		t.Errorf("%+v", r.Verify)
	}
	if got := c.ok("bench", "consume", "-t", "load", "-o", "kafka-perf"); !strings.HasPrefix(got, "start.time, end.time, ") {
		t.Errorf("kafka-perf: %s", got)
	}
	if got := c.ok("bench", "produce", "-n", "10", "-t", "load", "-o", "kafka-perf"); !strings.HasPrefix(got, "10 records sent, ") {
		t.Errorf("kafka-perf: %s", got)
	}
	// Ten records of a run that wrote others: what was acknowledged is there, so that is no failure; a
	// manifest that claims more than is there is one.
	b, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	claim := regexp.MustCompile(`"sent":\s*\[\s*\d+`).ReplaceAll(b, []byte(`"sent":[100000`))
	if err := os.WriteFile(manifest, claim, 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, code := c.run("", "bench", "consume", "-t", "load", "--verify", "--manifest", manifest)
	if code != fault.Failed || !strings.Contains(errs, "not what was written") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestBenchE2E(t *testing.T) {
	c := newCLI(t)
	var r bench.Result
	if err := json.Unmarshal([]byte(c.ok("bench", "e2e", "-n", "200", "--rate", "2k/s", "--size", "100", "--verify", "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Kind != "e2e" || r.Records != 200 || r.Latency.P50 <= 0 || !r.OK() || !strings.HasPrefix(r.Loop, "open loop") {
		t.Errorf("%+v", r)
	}
}

func TestBenchBesideTheFloor(t *testing.T) {
	c := newCLI(t)
	var r bench.Result
	dir := t.TempDir()
	for _, verb := range []string{"produce", "consume"} {
		out := c.ok("bench", verb, "--raw", "--floor", dir, "--rounds", "1", "--total", "2MiB", "-t", "raw", "-o", "json")
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		if r.Kind != "raw-"+verb || r.Floor == nil || r.Floor.MiBPerSecond <= 0 || r.Floor.ThroughputRatio == nil {
			t.Errorf("%s: %+v", verb, r.Floor)
		}
		c.ok("bench", verb, "--raw", "--total", "1MiB", "-t", "raw")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestBenchGuarantees: what is written in transactions is committed, all of it, and the three kinds of run are compared.
func TestBenchGuarantees(t *testing.T) {
	c := newCLI(t)
	if out := c.ok("bench", "produce", "-n", "300", "--size", "100", "-t", "plain", "-p", "1", "--idempotent=false", "--verify"); !strings.Contains(out, "300 records") {
		t.Errorf("got\n%s", out)
	}
	c.ok("bench", "produce", "-n", "300", "--size", "100", "-t", "txn", "-p", "1", "--txn", "5ms", "--rate", "5k/s")
	if got := c.ok("consume", "txn", "--from", "start", "-e", "--read-committed", "-f", "."); got != strings.Repeat(".", 300) {
		t.Errorf("%d records are committed", len(got))
	}
	if got := c.ok("topic", "offsets", "txn"); strings.Contains(got, " 300 ") {
		t.Errorf("one transaction at most:\n%s", got)
	}
	var r bench.Result
	if err := json.Unmarshal([]byte(c.ok("bench", "produce", "--guarantees", "--rounds", "3", "-n", "100", "-t", "compared", "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	if g := r.Guarantees; g == nil || g.Rounds != 3 || len(g.Idempotent.Ratios) != 3 || g.Transactions.ThroughputRatio == nil || !r.OK() {
		t.Errorf("%+v", g)
	}
	if got := c.ok("topic", "describe", "compared"); !strings.HasPrefix(got, "compared: 4 partitions, 9") {
		t.Errorf("not nine runs of 100:\n%s", got)
	}
}

func TestBenchRefuses(t *testing.T) {
	c := newCLI(t)
	for line, want := range map[string]string{
		"bench produce --raw --guarantees":    "without producer ids",
		"bench produce --guarantees --verify": "about one",
		"bench produce --txn 1s --acks 1":     "transactions need",
	} {
		c.fails(fault.WrongUsage, strings.Fields(line), want)
	}
	for _, line := range []string{"bench produce --size 0", "bench produce --raw --size 0", "bench consume --consumers 0", "bench consume --raw --fetch 0", "bench e2e --producers 0"} {
		c.fails(fault.WrongUsage, strings.Fields(line), "got 0")
	}
	c.fails(fault.Failed, []string{"bench", "produce", "--guarantees", "--rounds", "0"}, "ounds: got 0, want 1 to 99")
	c.fails(fault.Failed, []string{"bench", "consume", "-t", "nothing"}, "the load could not run")
}

package command

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"weir/cmd/weir/fault"
)

func TestReplayPrints(t *testing.T) {
	c := newCLI(t)
	numbered(c, "t", 10, time.Now())
	for args, want := range map[string]string{
		"":                                "0123456789",
		"--from 3 --to 6":                 "345",
		"--from 3..6":                     "345",
		"--from -2":                       "89",
		"--key k1":                        "147",
		"-k k1 --filter value!=4":         "17",
		"--from 5 -p 0 --rate 1000/s":     "56789",
		"--filter header.parity=0 --to 5": "024",
	} {
		out := c.ok(append([]string{"replay", "t", "-o", "value"}, strings.Fields(args)...)...)
		if got := strings.ReplaceAll(out, "\n", ""); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
}

func TestReplayInto(t *testing.T) {
	c := newCLI(t)
	noon := time.Now().UTC().Truncate(time.Hour)
	numbered(c, "t", 10, noon)
	out, errs, code := c.run("", "replay", "t", "--into", "copy", "--keep-timestamps", "--from", "2", "--filter", "key!=k0")
	if code != 0 || errs != "created topic copy (4 partitions)\n" || !regexp.MustCompile(`^replayed 5 records of 8 read from t into copy in `).MatchString(out) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	var report replayReport
	if err := json.Unmarshal([]byte(c.ok("replay", "t", "--into", "again", "-o", "json")), &report); err != nil || report.Read != 10 || report.Written != 10 {
		t.Errorf("%+v, %v", report, err)
	}
	// A key's records are all there, in order, with their times and headers.
	var got []string
	for line := range strings.Lines(c.ok("consume", "copy", "-e", "--filter", "key=k2", "-f", `%v %d %h{%k=%v}\n`)) {
		got = append(got, strings.TrimSpace(line))
	}
	want := fmt.Sprintf("[2 %d parity=0 5 %d parity=1 8 %d parity=0]", noon.UnixMilli()+2000, noon.UnixMilli()+5000, noon.UnixMilli()+8000)
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if out := c.ok("consume", "again", "-n", "1", "-f", "%d"); out == fmt.Sprint(noon.UnixMilli()) {
		t.Error("the timestamps were kept without being asked for")
	}
}

func TestReplayPreservesPartitions(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "t", "wide", "-p", "5")
	c.ok("topic", "create", "narrow", "-p", "3")
	for p := range 5 {
		c.ok("produce", "t", fmt.Sprint("v", p), "-p", fmt.Sprint(p), "-k", "same", "-q")
	}
	c.ok("replay", "t", "--into", "wide", "--preserve-partitions")
	for p := range 5 {
		if got := c.ok("consume", "wide", "-p", fmt.Sprint(p), "-e", "-f", "%v"); got != fmt.Sprint("v", p) {
			t.Errorf("partition %d holds %q", p, got)
		}
	}
	c.fails(fault.Failed, []string{"replay", "t", "--into", "narrow", "--preserve-partitions"}, "needs at least as many", "weir topic add-partitions narrow --to 5")
}

func TestReplayDryRun(t *testing.T) {
	c := newCLI(t)
	numbered(c, "t", 10, time.Now())
	out, errs, code := c.run("", "replay", "t", "--from", "3", "--into", "nowhere", "--dry-run")
	if code != 0 || !strings.Contains(errs, "7 records at most would go from t to nowhere") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if want := "PARTITION  FROM  TO  RECORDS\n0          3     10  7\n"; out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
	if got := c.ok("topic", "list", "-o", "name"); got != "t\n" {
		t.Errorf("a dry run made a topic: %s", got)
	}
}

// A replay that is stopped goes on where it was: nothing is left out, and what was kept is not repeated.
func TestReplayResumes(t *testing.T) {
	c := newCLI(t)
	numbered(c, "t", 200, time.Now())
	c.ok("topic", "create", "copy", "-p", "1")
	state := filepath.Join(t.TempDir(), "replay.json")
	args := []string{"replay", "t", "--into", "copy", "--resume", state}

	out, _, stop := c.start(nil, append(args, "--rate", "50/s")...)
	reader, _, stopReading := c.start(nil, "consume", "copy", "--from", "start", "-o", "value")
	reader.await(t, "20\n")
	if code := stop(); code != fault.Interrupted {
		t.Fatalf("exit %d", code)
	}
	stopReading()
	if !strings.HasPrefix(out.String(), "replayed ") {
		t.Errorf("an interrupted replay says %q", out)
	}
	numbered(c, "later", 1, time.Now())
	c.ok("produce", "t", "not part of the replay", "-q")
	c.ok(args...)
	var want strings.Builder
	for i := range 200 {
		fmt.Fprintln(&want, i)
	}
	if got := c.ok("consume", "copy", "-e", "-o", "value"); got != want.String() {
		t.Errorf("after the resumption:\n%s", got)
	}
	if out := c.ok(args...); !strings.HasPrefix(out, "replayed 0 records of 0 ") {
		t.Errorf("once more: %s", out)
	}
	c.fails(fault.WrongUsage, []string{"replay", "later", "--into", "copy", "--resume", state}, "is about another replay", `of "t" into "copy"`)
	c.fails(fault.WrongUsage, append(args, "--key", "k1"), "is about another replay")
	if err := os.WriteFile(state, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.fails(fault.Failed, args, "cannot go on from "+state, "remove it to begin anew")
}

func TestReplayStateIsSavedWholeOrNotAtAll(t *testing.T) {
	st := &replayState{Topic: "t", Into: "u", Partitions: []replayPartition{{0, 3, 10}, {1, 0, 5}}}
	path := filepath.Join(t.TempDir(), "state")
	if err := st.save(path); err != nil {
		t.Fatal(err)
	}
	st.advance(0, 7)
	if err := st.save(path); err != nil {
		t.Fatal(err)
	}
	again := &replayState{Topic: "t", Into: "u"}
	if err := again.load(path); err != nil || fmt.Sprint(again.spans()) != fmt.Sprint(st.spans()) || again.Partitions[0].Next != 7 {
		t.Errorf("%+v, %v", again, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := st.save(filepath.Join(path, "below-a-file")); err == nil {
		t.Error("saved below a file")
	}
	if err := st.save(""); err != nil {
		t.Errorf("nothing to keep: %v", err)
	}
}

func TestReplayShowsProgressOnATerminal(t *testing.T) {
	c := newCLI(t)
	numbered(c, "t", 60, time.Now())
	c.tty = true
	_, errs, code := c.run("", "replay", "t", "--into", "copy", "--rate", "100/s")
	if code != 0 || !strings.Contains(errs, "\rreplay [") || !strings.Contains(errs, "ETA") {
		t.Errorf("exit %d: %q", code, errs)
	}
}

func TestReplaySaysWhatCouldNotBeWritten(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "t", "-p", "1")
	c.ok("topic", "create", "small", "-p", "1", "-c", "max.message.bytes=200")
	c.ok("produce", "t", strings.Repeat("x", 300), "-q")
	c.fails(fault.Failed, []string{"replay", "t", "--into", "small", "-X", "compression.type=none"}, "cannot replay t into small", "MESSAGE_TOO_LARGE")
}

func TestRate(t *testing.T) {
	for text, want := range map[string]float64{"500": 500, "500/s": 500, "30/m": 0.5, "3600/h": 1, "2k/s": 2000, "1.5M": 1.5e6, "max": 0} {
		var v rateValue
		if err := v.Set(text); err != nil || float64(v) != want {
			t.Errorf("%s: %v, %v", text, float64(v), err)
		}
		var again rateValue
		if err := again.Set(v.String()); err != nil || again != v {
			t.Errorf("%s prints as %s", text, v.String())
		}
	}
	for _, text := range []string{"", "0", "-1", "x", "5/d", "1e99", "k", "NaN", "inf"} {
		var v rateValue
		if err := v.Set(text); err == nil {
			t.Errorf("%q was read as %v", text, float64(v))
		}
	}
}

func TestPacerEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	p := pacer{rate: 0.001}
	if err := p.wait(ctx); err != nil {
		t.Errorf("the first step waits: %v", err)
	}
	cancel()
	if err := p.wait(ctx); err != context.Canceled {
		t.Errorf("after the end: %v", err)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1024": 1024, "64k": 65536, "64KiB": 65536, "1.5MiB": 3 << 19, "4GiB": 4 << 30, "1t": 1 << 40, "7b": 7} {
		var v sizeValue
		if err := v.Set(text); err != nil || int64(v) != want {
			t.Errorf("%s: %d, %v", text, v, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5", "1kk", "KiB", "9999999t", "0x10", "NaN"} {
		var v sizeValue
		if err := v.Set(text); err == nil {
			t.Errorf("%q was read as %d", text, v)
		}
	}
}

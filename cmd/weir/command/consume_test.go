package command

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cluster/broker/brokertest"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
)

// numbered makes a topic of one partition with the values 0, 1, 2, ... a second apart, from clock on.
func numbered(c *cli, topic string, n int, clock time.Time) {
	c.t.Helper()
	c.ok("topic", "create", topic, "-p", "1")
	var in strings.Builder
	for i := range n {
		fmt.Fprintf(&in, `{"key":"k%d","value":"%d","timestamp":%d,"headers":[["parity","%d"]]}`+"\n", i%3, i, clock.Add(time.Duration(i)*time.Second).UnixMilli(), i%2)
	}
	c.okIn(in.String(), "produce", topic, "-i", "jsonl", "-q")
}

func TestConsumePositions(t *testing.T) {
	c := newCLI(t)
	noon := time.Now().UTC().Truncate(time.Hour).Add(-3 * time.Hour)
	c.now = noon.Add(10 * time.Second)
	numbered(c, "t", 10, noon)
	for args, want := range map[string]string{
		"-e":                       "0123456789",
		"--from start -e":          "0123456789",
		"--from earliest --to end": "0123456789",
		"--from end -e":            "",
		"--from 7 -e":              "789",
		"--from 3..6":              "345",
		"--from 3:6":               "345",
		"--from ..2":               "01",
		"--from +8 -e":             "89",
		"--from -2 -e":             "89",
		"--from -2 --to -1":        "8",
		"--from -3s -e":            "789",
		"--from -8s --to -6s":      "23",
		"--to 2":                   "01",
		"-n 3":                     "012",
		"--from 4 -n 2":            "45",
		"--from 100 -e":            "",
		"--from 6..4":              "",
		"--from now -e":            "",
		"-e --filter key=k1":       "147",
		"-e --filter key=k1 -n 2":  "14",
		"-e --filter value~[5-7]":  "567",
		"-e --filter header.parity=1 --filter key!=k1":                                         "359",
		fmt.Sprintf("--from @%d -e", noon.Add(5*time.Second).Unix()):                           "56789",
		fmt.Sprintf("--from @%s --to @%dms", noon.Format(time.RFC3339), noon.UnixMilli()+1500): "01",
	} {
		line := append([]string{"consume", "t", "-f", "%v"}, strings.Fields(args)...)
		if got := c.ok(line...); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
}

func TestConsumeSaysThatTheStartIsGone(t *testing.T) {
	c := newCLI(t)
	numbered(c, "t", 10, time.Now())
	c.ok("topic", "trim", "t", "--to", "6", "-y")
	out, errs, code := c.run("", "consume", "t", "--from", "2", "-e", "-f", "%v")
	if code != 0 || out != "6789" || !strings.Contains(errs, "2 lies outside") {
		t.Errorf("exit %d: %q, %s", code, out, errs)
	}
}

func TestConsumeFormats(t *testing.T) {
	c := newCLI(t)
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	c.now = at.Add(time.Hour)
	c.ok("topic", "create", "t", "-p", "1", "-c", "message.timestamp.after.max.ms=9223372036854775807")
	c.okIn(fmt.Sprintf(`{"key":"k","value":"v","timestamp":%d}`, at.UnixMilli()), "produce", "t", "-i", "jsonl")
	for format, want := range map[string]string{
		"text":  "t[0]@0  09:00:00.000  k  v\n",
		"jsonl": `{"topic":"t","partition":0,"offset":0,"timestamp":"2026-11-23T09:00:00.000Z","key":"k","value":"v"}` + "\n",
		"json":  "[\n  " + `{"topic":"t","partition":0,"offset":0,"timestamp":"2026-11-23T09:00:00.000Z","key":"k","value":"v"}` + "\n]\n",
		"value": "v\n", "raw": "v", "hex": "t[0]@0  2026-11-23T09:00:00.000Z  6b  76\n",
		"table": "TOPIC  PARTITION  OFFSET  TIMESTAMP                 KEY  VALUE  HEADERS\nt      0          0       2026-11-23T09:00:00.000Z  k    v      -\n",
	} {
		if got := c.ok("consume", "t", "-e", "-o", format); got != want {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
	if got := c.ok("c", "t", "-e", "-o", "jsonl", "--meta-only"); !strings.Contains(got, `"key_bytes":1,"value_bytes":1`) {
		t.Errorf("--meta-only: %s", got)
	}
}

func TestConsumeSeveralTopics(t *testing.T) {
	c := newCLI(t)
	c.ok("produce", "orders.eu", "a", "-q")
	c.ok("produce", "orders.us", "b", "-q")
	c.ok("produce", "payments", "c", "-q")
	for args, want := range map[string]int{"orders.eu payments": 2, "-r ^orders": 2, "-r . ": 3, "orders.eu orders.eu": 1, "payments -p 0 -p 1 -p 2 -p 3": 1} {
		out := c.ok(append([]string{"consume", "-e", "-o", "jsonl"}, strings.Fields(args)...)...)
		if got := strings.Count(out, "\n"); got != want {
			t.Errorf("%s: %d records, want %d", args, got, want)
		}
	}
	c.fails(fault.Failed, []string{"consume", "order.eu", "-e"}, `topic "order.eu" does not exist`, `Did you mean "orders.eu"?`)
	c.fails(fault.Failed, []string{"consume", "-r", "^nothing$", "-e"}, "no topic on", "matches")
	c.fails(fault.WrongUsage, []string{"consume", "-r", "(", "-e"}, "no regular expression")
	c.fails(fault.Failed, []string{"consume", "payments", "-p", "4", "-e"}, `has no partition 4`)
	c.fails(fault.Failed, []string{"consume", "payments", "--from", "group:nobody", "-e"}, `roup "nobody" has committed no offset`)
}

func TestConsumeFromAGroup(t *testing.T) {
	c := newCLI(t)
	numbered(c, "t", 10, time.Now())
	o := connect.Options{Brokers: []string{c.addr}, Timeout: 10 * time.Second}
	s, _, _ := c.streams(nil)
	cl, err := s.open(context.Background(), &o)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var offsets kadm.Offsets
	offsets.AddOffset("t", 0, 7, -1)
	if err := cl.Admin.CommitAllOffsets(context.Background(), "billing", offsets); err != nil {
		t.Fatal(err)
	}
	if got := c.ok("consume", "t", "--from", "group:billing", "-e", "-f", "%v"); got != "789" {
		t.Errorf("from the group's offset: %q", got)
	}
}

// Without an end, consume waits for what comes, and prints it as it comes.
func TestConsumeFollows(t *testing.T) {
	c := newCLI(t)
	c.tty = true
	c.ok("produce", "t", "before", "-q")
	out, errs, stop := c.start(nil, "consume", "t", "-o", "value")
	errs.await(t, "Waiting for new records")
	c.ok("produce", "t", "after", "-q")
	out.await(t, "after\n")
	c.ok("produce", "t", "more", "-q")
	out.await(t, "more\n")
	if code := stop(); code != fault.Interrupted {
		t.Errorf("exit %d: %s", code, errs)
	}
	if got := out.String(); got != "after\nmore\n" {
		t.Errorf("it read %q", got)
	}
}

// A broker that restarts is waited for, which is told, and nothing is missed.
func TestConsumeFollowsAcrossARestart(t *testing.T) {
	data := t.TempDir()
	settings := map[string]string{"auto.create.topics.enable": "true"}
	b := brokertest.StartIn(t, data, settings)
	c := &cli{t: t, addr: b.Addr(), broker: b}
	c.ok("produce", "t", "before", "-q")
	out, errs, stop := c.start(nil, "consume", "t", "--from", "start", "--follow", "-o", "value")
	out.await(t, "before\n")
	brokertest.Stop(t, b)
	errs.await(t, "no connection to "+c.addr)
	settings["listeners"] = "PLAINTEXT://" + c.addr
	b = brokertest.StartIn(t, data, settings)
	defer brokertest.Stop(t, b)
	c.ok("produce", "t", "after", "-q")
	out.await(t, "after\n")
	stop()
	if got := out.String(); got != "before\nafter\n" || !strings.Contains(errs.String(), "connected to "+c.addr+" again") {
		t.Errorf("it read %q and said %s", got, errs)
	}
}

func TestConsumeJSONIsWholeWhenInterrupted(t *testing.T) {
	c := newCLI(t)
	c.ok("produce", "t", "v", "-q")
	out, _, stop := c.start(nil, "consume", "t", "--from", "start", "--follow", "-o", "json")
	out.await(t, `"value":"v"`)
	stop()
	var list []any
	if err := json.Unmarshal([]byte(out.String()), &list); err != nil || len(list) != 1 {
		t.Errorf("%v: %s", err, out)
	}
}

// A bounded reading whose last offsets never show, as after a compaction, ends all the same and says so.
func TestReadingEndsWhereNothingShows(t *testing.T) {
	c := newCLI(t)
	numbered(c, "t", 3, time.Now())
	var o connect.Options
	o.Brokers, o.Timeout = []string{c.addr}, 10*time.Second
	s, _, errs := c.streams(nil)
	cl, err := s.open(context.Background(), &o, consumeOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	n := 0
	r := reading{cl: cl, spans: []span{{"t", 0, 0, 5}}, quiet: 700 * time.Millisecond, notice: s.note}
	if err := r.run(context.Background(), func(batch []*kgo.Record) error { n += len(batch); return nil }); err != nil || n != 3 {
		t.Errorf("%d records, %v", n, err)
	}
	if got := errs.String(); got != "t[0]: nothing to show up to offset 5\n" {
		t.Errorf("it said %q", got)
	}
}

func TestReadingFailsWhenTheBrokerGoes(t *testing.T) {
	c := newCLI(t)
	numbered(c, "t", 3, time.Now())
	var o connect.Options
	o.Brokers, o.Timeout = []string{c.addr}, 300*time.Millisecond
	s, _, _ := c.streams(nil)
	cl, err := s.open(context.Background(), &o, consumeOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := c.broker.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	r := reading{cl: cl, spans: []span{{"t", 0, 0, 3}}, quiet: 200 * time.Millisecond, notice: s.note}
	err = r.run(context.Background(), func([]*kgo.Record) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "cannot read t[0]") {
		t.Errorf("without a broker: %v", err)
	}
}

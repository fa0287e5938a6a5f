package command

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cluster/broker/brokertest"
	"weir/cmd/weir/fault"
)

// noon is when the records of these tests begin: ten a partition, a minute apart.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// newResetCLI has a topic orders of two partitions with ten records each, at 12:00 to 12:09, and stands at 13:00.
func newResetCLI(t *testing.T) *cli {
	t.Helper()
	t.Chdir(t.TempDir()) // where undo files go
	b := brokertest.Start(t, map[string]string{"group.initial.rebalance.delay.ms": "0"})
	c := &cli{t: t, addr: b.Addr(), broker: b, now: noon.Add(time.Hour)}
	c.ok("topic", "create", "orders", "-p", "2")
	var records []*kgo.Record
	for n := range 20 {
		records = append(records, &kgo.Record{Topic: "orders", Partition: int32(n % 2), Value: []byte("v"), Timestamp: noon.Add(time.Duration(n/2) * time.Minute)})
	}
	if err := c.client(kgo.RecordPartitioner(kgo.ManualPartitioner())).ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cli) client(opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(strings.Split(c.addr, ",")...))...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

// commit sets what a group has committed in orders, by partition.
func (c *cli) commit(group string, offsets ...int64) {
	c.t.Helper()
	var all kadm.Offsets
	for p, o := range offsets {
		all.AddOffset("orders", int32(p), o, -1)
	}
	if err := kadm.NewClient(c.client()).CommitAllOffsets(c.t.Context(), group, all); err != nil {
		c.t.Fatal(err)
	}
}

// committed reads it, as orders[0]=3 orders[1]=5.
func (c *cli) committed(group string) string {
	c.t.Helper()
	responses, err := kadm.NewClient(c.client()).FetchOffsets(c.t.Context(), group)
	if err != nil {
		c.t.Fatal(err)
	}
	var all []string
	for _, o := range responses.Sorted() {
		all = append(all, fmt.Sprintf("%s[%d]=%d", o.Topic, o.Partition, o.At))
	}
	return strings.Join(all, " ")
}

// TestGroupResetTargets resets by every form of a position, each time from the same offsets.
func TestGroupResetTargets(t *testing.T) {
	c := newResetCLI(t)
	c.commit("audit", 7)
	if err := os.WriteFile("offsets.csv", []byte("\ufefforders,0,2\n\n\"orders\", 1, 99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ flags, want string }{
		{"--to earliest --topic orders", "orders[0]=0 orders[1]=0"},
		{"--to latest --topic orders", "orders[0]=10 orders[1]=10"},
		{"--to 4 --topic orders -p 1", "orders[0]=3 orders[1]=4"},
		{"--to 400 --topic orders", "orders[0]=10 orders[1]=10"},
		{"--to +2 --topic orders", "orders[0]=2 orders[1]=2"},
		{"--to -1 --topic orders", "orders[0]=9 orders[1]=9"},
		{"--to @2026-11-23T12:02:30Z --topic orders", "orders[0]=3 orders[1]=3"},
		{"--to -55m --all-topics", "orders[0]=5 orders[1]=5"},
		{"--to @2026-11-23T12:59:00Z --topic orders", "orders[0]=10 orders[1]=10"},
		{"--to group:audit --topic orders", "orders[0]=7 orders[1]=5"},
		{"--to group:audit --all-topics", "orders[0]=7 orders[1]=5"},
		{"--to file:offsets.csv", "orders[0]=2 orders[1]=10"},
		{"--to file:offsets.csv --topic orders -p 0", "orders[0]=2 orders[1]=5"},
		{"--shift-by 2 --topic orders", "orders[0]=5 orders[1]=7"},
		{"--shift-by -4 --topic orders", "orders[0]=0 orders[1]=1"},
		{"--shift-by 9223372036854775807 --all-topics", "orders[0]=10 orders[1]=10"},
		{"--shift-by -9223372036854775808 --all-topics", "orders[0]=0 orders[1]=0"},
	} {
		c.commit("billing", 3, 5)
		line := append([]string{"group", "reset", "billing"}, strings.Fields(test.flags)...)
		c.ok(line...)
		if got := c.committed("billing"); got != "orders[0]=3 orders[1]=5" {
			t.Errorf("%s: the preview has changed it to %s", test.flags, got)
		}
		c.ok(append(line, "--execute", "--undo", "none")...)
		if got := c.committed("billing"); got != test.want {
			t.Errorf("%s: %s, want %s", test.flags, got, test.want)
		}
	}
}

// TestGroupResetPreview: what is shown, what --execute leaves behind, and the way back.
func TestGroupResetPreview(t *testing.T) {
	c := newResetCLI(t)
	c.commit("billing", 3)
	line := []string{"group", "reset", "billing", "--shift-by", "-5", "--topic", "orders"}
	out, errs, code := c.run("", line...)
	want := "TOPIC   PARTITION  CURRENT  NEW  CHANGE  LAG-AFTER  CURRENT-RECORD            NEW-RECORD\n" +
		"orders  0          3        0    -3      10         2026-11-23T12:03:00.000Z  2026-11-23T12:00:00.000Z\n"
	if code != 0 || out != want {
		t.Errorf("exit %d, preview:\n%swant:\n%s", code, out, want)
	}
	for _, w := range []string{"orders[0]: the log holds 0 to 10, so -2 becomes 0\n", "orders[1]: nothing is committed there to shift from", "--execute resets 1 partition of group billing"} {
		if !strings.Contains(errs, w) {
			t.Errorf("stderr lacks %q:\n%s", w, errs)
		}
	}
	line = []string{"group", "reset", "billing", "--to", "latest", "--topic", "orders", "--execute", "-o", "json"}
	out, errs, _ = c.run("", line...)
	var rows []resetRow
	if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) != 2 {
		t.Fatalf("%v:\n%s%s", err, out, errs)
	}
	if r := rows[0]; *r.Current != 3 || r.New != 10 || *r.Change != 7 || r.LagAfter != 0 || *r.CurrentTime != "2026-11-23T12:03:00.000Z" || r.NewTime != nil {
		t.Errorf("reset: %s", out)
	}
	if r := rows[1]; r.Current != nil || r.Change != nil || r.CurrentTime != nil {
		t.Errorf("a partition without a commit: %s", out)
	}
	undo := "weir-undo-billing-20261123T130000.000Z.csv"
	if got, err := os.ReadFile(undo); err != nil || string(got) != "orders,0,3\n" {
		t.Errorf("the undo file: %v, %q", err, got)
	}
	if !strings.Contains(errs, "--to file:"+undo+" --execute") || !strings.Contains(errs, "1 partition had nothing committed before") {
		t.Errorf("stderr: %s", errs)
	}
	c.fails(fault.Failed, line, undo+" is there already", "nothing was reset")
	c.ok("group", "reset", "billing", "--to", "file:"+undo, "--execute", "--undo", filepath.Join(t.TempDir(), "again.csv"))
	if got := c.committed("billing"); got != "orders[0]=3 orders[1]=10" {
		t.Errorf("undone: %s", got)
	}
}

func TestGroupResetRefuses(t *testing.T) {
	c := newResetCLI(t)
	c.commit("billing", 3)
	write := func(name, content string) string {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file:" + name
	}
	for _, test := range []struct{ flags, words string }{
		{"", "--to POSITION or --shift-by N"},
		{"--to end --shift-by 1 --topic orders", "--to POSITION or --shift-by N"},
		{"--to end", "--topic NAME or --all-topics"},
		{"--to end --topic orders --all-topics", "say one"},
		{"--to end --all-topics -p 0", "--partition goes with one --topic"},
		{"--to end --topic orders --undo x", "goes with --execute"},
		{"--to end --topic orders --force", "goes with --execute"},
		{"--to soon --topic orders", "--to: cannot read"},
		{"--to --1h --topic orders", "--to: cannot read"},
		{"--to -2hours --topic orders", "span is written"},
		{"--shift-by many --topic orders", "--shift-by many"},
		{"--shift-by 0 --topic orders", "--shift-by 0"},
		{"--shift-by 9223372036854775808 --topic orders", "--shift-by"},
		{"--to file:missing.csv", "no such file"},
		{"--to " + write("empty.csv", "\n"), "empty.csv holds no offsets"},
		{"--to " + write("few.csv", "orders,0,1\norders,1\n"), `few.csv:2: got "orders,1", want topic,partition,offset`},
		{"--to " + write("group.csv", "billing,orders,0,1\n"), "group.csv:1:"},
		{"--to " + write("partition.csv", "orders,-1,1\n"), `partition.csv:1: "-1" is no partition`},
		{"--to " + write("offset.csv", "orders,0,-1\n"), `offset.csv:1: "-1" is no offset`},
		{"--to " + write("twice.csv", "orders,0,1\norders,0,2\n"), "twice.csv:2: orders[0] is there already, at twice.csv:1"},
		{"--to " + write("long.csv", strings.Repeat("x", 1<<17)), "long.csv"},
	} {
		c.fails(fault.WrongUsage, append([]string{"group", "reset", "billing"}, strings.Fields(test.flags)...), test.words)
	}
	for _, test := range []struct{ flags, words string }{
		{"--to end --topic ordres", `Did you mean "orders"`},
		{"--to end --topic orders -p 7", `topic "orders" has no partition 7`},
		{"--to " + write("topic.csv", "orders,0,1\nordres,0,1\n"), "topic.csv:2: topic \"ordres\" does not exist"},
		{"--to " + write("number.csv", "orders,9,1\n"), "number.csv:1: topic \"orders\" has no partition 9"},
		{"--to group:biling --all-topics", `Did you mean "billing"`},
		{"--to group:nobody --topic orders", "nothing to reset"},
	} {
		c.fails(fault.Failed, append([]string{"group", "reset", "billing"}, strings.Fields(test.flags)...), test.words)
	}
	c.fails(fault.Failed, []string{"group", "reset", "biling", "--shift-by", "1", "--topic", "orders"}, "group biling does not exist yet", `Did you mean "billing"`, "nothing to reset")
	c.fails(fault.WrongUsage, []string{"group", "clone", "billing", "billing"}, "into itself")
	if got := c.committed("billing"); got != "orders[0]=3" {
		t.Errorf("it has changed: %s", got)
	}
}

// TestGroupResetWithMembers: a group with members is left alone; with --force they go, and go on at the
// new offsets.
func TestGroupResetWithMembers(t *testing.T) {
	c := newResetCLI(t)
	consumer := c.client(kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"), kgo.ClientID("till"), kgo.HeartbeatInterval(100*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.DisableAutoCommit())
	polling := make(chan *kgo.Record, 100)
	go func() {
		for {
			fetches := consumer.PollFetches(t.Context())
			if fetches.IsClientClosed() || t.Context().Err() != nil {
				return
			}
			fetches.EachRecord(func(r *kgo.Record) { polling <- r })
		}
	}()
	brokertest.Eventually(t, "the group is stable", func() bool {
		return strings.Contains(c.ok("group", "list"), "Stable")
	})
	line := []string{"group", "reset", "billing", "--to", "8", "--topic", "orders"}
	if _, errs, code := c.run("", line...); code != 0 || !strings.Contains(errs, "It has 1 member: stop its consumers first") {
		t.Errorf("preview: exit %d, %s", code, errs)
	}
	c.fails(fault.Failed, append(line, "--execute"), `group "billing" has 1 member (NON_EMPTY_GROUP)`, "till@127.0.0.1", "--force")
	if got := c.committed("billing"); got != "" {
		t.Errorf("refused, and still committed %s", got)
	}
	out, errs, code := c.run("", append(line, "--execute", "--force")...)
	if code != 0 || !strings.Contains(errs, "Removing 1 member of group billing") {
		t.Fatalf("exit %d, %s%s", code, out, errs)
	}
	for range 4 { // two of each partition, by the consumer that has joined again
		if r := <-polling; r.Offset < 8 {
			t.Errorf("read %s[%d]@%d", r.Topic, r.Partition, r.Offset)
		}
	}
}

func TestGroupClone(t *testing.T) {
	c := newResetCLI(t)
	c.commit("billing", 3, 5)
	if _, errs, code := c.run("", "group", "clone", "billing", "billing-2"); code != 0 || !strings.Contains(errs, "group billing-2 does not exist yet") {
		t.Errorf("exit %d, %s", code, errs)
	}
	if got := c.committed("billing-2"); got != "" {
		t.Errorf("the preview has made it: %s", got)
	}
	c.ok("group", "clone", "billing", "billing-2", "--execute")
	if got := c.committed("billing-2"); got != "orders[0]=3 orders[1]=5" {
		t.Errorf("cloned: %s", got)
	}
	c.fails(fault.Failed, []string{"group", "clone", "bilings", "x"}, `group "bilings" does not exist`)
}

// TestGroupWaiting: the age of the oldest unread record is that of its own timestamp.
func TestGroupWaiting(t *testing.T) {
	c := newResetCLI(t)
	c.commit("billing", 3, 10) // 12:03 is unread in the one, nothing in the other
	describe := func() groupDescription {
		var described []groupDescription
		if err := json.Unmarshal([]byte(c.ok("group", "describe", "billing", "-o", "json")), &described); err != nil {
			t.Fatal(err)
		}
		return described[0]
	}
	if d := describe(); d.Lag != 7 || d.LagSeconds != 57*60 || *d.Partitions[0].LagSeconds != 57*60 || *d.Partitions[1].LagSeconds != 0 {
		t.Errorf("described: %+v", d)
	}
	if got := c.ok("group", "describe", "billing"); !strings.Contains(got, "lag 7, waiting 57m00s,") || !strings.Contains(got, "10       10   0    0s") {
		t.Errorf("described:\n%s", got)
	}
	c.ok("topic", "trim", "orders", "--to", "5", "-p", "0", "-y") // what is unread begins later then
	if d := describe(); d.LagSeconds != 55*60 {
		t.Errorf("trimmed: %+v", d)
	}
	c.now = noon // the unread one is of five minutes later
	if d := describe(); d.LagSeconds != 0 || *d.Partitions[0].LagSeconds != 0 {
		t.Errorf("a record of the future: %+v", d)
	}
}

// TestGroupWatch: lines where nobody looks, a view where somebody does, both until an interrupt.
func TestGroupWatch(t *testing.T) {
	c := newResetCLI(t)
	c.commit("audit", 10, 10)
	c.commit("billing", 3, 10)
	line := []string{"group", "watch", "--interval", "100ms"}
	out, _, stop := c.start(nil, line...)
	out.await(t, "audit: Empty, 0 members, lag 0\n")
	if want := "2026-11-23T13:00:00.000Z  billing: Empty, 0 members, lag 7, waiting 57m00s\n"; !strings.HasPrefix(out.String(), want) {
		t.Errorf("who waits is not first:\n%s", out)
	}
	if code := stop(); code != fault.Interrupted {
		t.Errorf("it ended with %d", code)
	}
	out, _, stop = c.start(nil, append(line, "billing", "-o", "jsonl")...)
	out.await(t, "\n")
	stop()
	var look groupLook
	first, _, _ := strings.Cut(out.String(), "\n")
	if err := json.Unmarshal([]byte(first), &look); err != nil || look.Group != "billing" || look.LagSeconds != 57*60 || look.Time != "2026-11-23T13:00:00.000Z" {
		t.Errorf("%v: %s", err, first)
	}
	c.tty = true
	out, _, stop = c.start(nil, line...)
	out.await(t, "2 groups on ")
	out.await(t, clearRest)
	stop()
	if got := out.String(); !strings.HasPrefix(got, "\x1b[2J"+cursorHome) || !strings.Contains(got, "billing  Empty  0        7    57m00s   -") {
		t.Errorf("the view: %q", got)
	}
	c.fails(fault.Failed, []string{"group", "watch", "biling"}, `Did you mean "billing"`)
	c.fails(fault.WrongUsage, []string{"group", "watch", "--interval", "1ms"}, "at least 100ms")
}

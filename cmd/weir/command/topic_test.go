package command

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/fault"
)

func TestTopicLife(t *testing.T) {
	c := newCLI(t)
	if got := c.ok("topic", "create", "orders", "-p", "3", "-c", "retention.ms=86400000"); got != "created topic orders (3 partitions)\n" {
		t.Errorf("create: %s", got)
	}
	c.fails(fault.Failed, []string{"topic", "create", "orders"}, "TOPIC_ALREADY_EXISTS", "--if-not-exists")
	if got := c.ok("topic", "create", "orders", "--if-not-exists"); got != "topic orders is there already\n" {
		t.Errorf("--if-not-exists: %s", got)
	}
	if got := c.ok("topic", "create", "other", "-p", "2", "--dry-run"); got != "would create topic other (2 partitions)\n" {
		t.Errorf("--dry-run: %s", got)
	}
	if got := c.ok("topics", "list"); got != "TOPIC   PARTITIONS  REPLICAS\norders  3           1\n" {
		t.Errorf("list:\n%s", got)
	}
	if got := c.ok("topic", "add-partitions", "orders", "--add", "2"); got != "topic orders has 5 partitions (3 before)\n" {
		t.Errorf("--add: %s", got)
	}
	if got := c.ok("topic", "add-partitions", "orders", "--to", "6", "--dry-run"); got != "topic orders would have 6 partitions (5 before)\n" {
		t.Errorf("--dry-run: %s", got)
	}
	c.fails(fault.Failed, []string{"topic", "add-partitions", "orders", "--to", "5"}, "INVALID_PARTITIONS", "never removed")
	if got := c.ok("topic", "delete", "orders", "-y"); got != "deleted topic orders\n" {
		t.Errorf("delete: %s", got)
	}
	if got := c.ok("topic", "list", "-o", "json"); got != "[]\n" {
		t.Errorf("afterwards: %s", got)
	}
	c.fails(fault.Failed, []string{"topic", "delete", "orders", "-y"}, `topic "orders" does not exist`)
	if _, errs, code := c.run("", "topic", "delete", "orders", "-y", "--if-exists"); code != 0 || errs != "topic orders is not there\n" {
		t.Errorf("--if-exists: exit %d: %s", code, errs)
	}
}

func TestTopicCreateSeveralOfWhichOneFails(t *testing.T) {
	c := newCLI(t)
	out, errs, code := c.run("", "topic", "create", "a", "no/good", "b", "-p", "1")
	if code != fault.PartlyDone || out != "created topic a (1 partition)\ncreated topic b (1 partition)\n" {
		t.Errorf("exit %d: %s", code, out)
	}
	if !strings.Contains(errs, "INVALID_TOPIC_EXCEPTION") || !strings.Contains(errs, "1 of 3 topics failed") {
		t.Errorf("it said %s", errs)
	}
	c.fails(fault.Failed, []string{"topic", "create", "x", "-c", "retention.mss=1"}, "INVALID_CONFIG", "retention.mss")
	c.fails(fault.Failed, []string{"topic", "create", "x", "-r", "9"}, "INVALID_REPLICATION_FACTOR")
}

func TestTopicDescribe(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "orders", "-p", "2", "-c", "retention.ms=86400000")
	c.ok("produce", "orders", "hello", "-p", "1", "-q")
	out := c.ok("topic", "describe", "orders")
	for _, want := range []string{
		`^orders: 2 partitions, 1 record, \d+(\.\d)? (B|KiB), id \S{22}\n\n`,
		`\nPARTITION +LEADER +EPOCH +REPLICAS +IN-SYNC +START +END +SIZE\n`,
		`\n1 +1 +\d+ +1 +1 +0 +1 +\d+ B\n`,
		`\nretention\.ms +86400000 \(1d00h\) +topic\n`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%s does not match\n%s", want, out)
		}
	}
	if strings.Contains(out, "segment.bytes") {
		t.Errorf("defaults are shown:\n%s", out)
	}
	if all := c.ok("topic", "describe", "orders", "--all"); !regexp.MustCompile(`\nsegment\.bytes +\d+ \(1\.0 GiB\) +default\n`).MatchString(all) {
		t.Errorf("--all:\n%s", all)
	}
	var described []topicDescription
	if err := json.Unmarshal([]byte(c.ok("topic", "describe", "-r", "^ord", "-o", "json")), &described); err != nil || len(described) != 1 {
		t.Fatal(described, err)
	}
	d := described[0]
	if d.Topic != "orders" || d.Records != 1 || len(d.Partitions) != 2 || d.Partitions[1].End != 1 || d.SizeBytes == nil || len(d.Configs) != 1 ||
		*d.Configs[0].Value != "86400000" || d.Configs[0].Source != "topic" {
		t.Errorf("%+v", d)
	}
	c.fails(fault.Failed, []string{"topic", "describe", "odrers"}, `Did you mean "orders"?`)
}

func TestTopicAlter(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "orders", "payments")
	if got := c.ok("topic", "alter", "orders", "-c", "retention.ms=7200000"); !strings.HasPrefix(got, "changed topic orders: retention.ms ") || !strings.Contains(got, "-> 7200000 (2h00m)") {
		t.Errorf("alter: %s", got)
	}
	value := func() string { return c.ok("topic", "describe", "orders", "--all", "-o", "jsonl") }
	if !strings.Contains(value(), `"key":"retention.ms","value":"7200000","source":"topic"`) {
		t.Errorf("not changed: %s", value())
	}
	if got := c.ok("topic", "alter", "orders", "--unset", "retention.ms", "--dry-run"); got != "would change topic orders: retention.ms 7200000 (2h00m) -> default\n" {
		t.Errorf("--dry-run: %s", got)
	}
	if !strings.Contains(value(), `"value":"7200000"`) {
		t.Error("a dry run changed it")
	}
	c.ok("topic", "alter", "-r", ".*", "--unset", "retention.ms")
	if strings.Contains(value(), `"value":"7200000"`) {
		t.Errorf("not unset: %s", value())
	}
	c.fails(fault.Failed, []string{"topic", "alter", "orders", "-c", "retenton.ms=5"}, `no setting "retenton.ms"`, `Did you mean "retention.ms"?`)
	c.fails(fault.Failed, []string{"topic", "alter", "orders", "-c", "retention.ms=soon"}, "INVALID_CONFIG", "retention.ms")
}

func TestTopicOffsets(t *testing.T) {
	c := newCLI(t)
	noon := time.Now().UTC().Truncate(time.Hour)
	numbered(c, "t", 10, noon)
	if got := c.ok("topic", "offsets", "t"); got != "TOPIC  PARTITION  START  END  RECORDS\nt      0          0      10   10\n" {
		t.Errorf("got\n%s", got)
	}
	for at, want := range map[string]string{"start": "0", "end": "10", "-3": "7", "4": "4", "400": "10", "@" + noon.Add(6*time.Second).Format(time.RFC3339): "6"} {
		out := strings.Fields(c.ok("topic", "offsets", "t", "--at", at))
		if got := out[len(out)-1]; got != want {
			t.Errorf("--at %s: %s, want %s", at, got, want)
		}
	}
	if got := c.ok("topic", "offsets", "t", "--at", "5", "-o", "jsonl"); got != `{"topic":"t","partition":0,"start_offset":0,"end_offset":10,"records":10,"leader":1,"at_offset":5}`+"\n" {
		t.Errorf("as JSON: %s", got)
	}
}

func TestTopicTrim(t *testing.T) {
	c := newCLI(t)
	numbered(c, "t", 10, time.Now())
	want := "TOPIC  PARTITION  START  NEW-START  DELETED\nt      0          0      4          4\n"
	if got := c.ok("topic", "trim", "t", "--to", "4", "--dry-run"); got != want {
		t.Errorf("--dry-run:\n%s", got)
	}
	if got := c.ok("consume", "t", "-n", "1", "-f", "%o"); got != "0" {
		t.Errorf("a dry run trimmed to %s", got)
	}
	c.fails(fault.WrongUsage, []string{"topic", "trim", "t", "--to", "4"}, "Delete 4 records of t?", "no terminal to ask at", "-y")
	if got := c.ok("topic", "trim", "t", "--to", "4", "-y"); got != want {
		t.Errorf("trim:\n%s", got)
	}
	if got := c.ok("consume", "t", "--from", "start", "-n", "1", "-f", "%o"); got != "4" {
		t.Errorf("the first record is %s", got)
	}
	if _, errs, code := c.run("", "topic", "trim", "t", "--to", "start", "-y"); code != 0 || errs != "Nothing lies before start.\n" {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// Somebody at a terminal is asked, and only a yes is a yes.
func TestDestructionIsAskedFor(t *testing.T) {
	c := newCLI(t)
	c.ok("produce", "orders", "v", "-q")
	c.tty = true
	for _, answer := range []string{"", "\n", "n\n", "nonsense\n", "yess\n"} {
		_, errs, code := c.run(answer, "topic", "delete", "orders")
		if code != fault.Failed || !strings.Contains(errs, "topic orders: 4 partitions, 1 record\nDelete orders and all its records? [y/N] ") || !strings.Contains(errs, "nothing was done") {
			t.Errorf("%q: exit %d: %s", answer, code, errs)
		}
	}
	if got := c.ok("topic", "delete", "orders", "--dry-run"); got != "would delete topic orders (4 partitions, 1 record)\n" {
		t.Errorf("--dry-run: %s", got)
	}
	if got := c.okIn("yes\n", "topic", "delete", "orders"); got != "deleted topic orders\n" {
		t.Errorf("yes: %s", got)
	}
	c.ok("topic", "create", "a", "b")
	if _, errs, code := c.run("y\n", "topic", "delete", "-r", "."); code != 0 || !strings.Contains(errs, "Delete these 2 topics") {
		t.Errorf("several: exit %d: %s", code, errs)
	}
}

func TestAPIVersions(t *testing.T) {
	c := newCLI(t)
	out := c.ok("api-versions")
	if !regexp.MustCompile(`^API +KEY +MIN +MAX\nProduce +0 +\d+ +\d+\n`).MatchString(out) {
		t.Errorf("got\n%s", out)
	}
	var list []apiRange
	if err := json.Unmarshal([]byte(c.ok("api-versions", "-o", "json")), &list); err != nil || len(list) < 20 {
		t.Errorf("%d APIs, %v", len(list), err)
	}
	for _, a := range list {
		if a.Name == "" || a.Name == "Unknown" || a.Min > a.Max {
			t.Errorf("%+v", a)
		}
	}
}

func TestSettingText(t *testing.T) {
	text := func(s string) *string { return &s }
	for _, test := range []struct {
		key       string
		value     *string
		sensitive bool
		want      string
	}{
		{"a.ms", text("60000"), false, "60000 (1m00s)"}, {"a.ms", text("-1"), false, "-1"}, {"a.ms", text("500"), false, "500"},
		{"a.ms", text("9223372036854775807"), false, "9223372036854775807 (no limit)"}, {"a.bytes", text("1073741824"), false, "1073741824 (1.0 GiB)"},
		{"a.count", text("5000"), false, "5000"}, {"a.ms", nil, false, "(null)"}, {"password", nil, true, "(hidden)"}, {"a.ms", text("x"), false, "x"},
		{"a.ms", text("9223372036854775806"), false, "9223372036854775806"},
	} {
		if got := settingText(test.key, test.value, test.sensitive); got != test.want {
			t.Errorf("%s: %q, want %q", test.key, got, test.want)
		}
	}
	if got := sourceWord(kmsg.ConfigSourceDynamicDefaultBrokerConfig); got != "cluster" {
		t.Errorf("source %q", got)
	}
}

func TestRefusedPrefersTheBrokersWords(t *testing.T) {
	err := refused("cannot", errors.New("boom"), "because so.")
	if err.Error() != "cannot. Because so" {
		t.Errorf("%v", err)
	}
	if refused("cannot", nil, "") != nil {
		t.Error("nothing was refused")
	}
}

package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"weir/cluster/broker/brokertest"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/jsonl"
)

func TestFirstRecord(t *testing.T) {
	c := newCLI(t)
	out, errs, code := c.run("", "produce", "orders", "-k", "u1", "hello")
	if code != 0 || errs != "created topic orders (4 partitions)\n" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if !regexp.MustCompile(`^orders\[[0-3]\]@0  \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\n$`).MatchString(out) {
		t.Fatalf("it went to %q", out)
	}
	place, _, _ := strings.Cut(out, " ")
	read := c.ok("consume", "orders", "--from", "start", "-n", "1")
	if !regexp.MustCompile(`^` + regexp.QuoteMeta(place) + `  \d\d:\d\d:\d\d\.\d{3}  u1  hello\n$`).MatchString(read) {
		t.Fatalf("read back as %q", read)
	}
	if _, errs, _ := c.run("", "p", "orders", "again", "-q"); errs != "" {
		t.Errorf("the topic is there, and it says %q", errs)
	}
}

func TestProduceSources(t *testing.T) {
	c := newCLI(t)
	file := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(file, []byte("from\na file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, test := range []struct {
		stdin string
		args  []string
		want  string // of consume, by the template
	}{
		{"", []string{"a", "b", "c"}, "<>a <>b <>c "},
		{"a\n\nb", nil, "<>a <> <>b "},
		{"a\nb\n", []string{"-i", "raw"}, "<>a\nb\n "},
		{"k1=v1\nk2=v2\n", []string{"-f", `%k=%v\n`}, "<k1>v1 <k2>v2 "},
		{`{"key":"k","value":"v"}` + "\n", []string{"-i", "jsonl"}, "<k>v "},
		{`{"value":"v"}`, []string{"-i", "jsonl", "-k", "mine"}, "<mine>v "},
		{"", []string{"--file", file, "-k", "f"}, "<f>from <f>a file "},
		{"", []string{"-k", "gone", "--tombstone"}, "<gone> "},
		{"", []string{"v", "-k", ""}, "<>v "},
	} {
		topic := fmt.Sprintf("sources-%d", i)
		c.ok("topic", "create", topic, "-p", "1")
		c.okIn(test.stdin, append([]string{"produce", topic}, test.args...)...)
		if got := c.ok("consume", topic, "-e", "-f", "<%k>%v "); got != test.want {
			t.Errorf("%q %q: %q, want %q", test.stdin, test.args, got, test.want)
		}
	}
}

func TestProduceShapesRecords(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "t", "-p", "3")
	out := c.ok("produce", "t", "v", "-p", "2", "-H", "a:1", "-H", "a:x:y", "-H", "b:", "-k", "k", "-z", "zstd:1", "--timestamp", "@2026-11-23T09:00:00Z")
	if out != "t[2]@0  2026-11-23T09:00:00.000Z\n" {
		t.Errorf("it went to %q", out)
	}
	want := `{"topic":"t","partition":2,"offset":0,"timestamp":"2026-11-23T09:00:00.000Z","key":"k","value":"v",` +
		`"headers":[{"key":"a","value":"1"},{"key":"a","value":"x:y"},{"key":"b","value":""}]}` + "\n"
	if got := c.ok("consume", "t", "-e", "-o", "jsonl"); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	tombstone := c.ok("produce", "t", "-k", "k", "--tombstone", "-p", "2")
	if !strings.HasPrefix(tombstone, "t[2]@1 ") {
		t.Errorf("the tombstone went to %q", tombstone)
	}
	if got := c.ok("consume", "t", "--from", "1", "-p", "2", "-e", "-o", "jsonl"); !strings.Contains(got, `"key":"k","value":null}`) {
		t.Errorf("the tombstone is %s", got)
	}
}

func TestProduceAcksAndCodecs(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "t", "-p", "1")
	for _, codec := range connect.Codecs {
		c.ok("produce", codec, strings.Repeat("again ", 100), "-z", codec, "-q")
		if got := c.ok("consume", codec, "-e", "-f", "%a{compression} %V"); got != codec+" 600" {
			t.Errorf("%s became %q", codec, got)
		}
	}
	for i, args := range [][]string{{"--acks", "all"}, {"--acks", "1"}, {"-X", "acks=1"}} {
		out := c.ok(append([]string{"produce", "t", "v"}, args...)...)
		if want := fmt.Sprintf("t[0]@%d  ", i); !strings.HasPrefix(out, want) {
			t.Errorf("%q: went to %q, want %q", args, out, want)
		}
	}
	if out := c.ok("produce", "t", "v", "--acks", "0"); !strings.Contains(out, "not acknowledged") {
		t.Errorf("--acks 0 claims %q", out)
	}
}

func TestSameKeySamePartitionSameOrder(t *testing.T) {
	c := newCLI(t)
	var in strings.Builder
	for i := range 500 {
		fmt.Fprintf(&in, "k%d=%d\n", i%7, i)
	}
	c.okIn(in.String(), "produce", "t", "-q", "-f", `%k=%v\n`)
	place, last := map[string]string{}, map[string]int{}
	n := 0
	for line := range strings.Lines(c.ok("consume", "t", "-e", "-f", `%k %p %v\n`)) {
		var key, partition string
		var value int
		if _, err := fmt.Sscan(line, &key, &partition, &value); err != nil {
			t.Fatal(err)
		}
		if p, ok := place[key]; ok && (p != partition || value <= last[key]) {
			t.Fatalf("%s: %s after %d in partition %s", key, line, last[key], p)
		}
		place[key], last[key] = partition, value
		n++
	}
	if n != 500 {
		t.Errorf("%d records", n)
	}
}

func TestProduceIsTheTopicThere(t *testing.T) {
	b := brokertest.Start(t, map[string]string{"auto.create.topics.enable": "false"})
	c := &cli{t: t, addr: b.Addr(), broker: b}
	c.ok("topic", "create", "orders")
	c.fails(fault.Failed, []string{"produce", "ordres", "v"}, `topic "ordres" does not exist on `+c.addr, "UNKNOWN_TOPIC_OR_PARTITION",
		`Did you mean "orders"?`, "weir topic create ordres")
	c.fails(fault.Failed, []string{"produce", "orders", "v", "-p", "9"}, `topic "orders" has no partition 9`, "It has 1")
	c.fails(fault.Failed, []string{"produce", "no/such:name", "v"}, "no/such:name")
}

func TestProduceWithAnIllegalName(t *testing.T) {
	c := newCLI(t)
	c.fails(fault.Failed, []string{"produce", "a/b", "v"}, "INVALID_TOPIC_EXCEPTION", "name is not allowed")
}

func TestProduceSaysWhatWentWrong(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "small", "-p", "1", "-c", "max.message.bytes=200")
	c.fails(fault.Failed, []string{"produce", "small", strings.Repeat("x", 300), "-z", "none"}, "MESSAGE_TOO_LARGE", "weir topic alter")
	_, errs, code := c.run(`{"value":`, "produce", "small", "-i", "jsonl")
	if code != fault.Failed || !strings.Contains(errs, "nput line 1") {
		t.Errorf("exit %d: %s", code, errs)
	}
	out, errs, code := c.run(`{"value":"fits"}`+"\n"+`{"valeu":"x"}`, "produce", "small", "-i", "jsonl")
	if code != fault.PartlyDone || !strings.HasPrefix(out, "small[0]@0 ") || !strings.Contains(errs, "nput line 2: valeu: unknown field") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	_, errs, code = c.run(`{"value":"x","partition":3}`, "produce", "small", "-i", "jsonl")
	if code != fault.Failed || !strings.Contains(errs, "--repartition") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if out := c.okIn(`{"value":"x","partition":3}`, "produce", "small", "-i", "jsonl", "--repartition"); !strings.HasPrefix(out, "small[0]@1 ") {
		t.Errorf("--repartition: %s", out)
	}
	_, errs, code = c.run(`{"value":"x","timestamp":9223372036854775807}`, "produce", "small", "-i", "jsonl")
	if code != fault.Failed || !strings.Contains(errs, "too far from 1970") {
		t.Errorf("exit %d: %s", code, errs)
	}
	c.fails(fault.Failed, []string{"produce", "small", "--file", "/does/not/exist"}, "cannot read /does/not/exist")
}

// A line that is typed is sent and answered at once, before the input ends, and an interrupt ends the
// wait for more without losing what was typed.
func TestProduceAsOneTypes(t *testing.T) {
	c := newCLI(t)
	c.tty = true
	c.ok("topic", "create", "t", "-p", "1")
	r, w := io.Pipe()
	defer w.Close()
	out, errs, stop := c.start(r, "produce", "t")
	errs.await(t, "Ctrl-D ends")
	if _, err := io.WriteString(w, "first\n"); err != nil {
		t.Fatal(err)
	}
	out.await(t, "t[0]@0")
	if _, err := io.WriteString(w, "second\n"); err != nil {
		t.Fatal(err)
	}
	out.await(t, "t[0]@1")
	if code := stop(); code != fault.Interrupted {
		t.Errorf("exit %d: %s", code, errs)
	}
	if got := c.ok("consume", "t", "-e", "-o", "value"); got != "first\nsecond\n" {
		t.Errorf("stored: %q", got)
	}
}

// When the broker goes away in the middle, produce gives up in time and says how far it came.
func TestProduceGivesUp(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "t", "-p", "1")
	r, w := io.Pipe()
	defer w.Close()
	out, errs, stop := c.start(r, "produce", "t", "--timeout", "300ms")
	if _, err := io.WriteString(w, "first\n"); err != nil {
		t.Fatal(err)
	}
	out.await(t, "t[0]@0")
	if err := c.broker.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "second\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	errs.await(t, "no record was answered for in 300ms")
	if code := stop(); code != fault.PartlyDone {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestProduceAtARate(t *testing.T) {
	c := newCLI(t)
	began := time.Now()
	c.ok("produce", "t", "1", "2", "3", "4", "5", "--rate", "100/s")
	if took := time.Since(began); took < 40*time.Millisecond {
		t.Errorf("five records at 100/s in %v", took)
	}
}

func TestFormRefusesTimesThatWouldChange(t *testing.T) {
	for _, ms := range []int64{minMillis, maxMillis, 0, -1} {
		if err := writableTime(time.UnixMilli(ms)); err != nil {
			t.Errorf("%d: %v", ms, err)
		}
		if got := time.UnixMilli(ms).UnixNano() / 1e6; got != ms {
			t.Errorf("%d ms: the client would write %d", ms, got)
		}
	}
	for _, ms := range []int64{minMillis - 1, maxMillis + 1} {
		f := form{partition: 0}
		r, given, err := jsonl.Parse(fmt.Appendf(nil, `{"timestamp":%d}`, ms))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.complete(r, given); err == nil {
			t.Errorf("%d was accepted", ms)
		}
	}
}

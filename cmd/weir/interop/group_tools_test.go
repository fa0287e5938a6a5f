//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// groupTool is Kafka's kafka-consumer-groups.
const groupTool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"

// hours are how many records each partition of a resetTopic has, an hour apart, the last an hour ago.
const hours = 10

// resetTopic is a topic of two partitions with a group that has read three records of each.
type resetTopic struct {
	sharedTopic
	admin *kadm.Client
	first time.Time // of the first record
}

func newResetTopic(t *testing.T, b *broker) *resetTopic {
	t.Helper()
	g := &resetTopic{sharedTopic: sharedTopic{broker: b, topic: fmt.Sprintf("reset-%d", time.Now().UnixMilli())}}
	kafka := g.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(g.topic))
	g.admin = kadm.NewClient(kafka)
	if _, err := g.admin.CreateTopic(t.Context(), 2, 1, nil, g.topic); err != nil {
		t.Fatal(err)
	}
	g.first = time.Now().Add(-hours * time.Hour).Truncate(time.Millisecond)
	for i := range hours {
		for p := range int32(2) {
			r := &kgo.Record{Partition: p, Value: fmt.Appendf(nil, "%d", i), Timestamp: g.first.Add(time.Duration(i) * time.Hour)}
			if err := kafka.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.commit(t, 3, 3)
	return g
}

func (g *resetTopic) commit(t *testing.T, offsets ...int64) {
	t.Helper()
	var all kadm.Offsets
	for p, o := range offsets {
		all.AddOffset(g.topic, int32(p), o, -1)
	}
	if err := g.admin.CommitAllOffsets(t.Context(), g.topic, all); err != nil {
		t.Fatal(err)
	}
}

func (g *resetTopic) wantsCommitted(t *testing.T, after string, want ...int64) {
	t.Helper()
	responses, err := g.admin.FetchOffsets(t.Context(), g.topic)
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, o := range responses.Sorted() {
		got = append(got, o.At)
	}
	if !slices.Equal(got, want) {
		t.Errorf("after %s: committed %v, want %v", after, got, want)
	}
}

// tool runs kafka-consumer-groups for the group.
func (g *resetTopic) tool(t *testing.T, args ...string) string {
	t.Helper()
	return runTool(t, groupTool, "", append([]string{"--bootstrap-server", g.broker.address, "--group", g.topic}, args...)...)
}

// weir runs the command line of Weir.
func (g *resetTopic) weir(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(repository(t), "bin", "weir"), append(args, "-b", g.broker.address)...)
	command.Dir = t.TempDir()
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("weir %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// TestKafkaConsumerGroups: Kafka's own tool reads and resets the offsets of a group, and it and Weir's command
// line undo each other's resets by file.
func TestKafkaConsumerGroups(t *testing.T) {
	g := newResetTopic(t, startBroker(t))
	described := g.tool(t, "--describe")
	for p := range 2 {
		row := []string{g.topic, g.topic, fmt.Sprint(p), "3", "10", "7"}
		if !slices.ContainsFunc(strings.Split(described, "\n"), func(line string) bool { return inOrder(strings.Fields(line), row) }) {
			t.Errorf("no row %q in:\n%s", row, described)
		}
	}
	if out := g.tool(t, "--describe", "--state"); !strings.Contains(out, "Empty") {
		t.Errorf("state:\n%s", out)
	}
	g.tool(t, "--reset-offsets", "--topic", g.topic, "--to-earliest", "--dry-run")
	g.wantsCommitted(t, "a dry run", 3, 3)
	for _, test := range []struct {
		flags []string
		want  []int64
	}{
		{[]string{"--to-earliest"}, []int64{0, 0}},
		{[]string{"--to-latest"}, []int64{hours, hours}},
		{[]string{"--to-offset", "4"}, []int64{4, 4}},
		{[]string{"--to-offset", "400"}, []int64{hours, hours}},
		{[]string{"--shift-by", "2"}, []int64{5, 5}},
		{[]string{"--shift-by", "-5"}, []int64{0, 0}},
		{[]string{"--to-datetime", g.first.Add(150 * time.Minute).UTC().Format("2006-01-02T15:04:05.000")}, []int64{3, 3}},
		{[]string{"--by-duration", "PT4H30M"}, []int64{6, 6}},
	} {
		g.commit(t, 3, 3)
		g.tool(t, append([]string{"--reset-offsets", "--topic", g.topic, "--execute"}, test.flags...)...)
		g.wantsCommitted(t, strings.Join(test.flags, " "), test.want...)
	}

	// Weir resets, Kafka undoes it; then the other way round, by what Kafka exports.
	g.commit(t, 3, 5)
	undo := filepath.Join(t.TempDir(), "undo.csv")
	g.weir(t, "group", "reset", g.topic, "--to", "earliest", "--topic", g.topic, "--execute", "--undo", undo)
	g.wantsCommitted(t, "weir group reset", 0, 0)
	g.tool(t, "--reset-offsets", "--from-file", undo, "--execute")
	g.wantsCommitted(t, "--from-file with Weir's undo file", 3, 5)
	exported := filepath.Join(t.TempDir(), "plan.csv")
	if err := os.WriteFile(exported, []byte(g.tool(t, "--reset-offsets", "--topic", g.topic, "--to-current", "--export", "--dry-run")), 0o600); err != nil {
		t.Fatal(err)
	}
	g.commit(t, 1, 1)
	g.weir(t, "group", "reset", g.topic, "--to", "file:"+exported, "--execute", "--undo", "none")
	g.wantsCommitted(t, "weir group reset by Kafka's export", 3, 5)
	g.tool(t, "--delete-offsets", "--topic", g.topic)
	g.wantsCommitted(t, "--delete-offsets")
}

// inOrder reports whether words come among fields in this order.
func inOrder(fields, words []string) bool {
	for _, f := range fields {
		if len(words) > 0 && f == words[0] {
			words = words[1:]
		}
	}
	return len(words) == 0
}

// TestKadmGroups: franz-go's admin client sees the lag, sets offsets and deletes them.
func TestKadmGroups(t *testing.T) {
	g := newResetTopic(t, startBroker(t))
	lags, err := g.admin.Lag(t.Context(), g.topic)
	if err != nil {
		t.Fatal(err)
	}
	if lag := lags[g.topic]; lag.Error() != nil || lag.State != "Empty" || lag.Lag.Total() != 2*(hours-3) {
		t.Errorf("lag: %+v", lag)
	}
	g.commit(t, 0, hours)
	g.wantsCommitted(t, "CommitOffsets", 0, hours)
	var some kadm.TopicsSet
	some.Add(g.topic, 0)
	deleted, err := g.admin.DeleteOffsets(t.Context(), g.topic, some)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	g.wantsCommitted(t, "DeleteOffsets", hours)
	if _, err := g.admin.DeleteGroup(t.Context(), g.topic); err != nil {
		t.Fatal(err)
	}
	g.wantsCommitted(t, "DeleteGroup")
}

// TestKcatGroup: kcat as a member goes on where the group was set to, and commits.
func TestKcatGroup(t *testing.T) {
	if _, err := exec.LookPath("kcat"); err != nil {
		t.Fatal("kcat is not installed (apt-get install kcat)")
	}
	g := newResetTopic(t, startBroker(t))
	g.weir(t, "group", "reset", g.topic, "--to", "-1", "--topic", g.topic, "--execute", "--undo", "none")
	out, err := exec.CommandContext(t.Context(), "kcat", "-b", g.broker.address, "-q", "-c", "2", "-f", "%p@%o=%s\n", "-G", g.topic, g.topic).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(string(out))
	if slices.Sort(got); !slices.Equal(got, []string{"0@9=9", "1@9=9"}) {
		t.Errorf("kcat read %q", got)
	}
	g.wantsCommitted(t, "kcat", hours, hours)
}

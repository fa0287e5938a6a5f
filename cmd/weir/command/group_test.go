package command

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cluster/broker/brokertest"
	"weir/cmd/weir/fault"
)

// readAndCommit has a member read so many records, and commit them.
func readAndCommit(t *testing.T, consumer *kgo.Client, records int) {
	t.Helper()
	for read := 0; read < records; {
		fetches := consumer.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		read += fetches.NumRecords()
	}
	if err := consumer.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestGroupLife: a group is listed, described with its lag while it has a member and after, and
// deleted when it has none.
func TestGroupLife(t *testing.T) {
	b := brokertest.Start(t, map[string]string{"group.initial.rebalance.delay.ms": "0"})
	c := &cli{t: t, addr: b.Addr(), broker: b}
	c.ok("topic", "create", "orders", "-p", "2")
	if got := c.ok("group", "list", "-o", "json"); got != "[]\n" {
		t.Errorf("no groups: %s", got)
	}
	c.okIn("a\nb\nc\n", "produce", "orders", "--partition", "0")
	consumer, err := kgo.NewClient(kgo.SeedBrokers(c.addr), kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"), kgo.ClientID("till"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.Balancers(kgo.RangeBalancer()))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	readAndCommit(t, consumer, 3)
	c.okIn("d\ne\n", "produce", "orders", "--partition", "0")
	if got := c.ok("groups", "list"); got != "GROUP    TYPE     STATE\nbilling  classic  Stable\n" {
		t.Errorf("list:\n%s", got)
	}
	if got := c.ok("group", "list", "--state", "empty"); got != "GROUP  TYPE  STATE\n" {
		t.Errorf("list of empty groups:\n%s", got)
	}
	got := c.ok("group", "describe", "billing")
	for _, want := range []string{"billing: Stable, 1 member, lag 2, waiting ", ", range, coordinator 1\n", "orders  0          3        5    2    ", "till", "127.0.0.1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("describe lacks %q:\n%s", want, got)
		}
	}
	c.fails(fault.Failed, []string{"group", "delete", "billing", "-y"}, "NON_EMPTY_GROUP")
	consumer.Close()
	var described []groupDescription
	if err := json.Unmarshal([]byte(c.ok("group", "describe", "billing", "-o", "json")), &described); err != nil {
		t.Fatal(err)
	}
	if d := described[0]; d.State != "Empty" || d.Lag != 2 || len(d.Members) != 0 || *d.Partitions[0].Current != 3 {
		t.Errorf("described: %+v", d)
	}
	if got := c.ok("group", "delete", "billing", "--dry-run"); got != "would delete group billing (Empty, 0 members, 1 committed offset)\n" {
		t.Errorf("--dry-run: %s", got)
	}
	c.fails(fault.WrongUsage, []string{"group", "delete", "billing"}, "no terminal")
	if got := c.ok("group", "delete", "billing", "-y"); got != "deleted group billing\n" {
		t.Errorf("delete: %s", got)
	}
	c.fails(fault.Failed, []string{"group", "describe", "billing"}, `group "billing" does not exist`, "GROUP_ID_NOT_FOUND")
}

// TestConsumerProtocolGroup: a group of the consumer protocol is listed, described with epochs and assignments, and
// deleted, like others.
func TestConsumerProtocolGroup(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := &cli{t: t, addr: b.Addr(), broker: b}
	c.ok("topic", "create", "orders", "-p", "2")
	c.okIn("a\nb\nc\n", "produce", "orders", "--partition", "0")
	consumer, err := kgo.NewClient(kgo.SeedBrokers(c.addr), kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"), kgo.ClientID("till"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	readAndCommit(t, consumer, 3)
	c.okIn("d\ne\n", "produce", "orders", "--partition", "0")
	if got := c.ok("group", "list"); got != "GROUP    TYPE      STATE\nbilling  consumer  Stable\n" {
		t.Errorf("list:\n%s", got)
	}
	got := c.ok("group", "describe", "billing")
	id, _ := consumer.GroupMetadata()
	for _, want := range []string{
		"billing: Stable, 1 member, lag 2, waiting ", ", uniform, coordinator 1, epoch 1, target of epoch 1\n", id + "  1      orders 0,1  orders 0,1\n",
		"orders  0          3        5    2", "orders  1          -        0    0", "till", "127.0.0.1\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("describe lacks %q:\n%s", want, got)
		}
	}
	var described []groupDescription
	if err := json.Unmarshal([]byte(c.ok("group", "describe", "billing", "-o", "json")), &described); err != nil {
		t.Fatal(err)
	}
	if d := described[0]; *d.Epoch != 1 || d.Lag != 2 || len(d.Members) != 1 || *d.Members[0].Current != "orders 0,1" || d.Partitions[0].Member != id {
		t.Errorf("described: %+v", d)
	}
	const session, setting = "consumer.session.timeout.ms", "\n\nSETTING                      VALUE          SOURCE\nconsumer.session.timeout.ms  60000 (1m00s)  group\n"
	if got := c.ok("group", "alter", "billing", "-c", session+"=60000", "--dry-run"); got != "would change group billing: "+session+" 45000 (45s) -> 60000 (1m00s)\n" {
		t.Errorf("alter: %s", got)
	}
	c.ok("group", "alter", "billing", "-c", session+"=60000")
	if got := c.ok("group", "describe", "billing"); !strings.HasSuffix(got, setting) {
		t.Errorf("described with a setting:\n%s", got)
	}
	if got := c.ok("group", "alter", "billing", "--unset", session); got != "changed group billing: "+session+" 60000 (1m00s) -> default\n" {
		t.Errorf("alter: %s", got)
	}
	if got := c.ok("group", "describe", "billing", "--all"); !strings.HasSuffix(got, session+"     45000 (45s)  default\n") {
		t.Errorf("described with all settings:\n%s", got)
	}
	c.fails(fault.Failed, []string{"group", "alter", "billing", "-c", session + "=1"}, "INVALID_CONFIG", "45000 to 60000")
	c.fails(fault.Failed, []string{"group", "alter", "billing", "-c", "consumer.sesion.timeout.ms=50000"}, session)
	c.fails(fault.WrongUsage, []string{"group", "alter", "billing"}, "--unset")
	c.fails(fault.Failed, []string{"group", "delete", "billing", "-y"}, "NON_EMPTY_GROUP")
	consumer.Close()
	if got := c.ok("group", "describe", "billing"); !strings.HasPrefix(got, "billing: Empty, 0 members, lag 2, waiting ") || !strings.Contains(got, ", uniform, coordinator 1, epoch 2, target of epoch 2\n") {
		t.Errorf("describe:\n%s", got)
	}
	if got := c.ok("group", "delete", "billing", "-y"); got != "deleted group billing\n" {
		t.Errorf("delete: %s", got)
	}
}

// TestConsumeInAGroup: a member prints, commits what it has printed, and the next goes on behind it.
func TestConsumeInAGroup(t *testing.T) {
	b := brokertest.Start(t, map[string]string{"group.initial.rebalance.delay.ms": "0"})
	c := &cli{t: t, addr: b.Addr(), broker: b}
	c.ok("topic", "create", "orders", "-p", "1")
	c.okIn("1\n2\n3\n4\n5\n", "produce", "orders")
	line := []string{"consume", "orders", "-g", "billing", "--from", "start", "-f", "%v "}
	if got := c.ok(append(line, "-n", "2")...); got != "1 2 " {
		t.Errorf("the first member: %s", got)
	}
	if got := c.ok(append(line, "-n", "1", "--filter", "value:4")...); got != "4 " {
		t.Errorf("the second: %s", got)
	}
	out, _, stop := c.start(nil, line...)
	brokertest.Eventually(t, "the third has what is left", func() bool { return out.String() == "5 " })
	if code := stop(); code != fault.Interrupted {
		t.Errorf("it ended with %d", code)
	}
	if got := c.ok("group", "describe", "billing"); !strings.HasPrefix(got, "billing: Empty, 0 members, lag 0,") {
		t.Errorf("afterwards:\n%s", got)
	}
	for _, more := range [][]string{{"-e"}, {"--to", "5"}, {"-p", "0"}, {"--from", "-1h"}} {
		c.fails(fault.WrongUsage, append([]string{"consume", "orders", "-g", "billing"}, more...))
	}
}

package command

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/cluster/broker/brokertest"
	"weir/cluster/config"
	"weir/cmd/weir/fault"
)

func TestClusterOfOne(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "t", "-p", "2")
	if got := c.ok("cluster", "health"); got != "healthy: 1 broker, controller 1\n" {
		t.Errorf("health: %q", got)
	}
	if got := c.ok("cluster", "health", "-w", "--exit-when-healthy", "-o", "jsonl"); !strings.HasPrefix(got, `{"healthy":true,"reasons":[],"controller":1,"brokers":1,`) {
		t.Errorf("health -w: %q", got)
	}
	if got := c.ok("cluster", "info"); !strings.Contains(got, "brokers     1, 1 up\n") || !strings.Contains(got, "partitions  2, 0 leaderless, 0 under-replicated, 0 moving\n") ||
		!strings.Contains(got, "features    group.version 1 (of 0 to 1), transaction.version 2 (of 0 to 2)\n") {
		t.Errorf("info:\n%s", got)
	}
	var rows []brokerRow
	if err := json.Unmarshal([]byte(c.ok("broker", "list", "-o", "json")), &rows); err != nil || len(rows) != 1 {
		t.Fatalf("broker list: %v, %+v", err, rows)
	}
	if r := rows[0]; r.Address != c.addr || r.State != brokerUp || !r.Controller || r.Leads != 2 || r.Replicas != 2 || r.SizeBytes == nil {
		t.Errorf("broker list: %+v", r)
	}
	if got, want := c.ok("partition", "list", "t"), "PARTITION  LEADER  EPOCH  REPLICAS  IN-SYNC  OFFLINE  STATE\n"; !strings.HasPrefix(got, want) || strings.Count(got, " ok\n") != 2 {
		t.Errorf("partition list:\n%s", got)
	}
	if got := c.ok("partition", "list", "--under-replicated", "--leaderless", "-o", "json"); got != "[]\n" {
		t.Errorf("nothing is wrong: %s", got)
	}
	if got := c.ok("partition", "transfer-leader", "t", "1"); got != "broker 1 leads t[1] already\n" {
		t.Errorf("transfer-leader: %q", got)
	}
	if got := c.ok("partition", "move", "t", "1", "--to", "1"); got != "t[1] is on 1 already\n" {
		t.Errorf("move: %q", got)
	}
	c.fails(fault.Failed, []string{"partition", "list", "other"}, `topic "other" does not exist`)
	c.fails(fault.Failed, []string{"partition", "move", "t", "2", "--to", "1"}, `topic "t" has no partition 2`)
	c.fails(fault.Failed, []string{"partition", "move", "t", "0", "--to", "2"}, "there is no broker 2. There are 1")
	c.fails(fault.Failed, []string{"partition", "transfer-leader", "t", "0", "--to", "2"}, "It holds no replica; those are on 1")
	c.fails(fault.Failed, []string{"broker", "decommission", "1", "-y"}, "2 partitions of broker 1 have nowhere to go: t[0], t[1]")
	c.fails(fault.Failed, []string{"broker", "decommission", "5", "-y"}, "there is no broker 5")
}

// sick is a cluster of four with something wrong everywhere.
func sick(t *testing.T) *fakeCluster {
	f := newFakeCluster(t, "a", "b", "a", "b")
	f.add("orders", 0, 1, []int32{1, 2, 3}, []int32{1, 3})
	f.add("orders", 1, -1, []int32{2}, nil)
	f.add("users", 0, 3, []int32{3, 1, 9}, []int32{1, 3, 9})
	f.brokers[1].fenced = true
	f.brokers[3].listen.Close()
	return f
}

func TestClusterHealthSaysWhy(t *testing.T) {
	f := sick(t)
	out, errs, code := f.run("", "cluster", "health")
	want := `not healthy:
  broker 2 (` + f.address(2) + `) is fenced: the controller does not hear it
  broker 4 (` + f.address(4) + `) does not answer
  broker 9 is not there, and partitions have replicas on it
  1 partition without a leader: orders[1]
  2 partitions with replicas that are not in sync: orders[0], orders[1]
`
	if out != want || code != fault.Failed || !strings.HasSuffix(errs, "error: the cluster is not healthy\n") {
		t.Errorf("exit %d\n%s%swant\n%s", code, out, errs, want)
	}
	out, _, code = f.run("", "cluster", "health", "-o", "json")
	var h clusterHealth
	if err := json.Unmarshal([]byte(out), &h); err != nil || code != fault.Failed || h.Healthy || !slices.Equal(h.BrokersDown, []int32{2, 4, 9}) || len(h.Reasons) != 5 {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
	out, errs, code = f.run("", "cluster", "health", "-w", "--exit-when-healthy", "--within", "50ms")
	if code != fault.TooLate || !strings.Contains(errs, "the cluster is not healthy after 50ms.") {
		t.Errorf("--within: exit %d\n%s%s", code, out, errs)
	}

	f.mu.Lock()
	f.controller = -1
	f.mu.Unlock()
	if out, _, _ := f.run("", "cluster", "health"); !strings.Contains(out, "  no controller is known\n") {
		t.Errorf("without a controller:\n%s", out)
	}
}

func TestClusterHealthWatch(t *testing.T) {
	f := newFakeCluster(t, "", "")
	f.add("t", 0, 1, []int32{1, 2}, []int32{1})
	out, _, stop := f.start(nil, "cluster", "health", "-w", "--exit-when-healthy", "-o", "jsonl")
	out.await(t, `"under_replicated_partitions":["t[0]"]`)
	f.mu.Lock()
	f.partitions[0].isr = []int32{1, 2}
	f.mu.Unlock()
	out.await(t, `"healthy":true`)
	if code := stop(); code != fault.Done || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestBrokerAndPartitionList(t *testing.T) {
	f := sick(t)
	f.slow = true
	f.ok("partition", "move", "users", "0", "--to", "3,1,4")
	got := f.ok("partition", "list")
	want := `PARTITION  LEADER  EPOCH  REPLICAS  IN-SYNC  OFFLINE  STATE
orders[0]  1       5      1,2,3     1,3      -        under-replicated
orders[1]  none    5      2         -        -        leaderless, under-replicated
users[0]   3       5      3,1,9,4   1,3,9    -        under-replicated, moving to 3,1,4
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := f.ok("partition", "list", "--leaderless", "-o", "name"); got != "orders[1]\n" {
		t.Errorf("--leaderless: %s", got)
	}
	if got := f.ok("partition", "list", "users", "-o", "jsonl"); !strings.Contains(got, `"adding":[4],"removing":[9],"leaderless":false,"under_replicated":true}`) {
		t.Errorf("as JSON: %s", got)
	}
	rows := strings.Split(f.ok("broker", "list"), "\n")
	for i, words := range []string{"BROKER ADDRESS RACK STATE CONTROLLER LEADS REPLICAS SIZE",
		"1 " + f.address(1) + " a up yes 1 2 -", "2 " + f.address(2) + " - fenced - 0 2 -", "3 " + f.address(3) + " a up - 1 2 -",
		"4 " + f.address(4) + " b no answer - 0 1 -", "9 - - gone - 0 1 -"} {
		if i >= len(rows) || strings.Join(strings.Fields(rows[i]), " ") != words {
			t.Errorf("line %d of\n%s\nis not %s", i, strings.Join(rows, "\n"), words)
		}
	}
}

func TestClusterQuorum(t *testing.T) {
	f := newFakeCluster(t, "", "", "", "")
	f.controller, f.now = 2, time.UnixMilli(10_000)
	want := `leader          2, epoch 7
high watermark  40
largest lag     1, caught up 2s ago
voters          1,2,3
observers       4
`
	if got := f.ok("cluster", "quorum"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	want = `NODE  ROLE      LOG-END  LAG  LAST-FETCH  CAUGHT-UP
2     leader    40       0    -           -
1     follower  41       0    1s ago      2s ago
3     follower  39       1    1s ago      2s ago
4     observer  38       2    1s ago      2s ago
`
	if got := f.ok("cluster", "quorum", "--replication"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := f.ok("cluster", "quorum", "-o", "json"); !strings.Contains(got, `"last_caught_up_timestamp": null`) || !strings.Contains(got, `"role": "observer"`) {
		t.Errorf("as JSON: %s", got)
	}
}

func TestPartitionMove(t *testing.T) {
	f := newFakeCluster(t, "", "", "", "")
	f.add("t", 0, 1, []int32{1, 2, 3}, []int32{1, 2, 3})
	if got := f.ok("partition", "move", "t", "0", "--to", "2,3,4", "--watch"); got != "t[0] has moved from 1,2,3 to 2,3,4\n" {
		t.Errorf("--watch: %q", got)
	}
	f.slow = true
	if got := f.ok("partition", "move", "t", "0", "--to", "1,2,3"); got != "t[0] moves from 2,3,4 to 1,2,3\n" {
		t.Errorf("move: %q", got)
	}
	if got := f.ok("partition", "move", "t", "0", "--cancel"); got != "the move of t[0] is given up\n" {
		t.Errorf("--cancel: %q", got)
	}
	f.fails(fault.Failed, []string{"partition", "move", "t", "0", "--cancel"}, "t[0] is not being moved (NO_REASSIGNMENT_IN_PROGRESS)")
	want := []string{"move t[0] to 2,3,4", "move t[0] to 1,2,3", "cancel t[0]"}
	if got := f.did(); !slices.Equal(got, want) {
		t.Errorf("it asked for %q, want %q", got, want)
	}
	f.fails(fault.WrongUsage, []string{"partition", "move", "t", "0", "--to", "1,2,1"}, "names broker 1 twice")

	// Interrupted while it watches: the move goes on, and that is said.
	_, errs, stop := f.start(nil, "partition", "move", "t", "0", "--to", "1,2", "--watch")
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(f.did()) < len(want)+1 {
		<-tick.C
	}
	if code := stop(); code != fault.Interrupted {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestPartitionMoveThrottled(t *testing.T) {
	f := newFakeCluster(t, "", "", "", "")
	f.add("t", 0, 1, []int32{1, 2, 3}, []int32{1, 2, 3})
	f.add("u", 0, 1, []int32{1}, []int32{1})
	f.slow, f.sizes = true, map[int32]int64{4: 0}
	move := []string{"partition", "move", "t", "0", "--to", "4,2,3", "--watch", "--throttle", "2MiB/s"}
	out, errs, stop := f.start(nil, move...)
	for _, step := range []struct {
		size int64
		note string
	}{{0, "t[0]: 0 B of 10.0 MiB copied\n"}, {3 << 20, "t[0]: 3.0 MiB of 10.0 MiB copied\n"}, {10 << 20, "t[0]: 10.0 MiB of 10.0 MiB copied\n"}} {
		f.mu.Lock()
		f.sizes[4] = step.size
		f.mu.Unlock()
		errs.await(t, step.note)
	}
	f.settle()
	out.await(t, "t[0] has moved from 1,2,3 to 4,2,3\n")
	if code := stop(); code != fault.Done {
		t.Errorf("exit %d: %s", code, errs)
	}
	var want []string
	all := func(format string) {
		for _, id := range []int{1, 2, 3, 4} {
			want = append(want, fmt.Sprintf(format, id))
		}
	}
	const set, unset = "set leader.replication.throttled.rate=2097152 of %d", "unset leader.replication.throttled.rate of %d"
	all(set)
	want = append(want, "move t[0] to 4,2,3")
	all(unset)
	if got := f.did(); !slices.Equal(got, want) {
		t.Errorf("it asked for %q, want %q", got, want)
	}

	// Interrupted, it leaves the throttle; given again when the move has ended, or given up, it lifts that, unless
	// another partition moves.
	move[5] = "1,2,3"
	_, errs, stop = f.start(nil, move...)
	errs.await(t, "t[0]: ")
	if code := stop(); code != fault.Interrupted || !strings.Contains(errs.String(), "the brokers stay throttled; given again,") {
		t.Errorf("exit %d: %s", code, errs)
	}
	f.settle()
	f.ok("partition", "move", "u", "0", "--to", "2")
	if _, errs, code := f.run("", move...); code != fault.Done || !strings.Contains(errs, "the brokers that are throttled stay so while u[0] moves\n") {
		t.Errorf("exit %d: %s", code, errs)
	}
	f.ok("partition", "move", "u", "0", "--cancel")
	all(set)
	want = append(want, "move t[0] to 1,2,3", "move u[0] to 2", "cancel u[0]")
	all(unset)
	f.ok(move...) // there is nothing to lift any more
	if got := f.did(); !slices.Equal(got, want) {
		t.Errorf("it asked for %q, want %q", got, want)
	}
	f.fails(fault.WrongUsage, []string{"partition", "move", "t", "0", "--to", "1,2", "--throttle", "1MiB"}, "--throttle goes with --watch")
	f.fails(fault.WrongUsage, []string{"partition", "move", "t", "0", "--to", "1,2", "-w", "--throttle", "0"}, `"0" is not a rate`)
	f.fails(fault.WrongUsage, []string{"partition", "move", "t", "0", "--to", "1,2", "-w", "--throttle", "fast"}, `"fast" is not a rate: write 500KiB/s or 20MiB/s`)
}

func TestPartitionTransferLeader(t *testing.T) {
	f := newFakeCluster(t, "", "", "")
	f.add("t", 0, 2, []int32{1, 2, 3}, []int32{1, 2, 3})
	f.fails(fault.Failed, []string{"partition", "transfer-leader", "t", "0", "--to", "3"},
		"Only the preferred leader can be asked to, and that is broker 1. Make it the first", "weir partition move t 0 --to 3,1,2")
	if got := f.ok("partition", "transfer-leader", "t", "0", "--to", "1"); got != "broker 1 leads t[0] now\n" {
		t.Errorf("got %q", got)
	}
	if got := f.ok("partition", "transfer-leader", "t", "0"); got != "broker 1 leads t[0] already\n" {
		t.Errorf("again: %q", got)
	}
	if got := f.did(); !slices.Equal(got, []string{"elect t[0]"}) {
		t.Errorf("it asked for %q", got)
	}
}

func TestBrokerDecommission(t *testing.T) {
	f := newFakeCluster(t, "a", "b", "a", "b", "c")
	f.add("t", 0, 1, []int32{1, 2}, []int32{1, 2})
	f.add("t", 1, 2, []int32{2, 5}, []int32{2, 5})
	f.add("u", 0, 2, []int32{3, 2, 5}, []int32{2, 3, 5})
	plan := `would move t[0] from 1,2 to 1,4
would move t[1] from 2,5 to 1,5
would move u[0] from 3,2,5 to 3,4,5
would take broker 2 out of the cluster
`
	if got := f.ok("broker", "decommission", "2", "--dry-run"); got != plan {
		t.Errorf("got\n%swant\n%s", got, plan)
	}
	f.fails(fault.WrongUsage, []string{"broker", "decommission", "2"}, "Move 3 partitions off broker 2 and take it out of the cluster?", "-y")
	if len(f.did()) != 0 {
		t.Fatalf("it changed something: %q", f.did())
	}

	// Interrupted and begun again, it goes on with what is under way.
	f.slow = true
	_, errs, stop := f.start(nil, "broker", "decommission", "2", "-y")
	errs.await(t, "0 of 3 partitions have moved\n")
	if code := stop(); code != fault.Interrupted {
		t.Errorf("exit %d: %s", code, errs)
	}
	out, errs, stop := f.start(nil, "broker", "decommission", "2", "-y")
	errs.await(t, "0 of 3 partitions have moved\n")
	f.settle()
	out.await(t, "broker 2 is out of the cluster, 3 partitions moved; it can be stopped\n")
	if code := stop(); code != fault.Done {
		t.Errorf("exit %d: %s", code, errs)
	}
	want := []string{"move t[0] to 1,4", "move t[1] to 1,5", "move u[0] to 3,4,5", "unregister 2"}
	if got := f.did(); !slices.Equal(got, want) {
		t.Errorf("it asked for %q, want %q", got, want)
	}
}

func TestBrokerDrain(t *testing.T) {
	f := newFakeCluster(t, "", "", "")
	f.add("t", 0, 1, []int32{1, 2, 3}, []int32{1, 2, 3})
	f.add("t", 1, 1, []int32{1, 2}, []int32{1, 2})
	f.slow = true
	if got := f.ok("broker", "drain", "1"); got != "broker 1 is drained; others take over the 2 partitions that it leads\n" {
		t.Errorf("drain: %q", got)
	}
	if got := f.ok("broker", "list", "-o", "jsonl"); !strings.Contains(got, `"state":"drained","controller":true,"leads":2,`) {
		t.Errorf("list: %s", got)
	}
	if got := f.ok("cluster", "health"); !strings.HasPrefix(got, "healthy: 3 brokers") {
		t.Errorf("health: %s", got)
	}
	if got := f.ok("cluster", "info"); !strings.Contains(got, "3, 3 up") {
		t.Errorf("info: %s", got)
	}
	out, errs, stop := f.start(nil, "broker", "drain", "1", "--watch")
	errs.await(t, "broker 1 leads 2 partitions yet\n")
	f.mu.Lock()
	f.handOver()
	f.mu.Unlock()
	out.await(t, "broker 1 is drained; others have taken over the 2 partitions that it led\n")
	if code := stop(); code != fault.Done {
		t.Errorf("exit %d: %s", code, errs)
	}
	if got := f.ok("broker", "drain", "1", "-w"); got != "broker 1 is drained; it leads nothing\n" {
		t.Errorf("again: %q", got)
	}

	// Of what has no other replica on a broker that may lead, there is no use in waiting.
	f.add("u", 0, 2, []int32{2, 1}, []int32{2, 1})
	f.slow = false
	f.fails(fault.PartlyDone, []string{"broker", "drain", "2", "--watch"},
		"broker 2 is drained and leads on 2 partitions: t[1], u[0]. No broker that is up and not drained holds another replica")
	f.slow = true
	if got := f.ok("broker", "undrain", "1"); got != "broker 1 is not drained any more\n" {
		t.Errorf("undrain: %q", got)
	}
	_, errs, stop = f.start(nil, "broker", "drain", "2", "--watch")
	errs.await(t, "broker 2 leads ")
	if code := stop(); code != fault.Interrupted {
		t.Errorf("exit %d: %s", code, errs)
	}
	set, unset := "set broker.drained=true of ", "unset broker.drained of "
	if got, want := f.did(), []string{set + "1", set + "1", set + "1", set + "2", unset + "1", set + "2"}; !slices.Equal(got, want) {
		t.Errorf("it asked for %q, want %q", got, want)
	}
	f.fails(fault.Failed, []string{"broker", "drain", "7"}, "there is no broker 7", "weir broker list")
	f.fails(fault.Failed, []string{"broker", "undrain", "7"}, "there is no broker 7")
	f.fails(fault.WrongUsage, []string{"broker", "drain", "one"}, `"one" is no broker's number`)
	f.fails(fault.WrongUsage, []string{"broker", "undrain"})
}

func TestPlanDecommission(t *testing.T) {
	broker := func(id int32, rack string, state brokerState) brokerView {
		return brokerView{id: id, rack: rack, state: state}
	}
	v := &clusterView{
		brokers: []brokerView{broker(1, "", brokerUp), broker(2, "", brokerNoAnswer), broker(3, "", brokerUp), broker(4, "", brokerUp)},
		partitions: []partitionView{
			{Topic: "a", Number: 0, Replicas: []int32{1, 3}},
			{Topic: "a", Number: 1, Replicas: []int32{1, 4, 3}, Adding: []int32{3}, Removing: []int32{1}}, // leaves 1 already
			{Topic: "b", Number: 0, Replicas: []int32{4}},
			{Topic: "c", Number: 0, Replicas: []int32{1}},
		},
	}
	plan, err := planDecommission(v, 1)
	if err != nil || len(plan) != 3 {
		t.Fatalf("%+v, %v", plan, err)
	}
	for i, want := range []string{"4,3", "4,3", "3"} { // never to 2, which does not answer; then to the emptier
		if got := ids(plan[i].To); got != want || plan[i].underWay != (i == 1) {
			t.Errorf("move %d: %+v, want to %s", i, plan[i], want)
		}
	}
	v.partitions = append(v.partitions, partitionView{Topic: "d", Replicas: []int32{1, 3, 4}})
	if _, err := planDecommission(v, 1); err == nil || !strings.Contains(err.Error(), "1 partition of broker 1 have nowhere to go: d[0]") {
		t.Errorf("nowhere to go: %v", err)
	}
	if plan, err := planDecommission(v, 2); len(plan) != 0 || err != nil {
		t.Errorf("an empty broker: %+v, %v", plan, err)
	}
}

// A broker that does not speak a request is met in words; what can be shown without is shown.
func TestClusterOnOlderBrokers(t *testing.T) {
	f := newFakeCluster(t, "", "")
	f.without = []int16{32, 43, 44, 45, 46, 55, 60, 64}
	f.add("t", 0, 1, []int32{2, 1}, []int32{1, 2})
	f.ok("cluster", "health")
	f.ok("partition", "list")
	f.ok("broker", "list")
	for _, line := range []string{"cluster quorum", "broker drain 1", "partition move t 0 --to 1", "partition transfer-leader t 0"} {
		f.fails(fault.Failed, strings.Fields(line), "(UNSUPPORTED_VERSION). The broker does not speak this request", "weir api-versions")
	}
}

func TestClusterInterrupted(t *testing.T) {
	f := newFakeCluster(t, "")
	ctx, cancel := context.WithCancel(context.Background())
	s, out, _ := f.streams(nil)
	code := make(chan int)
	go func() { code <- Main(ctx, []string{"cluster", "health", "-w"}, s) }()
	out.await(t, "healthy: 1 broker")
	cancel()
	if got := <-code; got != fault.Interrupted {
		t.Errorf("exit %d", got)
	}
}

// TestClusterHealthOfLowDisk: the reason names the broker, its folder, what is free and the mark.
func TestClusterHealthOfLowDisk(t *testing.T) {
	b := brokertest.Start(t, map[string]string{config.FreeBytesMin: "1152921504606846976"})
	c := &cli{t: t, addr: b.Addr(), broker: b}
	out, _, code := c.run("", "cluster", "health")
	want := `(?m)^  the disk of broker 1 is low, and it takes no records for what it leads: ` + regexp.QuoteMeta(b.Node().DataDir()) +
		` has .* free of .*, log\.dir\.free\.bytes\.min is 1\.0 EiB$`
	if code != fault.Failed || !regexp.MustCompile(want).MatchString(out) {
		t.Errorf("exit %d, %s does not match\n%s", code, want, out)
	}
	if out, _, _ := c.run("", "cluster", "health", "-o", "json"); !strings.Contains(out, `"brokers_with_low_disk": [`) {
		t.Errorf("as JSON: %s", out)
	}
}

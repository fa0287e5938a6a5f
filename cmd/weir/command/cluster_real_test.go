package command

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"weir/cluster/broker/brokertest"
	"weir/cmd/weir/fault"
)

// The verbs that change a cluster, on brokers of our own.
func TestClusterOfFour(t *testing.T) {
	brokers := brokertest.Cluster(t, 4, nil)
	var addrs []string
	for _, b := range brokers {
		addrs = append(addrs, b.Addr())
	}
	c := &cli{t: t, addr: strings.Join(addrs, ",")}
	c.ok("topic", "create", "t", "-p", "4", "-r", "3")
	c.ok("produce", "t", "-q", "-k", "k", "one", "two", "three")
	c.ok("cluster", "health", "-w", "--exit-when-healthy", "--within", "30s")
	if got := c.ok("cluster", "quorum"); !strings.HasPrefix(got, "leader          1, epoch ") {
		t.Errorf("quorum:\n%s", got)
	}
	if got := c.ok("cluster", "quorum", "--replication", "-o", "jsonl"); strings.Count(got, "\n") != 4 {
		t.Errorf("quorum --replication:\n%s", got)
	}

	if got := c.ok("partition", "move", "t", "0", "--to", "2,3,4", "--watch"); !strings.HasSuffix(got, " to 2,3,4\n") && got != "t[0] is on 2,3,4 already\n" {
		t.Errorf("move: %q", got)
	}
	if got := c.ok("partition", "transfer-leader", "t", "0", "--to", "2"); got != "broker 2 leads t[0] now\n" && got != "broker 2 leads t[0] already\n" {
		t.Errorf("transfer-leader: %q", got)
	}
	c.ok("partition", "move", "t", "0", "--to", "3,2,4", "--watch") // another preferred leader
	if got := c.ok("partition", "transfer-leader", "t", "0", "--to", "3"); !strings.HasPrefix(got, "broker 3 leads t[0]") {
		t.Errorf("transfer-leader: %q", got)
	}
	c.fails(fault.Failed, []string{"partition", "move", "t", "0", "--cancel"}, "t[0] is not being moved (NO_REASSIGNMENT_IN_PROGRESS)")

	c.ok("partition", "move", "t", "0", "--to", "3,2,1", "--watch", "--throttle", "64MiB/s")
	rates := 0
	for _, b := range brokers {
		brokertest.Eventually(t, "the throttle is lifted", func() bool { return b.Node().Config().Peers.ThrottledRate == 100<<20 })
		rates += len(b.Node().Image().BrokerConfigs(1).Values)
	}
	if rates != 0 {
		t.Error("the throttle has left something behind")
	}
	c.ok("partition", "transfer-leader", "t", "1")
	if got := c.ok("broker", "drain", "3", "--watch"); !strings.HasPrefix(got, "broker 3 is drained; ") {
		t.Errorf("drain: %q", got)
	}
	if got := c.ok("broker", "list", "-o", "jsonl"); !strings.Contains(got, `"broker":3,`) || !strings.Contains(got, `"state":"drained","controller":false,"leads":0,`) {
		t.Errorf("broker list:\n%s", got)
	}
	c.fails(fault.Failed, []string{"partition", "transfer-leader", "t", "0"}, "it is drained")
	c.ok("broker", "undrain", "3")
	brokertest.Eventually(t, "broker 3 leads again", func() bool { // the leader may hear of it a little later
		out, _, _ := c.run("", "partition", "transfer-leader", "t", "0")
		return strings.HasPrefix(out, "broker 3 leads t[0]")
	})

	c.ok("broker", "decommission", "4", "-y")
	for line := range strings.Lines(c.ok("partition", "list", "-o", "jsonl")) {
		var p partitionView
		if err := json.Unmarshal([]byte(line), &p); err != nil || slices.Contains(p.Replicas, 4) || len(p.Replicas) != 3 {
			t.Errorf("broker 4 still holds a replica, or one is missing: %v, %s", err, line)
		}
	}
	if got := c.ok("consume", "t", "--from", "start", "-e", "-o", "value"); got != "one\ntwo\nthree\n" {
		t.Errorf("after all the moves: %q", got)
	}
}

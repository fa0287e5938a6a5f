package command

import (
	"encoding/json"
	"testing"

	"weir/cmd/weir/fault"
)

// TestClusterConfig: what is set for all brokers or for one is in force at once, is shown with where it comes from, and
// is refused with the broker's words.
func TestClusterConfig(t *testing.T) {
	c := newCLI(t)
	if got := c.ok("cluster", "config"); got != "nothing is set for all brokers\n" {
		t.Errorf("at first: %s", got)
	}
	if got := c.ok("cluster", "config", "-c", "log.retention.bytes=1000", "--dry-run"); got != "would change all brokers: log.retention.bytes -1 -> 1000 (1000 B)\n" {
		t.Errorf("dry run: %s", got)
	}
	c.ok("cluster", "config", "-c", "log.retention.bytes=1000", "-c", "num.partitions=3")
	if got := c.ok("cluster", "config"); got != "SETTING              VALUE          SOURCE\nlog.retention.bytes  1000 (1000 B)  cluster\nnum.partitions       3              cluster\n" {
		t.Errorf("of all: %s", got)
	}
	if got := c.ok("cluster", "config", "--broker", "1", "-c", "num.partitions=4"); got != "changed broker 1: num.partitions 3 -> 4\n" {
		t.Errorf("of one: %s", got)
	}
	var shown clusterConfig
	if err := json.Unmarshal([]byte(c.ok("cluster", "config", "--broker", "1", "-o", "json")), &shown); err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	for _, row := range shown.Settings {
		sources[row.Key] = row.Source
	}
	if shown.Broker != "1" || sources["num.partitions"] != "broker" || sources["log.retention.bytes"] != "cluster" || sources["log.retention.hours"] != "" {
		t.Errorf("broker 1 has %+v", shown)
	}
	if got := c.ok("cluster", "config", "--unset", "num.partitions"); got != "changed all brokers: num.partitions 3 -> default\n" {
		t.Errorf("unset: %s", got)
	}
	c.fails(fault.Failed, []string{"cluster", "config", "-c", "node.id=5"}, "INVALID_REQUEST", "Cannot update these configs dynamically: [node.id]")
	c.fails(fault.Failed, []string{"cluster", "config", "-c", "log.retention.byte=5"}, `Did you mean "log.retention.bytes"?`)
	c.fails(fault.WrongUsage, []string{"cluster", "config", "--broker", "one"}, "--broker")
}

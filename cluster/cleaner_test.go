package cluster

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/cluster/metadata"
	"weir/segment/vfs"
)

// setForAll sets a value for all brokers.
func setForAll(t *testing.T, n *Node, key, value string) {
	t.Helper()
	err := n.AlterBrokerConfigs(context.Background(), metadata.AllBrokers, false, func(old map[string]string) (map[string]string, error) {
		set := map[string]string{key: value}
		for k, v := range old {
			if k != key {
				set[k] = v
			}
		}
		return set, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCompactionIsThrottled: with a byte a second a pass gets nowhere, holds its only slot, and keeps nobody waiting; a new
// rate counts at once, one more slot too, and a stop does not wait for a pass that waits.
func TestCompactionIsThrottled(t *testing.T) {
	const rate = "log.cleaner.io.max.bytes.per.second"
	n := startBusy(t, t.TempDir(), vfs.NewInjector(), map[string]string{"log.segment.bytes": "50000", "log.cleaner.min.cleanable.ratio": "0", "log.cleanup.policy": "compact", rate: "1"})
	defer func() { closeNode(t, n) }()
	names := []string{"a", "b", "c"}
	for _, name := range names {
		topic := mustTopic(t, n, name, 1, nil)
		for range 24 {
			appendRecord(t, topic, 0, time.Now(), strings.Repeat("v", 20_000))
		}
	}
	waiting := func(want int) {
		t.Helper()
		awaitTrue(t, func() bool {
			n.cleaner.mu.Lock()
			defer n.cleaner.mu.Unlock()
			moved := 0
			for _, x := range n.cleaner.running {
				if x.read.Load() > 0 {
					moved++
				}
			}
			return moved == want && len(n.cleaner.running) == want
		})
	}
	waiting(1)
	setForAll(t, n, "log.cleaner.threads", "2")
	waiting(2)
	for _, name := range names {
		if got := countRecords(t, n.Topic(name)); got < 12 { // what was there at first may have gone through
			t.Errorf("%s has %d records", name, got)
		}
		appendRecord(t, n.Topic(name), 0, time.Now(), "more")
	}
	setForAll(t, n, rate, "1e9")
	awaitTrue(t, func() bool {
		for _, name := range names {
			if countRecords(t, n.Topic(name)) > 4 {
				return false
			}
		}
		return true
	})
	setForAll(t, n, rate, "1")
	for range 24 {
		appendRecord(t, n.Topic("a"), 0, time.Now(), strings.Repeat("v", 20_000))
	}
	waiting(1)
}

// TestUncleanable: a partition whose passes fail is told of, until one gets through or the topic is gone.
func TestUncleanable(t *testing.T) {
	full := func() vfs.Rule {
		return vfs.Rule{Kinds: vfs.OpCreate, Path: "*.cleaned", Times: -1, Err: syscall.ENOSPC}
	}
	inj := vfs.NewInjector(full())
	n := startBusy(t, t.TempDir(), inj, map[string]string{"log.segment.bytes": "200", "log.cleaner.min.cleanable.ratio": "0", "log.cleanup.policy": "compact"})
	defer func() { closeNode(t, n) }()
	failing := func(topic *Topic, want bool) {
		t.Helper()
		awaitTrue(t, func() bool { return n.Compaction().Of[topic.partitions[0]].Failed == want })
	}
	topic := mustTopic(t, n, "t", 1, nil)
	begin := func() {
		for range 12 {
			appendRecord(t, topic, 0, time.Now(), "value")
		}
	}
	begin()
	failing(topic, true)
	if c := n.Compaction(); c.Failures == 0 || c.Removed != 0 {
		t.Errorf("%+v", c)
	}
	inj.Clear()
	failing(topic, false)
	if c := n.Compaction(); c.Passes == 0 || c.Removed == 0 {
		t.Errorf("%+v", c)
	}
	inj.Add(full())
	begin()
	failing(topic, true)
	deleteTopic(t, n, topic)
	awaitTrue(t, func() bool { return len(n.Compaction().Of) == 0 })
}

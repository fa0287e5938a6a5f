package cluster

import (
	"math"
	"runtime"
	"testing"
	"time"

	"weir/cluster/config"
)

// TestCompactionTick: of a topic that asks for it, old values of a key go by
// themselves; of others nothing goes.
func TestCompactionTick(t *testing.T) {
	n := startNode(t, map[string]string{"log.cleaner.backoff.ms": "10"})
	overrides := map[string]string{"segment.bytes": "200", "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"}
	compacted := mustTopic(t, n, "compacted", 1, overrides)
	plain := mustTopic(t, n, "plain", 1, map[string]string{"segment.bytes": "200"})
	for _, topic := range []*Topic{plain, compacted} {
		for range 12 {
			appendRecord(t, topic, 0, time.Now(), "value")
		}
	}
	// What is left: the last one, and what the active segment holds.
	for deadline := time.Now().Add(20 * time.Second); countRecords(t, compacted) > 6; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d records are left", countRecords(t, compacted))
		}
	}
	if got := countRecords(t, compacted); got == 0 {
		t.Error("the last record of the key is gone")
	}
	if got := countRecords(t, plain); got != 12 {
		t.Errorf("%d records are left of a topic that is not compacted", got)
	}
}

func countRecords(t *testing.T, topic *Topic) (n int) {
	t.Helper()
	p, err := topic.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	for h, err := range p.Batches(p.LogStartOffset(), p.HighWatermark()) {
		if err != nil {
			t.Fatal(err)
		}
		n += int(h.RecordCount)
	}
	return n
}

// TestCompactionSettings: the topic's keys arrive, the broker's own topics are left
// alone, and no record waits in the active segment past its lag.
func TestCompactionSettings(t *testing.T) {
	c := config.Topic{Compact: true, SegmentMillis: 5000, Compaction: config.Compaction{
		DeleteRetentionMillis: 1, MinLagMillis: 2, MaxLagMillis: 3000, MinCleanableDirtyRatio: 0.25,
	}}
	s := settings(c, config.DefaultBroker(), true)
	if got := s.Compaction; !s.Compact || got.DeleteRetentionMillis != 1 || got.MinLagMillis != 2 || got.MaxLagMillis != 3000 || got.MinDirtyRatio != 0.25 {
		t.Errorf("got %+v", got)
	}
	if s.Log.SegmentAge != 3*time.Second {
		t.Errorf("segments last %v, want as long as the lag", s.Log.SegmentAge)
	}
	c.Compaction.MaxLagMillis = math.MaxInt64
	if s := settings(c, config.DefaultBroker(), true); s.Log.SegmentAge != 5*time.Second {
		t.Errorf("segments last %v without a lag", s.Log.SegmentAge)
	}
	if s := settings(c, config.DefaultBroker(), false); s.Compact {
		t.Error("the broker's own topic is compacted")
	}
	c.Compact = false
	if s := settings(c, config.DefaultBroker(), true); s.Compact {
		t.Error("a topic that does not ask for it is compacted")
	}
}

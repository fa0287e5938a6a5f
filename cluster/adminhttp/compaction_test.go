package adminhttp

import (
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cluster/broker/brokertest"
)

// TestMetricsOfCompaction: a pass that is held up shows how far it is, and one that has ended what it has done.
func TestMetricsOfCompaction(t *testing.T) {
	const rate = "log.cleaner.io.max.bytes.per.second"
	b := brokertest.Start(t, map[string]string{"log.segment.bytes": "50000", "log.cleaner.backoff.ms": "10", "log.cleanup.policy": "compact", rate: "1"})
	s := newScene(t, 1, 1, b)
	rng, value := rand.NewChaCha8([32]byte{}), make([]byte, 20_000) // which no client makes smaller
	for range 24 {
		if _, err := rng.Read(value); err != nil {
			t.Fatal(err)
		}
		r := &kgo.Record{Topic: "orders", Key: []byte("k"), Value: value}
		if err := s.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	admin := serve(t, b)
	const of = `{partition="0",topic="orders"}`
	var got map[string]float64
	brokertest.Eventually(t, "a pass is held up", func() bool {
		got = scrape(t, admin)
		return got["weir_compaction_running"] == 1 && got["weir_partition_compaction_read_bytes"+of] > 0
	})
	if read, planned, dirty := got["weir_partition_compaction_read_bytes"+of], got["weir_partition_compaction_planned_bytes"+of], got["weir_partition_dirty_bytes"+of]; read >= planned || planned < dirty || dirty < 40_000 {
		t.Errorf("read %v of %v bytes, with %v dirty", read, planned, dirty)
	}
	if ratio := got["weir_compaction_dirty_ratio_max"]; ratio <= 0.5 || ratio > 1 || got["weir_compaction_dirty_bytes"] != got["weir_partition_dirty_bytes"+of] {
		t.Errorf("the dirty ratio is %v of %v bytes", ratio, got["weir_compaction_dirty_bytes"])
	}
	unlimited := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: rate, Value: kadm.StringPtr("1e12")}}
	if _, err := s.AlterBrokerConfigs(t.Context(), unlimited); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "all is compacted", func() bool {
		got = scrape(t, admin)
		_, there := got["weir_partition_compaction_read_bytes"+of]
		return got["weir_compaction_removed_records_total"] >= 20 && !there
	})
	for _, above := range []string{"weir_compaction_passes_total", "weir_compaction_read_bytes_total", "weir_compaction_written_bytes_total", "weir_compaction_seconds_total", "weir_compaction_throttled_seconds_total"} {
		if got[above] <= 0 {
			t.Errorf("%s is %v", above, got[above])
		}
	}
	want(t, got, map[string]float64{"weir_compaction_running": 0, "weir_compaction_failures_total": 0, "weir_partitions_uncleanable": 0})
}

package cluster

import (
	"math"
	"strconv"
	"testing"
	"time"

	"weir/cluster/config"
	"weir/partition"
)

// TestSettings: Kafka's "at once" and "never" are not mistaken for each other
// on the way down.
func TestSettings(t *testing.T) {
	b := config.DefaultBroker()
	for _, x := range []struct {
		key, value string
		holds      func(partition.Settings) bool
	}{
		{"retention.ms", "-1", func(s partition.Settings) bool { return s.Log.RetentionAge == 0 }},
		{"retention.ms", "0", func(s partition.Settings) bool { return s.Log.RetentionAge == 1 }},
		{"retention.ms", "1500", func(s partition.Settings) bool { return s.Log.RetentionAge == 1500*time.Millisecond }},
		{"retention.bytes", "-1", func(s partition.Settings) bool { return s.Log.RetentionBytes <= 0 }},
		{"retention.bytes", "0", func(s partition.Settings) bool { return s.Log.RetentionBytes == 1 }},
		{"index.interval.bytes", "0", func(s partition.Settings) bool { return s.Log.IndexIntervalBytes == 1 }},
		{"segment.jitter.ms", "250", func(s partition.Settings) bool { return s.Log.SegmentJitter == 250*time.Millisecond }},
		{"flush.ms", "0", func(s partition.Settings) bool { return s.FlushRecords == 1 }},
		{"flush.ms", "9223372036854775807", func(s partition.Settings) bool { return s.FlushInterval == 0 && s.FlushRecords == 0 }},
		{"flush.messages", "7", func(s partition.Settings) bool { return s.FlushRecords == 7 }},
		{"segment.ms", "9223372036854775807", func(s partition.Settings) bool { return s.Log.SegmentAge == 0 }},
		{"cleanup.policy", "compact", func(s partition.Settings) bool { return s.Compact && !s.Log.DeleteByRetention }},
	} {
		c, err := config.ResolveTopic(map[string]string{x.key: x.value}, b)
		if err != nil {
			t.Fatalf("%s=%s: %v", x.key, x.value, err)
		}
		if got := settings(*c, b, true); !x.holds(got) {
			t.Errorf("%s=%s: got %+v", x.key, x.value, got)
		}
	}
	if got := limitedMillis(math.MaxInt64 / int64(time.Millisecond)); got <= 0 {
		t.Errorf("the longest time that fits: got %v", got)
	}
}

// TestMostProducers: as many producers of a partition may be configured as a checkpoint bears, and no more.
func TestMostProducers(t *testing.T) {
	for more, good := range map[int]bool{0: true, 1: false} {
		value := strconv.Itoa(partition.MaxProducersLimit + more)
		_, err := config.New(map[string]string{"max.producer.ids.per.partition": value})
		if (err == nil) != good {
			t.Errorf("%s producers: %v", value, err)
		}
	}
}

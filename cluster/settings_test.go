package cluster

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"weir/cluster/config"
	"weir/cluster/metadata"
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

// TestValuesThatDoNotFitHere: of what is set for all brokers, only what does not fit one's own file is not in force there.
func TestValuesThatDoNotFitHere(t *testing.T) {
	n := startNode(t, map[string]string{"socket.request.max.bytes": "2000000"})
	before := n.Config().Topic.MaxMessageBytes
	for _, values := range []map[string]string{
		{"log.retention.ms": "5000", "message.max.bytes": "50000000", "num.partitions": "7"}, {"message.max.bytes": "50000000", "log.retention.ms": "6000"},
	} {
		if _, err := n.Propose(context.Background(), metadata.SetBrokerConfigs{Broker: metadata.AllBrokers, Expected: metadata.AnyIndex, Values: values}); err != nil {
			t.Fatal(err)
		}
		c := n.Config()
		if got := fmt.Sprint(c.Topic.RetentionMillis); got != values["log.retention.ms"] || c.Topic.MaxMessageBytes != before {
			t.Errorf("of %v there is in force: retention %s ms, messages of %d bytes", values, got, c.Topic.MaxMessageBytes)
		}
	}
}

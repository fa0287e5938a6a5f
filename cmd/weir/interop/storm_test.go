//go:build interop

package interop

import (
	"os"
	"strings"
	"testing"
	"time"

	"weir/interop/job"
)

// TestRetryStorm has idempotent producers of each client write to three brokers while answers get lost, connections
// end and leaders are killed: all is there once and in order, and the clients have not noticed.
func TestRetryStorm(t *testing.T) {
	if os.Getenv("WEIR_INTEROP_BROKERS") != "" {
		t.Skip("another's brokers are not ours to kill")
	}
	records, seed := setting(t, "WEIR_INTEROP_STORM_RECORDS", 300_000), setting(t, "WEIR_INTEROP_SEED", int(time.Now().UnixNano()))
	t.Logf("WEIR_INTEROP_SEED=%d", seed)
	for _, c := range chosenClients(t) {
		if !c.floods {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStorm(uint64(seed))
			cluster := startStormCluster(t, s)
			const producers = 3
			f := &job.Flood{
				Topic: "storm", Partitions: partitions, Producers: producers, Records: records / producers,
				ValueBytes: 100, BatchBytes: min(max(records/50, 16<<10), 64<<10),
			}
			cluster.createTopic(t, f.Topic)
			began := time.Now()
			result := cluster.flood(t, c, f)
			t.Logf("%s: %d records in %v. %v", result.Client, result.Acknowledged, time.Since(began).Round(time.Millisecond), s)
			if want := f.Producers * f.Records; result.Acknowledged != want {
				t.Errorf("%d records are acknowledged, want %d", result.Acknowledged, want)
			}
			cluster.wantsFlood(t, f)
			s.wants(t)
			for _, line := range cluster.complaints() {
				t.Errorf("a broker said: %s", line)
			}
		})
	}
}

// flood has the client do its job, and kills and starts brokers meanwhile.
func (c *stormCluster) flood(t *testing.T, by *client, f *job.Flood) (result job.Result) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		var err error
		result, err = by.answer(t, job.Job{Brokers: strings.Join(c.seeds, ","), Flood: f})
		done <- err
	}()
	for {
		select {
		case <-c.storm.turns:
			c.turn(t, f.Topic)
		case <-time.After(patience):
			t.Fatalf("nothing has come to an end, or to a turn, for %v\n%v", patience, c.storm)
		case err := <-done:
			if err != nil {
				t.Fatalf("%v\n%v", err, c.storm)
			}
			if c.down != nobody {
				c.turn(t, f.Topic)
			}
			return result
		}
	}
}

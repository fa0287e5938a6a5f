//go:build interop

package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKafkaReassignLogDirs moves a replica from one data folder of a broker to another with kafka-reassign-partitions, by a
// throttle, and sees by the same tool, and by kafka-log-dirs, that it has arrived.
func TestKafkaReassignLogDirs(t *testing.T) {
	if os.Getenv("WEIR_INTEROP_BROKERS") != "" {
		t.Skip("where another's broker has its data is not ours to say")
	}
	root := t.TempDir()
	b := newBroker(t)
	b.data = filepath.Join(root, "a") + "," + filepath.Join(root, "b")
	b.start(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "moves"); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		r := &kgo.Record{Topic: "moves", Value: make([]byte, 10_000), Key: fmt.Append(nil, i)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	plan := filepath.Join(root, "plan.json")
	for _, name := range []string{"b", "a", "b"} {
		to := filepath.Join(root, name)
		moves := fmt.Sprintf(`{"version":1,"partitions":[{"topic":"moves","partition":0,"replicas":[1],"log_dirs":[%q]}]}`, to)
		if err := os.WriteFile(plan, []byte(moves), 0o644); err != nil {
			t.Fatal(err)
		}
		tool := func(args ...string) string {
			return runTool(t, "org.apache.kafka.tools.reassign.ReassignPartitionsCommand", "",
				append([]string{"--bootstrap-server", b.address, "--reassignment-json-file", plan}, args...)...)
		}
		if out := tool("--execute", "--replica-alter-log-dirs-throttle", "50000000"); !strings.Contains(out, "Successfully started") {
			t.Fatal(out)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for done := false; !done; {
			out := tool("--verify")
			done = strings.Contains(out, "Reassignment of replica moves-0-1 completed successfully")
			if !done && ctx.Err() != nil {
				t.Fatal(out)
			}
		}
		out := runTool(t, "org.apache.kafka.tools.LogDirsCommand", "", "--bootstrap-server", b.address, "--describe", "--topic-list", "moves")
		var described struct {
			Brokers []struct {
				LogDirs []struct {
					LogDir     string
					Partitions []struct{ IsFuture bool }
				}
			}
		}
		if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &described); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, dir := range described.Brokers[0].LogDirs {
			if want := dir.LogDir == to; want != (len(dir.Partitions) == 1 && !dir.Partitions[0].IsFuture) || !want && len(dir.Partitions) > 0 {
				t.Fatalf("it is not in %s alone: %s", to, out)
			}
		}
	}
}

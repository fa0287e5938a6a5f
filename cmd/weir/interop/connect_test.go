//go:build interop

package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestConnect has a distributed worker of Kafka Connect bring a file into a topic, exactly once, and the topic into another
// file, at least once, while worker and broker are killed. What it knows of itself is in three compacted topics here.
func TestConnect(t *testing.T) {
	cycles, lines := setting(t, "WEIR_INTEROP_CONNECT_CYCLES", 2), setting(t, "WEIR_INTEROP_CONNECT_LINES", 500)
	needJava(t)
	b := startBroker(t, groupSettings(shortSession)...)
	w := newWorker(t, b)
	w.start(t)
	w.connect(t)
	for cycle := range cycles {
		w.append(t, lines)
		await(t, "nothing comes out", func() bool { return len(w.sunk(t)) > cycle*lines })
		w.process.kill()
		if b.binary != "" {
			b.kill(t)
			b.start(t)
		}
		w.append(t, lines)
		w.start(t)
		began := time.Now()
		await(t, "not all lines come out", func() bool { return len(w.sunk(t)) == len(w.lines) })
		t.Logf("cycle %d: all is out %v after the start of the next worker", cycle, time.Since(began).Round(time.Millisecond))
	}
	w.check(t)
}

func needJava(t *testing.T) {
	t.Helper()
	if len(chosenOf(t, func(c *client) bool { return c.name == "java" })) == 0 {
		t.Skip("java is not among the clients chosen")
	}
}

// worker is one process of a Connect cluster, from one file to another.
type worker struct {
	cluster    *cluster
	name       string
	properties string // file
	rest       string // URL
	from, to   string // files
	lines      []string
	process    *process
}

func newWorker(t *testing.T, b *broker) *worker {
	t.Helper()
	c := newCluster(t, nil, b)
	dir, listen := t.TempDir(), freeAddress(t)
	w := &worker{
		cluster: c, name: fmt.Sprint("connect-", time.Now().UnixMilli()), properties: filepath.Join(dir, "worker.properties"),
		rest: "http://" + listen, from: filepath.Join(dir, "from.txt"), to: filepath.Join(dir, "to.txt"),
	}
	if _, err := c.admin.CreateTopic(t.Context(), 1, 1, nil, w.name+"-lines"); err != nil {
		t.Fatal(err)
	}
	text := `bootstrap.servers=` + b.address + `
group.id=NAME
listeners=` + w.rest + `
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
config.storage.topic=NAME-configs
offset.storage.topic=NAME-offsets
status.storage.topic=NAME-status
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=5
offset.flush.interval.ms=500
exactly.once.source.support=enabled
session.timeout.ms=6000
heartbeat.interval.ms=500
scheduled.rebalance.max.delay.ms=0
consumer.session.timeout.ms=6000
consumer.heartbeat.interval.ms=500
plugin.discovery=service_load
producer.transaction.timeout.ms=10000
consumer.isolation.level=read_committed
`
	// A worker reads what is committed of the offsets to their end before it joins, and so waits for the transaction of a dead
	// one. What has come out is to have been committed: the worker is killed then.
	if err := os.WriteFile(w.properties, []byte(strings.ReplaceAll(text, "NAME", w.name)), 0o644); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *worker) start(t *testing.T) {
	t.Helper()
	argv := append(javaCommand(t, "org.apache.kafka.connect.cli.ConnectDistributed"), w.properties)
	w.process = launch(t, "a worker", argv, nil, "")
}

// connect asks the worker for both connectors, as soon as it listens to such a wish.
func (w *worker) connect(t *testing.T) {
	t.Helper()
	topic := w.name + "-lines"
	for name, config := range map[string]map[string]string{
		"source": {"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "topic": topic, "file": w.from},
		"sink":   {"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "topics": topic, "file": w.to},
	} {
		body, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		await(t, "no connector "+name, func() bool {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, w.rest+"/connectors/"+name+"/config", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				return false
			}
			defer response.Body.Close()
			return response.StatusCode == http.StatusCreated || response.StatusCode == http.StatusOK
		})
	}
}

// append adds so many lines to the file that is read.
func (w *worker) append(t *testing.T, count int) {
	t.Helper()
	file, err := os.OpenFile(w.from, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range count {
		line := fmt.Sprint("line ", len(w.lines))
		w.lines = append(w.lines, line)
		if _, err := fmt.Fprintln(file, line); err != nil {
			t.Fatal(err)
		}
	}
}

// sunk is which lines have come out, each with how often. The last one may be half written.
func (w *worker) sunk(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(w.to)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	all := map[string]int{}
	for line := range strings.Lines(string(text)) {
		if whole, ok := strings.CutSuffix(line, "\n"); ok {
			all[whole]++
		}
	}
	return all
}

// check wants each line in the topic once and in order, each in the file and no other, and the worker's topics to be compacted.
func (w *worker) check(t *testing.T) {
	t.Helper()
	w.process.kill()
	var stored []string
	for _, r := range w.cluster.readAll(t, w.name+"-lines", kgo.ReadCommitted()) {
		stored = append(stored, string(r.Value))
	}
	if !slices.Equal(stored, w.lines) {
		t.Errorf("the topic has %d lines, other than the %d of the file", len(stored), len(w.lines))
	}
	again := 0
	sunk := w.sunk(t)
	for _, line := range w.lines {
		again += sunk[line] - 1
	}
	if missing := slices.DeleteFunc(slices.Clone(w.lines), func(line string) bool { return sunk[line] > 0 }); len(missing) > 0 || len(sunk) != len(w.lines) {
		t.Errorf("%d lines have come out, want %d; missing are %q", len(sunk), len(w.lines), missing)
	}
	t.Logf("%d lines, of which %d came out more than once", len(w.lines), again)
	for _, what := range []string{"configs", "offsets", "status"} {
		w.cluster.wantsCompacted(t, w.name+"-"+what)
	}
}

package main

import (
	"context"
	"encoding/xml"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	o, err := parse([]string{"-peers", "floor,nats", "-rounds", "3"})
	if err != nil || o.rounds != 3 || len(o.names()) != 2 {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, bad := range [][]string{{"-peers", "weir,rabbit"}, {"-rounds", "0"}, {"-rate", "0"}, {"-unknown"}} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestNATSRate reads what nats bench 0.5 prints, for one client and for several.
func TestNATSRate(t *testing.T) {
	several := "  [1] 43,358 msgs/sec ~ 42 MiB/sec (100,000 msgs)\n  [2] 42,707 msgs/sec ~ 42 MiB/sec (100,000 msgs)\n\n" +
		" NATS JetStream fast batch publisher aggregated stats: 85,415 msgs/sec ~ 83 MiB/sec\n message rates min 42,707 | avg 43,032\n"
	one := "NATS JetStream ordered ephemeral consumer stats: 1,076,262 msgs/sec ~ 1.0 GiB/sec\n"
	for out, want := range map[string]float64{several: 85_415, one: 1_076_262} {
		if got, err := natsRate(out); got != want || err != nil {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	if _, err := natsRate("nats: error: no stream"); err == nil {
		t.Error("a rate was read out of an error")
	}
}

func TestKafkaPOM(t *testing.T) {
	var pom struct {
		Dependencies []struct {
			ArtifactID string `xml:"artifactId"`
			Version    string `xml:"version"`
		} `xml:"dependencies>dependency"`
	}
	if err := xml.Unmarshal([]byte(kafkaPOM()), &pom); err != nil {
		t.Fatal(err)
	}
	if len(pom.Dependencies) != 5 || pom.Dependencies[0].ArtifactID != "kafka_2.13" || pom.Dependencies[1].Version != kafkaVersion {
		t.Errorf("got %+v", pom)
	}
}

func TestPickAddresses(t *testing.T) {
	picked, err := pickAddresses(50)
	if err != nil || len(picked) != 50 {
		t.Fatalf("got %v, %v", picked, err)
	}
	for _, address := range picked { // held until the end of the test: none may come twice
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("a picked address is taken: %v", err)
		}
		defer ln.Close()
		if port := ln.Addr().(*net.TCPAddr).Port; port < 20_000 || port >= 30_000 {
			t.Errorf("port %d", port)
		}
	}
}

// TestServer: waits for the answer, is ended by its process id, and a failed start tells the output.
func TestServer(t *testing.T) {
	dir := t.TempDir()
	sleep := exec.Command("sleep", "1000")
	asked := 0
	s, err := startServer(t.Context(), sleep, "address", filepath.Join(dir, "log"), func(string) error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || asked != 3 || s.pid != sleep.Process.Pid || s.started <= 0 {
		t.Fatalf("got %+v, %v after %d questions", s, err, asked)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if err := s.stop(); err == nil {
		t.Error("a server that is gone was stopped once more")
	}
	never := func(string) error { return errors.New("no answer") }
	if _, err := startServer(t.Context(), exec.Command("sh", "-c", "echo broken >&2; exit 3"), "", filepath.Join(dir, "log"), never); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a failed start: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := startServer(ctx, exec.Command("sleep", "1000"), "", filepath.Join(dir, "log"), never); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// report returns the text of a sitting with given samples.
func report(t *testing.T, samples map[sampleKey][]float64) string {
	t.Helper()
	o, err := parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newSitting(o, []string{"-rounds", "3"})
	s.samples = samples
	return s.markdown([]peer{&floorPeer{}, &kafkaPeer{java: "openjdk 17"}})
}

// TestMarkdown: medians, ratios of Weir to each, nothing invented where a value is missing.
func TestMarkdown(t *testing.T) {
	got := report(t, map[sampleKey][]float64{
		{loadRaw64, nameWeir, metricThroughput}:    {900, 1000, 10},
		{loadRaw64, nameKafka, metricThroughput}:   {300, 100, 200},
		{loadRaw64, nameFloor, metricThroughput}:   {1800, 1700, 2000},
		{loadClient, nameWeir, metricThroughput}:   {300},
		{loadClient, nameNATS, metricThroughput}:   {50},
		{loadNATSFast, nameNATS, metricThroughput}: {100},
		{loadClient, nameNATS, metricCPU}:          {10},
		{loadNATSFast, nameNATS, metricCPU}:        {8},
		{loadClient, nameWeir, metricCPU}:          {2},
	})
	for _, want := range []string{
		"| produce, prebuilt batches of 64 KiB | page cache | MiB/s | 900 | 1800 | 200 | — | **0.50** | **4.50** | — |",
		"| produce, full client | page cache | MiB/s | 300 | — | — | 100 | — | — | **3.00** |",
		"| produce, full client | page cache | broker CPU-s per GiB | 2.000 | — | — | 8.000 | — | — | **0.25** |",
		"    go run ./bench/peers -rounds 3\n",
		"| produce, prebuilt batches of 64 KiB | MiB/s | weir | 900 1000 10.0 |",
		"| kafka | Apache Kafka 4.3.1, openjdk 17 |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "| "+loadRawConsume+" | reads") {
		t.Error("a load that nobody ran has a line")
	}
}

// TestFloorPeer measures the floor end to end, in a process of its own.
func TestFloorPeer(t *testing.T) {
	o, err := parse([]string{"-raw-mib", "4", "-sync-mib", "1"})
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	p := &floorPeer{}
	if err := p.prepare(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	s := newSitting(o, nil)
	if err := s.measure(t.Context(), p, work); err != nil {
		t.Fatal(err)
	}
	for _, l := range rawLoads(o) {
		if len(s.samples[sampleKey{l.name, nameFloor, metricThroughput}]) != 1 {
			t.Errorf("%s was not measured", l.name)
		}
	}
	if left, err := os.ReadDir(work); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == floorVerb {
		main()
		return
	}
	os.Exit(m.Run())
}

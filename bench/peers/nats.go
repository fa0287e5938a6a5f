package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"weir/bench"
)

// Versions of what the Go command builds.
const (
	natsServerVersion = "v2.15.2"
	natsCLIVersion    = "v0.5.0"
)

// natsPeer is one NATS server with JetStream in files, loaded by NATS's own bench.
type natsPeer struct{ cache string }

func (p *natsPeer) name() string { return nameNATS }

func (p *natsPeer) prepare(ctx context.Context, _ string) error {
	for program, module := range map[string]string{
		"nats-server": "github.com/nats-io/nats-server/v2@" + natsServerVersion,
		"nats":        "github.com/nats-io/natscli/nats@" + natsCLIVersion,
	} {
		if exists(filepath.Join(p.cache, program)) {
			continue
		}
		if err := os.MkdirAll(p.cache, 0o755); err != nil {
			return err
		}
		// Outside of any module, so that this one's go.mod has no say.
		if _, err := command(ctx, p.cache, []string{"GOBIN=" + p.cache, "GOFLAGS=-mod=mod"}, "go", "install", module); err != nil {
			return err
		}
	}
	return nil
}

func (p *natsPeer) describe() (string, string) {
	return "nats-server " + natsServerVersion + ", natscli " + natsCLIVersion,
		"JetStream, file storage, 1 replica, defaults (page cache, synced every 2 min) or sync_interval: always (synced)"
}

func (p *natsPeer) measure(ctx context.Context, s *sitting, dir string) error {
	return errors.Join(p.measureMode(ctx, s, filepath.Join(dir, "cached"), false), p.measureMode(ctx, s, filepath.Join(dir, "synced"), true))
}

func (p *natsPeer) measureMode(ctx context.Context, s *sitting, dir string, synced bool) error {
	addresses, err := pickAddresses(1)
	if err != nil {
		return err
	}
	address, store := addresses[0], filepath.Join(dir, "data")
	if err := os.MkdirAll(store, 0o755); err != nil {
		return err
	}
	config := fmt.Sprintf("listen: %s\njetstream {\n  store_dir: %q\n", address, store)
	if synced {
		config += "  sync_interval: always\n"
	}
	path := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(path, []byte(config+"}\n"), 0o644); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(p.cache, "nats-server"), "-c", path)
	srv, err := startServer(ctx, cmd, address, filepath.Join(dir, "nats.txt"), greetsNATS)
	if err != nil {
		return err
	}
	if synced {
		err = p.syncedLoads(ctx, s, srv)
	} else {
		err = p.cachedLoads(ctx, s, srv)
	}
	return errors.Join(err, srv.stop(), os.RemoveAll(dir))
}

// greetsNATS waits for the line that a NATS server sends to each new connection.
func greetsNATS(address string) error {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	var b [4]byte
	if _, err := c.Read(b[:]); err != nil {
		return err
	}
	if string(b[:]) != "INFO" {
		return fmt.Errorf("greeted with %q", b)
	}
	return nil
}

func (p *natsPeer) cachedLoads(ctx context.Context, s *sitting, srv *server) error {
	if err := s.startedIdle(ctx, p.name(), cluster{srv}); err != nil {
		return err
	}
	warm := p.pub("async", s.o.warmupMiB<<10)
	if _, err := p.bench(ctx, srv, warm); err != nil {
		return err
	}
	for _, l := range []struct {
		load string
		args []string
	}{
		{loadNATSFast, p.pub("fast", s.o.records)},
		{loadClient, p.pub("async", s.o.records)},
		{loadClientConsume, []string{"ordered", "--clients", "1", "--msgs", strconv.FormatInt(s.o.records, 10)}},
	} {
		if err := p.measureBench(ctx, s, srv, l.load, l.args, s.o.records); err != nil {
			return err
		}
	}
	return s.peak(p.name(), cluster{srv})
}

func (p *natsPeer) syncedLoads(ctx context.Context, s *sitting, srv *server) error {
	// The sync mode does one sync a message: as many messages as the others write batches.
	records := s.o.syncMiB << 10 / 64
	return p.measureBench(ctx, s, srv, loadNATSSynced, p.pub("async", records), records)
}

// pub returns the arguments of a publishing run of 1 KiB messages; the stream has room for twice that.
func (p *natsPeer) pub(how string, records int64) []string {
	return []string{"pub", how, "bench.subject", "--clients", strconv.Itoa(clients), "--msgs", strconv.FormatInt(records, 10),
		"--create", "--purge", "--storage", "file", "--maxbytes", strconv.FormatInt(2<<10*max(records, 1<<20), 10)}
}

func (p *natsPeer) measureBench(ctx context.Context, s *sitting, srv *server, load string, args []string, records int64) error {
	before, err := bench.SampleProcess(srv.pid)
	if err != nil {
		return err
	}
	rate, err := p.bench(ctx, srv, args)
	if err != nil {
		return err
	}
	after, err := bench.SampleProcess(srv.pid)
	if err != nil {
		return err
	}
	use, err := bench.Use(srv.pid, before, after, records*recordBytes)
	if err != nil {
		return err
	}
	s.add(load, p.name(), metricThroughput, rate*recordBytes/(1<<20))
	s.add(load, p.name(), metricCPU, *use.CPUSecondsPerGiB)
	return nil
}

func (p *natsPeer) bench(ctx context.Context, srv *server, args []string) (float64, error) {
	all := append([]string{"-s", "nats://" + srv.address, "--no-context", "bench", "js"}, args...)
	all = append(all, "--size", strconv.Itoa(recordBytes), "--no-progress")
	out, err := command(ctx, "", nil, filepath.Join(p.cache, "nats"), all...)
	if err != nil {
		return 0, err
	}
	return natsRate(out)
}

var natsStats = regexp.MustCompile(`stats: ([0-9,]+) msgs/sec`)

// natsRate reads messages a second out of what nats bench printed: the aggregate comes last.
func natsRate(out string) (float64, error) {
	found := natsStats.FindAllStringSubmatch(out, -1)
	if len(found) == 0 {
		return 0, fmt.Errorf("no rate in the output of nats bench: %q", out)
	}
	return strconv.ParseFloat(strings.ReplaceAll(found[len(found)-1][1], ",", ""), 64)
}

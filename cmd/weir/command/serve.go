package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"weir/cluster"
	"weir/cluster/adminhttp"
	"weir/cluster/broker"
	"weir/cluster/config"
	"weir/cmd/weir/fault"
)

// shutdownTimeout is how long requests that are under way may take to end before they are cut off.
const shutdownTimeout = 30 * time.Second

// brokerSources gathers a broker's settings. Flags that have a name of their own win over --set.
type brokerSources struct {
	profile map[string]string
	file    string
	sets    []string
	flags   []config.Entry
}

func (b *brokerSources) flag(name, value, flag string) {
	if value != "" {
		b.flags = append(b.flags, config.Entry{Name: name, Value: value, Where: flag})
	}
}

// load reads file and environment and puts all sources together. Its errors are usage errors: nothing
// was started.
func (b *brokerSources) load(s *Streams) (*config.Broker, error) {
	src := config.Sources{Profile: b.profile}
	if b.file != "" {
		data, err := os.ReadFile(b.file)
		if err != nil {
			return nil, &fault.Error{What: "cannot read the configuration", Why: err.Error(), Exit: fault.WrongUsage, Err: err}
		}
		if src.File, err = config.ParseFile(b.file, data); err != nil {
			return nil, misconfigured(err)
		}
	}
	var err error
	if src.Env, err = config.ParseEnviron(s.Environ, os.ReadFile); err != nil {
		return nil, misconfigured(err)
	}
	for _, set := range b.sets {
		name, value, ok := strings.Cut(set, "=")
		if !ok {
			return nil, fault.Usage("--set %s: write key=value", set)
		}
		src.Flags = append(src.Flags, config.Entry{Name: strings.TrimSpace(name), Value: value, Where: "--set"})
	}
	src.Flags = append(src.Flags, b.flags...)
	if src.Hostname, err = os.Hostname(); err != nil {
		src.Hostname = "" // then a listener on all interfaces has to be advertised by hand, and config says so
	}
	cfg, warnings, err := config.Load(src)
	if err != nil {
		return nil, misconfigured(err)
	}
	for _, w := range warnings {
		s.note("%s %s", s.colour("33", "warning:"), w)
	}
	return cfg, nil
}

func misconfigured(err error) error {
	return &fault.Error{What: "the configuration does not hold", Why: strings.ReplaceAll(err.Error(), "\n", "\n  "), Exit: fault.WrongUsage, Err: err}
}

// running is a broker that serves, and the admin port beside it, nil where there is none.
type running struct {
	*broker.Broker
	admin *adminhttp.Server
}

// metrics is where a scraper finds them, empty when there is no admin port.
func (r *running) metrics() string {
	if r.admin == nil {
		return ""
	}
	return metricsURL(r.admin.Addr())
}

func metricsURL(addr string) string {
	if host, port, err := net.SplitHostPort(addr); err == nil && net.ParseIP(host).IsUnspecified() {
		addr = net.JoinHostPort("localhost", port)
	}
	return "http://" + addr + "/metrics"
}

// serve runs a broker until ctx ends, then lets it finish and close its data. ready is called once it
// answers; what it starts has to end with its context, which ends before the broker does.
func serve(ctx context.Context, cfg *config.Broker, logger *slog.Logger, ready func(context.Context, *running) (wait func())) (err error) {
	admin, err := serveAdmin(cfg, logger)
	if err != nil {
		return notStarted(cfg, err)
	}
	if admin != nil {
		defer func() { err = errors.Join(err, admin.Close()) }()
	}
	b, err := broker.Start(ctx, cfg, logger)
	if err != nil {
		return notStarted(cfg, err)
	}
	if admin != nil {
		admin.Ready(b)
	}
	beside, stop := context.WithCancel(ctx)
	wait := ready(beside, &running{b, admin})
	select {
	case <-ctx.Done():
	case err = <-b.Fatal(): // the data is as the last sync left it; recovery sorts it out
		stop()
		return &fault.Error{What: "the broker had to stop", Why: err.Error(), Do: "Look at the disk of " + cfg.DataDir, Err: err}
	}
	if admin != nil {
		admin.Stopping()
	}
	stop()
	wait()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := b.Shutdown(limit); err != nil {
		return &fault.Error{What: "the broker did not close cleanly", Why: err.Error(), Do: "The next start checks the data", Err: err}
	}
	return nil
}

// serveAdmin opens the admin port before there is a broker to tell of. Where nobody has chosen the port, and
// another process has it, a free one does.
func serveAdmin(cfg *config.Broker, logger *slog.Logger) (*adminhttp.Server, error) {
	l := cfg.Admin.Listener
	if l == nil {
		return nil, nil
	}
	ln, err := net.Listen("tcp", l.Address())
	if errors.Is(err, syscall.EADDRINUSE) && !cfg.Admin.Chosen {
		ln, err = net.Listen("tcp", net.JoinHostPort(l.Host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("admin.listener: %w", err)
	}
	return adminhttp.Serve(ln, adminhttp.Config{Version: Version, PartitionMetrics: cfg.Admin.PartitionMetrics, Logger: logger}), nil
}

func notStarted(cfg *config.Broker, err error) error {
	e := &fault.Error{What: "the broker cannot start", Why: err.Error(), Err: err}
	var locked *cluster.LockedError
	var op *net.OpError
	switch {
	case errors.As(err, &locked):
		e.Why = fmt.Sprintf("Another process works on the data folder %s", cfg.DataDir)
		e.Do = "Stop that one, or name another folder with --data"
	case errors.Is(err, syscall.EADDRINUSE) && errors.As(err, &op):
		e.Why = fmt.Sprintf("Something else listens on %s", op.Addr)
		e.Do = "Stop that, or name another address with --listen (port 0 takes a free one)"
		if strings.HasPrefix(err.Error(), "admin.listener") {
			e.Do = "Stop that, or name another address with --admin-listen"
		}
	case errors.Is(err, os.ErrPermission):
		e.Do = "Name another folder with --data, or another port with --listen"
	}
	return e
}

// durability says in words what an acknowledged write has survived.
func durability(cfg *config.Broker) string {
	if cfg.Topic.WriteCaching {
		return "acknowledged writes reach the disk a little later (write.caching)"
	}
	return "every acknowledged write is on disk"
}

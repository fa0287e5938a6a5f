// Package brokertest starts brokers for tests: in process, on a free loopback
// port, with their data in the test's own folder.
package brokertest

import (
	"context"
	"log/slog"
	"maps"
	"testing"
	"time"

	"weir/cluster/broker"
	"weir/cluster/config"
)

// stopTimeout bounds an orderly stop; a broker that takes longer fails its test.
const stopTimeout = 30 * time.Second

// Start runs a broker until the test ends and returns it. settings are broker
// keys by name; listeners and the data directory are chosen here.
func Start(t testing.TB, settings map[string]string) *broker.Broker {
	t.Helper()
	b := StartIn(t, t.TempDir(), settings)
	t.Cleanup(func() { Stop(t, b) })
	return b
}

// StartIn runs a broker on a data directory and leaves it to the test to stop
// it.
func StartIn(t testing.TB, dir string, settings map[string]string) *broker.Broker {
	t.Helper()
	all := map[string]string{
		"listeners": "PLAINTEXT://127.0.0.1:0", "log.dirs": dir,
		"offsets.topic.num.partitions":         "4", // the default of 50 takes most of a test's time
		"transaction.state.log.num.partitions": "4",
	}
	maps.Copy(all, settings)
	cfg, err := config.New(all)
	if err != nil {
		t.Fatalf("broker configuration: %v", err)
	}
	b, err := broker.Start(t.Context(), cfg, Logger(t))
	if err != nil {
		t.Fatalf("start a broker: %v", err)
	}
	return b
}

// Stop ends a broker in order.
func Stop(t testing.TB, b *broker.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		t.Errorf("stop a broker: %v", err)
	}
}

// Logger writes warnings and worse to the test's log.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

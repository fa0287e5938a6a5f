package controller

import (
	"bytes"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func TestLibraryLogsAtWarn(t *testing.T) {
	var out bytes.Buffer
	handler := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	l := newRaftLogger(slog.New(handler))
	l.Debug("debug")
	l.Info("info")
	l.Warn("heartbeat timeout reached, starting election", "last-leader-id", "")
	l.Warn("slow", "peer", hclog.Fmt("%v of %d", "2.aa", 3))
	l.With("id", 7).Error("broken")
	want := "level=WARN msg=\"controller: slow\" peer=\"2.aa of 3\"\nlevel=ERROR msg=\"controller: broken\" id=7\n"
	if out.String() != want {
		t.Fatalf("got %q", out.String())
	}
}

// TestLogLimit: of each message so many lines a second are logged, and the next says how many were not.
func TestLogLimit(t *testing.T) {
	now := time.Unix(100, 0)
	limit := NewLogLimit(2)
	limit.now = func() time.Time { return now }
	var out bytes.Buffer
	handler := slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}})
	for group := range 5 {
		l := RaftLogger(slog.New(handler).With("group", group), "p", limit)
		l.Warn("gone")
		if group == 3 {
			l.Warn("other")
			now = now.Add(time.Second)
		}
	}
	want := "msg=\"p: gone\" group=0\nmsg=\"p: gone\" group=1\nmsg=\"p: other\" group=3\nmsg=\"p: gone\" group=4 dropped=2\n"
	if out.String() != want {
		t.Fatalf("got %q", out.String())
	}
	for i := range 3 * maxMessages {
		limit.pass(strconv.Itoa(i))
	}
	if len(limit.seen) > maxMessages {
		t.Errorf("%d messages are remembered", len(limit.seen))
	}
}

// A start and a stop without trouble say nothing at warn.
func TestQuietStart(t *testing.T) {
	var out bytes.Buffer
	config := testConfig(t.TempDir(), true)
	config.Logger = slog.New(slog.NewTextHandler(&out, nil))
	mustClose(t, open(t, config))
	config.New = false
	mustClose(t, open(t, config))
	if out.Len() > 0 {
		t.Fatalf("said %s", out.String())
	}
}

// deaf is a transport without pre-vote, as the interface alone would allow.
type deaf struct{ raft.Transport }

func TestTransportMustCarryPreVotes(t *testing.T) {
	config := testConfig(t.TempDir(), true)
	_, transport := raft.NewInmemTransport("a")
	config.Transport = deaf{transport}
	if _, err := tryOpen(config); err == nil {
		t.Fatal("opened")
	}
}

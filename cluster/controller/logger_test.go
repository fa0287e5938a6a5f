package controller

import (
	"bytes"
	"log/slog"
	"testing"

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

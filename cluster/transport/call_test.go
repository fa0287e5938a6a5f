package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestCall(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1), n.open(2)
	for _, tr := range []*Transport{a, b} {
		tr.Handle(1, func(_ context.Context, from int32, request []byte) ([]byte, error) {
			return fmt.Appendf(nil, "%d to %d: %s", from, tr.self.node, request), nil
		})
		tr.Handle(2, func(context.Context, int32, []byte) ([]byte, error) { return nil, errors.New("not today") })
		tr.Handle(3, func(_ context.Context, _ int32, r []byte) ([]byte, error) { return r, nil })
		tr.Handle(4, func(context.Context, int32, []byte) ([]byte, error) { return make([]byte, 1<<20+1), nil })
		tr.Handle(5, func(ctx context.Context, _ int32, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
	}
	ctx := t.Context()
	for node := int32(1); node <= 2; node++ { // to itself on the same terms
		got, err := a.Call(ctx, node, 1, []byte("hello"))
		if want := fmt.Sprintf("1 to %d: hello", node); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		var remote *RemoteError
		if _, err := a.Call(ctx, node, 2, nil); !errors.As(err, &remote) || remote.Text != "not today" || remote.Node != node {
			t.Errorf("handler's error: %v", err)
		}
		if _, err := a.Call(ctx, node, 99, nil); !errors.Is(err, ErrUnknownService) {
			t.Errorf("unknown service: %v", err)
		}
		largest := bytes.Repeat([]byte{7}, 1<<20)
		if got, err := a.Call(ctx, node, 3, largest); err != nil || !bytes.Equal(got, largest) {
			t.Errorf("1 MiB: %d bytes, %v", len(got), err)
		}
		var tooLarge *FrameTooLargeError
		if _, err := a.Call(ctx, node, 3, append(largest, 1)); !errors.As(err, &tooLarge) {
			t.Errorf("too large: %v", err)
		}
		if _, err := a.Call(ctx, node, 4, nil); !errors.As(err, &remote) {
			t.Errorf("too large an answer: %v", err)
		}
		short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
		if _, err := a.Call(short, node, 5, nil); err == nil {
			t.Error("a handler that waits answered")
		}
		cancel()
	}
	if s := a.Stats(); s.Dials != 1 {
		t.Errorf("%d dials, want 1", s.Dials)
	}
	var unreachable *UnreachableError
	if _, err := a.Call(ctx, 9, 1, nil); !errors.As(err, &unreachable) {
		t.Errorf("no such node: %v", err)
	}
}

// Calls and groups share the connection that either made first.
func TestCallSharesTheConnection(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1), n.open(2)
	ga := openGroup(t, a, groupA)
	consume(t, openGroup(t, b, groupA), accept)
	b.Handle(1, func(_ context.Context, _ int32, r []byte) ([]byte, error) { return r, nil })
	for range 2 {
		if _, err := a.Call(t.Context(), 2, 1, nil); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, ga, b, heartbeat(a, 1))
	}
	if s := a.Stats(); s.Dials != 1 {
		t.Errorf("%d dials, want 1", s.Dials)
	}
}

// A node that comes back with another directory, silently, is found by its id, and not by its old name.
func TestCallAfterWipe(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1), n.open(2)
	echo := func(_ context.Context, _ int32, r []byte) ([]byte, error) { return r, nil }
	b.Handle(1, echo)
	if _, err := a.Call(t.Context(), 2, 1, nil); err != nil {
		t.Fatal(err)
	}
	b.Close()
	eventually(t, "the loss is noticed", func() bool { return len(a.connections()) == 0 })
	again := n.open(2, func(c *Config) { c.Directory = directory(99) })
	again.Handle(1, echo)
	if _, err := a.Call(t.Context(), 2, 1, nil); err != nil {
		t.Fatal(err)
	}
	ga := openGroup(t, a, groupA)
	var wrong *IdentityError
	if _, err := appendToAddress(ga, b.address, heartbeat(a, 1)); !errors.As(err, &wrong) {
		t.Errorf("heartbeat under the old name: %v", err)
	}
	if _, err := a.Call(t.Context(), 2, 1, nil); err != nil {
		t.Fatal(err)
	}
}

func TestTooManyCalls(t *testing.T) {
	n := newNetwork(t)
	a, b := n.open(1), n.open(2, func(c *Config) { c.MaxCalls = 1 })
	begun, end := make(chan struct{}), make(chan struct{})
	b.Handle(1, func(context.Context, int32, []byte) ([]byte, error) { close(begun); <-end; return nil, nil })
	first := make(chan error, 1)
	go func() { _, err := a.Call(t.Context(), 2, 1, nil); first <- err }()
	receive(t, "the first call", begun)
	if _, err := a.Call(t.Context(), 2, 1, nil); !errors.Is(err, ErrBusy) {
		t.Errorf("a second call: %v", err)
	}
	close(end)
	if err := receive(t, "the answer", first); err != nil {
		t.Error(err)
	}
}

// Close ends everything that waits, on both sides, and every goroutine (TestMain looks).
func TestCloseWithCallsInFlight(t *testing.T) {
	for _, closer := range []string{"caller", "callee"} {
		t.Run(closer, func(t *testing.T) {
			n := newNetwork(t)
			a, b := n.open(1), n.open(2)
			b.Handle(1, func(ctx context.Context, _ int32, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
			ga := openGroup(t, a, groupA)
			gb := openGroup(t, b, groupA) // answers nothing
			ends := make(chan error, 5)
			for _, call := range []func() error{
				func() error { _, err := a.Call(t.Context(), 2, 1, nil); return err },
				func() error { _, err := appendTo(ga, b, heartbeat(a, 1)); return err },
				func() error { _, err := appendTo(ga, b, entries(a, make([]byte, 1<<20))); return err },
				func() error {
					return ga.RequestVote("", b.address, &raft.RequestVoteRequest{Term: 1}, &raft.RequestVoteResponse{})
				},
				func() error { _, err := install(ga, b, snapshotRequest(a, 1<<40), endless{}); return err },
			} {
				go func() { ends <- call() }()
			}
			eventually(t, "all are under way", func() bool { return len(gb.consumer) == 4 && b.inbound.Load() >= 3 })
			closing := a
			if closer == "callee" {
				closing = b
			}
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					if err := closing.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			for range cap(ends) {
				if err := receive(t, "the end of a call", ends); err == nil {
					t.Error("a call succeeded")
				}
			}
			wg.Wait()
			if _, err := closing.Group(groupB); !errors.Is(err, ErrClosed) {
				t.Errorf("a group after Close: %v", err)
			}
			if _, err := closing.Call(t.Context(), closing.self.node, 1, nil); !errors.Is(err, ErrClosed) {
				t.Errorf("a call after Close: %v", err)
			}
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := Open(Config{}); err == nil {
		t.Error("opened with nothing")
	}
	tr := newNetwork(t).open(1)
	for name, spoil := range map[string]func(*Config){
		"cluster":   func(c *Config) { c.ClusterID = "" },
		"resolver":  func(c *Config) { c.Resolve = nil },
		"node":      func(c *Config) { c.Node = -1 },
		"directory": func(c *Config) { c.Directory = [16]byte{} },
		"frames":    func(c *Config) { c.MaxFrameBytes = 1 << 31 },
		"held":      func(c *Config) { c.ReceivedBytes = c.MaxFrameBytes },
		"negative":  func(c *Config) { c.AliveFor = -1 },
	} {
		cfg := tr.cfg
		if spoil(&cfg); cfg.Validate() == nil {
			t.Errorf("%s is not checked", name)
		}
	}
}

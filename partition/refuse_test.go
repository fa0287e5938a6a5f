package partition

import (
	"context"
	"errors"
	"testing"

	"weir/log"
	"weir/segment/vfs"
)

// TestWaitPrefersTheOutcome: an append that is settled says so, even when the
// time is up as well.
func TestWaitPrefersTheOutcome(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 100 { // select picks at random
		a := &Append{done: make(chan struct{})}
		close(a.done)
		if err := a.Wait(ctx); err != nil {
			t.Fatalf("a settled append gave %v", err)
		}
	}
	p := new(Partition)
	p.room.L = &p.mu
	x := &proposal{data: []byte("lent")}
	if err := x.wait(p, &x.first, AcksAll).Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("one that is not: %v", err)
	}
}

// TestReadErrors: callers see the errors of this package, whatever the log says.
func TestReadErrors(t *testing.T) {
	p := open(t, vfs.NewMem(), log.RecoverClean, testSettings())
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
	var storage *StorageError
	if err := p.readError(errors.New("input/output error")); !errors.As(err, &storage) {
		t.Errorf("a failed read: %v", err)
	}
	if err := p.readError(log.ErrClosed); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed log: %v", err)
	}
	var outOfRange *log.OffsetOutOfRangeError
	if _, err := p.Read(5, 100, true); !errors.As(err, &outOfRange) {
		t.Errorf("an offset beyond the end: %v", err)
	}
}

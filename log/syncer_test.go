package log_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"weir/log"
	"weir/log/logtest"
	"weir/segment/vfs"
)

// Requests that come while a sync is under way share the next one.
func TestSyncerGroups(t *testing.T) {
	mem := vfs.NewMem()
	inj := vfs.NewInjector()
	syncer := log.NewSyncer(2, nil)
	defer syncer.Close()
	l := logtest.Open(t, log.Config{FS: vfs.Inject(mem, inj), Syncer: syncer})
	gate := vfs.NewGate()
	inj.Add(vfs.Rule{Kinds: vfs.OpSync, Gate: gate})
	before := inj.Count(vfs.OpSync)

	var done sync.WaitGroup
	request := func() {
		want := l.LogEndOffset()
		done.Add(1)
		syncer.Request(l, func(durable int64, err error) {
			defer done.Done()
			if err != nil || durable < want {
				t.Errorf("durable up to %d (%v), want %d", durable, err, want)
			}
		})
	}
	appendBatch(t, l, 1, logtest.Batch(t, 1, 1, "first"))
	request()
	<-gate.Entered()
	for range 50 {
		appendBatch(t, l, 1, logtest.Batch(t, 1, 1, "while it runs"))
		request()
	}
	if got := l.DurableOffset(); got != 0 {
		t.Errorf("durable up to %d while the sync hangs", got)
	}
	gate.Open()
	done.Wait()
	if got := inj.Count(vfs.OpSync) - before; got != 2 {
		t.Errorf("%d syncs for 51 requests, want 2", got)
	}
}

// A hanging disk below one log does not hold up the others.
func TestSyncerSideBySide(t *testing.T) {
	mem := vfs.NewMem()
	inj := vfs.NewInjector()
	syncer := log.NewSyncer(2, nil)
	defer syncer.Close()
	stuck := logtest.Open(t, log.Config{FS: vfs.Inject(mem, inj), Dir: "/stuck", Syncer: syncer})
	free := logtest.Open(t, log.Config{FS: mem, Dir: "/free", Syncer: syncer})
	gate := vfs.NewGate()
	inj.Add(vfs.Rule{Kinds: vfs.OpSync, Gate: gate})
	appendBatch(t, stuck, 1, logtest.Batch(t, 1, 1, "x"))
	late := make(chan error, 1)
	waits := syncer.Progress(stuck)
	syncer.Request(stuck, func(_ int64, err error) { late <- err })
	<-gate.Entered()
	if waits < 0 || syncer.Progress(stuck) != -1 || syncer.Progress(free) != waits {
		t.Errorf("progress %d, then %d; of the other log %d", waits, syncer.Progress(stuck), syncer.Progress(free))
	}
	for range 3 {
		appendBatch(t, free, 1, logtest.Batch(t, 1, 1, "x"))
		done := make(chan error, 1)
		syncer.Request(free, func(_ int64, err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if syncer.Progress(stuck) != -1 || syncer.Progress(free) == waits {
		t.Errorf("after other syncs progress %d; of the other log %d", syncer.Progress(stuck), syncer.Progress(free))
	}
	gate.Open()
	if err := <-late; err != nil {
		t.Fatal(err)
	}
}

// Close serves what was asked for, and refuses what comes later.
func TestSyncerClose(t *testing.T) {
	syncer := log.NewSyncer(1, nil)
	l := logtest.Open(t, log.Config{Syncer: syncer})
	var served atomic.Int32
	for range 20 {
		appendBatch(t, l, 1, logtest.Batch(t, 1, 1, "x"))
		syncer.Request(l, func(_ int64, err error) {
			if err == nil {
				served.Add(1)
			}
		})
	}
	syncer.Close()
	if served.Load() != 20 || l.DurableOffset() != 20 {
		t.Errorf("%d requests served, durable up to %d", served.Load(), l.DurableOffset())
	}
	refused := make(chan error)
	syncer.Request(l, func(_ int64, err error) { refused <- err }) // not within Request
	if err := <-refused; !errors.Is(err, log.ErrSyncerClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A failed sync is told once to the process and to every request, and never
// tried again: the disk would say that all is well.
func TestSyncFailureIsFinal(t *testing.T) {
	mem := vfs.NewMem()
	inj := vfs.NewInjector()
	var fatal atomic.Int32
	syncer := log.NewSyncer(1, func(err error) {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("fatal: %v", err)
		}
		fatal.Add(1)
	})
	l, err := log.Open(log.Config{FS: vfs.Inject(mem, inj), Dir: "/log", Syncer: syncer})
	if err != nil {
		t.Fatal(err)
	}
	appendBatch(t, l, 1, logtest.Batch(t, 1, 1, "x"))
	inj.Add(vfs.Rule{Kinds: vfs.OpSync, Err: syscall.EIO})
	done := make(chan error, 1)
	var failed *log.FailedError
	for range 3 {
		syncer.Request(l, func(durable int64, err error) {
			if durable != 0 {
				t.Errorf("durable up to %d", durable)
			}
			done <- err
		})
		if err := <-done; !errors.Is(err, syscall.EIO) {
			t.Errorf("request: %v", err)
		}
	}
	for _, err := range []error{l.Sync(), put(l, 1, logtest.Batch(t, 1, 1, "y")), l.Roll(), l.AdvanceStart(1), l.Close()} {
		if !errors.As(err, &failed) {
			t.Errorf("after a failed sync: %v", err)
		}
	}
	syncer.Close()
	if fatal.Load() != 1 {
		t.Errorf("fatal called %d times", fatal.Load())
	}
}

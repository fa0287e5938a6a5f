package log_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
	"weir/segment"
	"weir/segment/vfs"
)

// segments appends n segments of 3 batches to l, the last one active, and
// returns where each begins.
func segments(t *testing.T, l *log.Log, n int) (bases []int64) {
	t.Helper()
	for i := range n {
		if i > 0 {
			if err := l.Roll(); err != nil {
				t.Fatal(err)
			}
		}
		bases = append(bases, l.LogEndOffset())
		for range 3 {
			appendBatch(t, l, 1, logtest.Batch(t, 1000, 2, "x"))
		}
	}
	return bases
}

// TestHoleBetweenSegments: what a segment below the recovery point has lost is
// an error to who reads there, and not the end of the log for ever.
func TestHoleBetweenSegments(t *testing.T) {
	for name, damage := range map[string]func(fsys vfs.FS, path string) error{
		"missing file": func(fsys vfs.FS, path string) error { return fsys.Remove(path) },
		"cut at a frame": func(fsys vfs.FS, path string) error {
			f, err := fsys.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			size, err := f.Size()
			if err != nil {
				return err
			}
			return errors.Join(f.Truncate(size-(size-segment.HeaderBytes)/3), f.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := log.Config{Dir: "/log", FS: vfs.NewMem()}
			l, err := log.Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			bases := segments(t, l, 4)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(cfg.FS, segment.LogPath(cfg.Dir, bases[1])); err != nil {
				t.Fatal(err)
			}
			if l, err = log.Open(cfg); err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var corrupt *log.CorruptError
			for _, maxBytes := range []int{1, 1 << 20} {
				if _, err := l.Read(bases[2]-1, maxBytes, math.MaxInt64, true); !errors.As(err, &corrupt) {
					t.Fatalf("a read in the hole gives %v", err)
				}
			}
			err = nil
			for _, e := range l.Batches(0, math.MaxInt64) {
				err = errors.Join(err, e)
			}
			if !errors.As(err, &corrupt) {
				t.Fatalf("a walk over the hole gives %v", err)
			}
			if got := len(readAll(t, l, bases[2], l.LogEndOffset(), 1<<20)); got == 0 {
				t.Fatal("nothing is read after the hole")
			}
		})
	}
}

// TestDeleteKeepsTheRecoveryPoint: when no newer recovery point can be written,
// its segment is not deleted, because the log would not open without it.
func TestDeleteKeepsTheRecoveryPoint(t *testing.T) {
	mem, inj := vfs.NewMem(), vfs.NewInjector()
	cfg := log.Config{Dir: "/log", FS: vfs.Inject(mem, inj), Settings: log.Settings{IndexIntervalBytes: 1}}
	l, err := log.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	segments(t, l, 2)
	inj.Add(vfs.Rule{Kinds: vfs.OpWrite, Path: "checkpoint*", Times: 1, Err: syscall.EIO})
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	base := l.LogEndOffset()
	appendBatch(t, l, 1, logtest.Batch(t, 1000, 2, "x"))
	appendBatch(t, l, 1, logtest.Batch(t, 1000, 2, "x"))
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	inj.Add(vfs.Rule{Kinds: vfs.OpCreate | vfs.OpWrite | vfs.OpPreallocate, Path: "*.index", Times: -1, Err: syscall.ENOSPC})
	if err := l.AdvanceStart(base); err != nil {
		t.Fatal(err)
	}
	_, _ = l.DeleteSegments() // may fail on the full disk; what it leaves must open
	crashed := mem.ProcessCrashClone()
	again, err := log.Open(log.Config{Dir: cfg.Dir, FS: crashed, Recovery: log.RecoverProcessCrash})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	inj.Clear()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestRetainOnFullDisk: that the active segment cannot be replaced does not
// keep the older ones, whose room is what is missing.
func TestRetainOnFullDisk(t *testing.T) {
	inj := vfs.NewInjector()
	cfg := log.Config{FS: vfs.Inject(vfs.NewMem(), inj), Now: at(2000), Settings: log.Settings{DeleteByRetention: true, RetentionAge: time.Second}}
	l := logtest.Open(t, cfg)
	bases := segments(t, l, 3)
	end := l.LogEndOffset()
	inj.Add(vfs.Rule{Kinds: vfs.OpCreate, Path: "*.log", Times: -1, Err: syscall.ENOSPC})
	now := time.UnixMilli(10_000)
	deleted, err := l.Retain(now, end)
	if deleted != 2 || l.LogStartOffset() != bases[2] {
		t.Fatalf("%d segments deleted, log start %d, want %d: %v", deleted, l.LogStartOffset(), bases[2], err)
	}
	if deleted, _ := l.Retain(now, end); deleted != 0 {
		t.Fatalf("%d segments deleted", deleted)
	}
	if err := logtest.Check(l); err != nil {
		t.Fatal(err)
	}
	inj.Clear()
	if deleted, err := l.Retain(now, end); deleted != 0 || err != nil || l.LogStartOffset() != end {
		t.Fatalf("%d segments deleted, log start %d: %v", deleted, l.LogStartOffset(), err)
	}
	appendBatch(t, l, 1, logtest.Batch(t, 1000, 2, "x"))
	if deleted, err := l.DeleteSegments(); deleted != 1 || err != nil {
		t.Fatalf("%d segments deleted: %v", deleted, err)
	}
}

// TestSyncDuringTruncation: a sync and a checkpoint that come in the middle of
// a suffix cut do not bring the recovery point back above it.
func TestSyncDuringTruncation(t *testing.T) {
	mem, inj := vfs.NewMem(), vfs.NewInjector()
	cfg := log.Config{Dir: "/log", FS: vfs.Inject(mem, inj)}
	l, err := log.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AdvanceStart(0); err != nil {
		t.Fatal(err)
	}
	value := string(make([]byte, 1<<20))
	for range 4 {
		appendBatch(t, l, 1, logtest.Batch(t, 1000, 1, value))
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	for range 33 {
		appendBatch(t, l, 1, logtest.Batch(t, 1000, 1, value))
	}
	lowered, cutting := vfs.NewGate(), vfs.NewGate()
	inj.Add(vfs.Rule{Kinds: vfs.OpWrite, Path: "checkpoint*", Gate: lowered},
		vfs.Rule{Kinds: vfs.OpTruncate, Path: "*.log", Gate: cutting})
	truncated, synced := make(chan error, 1), make(chan error, 1)
	go func() { truncated <- l.TruncateSuffix(3) }()
	<-lowered.Entered()
	syncs := inj.Count(vfs.OpSync)
	go func() { synced <- l.Sync() }()
	for inj.Count(vfs.OpSync) == syncs {
		runtime.Gosched()
	}
	lowered.Open()
	<-cutting.Entered()
	if err := <-synced; err != nil {
		t.Fatal(err)
	}
	cutting.Open()
	if err := <-truncated; err != nil {
		t.Fatal(err)
	}
	if got := l.DurableOffset(); got != 2 {
		t.Fatalf("durable %d, want 2", got)
	}
	again, err := log.Open(log.Config{Dir: cfg.Dir, FS: mem.ProcessCrashClone(), Recovery: log.RecoverProcessCrash})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(again.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestEarliestTimestamp: no timestamp is too small to ask for.
func TestEarliestTimestamp(t *testing.T) {
	l := logtest.Open(t, log.Config{Settings: log.Settings{IndexIntervalBytes: 1}})
	for i := range 20 {
		appendBatch(t, l, 1, logtest.Batch(t, int64(1000+10*i), 2, "x"))
	}
	for _, ts := range []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, 1000} {
		if f, ok, err := l.OffsetForTimestamp(ts, math.MaxInt64); !ok || f.Offset != 0 || err != nil {
			t.Errorf("from %d on: %+v, %t, %v", ts, f, ok, err)
		}
	}
}

// TestStartInBothSlots: one damaged slot does not bring back a log start that
// was given up.
func TestStartInBothSlots(t *testing.T) {
	for slot := range int64(2) {
		mem := vfs.NewMem()
		cfg := log.Config{Dir: "/log", FS: mem, Recovery: log.RecoverProcessCrash}
		l, err := log.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		segments(t, l, 2)
		if err := l.AdvanceStart(5); err != nil {
			t.Fatal(err)
		}
		cfg.FS = mem.ProcessCrashClone()
		f, err := cfg.FS.OpenFile("/log/checkpoint", os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 512), slot<<15); err != nil {
			t.Fatal(err)
		}
		again, err := log.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := again.LogStartOffset(); got != 5 {
			t.Errorf("without slot %d the log starts at %d, want 5", slot, got)
		}
		if err := errors.Join(f.Close(), again.Close(), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRefusedIsNotRecovered: of an append that a full disk cut short after its
// first batch nothing is found later.
func TestRefusedIsNotRecovered(t *testing.T) {
	mem, inj := vfs.NewMem(), vfs.NewInjector()
	l, err := log.Open(log.Config{Dir: "/log", FS: vfs.Inject(mem, inj)})
	if err != nil {
		t.Fatal(err)
	}
	appendBatch(t, l, 1, logtest.Batch(t, 1, 1, "x"))
	first, second := logtest.Batch(t, 1, 1, "first"), logtest.Batch(t, 1, 1, "second")
	inj.Add(vfs.Rule{Kinds: vfs.OpWrite, Path: "*.log", ShortBytes: len(first) + 10, Err: syscall.ENOSPC})
	if _, err := l.Append([]log.Entry{{Kind: log.KindBatch, Epoch: 1, Data: first}, {Kind: log.KindBatch, Epoch: 1, Data: second}}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	again, err := log.Open(log.Config{Dir: "/log", FS: mem.ProcessCrashClone(), Recovery: log.RecoverProcessCrash})
	if err != nil {
		t.Fatal(err)
	}
	if got := again.LogEndOffset(); got != 1 {
		t.Errorf("log end %d, want 1", got)
	}
	if err := errors.Join(again.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDeleteGoesOnAfterAFailedRename: what could not be dropped is in the log still, and goes with the next call.
func TestDeleteGoesOnAfterAFailedRename(t *testing.T) {
	inj := vfs.NewInjector()
	l := logtest.Open(t, log.Config{FS: vfs.Inject(vfs.NewMem(), inj)})
	bases := segments(t, l, 4)
	if err := l.AdvanceStart(bases[3]); err != nil {
		t.Fatal(err)
	}
	inj.Add(vfs.Rule{Kinds: vfs.OpRename, Path: "*.log*", Nth: 2, Err: syscall.EIO})
	if deleted, err := l.DeleteSegments(); deleted != 1 || !errors.Is(err, syscall.EIO) {
		t.Fatalf("%d segments deleted: %v", deleted, err)
	}
	if err := logtest.Check(l); err != nil {
		t.Fatal(err)
	}
	if deleted, err := l.DeleteSegments(); deleted != 2 || err != nil {
		t.Fatalf("%d segments deleted: %v", deleted, err)
	}
	if err := logtest.Check(l); err != nil {
		t.Fatal(err)
	}
}

// TestRollBesideAFailedSync: the system tells of bytes that it could not write once, so that a roll beside the sync that
// hears of it does not take them for written.
func TestRollBesideAFailedSync(t *testing.T) {
	inj, gate := vfs.NewInjector(), vfs.NewGate()
	l, err := log.Open(log.Config{Dir: "/log", FS: vfs.Inject(vfs.NewMem(), inj)})
	if err != nil {
		t.Fatal(err)
	}
	appendBatch(t, l, 1, logtest.Batch(t, 1000, 2, "x"))
	inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Gate: gate, Err: syscall.EIO})
	synced, rolled := make(chan error, 1), make(chan error, 1)
	go func() { synced <- l.Sync() }()
	<-gate.Entered()
	go func() { rolled <- l.Roll() }()
	for range 10_000 {
		runtime.Gosched() // it comes as far as it can
	}
	gate.Open()
	if err := <-synced; !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: %v", err)
	}
	if err := <-rolled; !errors.Is(err, syscall.EIO) {
		t.Errorf("roll: %v", err)
	}
	if durable := l.DurableOffset(); durable != 0 {
		t.Errorf("%d offsets are taken for durable", durable)
	}
	_ = l.Close() // it has failed
}

// TestDropThatDoesNotClose: a segment whose files have gone and do not close is gone, and nobody looks for it for ever.
func TestDropThatDoesNotClose(t *testing.T) {
	inj := vfs.NewInjector()
	l := logtest.Open(t, log.Config{FS: vfs.Inject(vfs.NewMem(), inj)})
	for i := range 3 {
		appendRecords(t, l, plain, rec("key", fmt.Sprint(i)))
	}
	if _, ok, err := l.FirstRecord(0, 1); err != nil || !ok { // opens the file
		t.Fatal(ok, err)
	}
	if err := l.AdvanceStart(2); err != nil {
		t.Fatal(err)
	}
	inj.Add(vfs.Rule{Kinds: vfs.OpClose, Path: "*.log", Err: syscall.EIO})
	if deleted, err := l.DeleteSegments(); err == nil || deleted != 1 {
		t.Errorf("%d segments deleted, %v", deleted, err)
	}
	if _, err := l.EntryHead(1); !errors.Is(err, log.ErrEntryNotFound) {
		t.Errorf("the entry of what is gone: %v", err)
	}
	if deleted, err := l.DeleteSegments(); err != nil || deleted != 1 {
		t.Errorf("%d more segments deleted, %v", deleted, err)
	}
}

package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
	"weir/segment"
	"weir/segment/vfs"
)

// promise is what a script has been told is durable when it is cut short.
type promise struct {
	start, durable int64
	bytes          []byte // all batches of [start, durable)
}

// promiseOf promises what the log holds below durable. The first batch may
// begin below the start.
func promiseOf(l *log.Log, durable int64) (promise, error) {
	b, err := bytesOf(l, durable)
	return promise{start: l.LogStartOffset(), durable: durable, bytes: b}, err
}

func bytesOf(l *log.Log, limit int64) ([]byte, error) {
	var b []byte
	for next := l.LogStartOffset(); next < limit; {
		r, err := l.Read(next, 1<<20, limit, true)
		if err != nil || r.Bytes == 0 {
			return b, err
		}
		next = r.NextOffset
		b, err = r.AppendTo(b)
		if err := errors.Join(err, r.Release()); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// tell passes on what is promised from here on, unless reading it back fails.
func tell(l *log.Log, durable int64, p func(promise)) error {
	promised, err := promiseOf(l, durable)
	if err == nil {
		p(promised)
	}
	return err
}

// scripts are the write paths, each to be interrupted at every operation.
var scripts = []struct {
	name string
	run  func(l *log.Log, b func(n int) []byte, p func(promise)) error
}{
	{"append", func(l *log.Log, b func(int) []byte, p func(promise)) error {
		for range 6 {
			if err := put(l, 1, b(2)); err != nil {
				return err
			}
			if err := l.Sync(); err != nil {
				return err
			}
			if err := tell(l, l.LogEndOffset(), p); err != nil {
				return err
			}
		}
		return nil
	}},
	{"group of entries", func(l *log.Log, b func(int) []byte, p func(promise)) error {
		for epoch := range int32(4) {
			_, err := l.Append([]log.Entry{
				{Kind: log.KindNoop, Epoch: epoch},
				{Kind: log.KindBatch, Epoch: epoch, Data: b(3)},
				{Kind: log.KindConfiguration, Epoch: epoch, Data: []byte("voters")},
				{Kind: log.KindBatch, Epoch: epoch, Data: b(1)},
			})
			if err == nil {
				err = l.Sync()
			}
			if err != nil {
				return err
			}
			if err := tell(l, l.LogEndOffset(), p); err != nil {
				return err
			}
		}
		return nil
	}},
	{"roll", func(l *log.Log, b func(int) []byte, p func(promise)) error {
		for range 3 {
			if err := put(l, 1, b(2)); err != nil {
				return err
			}
			if err := l.Roll(); err != nil {
				return err
			}
			if err := tell(l, l.LogEndOffset(), p); err != nil {
				return err
			}
		}
		return nil
	}},
	{"advance and delete", func(l *log.Log, b func(int) []byte, p func(promise)) error {
		for range 3 {
			if err := errors.Join(put(l, 1, b(4)), l.Roll(), put(l, 1, b(4))); err != nil {
				return err
			}
			to := l.LogEndOffset() - 2
			if err := l.AdvanceStart(to); err != nil {
				return err
			}
			if err := tell(l, l.LogEndOffset(), p); err != nil {
				return err
			}
			if _, err := l.DeleteSegments(); err != nil {
				return err
			}
		}
		return nil
	}},
	{"retention", func(l *log.Log, b func(int) []byte, p func(promise)) error {
		l.SetSettings(log.Settings{SegmentBytes: 1 << 20, DeleteByRetention: true, RetentionBytes: 1, RetentionAge: time.Hour})
		for n := range 4 {
			if err := errors.Join(put(l, 1, b(4)), l.Roll(), put(l, 1, b(4))); err != nil {
				return err
			}
			now := time.UnixMilli(0)
			if n%2 == 1 {
				now = now.Add(1 << 62) // the active one has expired, too
			}
			if _, err := l.Retain(now, l.LogEndOffset()); err != nil {
				return err
			}
			if err := tell(l, l.DurableOffset(), p); err != nil {
				return err
			}
			if _, err := l.Tidy(); err != nil {
				return err
			}
		}
		return nil
	}},
	{"removed entries", func(l *log.Log, b func(int) []byte, p func(promise)) error {
		for n := range 4 {
			entries := []log.Entry{removed(0), removed(l.LogEndOffset() + 5), removedAmid(l.LogEndOffset()+9, 2)}
			if _, err := l.AppendStamped(entries[:3-n%2]); err != nil {
				return err
			}
			if err := put(l, 1, b(2)); err != nil {
				return err
			}
			if n == 2 {
				if err := l.Roll(); err != nil {
					return err
				}
			}
			if err := l.Sync(); err != nil {
				return err
			}
			if err := tell(l, l.LogEndOffset(), p); err != nil {
				return err
			}
		}
		return nil
	}},
	{"delete up to the end", func(l *log.Log, b func(int) []byte, p func(promise)) error {
		for range 3 {
			if err := errors.Join(put(l, 1, b(2)), l.Roll(), l.AdvanceStart(l.LogEndOffset())); err != nil {
				return err
			}
			if err := tell(l, l.LogEndOffset(), p); err != nil {
				return err
			}
			// The second time the last entry is another one, which is not on disk.
			for n := range 2 {
				if deleted, err := l.DeleteSegments(); err != nil || deleted > n {
					return errors.Join(err, tooMany(deleted, n))
				}
				if err := put(l, 1, b(1)); err != nil {
					return err
				}
			}
		}
		return nil
	}},
	{"truncate and go on", func(l *log.Log, b func(int) []byte, p func(promise)) error {
		for epoch := range int32(3) {
			for range 3 {
				if err := errors.Join(put(l, epoch, b(2)), l.Roll(), put(l, epoch, b(1))); err != nil {
					return err
				}
			}
			// Entries 1 to 6 of each round; the middle of a sealed segment goes.
			from := l.LastRaftIndex() - 2
			keep := l.LogEndOffset() - 4
			if err := tell(l, keep, p); err != nil {
				return err
			}
			if err := l.TruncateSuffix(from); err != nil {
				return err
			}
			if err := put(l, epoch+1, b(5)); err != nil {
				return err
			}
			if err := l.Sync(); err != nil {
				return err
			}
			if err := tell(l, l.LogEndOffset(), p); err != nil {
				return err
			}
		}
		return nil
	}},
	{"close", func(l *log.Log, b func(int) []byte, p func(promise)) error {
		for range 3 {
			if err := put(l, 1, b(2)); err != nil {
				return err
			}
		}
		return l.Close()
	}},
}

func tooMany(n, most int) error {
	if n > most {
		return fmt.Errorf("%d segments deleted, want at most %d", n, most)
	}
	return nil
}

func put(l *log.Log, epoch int32, batch []byte) error {
	_, err := l.Append([]log.Entry{{Kind: log.KindBatch, Epoch: epoch, Data: batch}})
	return err
}

func scriptConfig(fsys vfs.FS) log.Config {
	return log.Config{Dir: "/data/log", FS: fsys, Settings: log.Settings{SegmentBytes: 64 << 10, IndexIntervalBytes: 1}}
}

func batches(t testing.TB) func(n int) []byte {
	r := rand.New(rand.NewPCG(7, 7))
	return func(n int) []byte {
		return logtest.Batch(t, int64(r.IntN(1000)), n, fmt.Sprint(r.IntN(1<<30)))
	}
}

// kept opens what is left of a log and compares it with what was promised.
func kept(cfg log.Config, p promise) error {
	l, err := log.Open(cfg)
	if err != nil {
		return err
	}
	defer l.Close()
	if l.LogEndOffset() < p.durable || l.LogStartOffset() < p.start {
		return fmt.Errorf("log is [%d, %d), promised were start %d and durable end %d", l.LogStartOffset(), l.LogEndOffset(), p.start, p.durable)
	}
	if last := l.LastRaftIndex(); p.durable > 0 {
		if _, err := l.EntryHead(last); err != nil || l.FirstRaftIndex() > last {
			return fmt.Errorf("entries are [%d, %d], the last one: %w", l.FirstRaftIndex(), last, err)
		}
	}
	if _, err := l.DeleteSegments(); err != nil { // a deletion that was cut short may have left holes below the start
		return err
	}
	b, err := bytesOf(l, p.durable)
	if err != nil {
		return err
	}
	if l.LogStartOffset() == p.start && !bytes.Equal(b, p.bytes) {
		return fmt.Errorf("%d bytes below offset %d, promised were %d others", len(b), p.durable, len(p.bytes))
	}
	return logtest.Check(l)
}

// TestFailEachOperation fails operation n of each write path, for n = 1, 2, ...
// until the script gets through, and opens what is left, also after the
// process or the machine went down right then.
func TestFailEachOperation(t *testing.T) {
	faults := map[string]vfs.Rule{
		"no space":    {Kinds: vfs.OpWrite | vfs.OpPreallocate | vfs.OpCreate, Err: syscall.ENOSPC},
		"io error":    {Kinds: vfs.OpChanging &^ vfs.OpSync &^ vfs.OpSyncDir, Err: syscall.EIO},
		"short write": {Kinds: vfs.OpWrite, ShortBytes: 40},
		"sync error":  {Kinds: vfs.OpSync | vfs.OpSyncDir, Err: syscall.EIO},
	}
	for _, script := range scripts {
		for fault, rule := range faults {
			t.Run(script.name+"/"+fault, func(t *testing.T) {
				t.Parallel()
				for n := 1; ; n++ {
					if failOperation(t, script.run, rule, n) {
						break
					}
					if n > 2000 {
						t.Fatal("the script never gets through")
					}
				}
			})
		}
	}
}

// failOperation runs a script with one fault and reports whether it was not hit.
func failOperation(t *testing.T, run func(*log.Log, func(int) []byte, func(promise)) error, rule vfs.Rule, n int) bool {
	t.Helper()
	mem := vfs.NewMem()
	inj := vfs.NewInjector()
	fatal := 0
	syncer := log.NewSyncer(1, func(error) { fatal++ })
	defer syncer.Close()
	cfg := scriptConfig(vfs.Inject(mem, inj))
	cfg.Syncer, cfg.Logger = syncer, slog.New(slog.DiscardHandler)
	l, err := log.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rule.Nth = n
	inj.Add(rule)
	var p promise
	err = run(l, batches(t), func(q promise) { p = q })
	inj.Clear()
	hit := false
	for _, op := range inj.Trace() {
		hit = hit || op.Err != nil
	}
	afterwards(t, l, mem, p, n, fatal, err)
	if !hit && err != nil {
		t.Fatalf("operation %d: no fault, and %v", n, err)
	}
	return !hit
}

// afterwards looks at a log whose script ended with err.
func afterwards(t *testing.T, l *log.Log, mem *vfs.Mem, p promise, n, fatal int, err error) {
	t.Helper()
	powerLoss, processCrash := mem.CrashClone(vfs.CrashOptions{Seed: uint64(n)}), mem.ProcessCrashClone()
	var failed *log.FailedError
	var syncErr *segment.SyncError
	if errors.As(err, &syncErr) && fatal != 1 {
		t.Fatalf("operation %d: %v, and fatal called %d times", n, err, fatal)
	}
	if err != nil && !errors.Is(err, log.ErrClosed) {
		// Room is back: either the log has failed and says so, or it goes on.
		switch again := errors.Join(put(l, 9, batches(t)(3)), l.Sync()); {
		case errors.Is(again, log.ErrClosed):
		case again != nil && !errors.As(again, &failed):
			t.Fatalf("operation %d: after %v, an append fails with %v", n, err, again)
		case again == nil:
			if err := logtest.Check(l); err != nil {
				t.Fatalf("operation %d: the log goes on, and %v", n, err)
			}
		}
	}
	if err := l.Close(); err != nil && !errors.As(err, &failed) {
		t.Fatalf("operation %d: close: %v", n, err)
	}
	for _, end := range []struct {
		name string
		fs   vfs.FS
		mode log.RecoveryMode
	}{
		{"close", mem, log.RecoverProcessCrash},
		{"process crash", processCrash, log.RecoverProcessCrash},
		{"power loss", powerLoss, log.RecoverPowerLoss},
	} {
		cfg := scriptConfig(end.fs)
		cfg.Recovery = end.mode
		if err := kept(cfg, p); err != nil {
			t.Fatalf("operation %d, then %s: %v", n, end.name, err)
		}
	}
	if fatal > 0 {
		lostLater(t, processCrash, n)
	}
}

// lostLater takes the power from under the process that came after one that died, and closed: what it had is
// durable, also where a sync of the one before had failed and left it in the cache only.
func lostLater(t *testing.T, after *vfs.Mem, n int) {
	t.Helper()
	l, err := log.Open(scriptConfig(after))
	if err != nil {
		t.Fatal(err)
	}
	p, err := promiseOf(l, l.DurableOffset())
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	cfg := scriptConfig(after.CrashClone(vfs.CrashOptions{Seed: uint64(n)}))
	cfg.Recovery = log.RecoverPowerLoss
	if err := kept(cfg, p); err != nil {
		t.Fatalf("operation %d, the next process, then power loss: %v", n, err)
	}
}

package log_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
	"weir/segment/vfs"
)

// disturb does something to a log.
func disturb(l *log.Log, r *rand.Rand, at int64) error {
	switch r.IntN(12) {
	case 0:
		return l.Roll()
	case 1:
		return l.TruncateSuffix(l.LastRaftIndex() - uint64(r.IntN(3)))
	case 2:
		_, err := l.Compact(context.Background(), time.UnixMilli(at), l.LogEndOffset(), log.Compaction{DeleteRetentionMillis: 1}, logtest.Judge{})
		return err
	case 3:
		if err := l.AdvanceStart(l.LogStartOffset() + r.Int64N(l.LogEndOffset()-l.LogStartOffset()+1)/2); err != nil {
			return err
		}
		_, err := l.DeleteSegments()
		return err
	case 4:
		return l.CloseIdle()
	}
	return put1(l, at, fmt.Sprint("key-", r.IntN(5)), make([]byte, r.IntN(3000)))
}

// TestCopy: whatever happens to a log while it is copied, the copy that is finished has the log's files, durably.
func TestCopy(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		mem, at := vfs.NewMem(), int64(1_000_000)
		l, err := log.Open(log.Config{FS: mem, Dir: "/from", Settings: log.Settings{IndexIntervalBytes: 1000}})
		must := func(err error) {
			if err != nil {
				t.Helper()
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		step := func() {
			at++
			var refused *log.TruncateError
			if err := disturb(l, r, at); !errors.As(err, &refused) {
				must(err)
			}
		}
		must(err)
		must(errors.Join(vfs.MkdirAllSync(mem, "/to", 0o755), vfs.ReplaceFile(mem, "/from/beside", []byte("the caller's"))))
		for range 30 {
			step()
		}
		open := true
		c := l.Copy("/to", func(context.Context, int) error {
			if open && r.IntN(2) == 0 {
				step()
			}
			return nil
		})
		for range r.IntN(4) {
			must(c.Advance(context.Background()))
			step()
		}
		open = false
		must(l.Close())
		if missing := c.Missing(); missing < 0 || missing > l.SizeBytes() {
			t.Errorf("seed %d: %d bytes are missing of %d", seed, missing, l.SizeBytes())
		}
		if err := c.Advance(context.Background()); !errors.Is(err, log.ErrClosed) {
			t.Errorf("seed %d: the log is closed: %v", seed, err)
		}
		must(c.Finish(context.Background()))
		if c.SizeBytes() != l.SizeBytes() {
			t.Errorf("seed %d: %d bytes in the copy, %d in the log", seed, c.SizeBytes(), l.SizeBytes())
		}
		durable := mem.CrashClone(vfs.CrashOptions{})
		sameFiles(t, durable, "/from", "/to")
		if copied := logtest.Open(t, log.Config{FS: durable, Dir: "/to"}); copied.LogEndOffset() != l.LogEndOffset() {
			t.Errorf("seed %d: the copy ends at %d, the log at %d", seed, copied.LogEndOffset(), l.LogEndOffset())
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestCopyFails: the first error of the disk ends what copies, and the log goes on.
func TestCopyFails(t *testing.T) {
	for failing := 1; ; failing++ {
		mem, inj := vfs.NewMem(), vfs.NewInjector()
		l := logtest.Open(t, log.Config{FS: vfs.Inject(mem, inj), Dir: "/from"})
		for i := range int64(4) {
			if err := errors.Join(put1(l, i, "k", []byte("v")), l.Roll()); err != nil {
				t.Fatal(err)
			}
		}
		if err := mem.MkdirAll("/to", 0o755); err != nil {
			t.Fatal(err)
		}
		c := l.Copy("/to", func(context.Context, int) error { return nil })
		gone := errors.New("the disk is gone")
		inj.Add(vfs.Rule{Kinds: ^vfs.OpKind(0), Nth: failing, Err: gone})
		err := c.Advance(context.Background())
		inj.Clear()
		if failing > 1000 {
			t.Fatal("it has no end")
		}
		if err == nil {
			break
		}
		if !errors.Is(err, gone) {
			t.Fatalf("operation %d: %v", failing, err)
		}
		if err := c.Advance(context.Background()); err != nil || c.Missing() != 0 || c.NextOffset() != l.LogEndOffset() {
			t.Fatalf("operation %d, again: %v, %d bytes are missing", failing, err, c.Missing())
		}
	}
}

func sameFiles(t *testing.T, fsys vfs.FS, from, to string) {
	t.Helper()
	a, err := fsys.ReadDir(from)
	b, err2 := fsys.ReadDir(to)
	if err = errors.Join(err, err2); err != nil || len(a) != len(b) {
		t.Fatalf("%v in the log, %v in the copy: %v", a, b, err)
	}
	for _, e := range a {
		want, err := vfs.ReadFile(fsys, filepath.Join(from, e.Name()))
		got, err2 := vfs.ReadFile(fsys, filepath.Join(to, e.Name()))
		if err = errors.Join(err, err2); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d: %v", e.Name(), len(got), len(want), err)
		}
	}
}

package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"weir/log"
	"weir/log/logtest"
	"weir/segment/vfs"
)

// resetTargets are where a log of 12 offsets and 7 entries begins anew; the base
// offsets of its segments are 0, 4 and 8.
var resetTargets = []struct {
	name      string
	offset    int64
	raftIndex uint64
	epoch     int32
}{
	{"above", 1000, 500, 9},
	{"below, where a segment began", 4, 2, 0},
	{"to nothing", 0, 1, -1},
	{"to the end", 12, 8, 3},
}

// grow fills the log that is to be reset. All of it is durable.
func grow(l *log.Log, b func(int) []byte) error {
	for i := range int32(3) {
		if err := errors.Join(put(l, i, b(2)), put(l, i, b(2))); err != nil {
			return err
		}
		if i < 2 {
			if err := l.Roll(); err != nil {
				return err
			}
		}
	}
	if _, err := l.Append([]log.Entry{{Kind: log.KindNoop, Epoch: 3}}); err != nil {
		return err
	}
	return errors.Join(l.AdvanceStart(3), l.Sync())
}

// isEmpty checks a log that has just begun anew.
func isEmpty(l *log.Log, offset int64, raftIndex uint64, epoch int32) error {
	if l.LogStartOffset() != offset || l.LogEndOffset() != offset || l.DurableOffset() != offset ||
		l.FirstRaftIndex() != raftIndex || l.LastRaftIndex() != raftIndex-1 || l.LastEpoch() != epoch || l.Segments() != 1 {
		return fmt.Errorf("log is [%d, %d), durable %d, entries [%d, %d], epoch %d, %d segments; want an empty one at %d, raft index %d, epoch %d",
			l.LogStartOffset(), l.LogEndOffset(), l.DurableOffset(), l.FirstRaftIndex(), l.LastRaftIndex(), l.LastEpoch(), l.Segments(), offset, raftIndex, epoch)
	}
	return logtest.Check(l)
}

func TestResetTo(t *testing.T) {
	for _, to := range resetTargets {
		t.Run(to.name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := logtest.Open(t, log.Config{FS: mem, Settings: log.Settings{DeleteByRetention: true}})
			if err := grow(l, batches(t)); err != nil {
				t.Fatal(err)
			}
			held, err := l.Read(4, 1<<20, 8, true)
			if err != nil {
				t.Fatal(err)
			}
			want, err := held.AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			l.SetAppliedFloor(7)
			l.SetRetainFloor(3)
			if err := l.ResetTo(to.offset, to.raftIndex, to.epoch); err != nil {
				t.Fatal(err)
			}
			if err := isEmpty(l, to.offset, to.raftIndex, to.epoch); err != nil {
				t.Fatal(err)
			}
			for _, i := range []uint64{to.raftIndex - 1, to.raftIndex} {
				if _, err := l.EntryHead(i); err != log.ErrEntryNotFound {
					t.Errorf("entry %d: %v", i, err)
				}
			}
			if got, err := held.AppendTo(nil); err != nil || !bytes.Equal(got, want) {
				t.Errorf("a range held: %v", err)
			}
			if err := held.Release(); err != nil {
				t.Error(err)
			}
			var entry *log.EntryError
			if err := put(l, to.epoch-1, logtest.Batch(t, 1, 1, "x")); to.epoch >= 0 && !errors.As(err, &entry) {
				t.Errorf("an epoch that has ended: %v", err)
			}
			res := appendBatch(t, l, max(to.epoch, 0), logtest.Batch(t, 1, 3, "after"))
			if res.BaseOffset != to.offset || res.FirstRaftIndex != to.raftIndex {
				t.Errorf("first entry at %+v", res)
			}
			if err := l.TruncateSuffix(to.raftIndex); err != nil {
				t.Errorf("no floor is left: %v", err)
			}
			appendBatch(t, l, max(to.epoch, 0), logtest.Batch(t, 1, 2, "after"))
		})
	}
}

func TestResetToRefuses(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	appendBatch(t, l, 1, logtest.Batch(t, 1, 2, "x"))
	for _, err := range []error{l.ResetTo(-1, 1, 0), l.ResetTo(0, 0, 0), l.ResetTo(0, 1, -2)} {
		if err == nil {
			t.Error("an impossible reset")
		}
	}
	if l.LogEndOffset() != 2 {
		t.Errorf("log end %d", l.LogEndOffset())
	}
}

// TestResetCrashes opens what a power loss at any point of a reset can have left:
// the old log or the new one, and the new one once ResetTo has returned.
func TestResetCrashes(t *testing.T) {
	states := 1500
	if testing.Short() {
		states = 200
	}
	for _, to := range resetTargets {
		t.Run(to.name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			l, err := log.Open(scriptConfig(mem))
			if err != nil {
				t.Fatal(err)
			}
			b := batches(t)
			if err := grow(l, b); err != nil {
				t.Fatal(err)
			}
			old, err := promiseOf(l, l.LogEndOffset())
			if err != nil {
				t.Fatal(err)
			}
			rec := mem.Record()
			if err := l.ResetTo(to.offset, to.raftIndex, to.epoch); err != nil {
				t.Fatal(err)
			}
			mem.Mark("reset")
			if err := errors.Join(put(l, 10, b(5)), l.Sync()); err != nil {
				t.Fatal(err)
			}
			mem.Mark("appended")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			fresh, before := 0, 0
			for state := range rec.Crashes(vfs.Enumeration{MaxStates: states, Seed: 1}) {
				cfg := scriptConfig(state.FS)
				cfg.Recovery = log.RecoverPowerLoss
				isNew, err := either(cfg, old, to.offset, to.raftIndex, to.epoch, len(state.Marks))
				if err != nil {
					t.Fatal(fmt.Errorf("step %d, %s: %w", state.Step, state.Description, err))
				}
				if isNew {
					fresh++
				} else {
					before++
				}
			}
			if fresh == 0 || before == 0 {
				t.Errorf("%d states of the new log, %d of the old", fresh, before)
			}
		})
	}
}

// either opens what is left of a log, which is the old one, or the new one, which it
// is to be when one mark has been passed, with a batch of five when two have been.
func either(cfg log.Config, old promise, offset int64, raftIndex uint64, epoch int32, marks int) (isNew bool, err error) {
	for range 2 { // an open that changes something is not the last one
		l, err := log.Open(cfg)
		if err != nil {
			return false, err
		}
		isNew = l.FirstRaftIndex() == raftIndex && l.LogStartOffset() == offset
		appended := l.LogEndOffset() == offset+5 && l.LastRaftIndex() == raftIndex
		switch {
		case isNew && appended && marks > 0:
			err = logtest.Check(l)
		case isNew && marks < 2:
			err = isEmpty(l, offset, raftIndex, epoch)
		case marks > 0:
			err = fmt.Errorf("log is [%d, %d) with entries [%d, %d] after %d marks", l.LogStartOffset(), l.LogEndOffset(), l.FirstRaftIndex(), l.LastRaftIndex(), marks)
		}
		if err := errors.Join(err, l.Close()); err != nil {
			return isNew, err
		}
		if !isNew {
			if err := kept(cfg, old); err != nil {
				return false, err
			}
		}
		cfg.Recovery = log.RecoverClean
	}
	return isNew, nil
}

// TestResetFailures fails each operation of a reset. Then nothing has happened and
// the log goes on, or it has failed; what is left opens as the old log or the new.
func TestResetFailures(t *testing.T) {
	to := resetTargets[1]
	for _, kinds := range []vfs.OpKind{vfs.OpChanging &^ (vfs.OpSync | vfs.OpSyncDir), vfs.OpSync | vfs.OpSyncDir} {
		for n := 1; ; n++ {
			mem, inj := vfs.NewMem(), vfs.NewInjector()
			l, err := log.Open(scriptConfig(vfs.Inject(mem, inj)))
			if err != nil {
				t.Fatal(err)
			}
			b := batches(t)
			if err := grow(l, b); err != nil {
				t.Fatal(err)
			}
			old, err := promiseOf(l, l.LogEndOffset())
			if err != nil {
				t.Fatal(err)
			}
			inj.Add(vfs.Rule{Kinds: kinds, Nth: n, Err: syscall.EIO})
			err = l.ResetTo(to.offset, to.raftIndex, to.epoch)
			inj.Clear()
			if err == nil {
				if err := errors.Join(isEmpty(l, to.offset, to.raftIndex, to.epoch), l.Close()); err != nil {
					t.Fatal(err)
				}
				break
			}
			crashed := mem.CrashClone(vfs.CrashOptions{Seed: uint64(n)})
			again := put(l, 9, b(1))
			var failed *log.FailedError
			if (l.Failed() == nil) != (again == nil) || again != nil && !errors.As(again, &failed) {
				t.Fatalf("operation %d: %v, then %v", n, err, again)
			}
			if _, _, err := l.OffsetForTimestamp(0, 100); err != nil {
				t.Fatalf("operation %d: a lookup in what is left: %v", n, err)
			}
			if err := l.Close(); err != nil && !errors.As(err, &failed) {
				t.Fatal(err)
			}
			cfg := scriptConfig(crashed)
			cfg.Recovery = log.RecoverPowerLoss
			if _, err := either(cfg, old, to.offset, to.raftIndex, to.epoch, 0); err != nil {
				t.Fatalf("operation %d, then power loss: %v", n, err)
			}
		}
	}
}

// TestResetDamaged: a decision that cannot be read is damage, since it was on disk
// before it got its name; readers do not finish one.
func TestResetDamaged(t *testing.T) {
	mem, inj := vfs.NewMem(), vfs.NewInjector()
	l, err := log.Open(scriptConfig(vfs.Inject(mem, inj)))
	if err != nil {
		t.Fatal(err)
	}
	inj.Add(vfs.Rule{Kinds: vfs.OpCreate, Path: "*.log", Err: syscall.EIO})
	if err := l.ResetTo(5, 5, 5); err == nil {
		t.Fatal("the reset went through")
	}
	_ = l.Close() // it has failed
	if _, err := log.OpenReadOnly("/data/log", mem, nil); err == nil {
		t.Error("opened for reading amid a reset")
	}
	b, err := vfs.ReadFile(mem, "/data/log/reset")
	if err != nil {
		t.Fatal(err)
	}
	b[9] ^= 1
	if err := vfs.ReplaceFile(mem, "/data/log/reset", b); err != nil {
		t.Fatal(err)
	}
	var corrupt *log.CorruptError
	if _, err := log.Open(scriptConfig(mem)); !errors.As(err, &corrupt) {
		t.Errorf("damaged: %v", err)
	}
	b[9] ^= 1
	if err := vfs.ReplaceFile(mem, "/data/log/reset", b); err != nil {
		t.Fatal(err)
	}
	if l, err = log.Open(scriptConfig(mem)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(isEmpty(l, 5, 5, 5), l.Close()); err != nil {
		t.Error(err)
	}
}

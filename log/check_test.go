package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"weir/log"
	"weir/segment/vfs"
)

// damaged is a log of several segments with damage of every kind that can be mended, and its records.
func damaged(t *testing.T) (mem *vfs.Mem, records []byte) {
	t.Helper()
	mem = vfs.NewMem()
	cfg := scriptConfig(mem)
	cfg.TopicID, cfg.Partition = [16]byte{9}, 4
	cfg.Settings.SegmentBytes = 2 << 10
	l, err := log.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := batches(t)
	for range 80 {
		if err := put(l, 1, b(3)); err != nil {
			t.Fatal(err)
		}
	}
	if records, err = bytesOf(l, l.LogEndOffset()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := mem.ReadDir(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var segments []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".log") {
			segments = append(segments, cfg.Dir+"/"+e.Name())
		}
	}
	if len(segments) < 4 {
		t.Fatal(segments)
	}
	index := func(i int, ext string) string { return strings.TrimSuffix(segments[i], ".log") + ext }
	write(t, mem, index(0, ".index"), 20, []byte{1})
	if err := mem.Remove(index(1, ".timeindex")); err != nil {
		t.Fatal(err)
	}
	write(t, mem, cfg.Dir+"/checkpoint", 20, []byte{7})
	write(t, mem, cfg.Dir+"/checkpoint", 32<<10+20, []byte{7})
	write(t, mem, segments[0]+".deleted", 0, []byte("old"))
	last := segments[len(segments)-1]
	info, err := mem.Stat(last)
	if err != nil {
		t.Fatal(err)
	}
	write(t, mem, last, info.Size(), records[:40])
	if err := mem.SyncDir(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	return mem, records
}

func write(t *testing.T, fsys vfs.FS, name string, at int64, b []byte) {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err == nil {
		_, err = f.WriteAt(b, at)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mended checks that a log is sound, and has the records.
func mended(t *testing.T, fsys vfs.FS, records []byte) {
	t.Helper()
	c, err := log.Check("/data/log", fsys, log.RecoverProcessCrash)
	if err != nil || !c.Sound() {
		t.Fatalf("%v, %+v", err, c)
	}
	l, err := log.OpenReadOnly("/data/log", fsys, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, err := bytesOf(l, l.LogEndOffset()); err != nil || !bytes.Equal(got, records) {
		t.Fatalf("%v, or other records", err)
	}
}

// TestMend: what Check finds, Mend mends; afterwards there is nothing to find, and the records are the same.
func TestMend(t *testing.T) {
	mem, records := damaged(t)
	c, err := log.Check("/data/log", mem, log.RecoverProcessCrash)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []log.Kind
	for _, f := range c.Findings {
		kinds = append(kinds, f.Kind)
	}
	if want := []log.Kind{log.Leftover, log.BadCheckpoint, log.BadIndex, log.BadIndex, log.Torn}; !slices.Equal(kinds, want) {
		t.Fatalf("found %v, want %v", c.Findings, want)
	}
	if c.TopicID != [16]byte{9} || c.Partition != 4 || c.Start != 0 || c.End != 240 || c.TornBytes <= 0 {
		t.Errorf("%+v", c)
	}
	if err := log.Mend("/data/log", mem, c); err != nil {
		t.Fatal(err)
	}
	mended(t, mem, records)
}

// TestMendInterrupted: after a crash at any operation of Mend, whether the machine stays up or not, what is left can be
// mended, and is the same log.
func TestMendInterrupted(t *testing.T) {
	for n := 1; ; n++ {
		mem, records := damaged(t)
		inj := vfs.NewInjector()
		c, err := log.Check("/data/log", mem, log.RecoverProcessCrash)
		if err != nil {
			t.Fatal(err)
		}
		inj.Add(vfs.Rule{Kinds: vfs.OpChanging, Nth: n, Times: -1, Err: syscall.EIO})
		if err := log.Mend("/data/log", vfs.Inject(mem, inj), c); err == nil {
			if n < 20 {
				t.Errorf("only %d operations could fail", n-1)
			}
			return
		}
		for seed := range uint64(3) {
			for _, left := range []*vfs.Mem{mem.ProcessCrashClone(), mem.CrashClone(vfs.CrashOptions{Seed: seed})} {
				again, err := log.Check("/data/log", left, log.RecoverProcessCrash)
				if err == nil {
					err = log.Mend("/data/log", left, again)
				}
				if err != nil {
					t.Fatal(fmt.Errorf("operation %d fails: %w", n, err))
				}
				mended(t, left, records)
			}
		}
	}
}

// TestMendRefuses: damage in the middle is nothing to mend, and nothing is changed.
func TestMendRefuses(t *testing.T) {
	mem, _ := damaged(t)
	write(t, mem, "/data/log/00000000000000000000.log", 700, []byte("xxxx"))
	c, err := log.Check("/data/log", mem, log.RecoverProcessCrash)
	if err != nil || !c.Has(log.Corrupt) {
		t.Fatalf("%v, %+v", err, c)
	}
	inj := vfs.NewInjector()
	inj.Add(vfs.Rule{Kinds: vfs.OpChanging, Times: -1, Err: syscall.EIO})
	var corrupt *log.CorruptError
	if err := log.Mend("/data/log", vfs.Inject(mem, inj), c); !errors.As(err, &corrupt) {
		t.Errorf("got %v, want *CorruptError before anything is done", err)
	}
}

// TestCheckAfterPowerLoss: a bad frame with whole ones behind it, past the recovery point, is what a power loss leaves of
// writes that nobody waited for, and is cut; after the death of a process it is damage.
func TestCheckAfterPowerLoss(t *testing.T) {
	mem := vfs.NewMem()
	cfg := scriptConfig(mem)
	l, err := log.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := batches(t)
	var at []int64
	for range 10 {
		at = append(at, l.SizeBytes())
		if err := put(l, 1, b(3)); err != nil {
			t.Fatal(err)
		}
	}
	left := mem.ProcessCrashClone()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := left.ReadDir(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), ".log") })
	write(t, left, cfg.Dir+"/"+entries[i].Name(), at[6]+30, []byte{0xff, 0xff})
	for recovery, want := range map[log.RecoveryMode]log.Kind{log.RecoverPowerLoss: log.Torn, log.RecoverProcessCrash: log.Corrupt, log.RecoverClean: log.Corrupt} {
		c, err := log.Check(cfg.Dir, left, recovery)
		if err != nil || !c.Has(want) {
			t.Errorf("%v: %v, %+v, want %s", recovery, err, c.Findings, want)
		}
	}
	c, err := log.Check(cfg.Dir, left, log.RecoverPowerLoss)
	if err == nil {
		err = log.Mend(cfg.Dir, left, c)
	}
	if err != nil {
		t.Fatal(err)
	}
	if c, err = log.Check(cfg.Dir, left, log.RecoverProcessCrash); err != nil || !c.Sound() || c.End != 18 {
		t.Errorf("mended: %v, %+v", err, c)
	}
}

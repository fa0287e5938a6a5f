package log_test

import (
	"errors"
	"syscall"
	"testing"

	"weir/log"
	"weir/log/logtest"
	"weir/segment/vfs"
)

// TestNamesAreDurable: a process may die between a name and its sync, and the
// next one's records are as safe as the names that lead to them.
func TestNamesAreDurable(t *testing.T) {
	for name, die := range map[string]func(t *testing.T, mem *vfs.Mem){
		"folder": func(t *testing.T, mem *vfs.Mem) {
			if err := errors.Join(vfs.MkdirAllSync(mem, "/data", 0o755), mem.MkdirAll("/data/log", 0o755)); err != nil {
				t.Fatal(err)
			}
		},
		"first segment": func(t *testing.T, mem *vfs.Mem) {
			inj := vfs.NewInjector(vfs.Rule{Kinds: vfs.OpSyncDir, Path: "log", Err: syscall.EIO})
			if _, err := log.Open(log.Config{Dir: "/data/log", FS: vfs.Inject(mem, inj)}); !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
		},
		"next segment": func(t *testing.T, mem *vfs.Mem) {
			inj := vfs.NewInjector()
			l, err := log.Open(log.Config{Dir: "/data/log", FS: vfs.Inject(mem, inj)})
			if err != nil {
				t.Fatal(err)
			}
			appendBatch(t, l, 1, logtest.Batch(t, 1, 1, "x"))
			inj.Add(vfs.Rule{Kinds: vfs.OpSyncDir, Path: "log", Err: syscall.EIO})
			if err := l.Roll(); !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			die(t, mem)
			mem = mem.ProcessCrashClone()
			l, err := log.Open(log.Config{Dir: "/data/log", FS: mem, Recovery: log.RecoverProcessCrash})
			if err != nil {
				t.Fatal(err)
			}
			appendBatch(t, l, 1, logtest.Batch(t, 1, 1, "x"))
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			want := l.DurableOffset()
			again, err := log.Open(log.Config{Dir: "/data/log", FS: mem.CrashClone(vfs.CrashOptions{}), Recovery: log.RecoverPowerLoss})
			if err != nil {
				t.Fatal(err)
			}
			if again.LogEndOffset() != want {
				t.Errorf("log end %d after a power loss, %d was durable", again.LogEndOffset(), want)
			}
			if err := errors.Join(again.Close(), l.Close()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

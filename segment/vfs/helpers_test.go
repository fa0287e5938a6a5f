package vfs

import (
	"syscall"
	"testing"
)

// A process dies at its n-th operation while it makes a path, the next one makes it again and the
// power goes: the path is there, for every n.
func TestMkdirAllSyncAfterAProcessThatDied(t *testing.T) {
	for n := 1; ; n++ {
		m := NewMem()
		err := MkdirAllSync(Inject(m, NewInjector(Rule{Nth: n, Err: syscall.EIO, Times: -1})), "/a/b/c", 0o755)
		next := m.ProcessCrashClone()
		check(t, MkdirAllSync(next, "a/b/c", 0o755))
		if _, err := next.CrashClone(CrashOptions{}).Stat("/a/b/c"); err != nil {
			t.Fatalf("died at operation %d: %v", n, err)
		}
		if err == nil {
			if n < 10 {
				t.Fatalf("only %d operations", n-1)
			}
			return
		}
	}
}

// A directory above that may not be read is no reason not to start.
func TestMkdirAllSyncBelowAnUnreadableDirectory(t *testing.T) {
	m := NewMem()
	check(t, m.MkdirAll("/srv/data", 0o755))
	fsys := Inject(m, NewInjector(Rule{Kinds: OpSyncDir, Path: "srv", Err: syscall.EACCES}))
	check(t, MkdirAllSync(fsys, "/srv/data/topics", 0o755))
	fsys = Inject(m, NewInjector(Rule{Kinds: OpSyncDir, Path: "data", Err: syscall.EACCES}))
	wantErr(t, MkdirAllSync(fsys, "/srv/data/other", 0o755), syscall.EACCES)
}

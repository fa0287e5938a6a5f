package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// every does one operation of each kind, in the order of the kinds, and returns their errors.
func every(fsys FS) []error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	made, err := fsys.OpenFile("/f", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return []error{err}
	}
	add(made.Close())
	f, err := fsys.OpenFile("/f", os.O_RDWR, 0)
	add(err)
	if err != nil {
		return errs
	}
	_, err = fsys.Stat("/f")
	add(err)
	_, err = fsys.ReadDir("/")
	add(err)
	add(fsys.MkdirAll("/d", 0o755))
	add(fsys.Rename("/f", "/g"))
	add(fsys.Remove("/g"))
	add(fsys.RemoveAll("/d"))
	add(fsys.SyncDir("/"))
	lock, err := fsys.Lock("/LOCK")
	add(err)
	if err == nil {
		add(lock.Close())
	}
	_, _, err = fsys.FreeBytes("/")
	add(err)
	_, err = f.WriteAt([]byte("abc"), 5)
	add(err)
	_, err = f.WritevAt([][]byte{[]byte("de"), []byte("fg")}, 8)
	add(err)
	_, err = f.ReadAt(make([]byte, 4), 5)
	add(err)
	add(f.Sync())
	add(f.Truncate(7))
	add(f.Preallocate(1, 9))
	_, err = f.Size()
	add(err)
	add(f.Close())
	return errs
}

func TestTraceAndCount(t *testing.T) {
	inj := NewInjector()
	check(t, errors.Join(every(Inject(NewMem(), inj))...))
	var got []string
	for _, op := range inj.Trace() {
		got = append(got, fmt.Sprint(op.Kind, " ", op.Path, " ", op.NewPath, " ", op.Offset, " ", op.Length))
	}
	want := strings.Split("create /f  0 0|close /f  0 0|open /f  0 0|stat /f  0 0|readdir /  0 0|mkdir /d  0 0|rename /f /g 0 0|"+
		"remove /g  0 0|remove /d  0 0|syncdir /  0 0|lock /LOCK  0 0|freebytes /  0 0|write /f  5 3|write /f  8 4|read /f  5 4|"+
		"sync /f  0 0|truncate /f  0 7|preallocate /f  1 9|size /f  0 0|close /f  0 0", "|")
	if !slices.Equal(got, want) {
		t.Errorf("trace is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := inj.Count(OpWrite); n != 2 {
		t.Errorf("%d writes, want 2", n)
	}
	if n := inj.Count(OpChanging); n != 11 {
		t.Errorf("%d changing operations, want 11", n)
	}
	if s := (OpWrite | OpSync).String(); s != "write|sync" {
		t.Errorf("got %q", s)
	}
}

// The n-th operation fails, whatever it is, and those around it do not.
func TestEveryOperationCanFail(t *testing.T) {
	count := func() int {
		inj := NewInjector()
		check(t, errors.Join(every(Inject(NewMem(), inj))...))
		return len(inj.Trace())
	}()
	for n := 1; n <= count; n++ {
		inj := NewInjector(Rule{Nth: n, Err: syscall.EIO})
		err := errors.Join(every(Inject(NewMem(), inj))...)
		wantErr(t, err, syscall.EIO)
		failed := 0
		for i, op := range inj.Trace() {
			if op.Err != nil {
				failed++
				if i != n-1 {
					t.Errorf("operation %d failed, want %d", i+1, n)
				}
			}
		}
		if failed != 1 {
			t.Errorf("rule %d: %d operations failed", n, failed)
		}
	}
}

func TestRules(t *testing.T) {
	cases := []struct {
		name  string
		rules []Rule
		want  string // a letter for each sync of a, b, a, b, a, b: f for failed
	}{
		{"none", nil, "......"},
		{"first", []Rule{{Kinds: OpSync, Err: syscall.EIO}}, "f....."},
		{"third", []Rule{{Kinds: OpSync, Nth: 3, Err: syscall.EIO}}, "..f..."},
		{"two from the second", []Rule{{Kinds: OpSync, Nth: 2, Times: 2, Err: syscall.EIO}}, ".ff..."},
		{"all from the fourth", []Rule{{Kinds: OpSync, Nth: 4, Times: -1, Err: syscall.EIO}}, "...fff"},
		{"by path", []Rule{{Kinds: OpSync, Path: "b", Nth: 2, Err: syscall.EIO}}, "...f.."},
		{"by pattern", []Rule{{Path: "[a-z]", Kinds: OpSync | OpWrite, Times: 3, Err: syscall.EIO}}, "fff..."},
		{"another kind", []Rule{{Kinds: OpTruncate, Err: syscall.EIO}}, "......"},
		{"two rules", []Rule{{Kinds: OpSync, Path: "a", Err: syscall.EIO}, {Kinds: OpSync, Nth: 6, Err: syscall.EIO}}, "f....f"},
	}
	for _, c := range cases {
		inj := NewInjector()
		fsys := Inject(NewMem(), inj)
		a, b := create(t, fsys, "/a"), create(t, fsys, "/b")
		inj.Add(c.rules...)
		got := ""
		for i := range 6 {
			if err := []File{a, b}[i%2].Sync(); err == nil {
				got += "."
			} else {
				wantErr(t, err, syscall.EIO)
				got += "f"
			}
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		inj.Clear()
		check(t, a.Sync())
	}
}

func TestRuleHitsRenameByItsNewName(t *testing.T) {
	fsys := Inject(NewMem(), NewInjector(Rule{Kinds: OpRename, Path: "*.log", Err: syscall.EIO}))
	put(t, fsys, "/a.tmp", "1")
	wantErr(t, fsys.Rename("/a.tmp", "/a.log"), syscall.EIO)
	wantText(t, fsys, "/a.tmp", "1")
}

func TestShortReadsAndWrites(t *testing.T) {
	m := NewMem()
	inj := NewInjector()
	f := create(t, Inject(m, inj), "/a")
	inj.Add(Rule{Kinds: OpWrite, ShortBytes: 3})
	n, err := f.WritevAt([][]byte{[]byte("ab"), []byte("cd"), []byte("ef")}, 0)
	wantErr(t, err, io.ErrShortWrite)
	if n != 3 {
		t.Fatalf("wrote %d", n)
	}
	wantText(t, m, "/a", "abc")
	inj.Add(Rule{Kinds: OpWrite, ShortBytes: 1, Err: syscall.ENOSPC})
	n, err = f.WriteAt([]byte("XY"), 3)
	if n != 1 || !IsNoSpace(err) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	wantText(t, m, "/a", "abcX")
	inj.Add(Rule{Kinds: OpWrite, ShortBytes: 100})
	n, err = f.WriteAt([]byte("12"), 0) // all of it, and still an error
	wantErr(t, err, io.ErrShortWrite)
	if n != 2 {
		t.Fatalf("wrote %d", n)
	}
	inj.Add(Rule{Kinds: OpRead, ShortBytes: 2})
	b := make([]byte, 4)
	n, err = f.ReadAt(b, 0)
	wantErr(t, err, io.ErrUnexpectedEOF)
	if n != 2 || string(b[:n]) != "12" {
		t.Fatalf("read %q", b[:n])
	}
	inj.Add(Rule{Kinds: OpRead, Err: syscall.EIO})
	n, err = f.ReadAt(b, 0)
	wantErr(t, err, syscall.EIO)
	if n != 0 {
		t.Fatalf("read %d", n)
	}
}

// After a failed sync the bytes are seen and lost: a second sync that succeeds proves nothing.
func TestFailedSyncLosesWrites(t *testing.T) {
	m := NewMem()
	inj := NewInjector()
	fsys := Inject(m, inj)
	f := create(t, fsys, "/a")
	_, err := f.WriteAt([]byte("good"), 0)
	check(t, err)
	check(t, f.Sync())
	check(t, fsys.SyncDir("/"))
	_, err = f.WriteAt([]byte("lost"), 4)
	check(t, err)
	inj.Add(Rule{Kinds: OpSync, Err: syscall.EIO})
	wantErr(t, f.Sync(), syscall.EIO)
	check(t, f.Sync())
	wantText(t, m, "/a", "goodlost")
	wantText(t, m.CrashClone(CrashOptions{}), "/a", "good\x00\x00\x00\x00")
}

func TestGateHoldsOperationsUp(t *testing.T) {
	gate := NewGate()
	m := NewMem()
	fsys := Inject(m, NewInjector(Rule{Kinds: OpSync, Gate: gate, Times: -1}))
	f := create(t, fsys, "/a")
	done := make(chan error)
	for range 2 {
		go func() { done <- f.Sync() }()
	}
	<-gate.Entered()
	_, err := f.WriteAt([]byte("others go on"), 0)
	check(t, err)
	select {
	case err := <-done:
		t.Fatalf("passed a closed gate: %v", err)
	default:
	}
	gate.Open()
	gate.Open()
	check(t, <-done)
	check(t, <-done)
	check(t, f.Sync())
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := Inject(NewMem(), NewInjector(Rule{Kinds: OpSyncDir, Delay: 3 * time.Second}))
		start := time.Now()
		check(t, fsys.SyncDir("/"))
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
		check(t, fsys.SyncDir("/"))
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("the second was delayed as well: %v", took)
		}
	})
}

// ReplaceFile with its n-th operation failing, for every n: the file is the old one or the new one,
// now and after a power loss.
func TestReplaceFileFailsWhole(t *testing.T) {
	for n := 1; ; n++ {
		m := NewMem()
		check(t, ReplaceFile(m, "/a", []byte("old")))
		inj := NewInjector(Rule{Nth: n, Err: syscall.EIO})
		err := ReplaceFile(Inject(m, inj), "/a", []byte("new"))
		for _, fsys := range []*Mem{m, m.CrashClone(CrashOptions{}), m.CrashClone(CrashOptions{Seed: uint64(n)})} {
			got, readErr := ReadFile(fsys, "/a")
			check(t, readErr)
			if string(got) != "new" && (string(got) != "old" || err == nil) {
				t.Fatalf("operation %d fails: %q is left, error %v", n, got, err)
			}
		}
		if err == nil {
			if n < 6 {
				t.Fatalf("only %d operations", n-1)
			}
			return
		}
		check(t, ReplaceFile(m, "/a", []byte("again"))) // what is left behind is in nobody's way
	}
}

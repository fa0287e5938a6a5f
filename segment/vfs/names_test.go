package vfs

import (
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func testNames(t *testing.T, fsys FS, dir string) {
	deep := filepath.Join(dir, "x", "y", "z")
	check(t, fsys.MkdirAll(deep, 0o755))
	check(t, fsys.MkdirAll(deep, 0o755))
	info, err := fsys.Stat(deep)
	check(t, err)
	if !info.IsDir() || info.Name() != "z" {
		t.Fatalf("got %v", info)
	}
	file := filepath.Join(deep, "f")
	put(t, fsys, file, "1")
	wantErr(t, fsys.MkdirAll(file, 0o755), syscall.ENOTDIR)
	wantErr(t, fsys.MkdirAll(filepath.Join(file, "g"), 0o755), syscall.ENOTDIR)
	wantErr(t, fsys.Remove(deep), syscall.ENOTEMPTY)
	check(t, fsys.Remove(file))
	wantErr(t, fsys.Remove(file), fs.ErrNotExist)
	_, err = fsys.Stat(file)
	wantErr(t, err, fs.ErrNotExist)
	check(t, fsys.Remove(deep))
	put(t, fsys, filepath.Join(dir, "x", "f"), "1")
	check(t, fsys.RemoveAll(filepath.Join(dir, "x")))
	check(t, fsys.RemoveAll(filepath.Join(dir, "x")))
	check(t, fsys.RemoveAll(filepath.Join(dir, "x", "y")))
	_, err = fsys.Stat(filepath.Join(dir, "x"))
	wantErr(t, err, fs.ErrNotExist)
	wantErr(t, fsys.SyncDir(filepath.Join(dir, "x")), fs.ErrNotExist)
	put(t, fsys, filepath.Join(dir, "f"), "1")
	wantErr(t, fsys.SyncDir(filepath.Join(dir, "f")), syscall.ENOTDIR)
}

func testReadDir(t *testing.T, fsys FS, dir string) {
	put(t, fsys, filepath.Join(dir, "b"), "12")
	put(t, fsys, filepath.Join(dir, "c"), "")
	check(t, fsys.MkdirAll(filepath.Join(dir, "a"), 0o755))
	entries, err := fsys.ReadDir(dir)
	check(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"a", "b", "c"}) || !entries[0].IsDir() || entries[1].IsDir() {
		t.Fatalf("got %v", entries)
	}
	info, err := entries[1].Info()
	check(t, err)
	if info.Size() != 2 {
		t.Fatalf("got %v", info)
	}
	_, err = fsys.ReadDir(filepath.Join(dir, "none"))
	wantErr(t, err, fs.ErrNotExist)
	_, err = fsys.ReadDir(filepath.Join(dir, "b"))
	wantErr(t, err, syscall.ENOTDIR)
}

func testRename(t *testing.T, fsys FS, dir string) {
	a, b, sub := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "sub")
	put(t, fsys, a, "A")
	put(t, fsys, b, "B")
	check(t, fsys.MkdirAll(sub, 0o755))
	check(t, fsys.Rename(a, b))
	wantText(t, fsys, b, "A")
	wantErr(t, fsys.Rename(a, b), fs.ErrNotExist)
	check(t, fsys.Rename(b, b))
	wantText(t, fsys, b, "A")
	check(t, fsys.Rename(b, filepath.Join(sub, "c")))
	wantText(t, fsys, filepath.Join(sub, "c"), "A")
	wantErr(t, fsys.Rename(sub, filepath.Join(sub, "inside")), syscall.EINVAL)
	put(t, fsys, a, "A")
	wantErr(t, fsys.Rename(a, sub), fs.ErrExist)
	wantErr(t, fsys.Rename(sub, a), syscall.ENOTDIR)
	check(t, fsys.Rename(sub, filepath.Join(dir, "moved")))
	wantText(t, fsys, filepath.Join(dir, "moved", "c"), "A")
}

func testUnlinked(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, "a")
	f := create(t, fsys, name)
	_, err := f.WriteAt([]byte("old"), 0)
	check(t, err)
	check(t, fsys.Remove(name))
	put(t, fsys, name, "new")
	b := make([]byte, 3)
	_, err = f.ReadAt(b, 0)
	check(t, err)
	if string(b) != "old" {
		t.Fatalf("got %q", b)
	}
	check(t, f.Close())
	wantText(t, fsys, name, "new")
}

func testLock(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, "LOCK")
	lock, err := fsys.Lock(name)
	check(t, err)
	_, err = fsys.Lock(name)
	wantErr(t, err, ErrLocked)
	check(t, lock.Close())
	again, err := fsys.Lock(name)
	check(t, err)
	check(t, lock.Close()) // closing the old one twice does not free the new one
	_, err = fsys.Lock(name)
	wantErr(t, err, ErrLocked)
	check(t, again.Close())
	_, err = fsys.Lock(filepath.Join(dir, "none", "LOCK"))
	wantErr(t, err, fs.ErrNotExist)
}

func testFreeBytes(t *testing.T, fsys FS, dir string) {
	free, total, err := fsys.FreeBytes(dir)
	check(t, err)
	if free <= 0 || total < free {
		t.Fatalf("got %d of %d", free, total)
	}
	_, _, err = fsys.FreeBytes(filepath.Join(dir, "none"))
	wantErr(t, err, fs.ErrNotExist)
}

func testReplaceFile(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, "meta")
	for _, text := range []string{"a longer first text", "second", ""} {
		check(t, ReplaceFile(fsys, name, []byte(text)))
		wantText(t, fsys, name, text)
	}
	entries, err := fsys.ReadDir(dir)
	check(t, err)
	if len(entries) != 1 {
		t.Fatalf("left behind: %v", entries)
	}
	_, err = ReadFile(fsys, filepath.Join(dir, "none"))
	wantErr(t, err, fs.ErrNotExist)
}

func testMkdirAllSync(t *testing.T, fsys FS, dir string) {
	deep := filepath.Join(dir, "x", "y")
	for range 2 {
		check(t, MkdirAllSync(fsys, deep, 0o755))
	}
	info, err := fsys.Stat(deep)
	check(t, err)
	if !info.IsDir() {
		t.Fatalf("got %v", info.Mode())
	}
	put(t, fsys, filepath.Join(deep, "f"), "1")
	wantErr(t, MkdirAllSync(fsys, filepath.Join(deep, "f", "g"), 0o755), syscall.ENOTDIR)
}

//go:build unix

package vfs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Where there is no fallocate, zeroes are written past the end and nowhere else.
func TestPreallocateByWriting(t *testing.T) {
	f := create(t, OS, filepath.Join(t.TempDir(), "a")).(*osFile)
	defer f.Close()
	_, err := f.WriteAt([]byte("data"), 0)
	check(t, err)
	check(t, f.preallocateZeroes(0, 3<<20))
	wantSize(t, f, 3<<20)
	check(t, f.preallocateZeroes(2, 2))
	wantText(t, OS, f.Name(), "data"+strings.Repeat("\x00", 3<<20-4))
	info, err := f.Stat()
	check(t, err)
	if held := heldBytes(info); held < 3<<20 {
		t.Errorf("%d bytes are allocated, want %d", held, 3<<20)
	}
}

func TestPreallocateReservesSpace(t *testing.T) {
	f := create(t, OS, filepath.Join(t.TempDir(), "a")).(*osFile)
	defer f.Close()
	check(t, f.Preallocate(4096, 1<<20))
	info, err := f.Stat()
	check(t, err)
	if held := heldBytes(info); held < 1<<20 {
		t.Errorf("%d bytes are allocated, want %d", held, 1<<20)
	}
}

func TestFd(t *testing.T) {
	f := create(t, OS, filepath.Join(t.TempDir(), "a"))
	defer f.Close()
	fd, ok := f.Fd()
	if !ok || fd == 0 {
		t.Fatalf("got %d, %v", fd, ok)
	}
	if fd, ok := create(t, NewMem(), "/a").Fd(); ok {
		t.Fatalf("memory has descriptor %d", fd)
	}
	again, err := OS.OpenFile(f.Name(), os.O_RDONLY, 0)
	check(t, err)
	defer again.Close()
	if other, _ := again.Fd(); other == fd {
		t.Fatal("two open files share a descriptor")
	}
}

// heldBytes returns the disk space that a file holds; st_blocks counts 512 bytes.
func heldBytes(info fs.FileInfo) int64 { return int64(info.Sys().(*syscall.Stat_t).Blocks) * 512 }

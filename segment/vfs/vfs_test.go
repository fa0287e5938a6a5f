package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// The behaviour suite: every case runs over the machine's file system and over memory.
func TestBehaviour(t *testing.T) {
	implementations := []struct {
		name string
		open func(t *testing.T) (FS, string)
	}{
		{"OS", func(t *testing.T) (FS, string) { return OS, t.TempDir() }},
		{"Mem", func(t *testing.T) (FS, string) { return newMemDir(t) }},
		{"MemClone", func(t *testing.T) (FS, string) {
			m, dir := newMemDir(t)
			return m.ProcessCrashClone(), dir
		}},
		{"Injected", func(t *testing.T) (FS, string) {
			m, dir := newMemDir(t)
			return Inject(m, NewInjector()), dir
		}},
	}
	for _, impl := range implementations {
		for _, c := range behaviour {
			t.Run(impl.name+"/"+c.name, func(t *testing.T) {
				fsys, dir := impl.open(t)
				c.run(t, fsys, dir)
			})
		}
	}
}

func newMemDir(t *testing.T) (*Mem, string) {
	m := NewMem()
	check(t, m.MkdirAll("/data", 0o755))
	return m, "/data"
}

var behaviour = []struct {
	name string
	run  func(t *testing.T, fsys FS, dir string)
}{
	{"ReadWrite", testReadWrite},
	{"Writev", testWritev},
	{"WritevManyBuffers", testWritevManyBuffers},
	{"Sizes", testSizes},
	{"Preallocate", testPreallocate},
	{"OpenFlags", testOpenFlags},
	{"Closed", testClosed},
	{"BadArguments", testBadArguments},
	{"Names", testNames},
	{"ReadDir", testReadDir},
	{"Rename", testRename},
	{"Unlinked", testUnlinked},
	{"Lock", testLock},
	{"FreeBytes", testFreeBytes},
	{"ReplaceFile", testReplaceFile},
	{"MkdirAllSync", testMkdirAllSync},
	{"AgainstModel", testAgainstModel},
	{"Concurrent", testConcurrent},
	{"CloseRace", testCloseRace},
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func create(t testing.TB, fsys FS, name string) File {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	check(t, err)
	return f
}

// put writes a whole file, without any sync.
func put(t testing.TB, fsys FS, name, text string) {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	check(t, err)
	_, err = f.WriteAt([]byte(text), 0)
	check(t, err)
	check(t, f.Close())
}

func wantText(t testing.TB, fsys FS, name, want string) {
	t.Helper()
	got, err := ReadFile(fsys, name)
	check(t, err)
	if string(got) != want {
		t.Fatalf("%s holds %.100q, want %.100q", name, got, want)
	}
}

func wantSize(t testing.TB, f File, want int64) {
	t.Helper()
	got, err := f.Size()
	check(t, err)
	if got != want {
		t.Fatalf("%s has %d bytes, want %d", f.Name(), got, want)
	}
}

func testReadWrite(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, "a")
	f := create(t, fsys, name)
	defer f.Close()
	n, err := f.WriteAt([]byte("hello"), 4094)
	check(t, err)
	if n != 5 || f.Name() != name {
		t.Fatalf("got %d, %q", n, f.Name())
	}
	wantSize(t, f, 4099)
	b := make([]byte, 7)
	n, err = f.ReadAt(b, 4092)
	check(t, err)
	if string(b[:n]) != "\x00\x00hello" {
		t.Fatalf("got %q", b[:n])
	}
	n, err = f.ReadAt(b, 4096)
	if string(b[:n]) != "llo" || err != io.EOF {
		t.Fatalf("got %q, %v, want \"llo\", EOF", b[:n], err)
	}
	if n, err := f.ReadAt(b, 5000); n != 0 || err != io.EOF {
		t.Fatalf("got %d, %v past the end", n, err)
	}
	check(t, f.Sync())
	check(t, fsys.SyncDir(dir))
}

func testWritev(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "a"))
	defer f.Close()
	bufs := [][]byte{[]byte("one"), nil, []byte("two"), {}, []byte("three")}
	n, err := f.WritevAt(bufs, 2)
	check(t, err)
	if n != 11 || string(bufs[0]) != "one" || len(bufs) != 5 || bufs[1] != nil {
		t.Fatalf("wrote %d and left the buffers as %q", n, bufs)
	}
	if n, err := f.WritevAt(nil, 100); n != 0 || err != nil {
		t.Fatalf("got %d, %v for nothing to write", n, err)
	}
	bufs[0][0] = 'X' // the file system keeps nothing of the caller's
	wantText(t, fsys, f.Name(), "\x00\x00onetwothree")
}

func testWritevManyBuffers(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "a"))
	defer f.Close()
	var bufs [][]byte
	var want []byte
	for i := range 3000 { // more than IOV_MAX
		b := bytes.Repeat([]byte{byte(i)}, i%7)
		bufs = append(bufs, b)
		want = append(want, b...)
	}
	n, err := f.WritevAt(bufs, 0)
	check(t, err)
	if n != len(want) {
		t.Fatalf("wrote %d, want %d", n, len(want))
	}
	wantText(t, fsys, f.Name(), string(want))
}

func testSizes(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "a"))
	defer f.Close()
	_, err := f.WriteAt(bytes.Repeat([]byte("x"), 10000), 0)
	check(t, err)
	check(t, f.Truncate(5000))
	check(t, f.Truncate(9000))
	wantSize(t, f, 9000)
	// What was cut off does not come back.
	wantText(t, fsys, f.Name(), string(bytes.Repeat([]byte("x"), 5000))+string(make([]byte, 4000)))
	info, err := fsys.Stat(f.Name())
	check(t, err)
	if info.Size() != 9000 || info.Name() != "a" || info.IsDir() || info.ModTime().IsZero() {
		t.Fatalf("got %v", info)
	}
}

func testPreallocate(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "a"))
	defer f.Close()
	_, err := f.WriteAt([]byte("data"), 0)
	check(t, err)
	check(t, f.Preallocate(0, 10000))
	wantSize(t, f, 10000)
	wantText(t, fsys, f.Name(), "data"+string(make([]byte, 9996)))
	check(t, f.Preallocate(100, 100))
	wantSize(t, f, 10000)
	check(t, f.Preallocate(20000, 1))
	wantSize(t, f, 20001)
	check(t, f.Truncate(4))
	wantText(t, fsys, f.Name(), "data")
}

func testOpenFlags(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, "a")
	_, err := fsys.OpenFile(name, os.O_RDWR, 0)
	wantErr(t, err, fs.ErrNotExist)
	_, err = fsys.OpenFile(filepath.Join(dir, "no", "a"), os.O_RDWR|os.O_CREATE, 0o644)
	wantErr(t, err, fs.ErrNotExist)
	put(t, fsys, name, "text")
	_, err = fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	wantErr(t, err, fs.ErrExist)
	_, err = fsys.OpenFile(filepath.Join(name, "b"), os.O_RDWR|os.O_CREATE, 0o644)
	wantErr(t, err, syscall.ENOTDIR)
	_, err = fsys.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	wantErr(t, err, syscall.EINVAL)
	for _, flag := range []int{os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREATE} {
		_, err = fsys.OpenFile(dir, flag, 0o644)
		wantErr(t, err, syscall.EISDIR)
	}
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	check(t, err)
	_, err = f.WriteAt([]byte("x"), 0)
	wantErr(t, err, syscall.EBADF)
	_, err = f.WritevAt([][]byte{[]byte("x")}, 0)
	wantErr(t, err, syscall.EBADF)
	wantErr(t, f.Preallocate(0, 10), syscall.EBADF)
	if f.Truncate(0) == nil {
		t.Fatal("truncated a read-only file")
	}
	check(t, f.Sync())
	check(t, f.Close())
	f, err = fsys.OpenFile(name, os.O_WRONLY, 0)
	check(t, err)
	_, err = f.ReadAt(make([]byte, 1), 0)
	wantErr(t, err, syscall.EBADF)
	check(t, f.Close())
	wantText(t, fsys, name, "text")
	put(t, fsys, name, "")
	wantText(t, fsys, name, "")
}

func testClosed(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "a"))
	check(t, f.Close())
	calls := map[string]func() error{
		"ReadAt":      func() error { _, err := f.ReadAt(make([]byte, 1), 0); return err },
		"WriteAt":     func() error { _, err := f.WriteAt([]byte("x"), 0); return err },
		"WritevAt":    func() error { _, err := f.WritevAt([][]byte{[]byte("x")}, 0); return err },
		"Sync":        f.Sync,
		"Truncate":    func() error { return f.Truncate(0) },
		"Preallocate": func() error { return f.Preallocate(0, 1) },
		"Size":        func() error { _, err := f.Size(); return err },
		"Close":       f.Close,
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s on a closed file: got %v", name, err)
		}
	}
}

func testBadArguments(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "a"))
	defer f.Close()
	b := []byte("x")
	_, readErr := f.ReadAt(b, -1)
	_, writeErr := f.WriteAt(b, -1)
	_, writevErr := f.WritevAt([][]byte{b}, -1)
	errs := []error{readErr, writeErr, writevErr, f.Truncate(-1), f.Preallocate(-1, 1), f.Preallocate(0, 0), f.Preallocate(0, -1)}
	for i, err := range errs {
		if err == nil {
			t.Errorf("case %d: no error", i)
		}
	}
	wantSize(t, f, 0)
}

// testAgainstModel compares random changes of one file with the same on a slice.
func testAgainstModel(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "a"))
	defer f.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	var model []byte
	grow := func(to int64) {
		if to > int64(len(model)) {
			model = append(model, make([]byte, to-int64(len(model)))...)
		}
	}
	for step := range 400 {
		off, n := rng.Int64N(20000), 1+rng.Int64N(9000)
		switch rng.IntN(5) {
		case 0:
			check(t, f.Truncate(off))
			grow(off)
			model = model[:off:off]
		case 1:
			check(t, f.Preallocate(off, n))
			grow(off + n)
		default:
			b := randomBytes(rng, n)
			_, err := f.WritevAt([][]byte{b[:n/2], b[n/2:]}, off)
			check(t, err)
			grow(off + n)
			copy(model[off:], b)
		}
		got, err := ReadFile(fsys, f.Name())
		check(t, err)
		if !bytes.Equal(got, model) {
			t.Fatalf("step %d: the file differs from the model", step)
		}
	}
}

func testConcurrent(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "shared"))
	defer f.Close()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			own := filepath.Join(dir, string(rune('a'+i)))
			for range 20 {
				block := bytes.Repeat([]byte{byte('a' + i)}, 1000)
				if _, err := f.WriteAt(block, int64(i)*1000); err != nil {
					t.Error(err)
				}
				got := make([]byte, 1000)
				if _, err := f.ReadAt(got, int64(i)*1000); err != nil || !bytes.Equal(got, block) {
					t.Errorf("read back %.10q, %v", got, err)
				}
				if err := ReplaceFile(fsys, own, block); err != nil {
					t.Error(err)
				}
				if err := errors.Join(f.Sync(), fsys.Remove(own)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// testCloseRace closes a file under its users: each of their calls works or says closed.
func testCloseRace(t *testing.T, fsys FS, dir string) {
	for range 20 {
		f := create(t, fsys, filepath.Join(dir, "a"))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					_, err := f.WritevAt([][]byte{[]byte("x"), []byte("y")}, 0)
					if err == nil {
						err = f.Preallocate(0, 2)
					}
					if err != nil {
						if !errors.Is(err, fs.ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		check(t, f.Close())
		wg.Wait()
	}
}

package mmap

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"weir/segment/vfs"
)

// The behaviour suite: every case runs over a map, over copies of a file and over copies of memory,
// and over each of them with the checks of the build tag invariants.
func TestBehaviour(t *testing.T) {
	for _, impl := range implementations {
		for _, c := range behaviour {
			t.Run(impl.name+"/"+c.name, func(t *testing.T) {
				before := MappedBytes()
				c.run(t, impl)
				if got := MappedBytes(); got != before {
					t.Errorf("%d bytes stay mapped", got-before)
				}
			})
		}
	}
}

type implementation struct {
	name    string
	inMem   bool
	mode    Mode
	checked bool
}

var implementations = []implementation{
	{name: "Map", mode: ModeMap},
	{name: "Copy", mode: ModeCopy},
	{name: "Mem", inMem: true, mode: ModeMap},
	{name: "MapChecked", mode: ModeMap, checked: true},
	{name: "CopyChecked", mode: ModeCopy, checked: true},
}

// newFile returns an empty file that the test's end closes.
func (impl implementation) newFile(t *testing.T) vfs.File {
	t.Helper()
	fsys, dir := vfs.OS, t.TempDir()
	if impl.inMem {
		fsys, dir = vfs.NewMem(), "/"
	}
	f, err := fsys.OpenFile(filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE, 0o644)
	check(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func (impl implementation) open(t *testing.T, f vfs.File, length int64) Region {
	t.Helper()
	r, err := Open(f, length, impl.mode)
	check(t, err)
	if impl.checked && !invariants {
		return &checked{Region: r, file: f}
	}
	return r
}

// text returns n bytes that differ from page to page.
func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
	return b
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

// wantView takes a view, compares it and gives it back.
func wantView(t testing.TB, r Region, pos int64, want []byte) {
	t.Helper()
	b, release, err := r.View(pos, len(want))
	check(t, err)
	if !bytes.Equal(b, want) || cap(b) != len(b) {
		t.Fatalf("view of %d at %d differs, or has room to append: cap %d", len(want), pos, cap(b))
	}
	release()
}

var behaviour = []struct {
	name string
	run  func(t *testing.T, impl implementation)
}{
	{"Views", testViews},
	{"Mode", testMode},
	{"SeesWrites", testSeesWrites},
	{"LongerThanFile", testLongerThanFile},
	{"Bounds", testBounds},
	{"Length", testLength},
	{"Close", testClose},
	{"ViewOutlivesClose", testViewOutlivesClose},
	{"FileClosedFirst", testFileClosedFirst},
	{"AdviseAndResident", testAdviseAndResident},
	{"ReadersAgainstCloser", testReadersAgainstCloser},
}

func testViews(t *testing.T, impl implementation) {
	f := impl.newFile(t)
	want := text(20000)
	_, err := f.WriteAt(want, 0)
	check(t, err)
	r := impl.open(t, f, int64(len(want)))
	defer r.Close()
	for _, at := range []struct{ pos, n int }{{0, 1}, {0, 20000}, {4095, 2}, {19999, 1}, {5000, 9000}, {20000, 0}, {7, 0}} {
		wantView(t, r, int64(at.pos), want[at.pos:at.pos+at.n])
	}
	// Two views at once do not share a buffer.
	a, releaseA, err := r.View(0, 100)
	check(t, err)
	b, releaseB, err := r.View(300, 100)
	check(t, err)
	if !bytes.Equal(a, want[:100]) || !bytes.Equal(b, want[300:400]) {
		t.Fatal("views at the same time disturb each other")
	}
	releaseA()
	releaseB()
}

func testMode(t *testing.T, impl implementation) {
	r := impl.open(t, impl.newFile(t), 10)
	defer r.Close()
	want := impl.mode
	if impl.inMem {
		want = ModeCopy // no descriptor, no map
	}
	if r.Mode() != want || r.Len() != 10 {
		t.Fatalf("got mode %v, length %d", r.Mode(), r.Len())
	}
}

func testSeesWrites(t *testing.T, impl implementation) {
	f := impl.newFile(t)
	check(t, f.Preallocate(0, 8192))
	r := impl.open(t, f, 8192)
	defer r.Close()
	wantView(t, r, 4000, make([]byte, 200))
	_, err := f.WriteAt(text(200), 4000)
	check(t, err)
	wantView(t, r, 4000, text(200))
}

func testLongerThanFile(t *testing.T, impl implementation) {
	f := impl.newFile(t)
	r := impl.open(t, f, 1<<20)
	defer r.Close()
	want := text(100000)
	for end := 0; end < len(want); end += 10000 {
		_, err := f.WriteAt(want[end:end+10000], int64(end))
		check(t, err)
		wantView(t, r, 0, want[:end+10000])
	}
}

func testBounds(t *testing.T, impl implementation) {
	f := impl.newFile(t)
	check(t, f.Truncate(1000))
	r := impl.open(t, f, 1000)
	defer r.Close()
	for _, at := range []struct{ pos, n int64 }{
		{-1, 1}, {0, -1}, {0, 1001}, {1000, 1}, {1001, 0}, {1 << 62, 1}, {1 << 62, 1 << 30}, {-1 << 63, 1}, {1, 1<<31 - 1},
	} {
		_, _, err := r.View(at.pos, int(at.n))
		wantErr(t, err, ErrBounds)
		wantErr(t, r.Advise(Random, at.pos, at.n), ErrBounds)
		_, err = r.Resident(at.pos, at.n)
		wantErr(t, err, ErrBounds)
	}
}

func testLength(t *testing.T, impl implementation) {
	f := impl.newFile(t)
	for _, length := range []int64{0, -1} {
		_, err := Open(f, length, impl.mode)
		wantErr(t, err, ErrBounds)
	}
}

func testClose(t *testing.T, impl implementation) {
	f := impl.newFile(t)
	check(t, f.Truncate(10))
	r := impl.open(t, f, 10)
	check(t, r.Close())
	check(t, r.Close())
	_, _, err := r.View(0, 1)
	wantErr(t, err, ErrClosed)
	wantErr(t, r.Advise(Normal, 0, 1), ErrClosed)
	_, err = r.Resident(0, 1)
	wantErr(t, err, ErrClosed)
}

func testViewOutlivesClose(t *testing.T, impl implementation) {
	f := impl.newFile(t)
	_, err := f.WriteAt(text(5000), 0)
	check(t, err)
	r := impl.open(t, f, 5000)
	before := MappedBytes()
	b, release, err := r.View(0, 5000)
	check(t, err)
	check(t, r.Close())
	check(t, f.Close())
	// The other view is refused although the map is still there.
	_, _, err = r.View(0, 1)
	wantErr(t, err, ErrClosed)
	if !bytes.Equal(b, text(5000)) {
		t.Fatal("the view changed with Close")
	}
	if MappedBytes() != before {
		t.Fatal("unmapped under a view")
	}
	release()
}

func testFileClosedFirst(t *testing.T, impl implementation) {
	f := impl.newFile(t)
	_, err := f.WriteAt(text(5000), 0)
	check(t, err)
	r := impl.open(t, f, 5000)
	check(t, f.Close())
	b, release, err := r.View(0, 5000)
	if r.Mode() == ModeMap {
		check(t, err)
		if !bytes.Equal(b, text(5000)) {
			t.Fatal("the map differs from the file")
		}
		release()
	} else {
		wantErr(t, err, os.ErrClosed)
	}
	check(t, r.Close())
}

func testAdviseAndResident(t *testing.T, impl implementation) {
	f := impl.newFile(t)
	want := text(100000)
	_, err := f.WriteAt(want, 0)
	check(t, err)
	r := impl.open(t, f, 1<<20)
	defer r.Close()
	for _, advice := range []Advice{Normal, Random, Sequential, WillNeed, Populate} {
		check(t, r.Advise(advice, 5001, 50000))
		check(t, r.Advise(advice, 0, 0))
	}
	wantView(t, r, 0, want)
	for _, at := range []struct{ pos, n int64 }{{0, 100000}, {4097, 1}, {99999, 1}, {50, 0}} {
		resident, err := r.Resident(at.pos, at.n)
		check(t, err)
		if !resident {
			t.Errorf("%d bytes at %d, just written and read, are not resident", at.n, at.pos)
		}
	}
	if r.Mode() == ModeMap && runtime.GOOS == "linux" {
		resident, err := r.Resident(90000, 900000)
		check(t, err)
		if resident {
			t.Error("pages past the end of the file are resident")
		}
	}
}

// testReadersAgainstCloser closes a region under its readers. Each view is whole or refused, and
// no map is left or gone early.
func testReadersAgainstCloser(t *testing.T, impl implementation) {
	f := impl.newFile(t)
	want := text(9000)
	_, err := f.WriteAt(want, 0)
	check(t, err)
	for range 20 {
		r := impl.open(t, f, 9000)
		var wg sync.WaitGroup
		var views atomic.Int64
		started := make(chan struct{})
		for range 4 {
			wg.Go(func() {
				for {
					b, release, err := r.View(0, 9000)
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil || !bytes.Equal(b, want) {
						t.Errorf("got %d bytes, %v", len(b), err)
						return
					}
					if views.Add(1) == 4 {
						close(started)
					}
					if _, err := r.Resident(0, 9000); err != nil && !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					release()
				}
			})
		}
		<-started
		for range 2 {
			wg.Go(func() {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

func TestCount(t *testing.T) {
	var c count
	if c.tryAcquire() {
		t.Fatal("acquired at zero")
	}
	c.holders.Store(1)
	if !c.tryAcquire() || c.release() || !c.release() {
		t.Fatal("wrong count")
	}
	if c.tryAcquire() {
		t.Fatal("came back from zero")
	}
	defer func() {
		if recover() == nil {
			t.Fatal("one release too many went unseen")
		}
	}()
	c.release()
}

func TestCheckedManglesAtRelease(t *testing.T) {
	for _, impl := range implementations {
		if !impl.checked && !invariants {
			continue
		}
		f := impl.newFile(t)
		_, err := f.WriteAt(text(100), 0)
		check(t, err)
		r := impl.open(t, f, 100)
		b, release, err := r.View(10, 50)
		check(t, err)
		release()
		if !bytes.Equal(b, bytes.Repeat([]byte{mangled}, 50)) {
			t.Errorf("%s: a released view still reads as %x", impl.name, b)
		}
		wantView(t, r, 10, text(100)[10:60])
		wantPanic(t, "second release", release)
		check(t, r.Close())
	}
}

// Past the end of the file a map would die of SIGBUS; the check says where, the copy says so.
func TestPastTheEndOfTheFile(t *testing.T) {
	impl := implementation{mode: ModeMap, checked: true}
	f := impl.newFile(t)
	check(t, f.Truncate(100))
	r := impl.open(t, f, 10000)
	defer r.Close()
	wantPanic(t, "view past the end", func() { r.View(50, 51) })
	c := implementation{mode: ModeCopy}.open(t, f, 10000)
	defer c.Close()
	_, _, err := c.View(50, 51)
	wantErr(t, err, ErrBounds)
}

func wantPanic(t *testing.T, what string, call func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	call()
}

// A file that cannot be read at all is an error and no map.
func TestOpenFails(t *testing.T) {
	f, err := vfs.OS.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_WRONLY|os.O_CREATE, 0o644)
	check(t, err)
	defer f.Close()
	before := MappedBytes()
	if r, err := Open(f, 10, ModeMap); err == nil {
		t.Fatalf("mapped a write-only file: %v", r.Mode())
	}
	if MappedBytes() != before {
		t.Fatal("a failed map is counted")
	}
}

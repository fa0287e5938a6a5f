package vfs

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
)

func TestDiskFull(t *testing.T) {
	m := NewMem()
	m.SetCapacity(4 * pageBytes)
	f := create(t, m, "/a")
	defer f.Close()
	check(t, f.Preallocate(0, 2*pageBytes))
	wantErr(t, f.Preallocate(0, 5*pageBytes), syscall.ENOSPC)
	wantSize(t, f, 2*pageBytes)
	wantFree(t, m, 2*pageBytes)

	// What fits goes in; the rest is an error that says so.
	n, err := f.WriteAt(make([]byte, 4*pageBytes), pageBytes+10)
	wantErr(t, err, syscall.ENOSPC)
	if !IsNoSpace(err) || n != 3*pageBytes-10 {
		t.Fatalf("wrote %d, %v", n, err)
	}
	wantSize(t, f, 4*pageBytes)
	wantFree(t, m, 0)
	n, err = f.WritevAt([][]byte{[]byte("a"), []byte("b")}, 4*pageBytes)
	wantErr(t, err, syscall.ENOSPC)
	if n != 0 {
		t.Fatalf("wrote %d", n)
	}
	_, err = f.WriteAt([]byte("what is allocated can be written"), 0)
	check(t, err)

	put(t, m, "/empty", "")
	check(t, f.Truncate(3*pageBytes-1))
	wantFree(t, m, pageBytes)
	m.SetCapacity(2 * pageBytes)
	wantFree(t, m, 0)
	m.SetCapacity(10 * pageBytes)
	wantFree(t, m, 7*pageBytes)
}

func wantFree(t *testing.T, m *Mem, want int64) {
	t.Helper()
	free, _, err := m.FreeBytes("/")
	check(t, err)
	if free != want {
		t.Fatalf("%d bytes are free, want %d", free, want)
	}
}

// Space comes back with the last name and the last handle, in either order.
func TestSpaceOfRemovedFiles(t *testing.T) {
	m := NewMem()
	m.SetCapacity(10 * pageBytes)
	f := create(t, m, "/a")
	check(t, f.Preallocate(0, 3*pageBytes))
	check(t, m.Remove("/a"))
	wantFree(t, m, 7*pageBytes)
	if _, total, err := m.ProcessCrashClone().FreeBytes("/"); err != nil || total != 10*pageBytes {
		t.Fatalf("the clone has %d, %v", total, err)
	}
	wantFree(t, m.ProcessCrashClone(), 10*pageBytes)
	check(t, f.Close())
	wantFree(t, m, 10*pageBytes)

	put(t, m, "/a", "1")
	put(t, m, "/b", "2")
	wantFree(t, m, 8*pageBytes)
	check(t, m.Rename("/a", "/c"))
	wantFree(t, m, 8*pageBytes)
	check(t, m.Rename("/c", "/b"))
	wantFree(t, m, 9*pageBytes)
	run(t, m, "sync b\n syncdir /\n mkdir d\n write d/x 1")
	wantFree(t, m, 8*pageBytes)
	wantFree(t, m.CrashClone(CrashOptions{}), 9*pageBytes)
	check(t, m.RemoveAll("/d"))
	check(t, m.RemoveAll("/b"))
	wantFree(t, m, 10*pageBytes)
}

// A preallocated file costs no memory before it is written, nor do its clones.
func TestPreallocatedFilesAreSparse(t *testing.T) {
	m := NewMem()
	f := create(t, m, "/a")
	check(t, f.Preallocate(0, 1<<40))
	_, err := f.WriteAt([]byte("x"), 5000)
	check(t, err)
	check(t, f.Sync())
	check(t, m.SyncDir("/"))
	g := create(t, m.CrashClone(CrashOptions{Seed: 1}), "/a")
	wantSize(t, g, 1<<40)
	b := make([]byte, 3)
	_, err = g.ReadAt(b, 4999)
	check(t, err)
	if string(b) != "\x00x\x00" {
		t.Fatalf("got %q", b)
	}
	_, err = g.ReadAt(b, 1<<39)
	check(t, err)
	if !allZero(b) {
		t.Fatalf("got %q", b)
	}
}

// Changes in directories that are gone for good are forgotten, and only those.
func TestRemovedDirectoriesLeaveNothingPending(t *testing.T) {
	m := NewMem()
	for range 3 {
		run(t, m, "mkdir d/e\n write d/e/a 1\n syncdir /\n rmall d\n write b 1\n syncdir /")
		if len(m.pending) != 0 {
			t.Fatalf("%d changes are pending", len(m.pending))
		}
	}
	run(t, m, "mkdir d/e\n mkdir k\n syncdir d\n syncdir /\n write d/e/a 1\n sync d/e/a\n mv d/e/a k/a\n rmall d\n syncdir /")
	run(t, m, "syncdir k")
	if got := strings.Join(dump(t, m.CrashClone(CrashOptions{}), "/"), " "); got != "/b= /k/ /k/a=1" {
		t.Errorf("got %q", got)
	}
}

func TestExtents(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var e extents
		model := make([]bool, 64)
		for range 40 {
			from := rng.Int64N(60)
			x := extent{from, from + rng.Int64N(64-from)}
			missing := int64(0)
			for page := x.from; page < x.to; page++ {
				if !model[page] {
					missing++
				}
			}
			if got := e.missing(x); got != missing {
				t.Fatalf("%v lacks %d of %v, want %d", e, got, x, missing)
			}
			if rng.IntN(4) == 0 {
				e = e.cut(from)
				clear(model[from:])
			} else {
				e = e.add(x)
				for page := x.from; page < x.to; page++ {
					model[page] = true
				}
			}
			checkExtents(t, e, model)
		}
	}
}

func checkExtents(t *testing.T, e extents, model []bool) {
	t.Helper()
	got := make([]bool, len(model))
	total := int64(0)
	for i, x := range e {
		if x.from >= x.to || i > 0 && e[i-1].to >= x.from {
			t.Fatalf("not in order: %v", e)
		}
		for page := x.from; page < x.to; page++ {
			got[page] = true
			total++
		}
	}
	if total != e.total() || !bytes.Equal(boolBytes(got), boolBytes(model)) {
		t.Fatalf("got %v, want %v", got, model)
	}
}

func boolBytes(b []bool) []byte {
	out := make([]byte, len(b))
	for i, v := range b {
		if v {
			out[i] = 1
		}
	}
	return out
}

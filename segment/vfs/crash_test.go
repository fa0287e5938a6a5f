package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// dump returns every file with its content and every directory, as "path=content" and "path/".
func dump(t testing.TB, fsys FS, dir string) []string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	check(t, err)
	var all []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			all = append(all, path+"/")
			all = append(all, dump(t, fsys, path)...)
			continue
		}
		b, err := ReadFile(fsys, path)
		check(t, err)
		all = append(all, path+"="+string(b))
	}
	return all
}

// run does a script, one operation a line, on a file system:
//
//	mkdir D · write F TEXT (at its end) · over F TEXT (at 0) · cut F SIZE · alloc F SIZE · sync F
//	syncdir D · mv A B · rm F · rmall D · failsync F
func run(t testing.TB, m *Mem, script string) {
	t.Helper()
	for line := range strings.Lines(script) {
		if args := strings.Fields(line); len(args) > 0 {
			if err := runLine(t, m, args); err != nil {
				t.Fatalf("%s: %v", strings.TrimSpace(line), err)
			}
		}
	}
}

func runLine(t testing.TB, m *Mem, args []string) error {
	switch args[0] {
	case "mkdir":
		return m.MkdirAll(args[1], 0o755)
	case "syncdir":
		return m.SyncDir(args[1])
	case "mv":
		return m.Rename(args[1], args[2])
	case "rm":
		return m.Remove(args[1])
	case "rmall":
		return m.RemoveAll(args[1])
	}
	f := create(t, m, args[1])
	defer f.Close()
	size, err := f.Size()
	check(t, err)
	number := func() (n int64) {
		_, err := fmt.Sscan(args[2], &n)
		check(t, err)
		return n
	}
	switch args[0] {
	case "write":
		_, err = f.WriteAt([]byte(args[2]), size)
	case "over":
		_, err = f.WriteAt([]byte(args[2]), 0)
	case "cut":
		err = f.Truncate(number())
	case "alloc":
		err = f.Preallocate(0, number())
	case "sync":
		err = f.Sync()
	case "failsync":
		f.(*memFile).failSync()
	default:
		t.Fatalf("unknown operation %q", args[0])
	}
	return err
}

func TestPowerLossLeavesOnlyWhatWasSynced(t *testing.T) {
	cases := []struct{ name, script, want string }{
		{"nothing synced", "write a 1", ""},
		{"bytes without name", "write a 1; sync a", ""},
		{"name without bytes", "write a 1; syncdir /", "/a="},
		{"both", "write a 1; sync a; syncdir /", "/a=1"},
		{"name first", "write a 1; syncdir /; sync a", "/a=1"},
		{"later append", "write a 1; sync a; syncdir /; write a 2", "/a=1"},
		{"later append synced", "write a 1; sync a; syncdir /; write a 2; sync a", "/a=12"},
		{"overwrite", "write a 123; sync a; syncdir /; over a X", "/a=123"},
		{"cut", "write a 123; sync a; syncdir /; cut a 1", "/a=123"},
		{"cut synced", "write a 123; sync a; syncdir /; cut a 1; sync a", "/a=1"},
		{"cut and rewritten", "write a 123; sync a; syncdir /; cut a 1; write a Z; sync a", "/a=1Z"},
		{"allocated", "write a 1; sync a; syncdir /; alloc a 3", "/a=1"},
		{"allocated synced", "write a 1; alloc a 3; sync a; syncdir /", "/a=1\x00\x00"},
		{"removed", "write a 1; sync a; syncdir /; rm a", "/a=1"},
		{"removed synced", "write a 1; sync a; syncdir /; rm a; syncdir /", ""},
		{"removed and made anew", "write a 1; sync a; syncdir /; rm a; write a 2; sync a", "/a=1"},
		{"renamed", "write a 1; sync a; syncdir /; mv a b", "/a=1"},
		{"renamed synced", "write a 1; sync a; syncdir /; mv a b; syncdir /", "/b=1"},
		{"renamed over", "write a 1; sync a; write b 2; sync b; syncdir /; mv a b", "/a=1 /b=2"},
		{"renamed over synced", "write a 1; sync a; write b 2; sync b; syncdir /; mv a b; syncdir /", "/b=1"},
		{"renamed without bytes", "write b 2; sync b; write a 1; mv a b; syncdir /", "/b="},
		{"directory", "mkdir d; write d/a 1; sync d/a", ""},
		{"directory, wrong one synced", "mkdir d; write d/a 1; sync d/a; syncdir d", ""},
		{"directory, inner name not synced", "mkdir d; write d/a 1; sync d/a; syncdir /", "/d/"},
		{"directory, both synced", "mkdir d; write d/a 1; sync d/a; syncdir d; syncdir /", "/d/ /d/a=1"},
		{"deep directory", "mkdir d/e; syncdir d; syncdir /", "/d/ /d/e/"},
		{"moved between directories, target synced",
			"mkdir d; mkdir e; write d/a 1; sync d/a; syncdir d; syncdir /; mv d/a e/b; syncdir e", "/d/ /e/ /e/b=1"},
		{"moved between directories, source synced",
			"mkdir d; mkdir e; write d/a 1; sync d/a; syncdir d; syncdir /; mv d/a e/b; syncdir d", "/d/ /e/ /e/b=1"},
		{"moved between directories, none synced",
			"mkdir d; mkdir e; write d/a 1; sync d/a; syncdir d; syncdir /; mv d/a e/b; syncdir /", "/d/ /d/a=1 /e/"},
		{"moved twice, only the last directory synced",
			"mkdir d; mkdir e; write d/a 1; sync d/a; syncdir d; syncdir /; mv d/a e/b; mv e/b c; syncdir /", "/c=1 /d/ /e/"},
		{"directory moved", "mkdir d; write d/a 1; sync d/a; syncdir d; syncdir /; mv d e; syncdir /", "/e/ /e/a=1"},
		{"tree removed", "mkdir d; write d/a 1; sync d/a; syncdir d; syncdir /; rmall d", "/d/ /d/a=1"},
		{"tree removed, parent synced", "mkdir d; write d/a 1; sync d/a; syncdir d; syncdir /; rmall d; syncdir /", ""},
		{"failed sync", "write a 1; sync a; syncdir /; over a X; failsync a; sync a", "/a=1"},
		{"write after failed sync", "write a 1; sync a; syncdir /; write a 2; failsync a; write a 3; sync a", "/a=1\x003"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := NewMem()
			run(t, m, strings.ReplaceAll(c.script, ";", "\n"))
			before := dump(t, m, "/")
			got := m.CrashClone(CrashOptions{})
			if s := strings.Join(dump(t, got, "/"), " "); s != c.want {
				t.Errorf("power loss leaves %q, want %q", s, c.want)
			}
			again := got.CrashClone(CrashOptions{})
			if !slices.Equal(dump(t, again, "/"), dump(t, got, "/")) {
				t.Error("what a power loss left does not survive the next")
			}
			if !slices.Equal(dump(t, m, "/"), before) || !slices.Equal(dump(t, m.ProcessCrashClone(), "/"), before) {
				t.Error("the original changed, or the death of the process lost something")
			}
		})
	}
}

func TestProcessCrashKeepsWhatIsUnsyncedUnsynced(t *testing.T) {
	m := NewMem()
	run(t, m, "write a 1\n sync a\n syncdir /\n write a 2\n write b 3")
	_, err := m.Lock("/LOCK")
	check(t, err)
	c := m.ProcessCrashClone()
	lock, err := c.Lock("/LOCK")
	check(t, err)
	check(t, lock.Close())
	wantText(t, c, "/a", "12")
	wantText(t, c.CrashClone(CrashOptions{}), "/a", "1")
	run(t, c, "sync a\n sync b\n syncdir /")
	after := c.CrashClone(CrashOptions{})
	wantText(t, after, "/a", "12")
	wantText(t, after, "/b", "3")
}

// Clones share pages until one side writes.
func TestClonesAreApart(t *testing.T) {
	m := NewMem()
	text := strings.Repeat("x", 3*pageBytes)
	put(t, m, "/a", text)
	run(t, m, "sync a\n syncdir /")
	clones := []*Mem{m, m.ProcessCrashClone(), m.CrashClone(CrashOptions{}), m.CrashClone(CrashOptions{Seed: 7})}
	for i, c := range clones {
		f := create(t, c, "/a")
		_, err := f.WriteAt([]byte{byte('0' + i)}, pageBytes+int64(i))
		check(t, err)
		check(t, f.Truncate(int64(2*pageBytes-i)))
		check(t, f.Close())
	}
	for i, c := range clones {
		want := []byte(text[:2*pageBytes-i])
		want[pageBytes+i] = byte('0' + i)
		wantText(t, c, "/a", string(want))
		if c == m {
			wantText(t, c.CrashClone(CrashOptions{}), "/a", text)
		}
	}
}

// appended makes a preallocated file with a synced part of 1000 bytes and unsynced writes behind it,
// each of one byte value, and returns what the file is when all is out.
func appended(t *testing.T) (m *Mem, want []byte, ends []int) {
	m = NewMem()
	f := create(t, m, "/log")
	check(t, f.Preallocate(0, 40000))
	want = bytes.Repeat([]byte("S"), 1000)
	_, err := f.WriteAt(want, 0)
	check(t, err)
	check(t, f.Sync())
	check(t, m.SyncDir("/"))
	for i, n := range []int{100, 3000, 700, 9000, 50, 50, 6000} {
		b := bytes.Repeat([]byte{byte('a' + i)}, n)
		_, err := f.WriteAt(b, int64(len(want)))
		check(t, err)
		want = append(want, b...)
		ends = append(ends, len(want))
	}
	check(t, f.Close())
	return m, want, ends
}

func TestSeededPowerLossTearsOnlyUnsyncedSectors(t *testing.T) {
	m, want, _ := appended(t)
	seen := map[string]int{}
	for seed := uint64(1); seed <= 400; seed++ {
		zeroTails := seed%2 == 0
		got, err := ReadFile(m.CrashClone(CrashOptions{Seed: seed, ZeroTails: zeroTails}), "/log")
		check(t, err)
		if len(got) != 40000 || !bytes.Equal(got[:1000], want[:1000]) {
			t.Fatalf("seed %d: synced bytes or the synced size changed", seed)
		}
		if bytes.ContainsFunc(got[len(want):], func(r rune) bool { return r != 0 }) {
			seen["garbage behind the end"]++
			// The last sector that was written to, no further.
			if !allZero(got[(len(want)+pageBytes-1)/pageBytes*pageBytes:]) {
				t.Fatalf("seed %d: sectors that nobody wrote changed", seed)
			}
		}
		for at := 0; at < len(want); at += 512 {
			kind := classify(got[at:min(at+512, len(want))], want[at:min(at+512, len(want))])
			if kind == "garbage" && (zeroTails || at < 1000) {
				t.Fatalf("seed %d: garbage at %d", seed, at)
			}
			seen[kind]++
		}
	}
	for _, kind := range []string{"out", "lost", "part of its writes", "garbage", "garbage behind the end"} {
		if seen[kind] == 0 {
			t.Errorf("in 400 seeds no sector was of the kind %q: %v", kind, seen)
		}
	}
}

// classify says what became of a sector: as written, only zeroes, the writes up to some one, or
// something else.
func classify(got, want []byte) string {
	same := 0
	for same < len(got) && got[same] == want[same] {
		same++
	}
	switch {
	case same == len(got):
		return "out"
	case !allZero(got[same:]) || same > 0 && want[same-1] == want[same]:
		return "garbage"
	case same == 0:
		return "lost"
	}
	return "part of its writes"
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

func TestSeededPowerLossKeepsTheOrderOfNames(t *testing.T) {
	m := NewMem()
	run(t, m, "write old 1\n sync old\n syncdir /")
	for i := range 5 {
		run(t, m, fmt.Sprintf("write f%d x", i))
	}
	run(t, m, "mv f0 g0\n rm old")
	seen := map[string]bool{}
	for seed := uint64(1); seed <= 200; seed++ {
		entries, err := m.CrashClone(CrashOptions{Seed: seed}).ReadDir("/")
		check(t, err)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		seen[strings.Join(names, " ")] = true
	}
	want := []string{"f0 f1 f2 f3 f4 old", "f0 f1 f2 f3 old", "f0 f1 f2 old", "f0 f1 old", "f0 old",
		"f1 f2 f3 f4 g0", "f1 f2 f3 f4 g0 old", "old"}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSeedsAreRepeatable(t *testing.T) {
	states := map[string]bool{}
	for seed := uint64(1); seed <= 50; seed++ {
		a, _, _ := appended(t)
		b, _, _ := appended(t)
		one := dump(t, a.CrashClone(CrashOptions{Seed: seed}), "/")
		other := dump(t, b.CrashClone(CrashOptions{Seed: seed}), "/")
		if !slices.Equal(one, other) {
			t.Fatalf("seed %d gives two states", seed)
		}
		states[strings.Join(one, " ")] = true
	}
	if len(states) < 30 {
		t.Errorf("50 seeds give only %d states", len(states))
	}
}

// Truncate orders what is before it and what is after it, whatever of both is out.
func TestSeededPowerLossAroundTruncate(t *testing.T) {
	m := NewMem()
	put(t, m, "/a", strings.Repeat("1", 3000))
	run(t, m, "sync a\n syncdir /\n cut a 1000\n write a 2222\n cut a 1002\n write a 33")
	want := map[string]bool{}
	for _, s := range []string{strings.Repeat("1", 2000), "", "2222", "22", "2233", "22\x00\x00", "\x00\x00", "\x00\x00\x00\x00"} {
		want[strings.Repeat("1", 1000)+s] = true
	}
	seen := map[string]bool{}
	for seed := uint64(1); seed <= 300; seed++ {
		got, err := ReadFile(m.CrashClone(CrashOptions{Seed: seed, ZeroTails: true}), "/a")
		check(t, err)
		if !want[string(got)] {
			t.Fatalf("seed %d leaves %d bytes, %q", seed, len(got), got[min(1000, len(got)):])
		}
		seen[string(got)] = true
	}
	if len(seen) < 5 {
		t.Errorf("only %d states", len(seen))
	}
}

// What is written after a Truncate proves it, and with it that the size from before is gone.
func TestSizesFromBeforeATruncateDoNotComeBack(t *testing.T) {
	m := NewMem()
	put(t, m, "/a", strings.Repeat("1", 5000))
	run(t, m, "syncdir /\n cut a 10\n write a BB")
	seen := 0 // without garbage, which may look like the last write
	for seed := uint64(1); seed <= 100; seed++ {
		got, err := ReadFile(m.CrashClone(CrashOptions{Seed: seed, ZeroTails: true}), "/a")
		check(t, err)
		if bytes.Contains(got, []byte("B")) {
			seen++
			if len(got) > 12 {
				t.Fatalf("seed %d: %d bytes, 12 were left of 5000", seed, len(got))
			}
		}
	}
	if seen == 0 {
		t.Error("no seed leaves the last write")
	}
}

func TestCrashCloneBesideWriters(t *testing.T) {
	m := NewMem()
	var writers, cloners sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		name := fmt.Sprintf("/f%d", i)
		writers.Go(func() {
			f := create(t, m, name)
			defer f.Close()
			for at := int64(0); at < 200; at++ {
				_, err := f.WriteAt([]byte("abc"), at*1000)
				if err = errors.Join(err, f.Sync(), m.SyncDir("/")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	cloners.Go(func() {
		for seed := uint64(0); ; seed++ {
			select {
			case <-stop:
				return
			default:
				c := m.CrashClone(CrashOptions{Seed: seed})
				if err := ReplaceFile(c, "/f0", []byte("of the clone")); err != nil {
					t.Error(err)
				}
			}
		}
	})
	writers.Wait()
	close(stop)
	cloners.Wait()
	if n := len(dump(t, m.CrashClone(CrashOptions{}), "/")); n != 4 {
		t.Errorf("%d files, want 4", n)
	}
}

// The disk is compared with a model of what is durable, through random operations.
func TestDurabilityAgainstModel(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := NewMem()
		live, durable := map[string]string{}, map[string]string{}
		bytesOf := map[string]string{} // content that is synced, by the file's present name
		for range 200 {
			name := fmt.Sprintf("/f%d", rng.IntN(4))
			switch rng.IntN(5) {
			case 0:
				check(t, m.SyncDir("/"))
				clear(durable)
				for n := range live {
					durable[n] = n
				}
			case 1:
				run(t, m, "sync "+name)
				bytesOf[name] = live[name]
				if _, ok := live[name]; !ok {
					live[name] = "" // the script's sync creates the file
				}
			default:
				run(t, m, "write "+name+" x")
				live[name] += "x"
			}
			var want []string
			for _, n := range slices.Sorted(maps.Keys(durable)) {
				want = append(want, n+"="+bytesOf[n])
			}
			if got := dump(t, m.CrashClone(CrashOptions{}), "/"); !slices.Equal(got, want) {
				t.Fatalf("seed %d: got %q, want %q", seed, got, want)
			}
		}
	}
}

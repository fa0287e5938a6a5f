package vfs

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// states describes and dumps every crash state of a recording.
func states(t *testing.T, r *Recording, bounds Enumeration) []string {
	t.Helper()
	var all []string
	for s := range r.Crashes(bounds) {
		all = append(all, fmt.Sprintf("%s: %s", s.Description, strings.Join(dump(t, s.FS, "/"), " ")))
	}
	return all
}

func TestCrashesOfASmallRecording(t *testing.T) {
	m := NewMem()
	run(t, m, "write a 1\n sync a\n syncdir /")
	r := m.Record()
	run(t, m, "write a 2\n mv a b\n sync b")
	var got []string
	for _, s := range states(t, r, Enumeration{}) {
		if !strings.Contains(s, "random") && !strings.Contains(s, "torn") {
			got = append(got, s)
		}
	}
	want := []string{
		"after step 0 of 3: everything is out: /a=1",
		"after step 1 of 3: everything is out: /a=12",
		"after step 1 of 3: everything is out but write /a [1, 2): /a=1",
		"after step 2 of 3: everything is out: /b=12",
		"after step 2 of 3: only what was synced is out: /a=1",
		"after step 2 of 3: all names are out, of bytes what was synced: /b=1",
		"after step 2 of 3: all bytes are out, of names what was synced: /a=12",
		"after step 2 of 3: everything is out but write /b [1, 2): /b=1",
		"after step 2 of 3: everything is out but rename /a to /b: /a=12",
		"after step 3 of 3: everything is out: /b=12",
		"after step 3 of 3: only what was synced is out: /a=12",
		"after step 3 of 3: everything is out but rename /a to /b: /a=12",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCrashesTearTheLastWrite(t *testing.T) {
	m := NewMem()
	f := create(t, m, "/a")
	check(t, f.Preallocate(0, 2000))
	check(t, f.Sync())
	check(t, m.SyncDir("/"))
	r := m.Record()
	_, err := f.WriteAt([]byte(strings.Repeat("x", 1200)), 0)
	check(t, err)
	seen := map[string]bool{}
	for s := range r.Crashes(Enumeration{}) {
		got, err := ReadFile(s.FS, "/a")
		check(t, err)
		if strings.Contains(s.Description, "(sectors of 512)") {
			if len(got) != 2000 {
				t.Fatalf("%s: %d bytes", s.Description, len(got))
			}
			shape := ""
			for at := 0; at < 1536; at += 512 {
				switch sector := got[at : at+512]; {
				case sector[0] == 'x' && sector[100] == 'x':
					shape += "x"
				case allZero(sector):
					shape += "0"
				default:
					shape += "?"
				}
			}
			seen[shape] = true
		}
	}
	for _, shape := range []string{"000", "x00", "xx0", "0xx", "00x", "???", "x??", "xx?"} {
		if !seen[shape] {
			t.Errorf("no state of the shape %s in %v", shape, seen)
		}
	}
	for s := range r.Crashes(Enumeration{ZeroTails: true}) {
		got, err := ReadFile(s.FS, "/a")
		check(t, err)
		if strings.Trim(string(got), "x\x00") != "" {
			t.Fatalf("%s: garbage", s.Description)
		}
	}
}

func TestCrashesOmitWhatRestsOnAnOmittedName(t *testing.T) {
	m := NewMem()
	r := m.Record()
	run(t, m, "mkdir d\n write d/a 1\n mv d/a d/b\n mv d/b d/c\n write e 1")
	var got []string
	for _, s := range states(t, r, Enumeration{}) {
		if strings.HasPrefix(s, "after step 7 of 7: everything is out but ") && !strings.Contains(s, "write") {
			got = append(got, strings.TrimPrefix(s, "after step 7 of 7: everything is out but "))
		}
	}
	want := []string{
		"create /d: /e=1",
		"create /d/a: /d/ /e=1",
		"rename /d/a to /d/b: /d/ /d/a=1 /e=1",
		"rename /d/b to /d/c: /d/ /d/b=1 /e=1",
		"create /e: /d/ /d/c=1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCrashesAreBoundedAndRepeatable(t *testing.T) {
	m := NewMem()
	r := m.Record()
	for i := range 12 {
		run(t, m, fmt.Sprintf("write a %s\n write b %d\n syncdir /", strings.Repeat("z", 700), i))
	}
	all := states(t, r, Enumeration{Seed: 1})
	if len(all) < 500 {
		t.Fatalf("only %d states in all", len(all))
	}
	some := states(t, r, Enumeration{Seed: 1, MaxStates: 100})
	if len(some) != 100 || !slices.Equal(some, states(t, r, Enumeration{Seed: 1, MaxStates: 100})) {
		t.Fatalf("%d states, or not the same twice", len(some))
	}
	if slices.Equal(some, states(t, r, Enumeration{Seed: 2, MaxStates: 100})) {
		t.Fatal("another seed chooses the same states")
	}
	for _, s := range some {
		if !slices.Contains(all, s) {
			t.Fatalf("not among all states: %s", s)
		}
	}
	for range r.Crashes(Enumeration{}) {
		break // stopping early is allowed
	}
	var last CrashState
	for s := range r.Crashes(Enumeration{MaxStates: 5}) {
		last = s
	}
	check(t, ReplaceFile(last.FS, "/mine", []byte("the state belongs to its receiver")))
	if slices.ContainsFunc(dump(t, m, "/"), func(s string) bool { return strings.HasPrefix(s, "/mine") }) {
		t.Fatal("the recording's file system changed")
	}
}

// replaceWith is ReplaceFile with parts left out, to see that the enumeration finds that.
func replaceWith(t *testing.T, m *Mem, text string, sync, inPlace, syncDir bool) {
	name := "/meta.tmp"
	if inPlace {
		name = "/meta"
	}
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	check(t, err)
	_, err = f.WriteAt([]byte(text), 0)
	check(t, err)
	if sync {
		check(t, f.Sync())
	}
	check(t, f.Close())
	if !inPlace {
		check(t, m.Rename(name, "/meta"))
	}
	if syncDir {
		check(t, m.SyncDir("/"))
	}
}

func TestCrashesFindWhatAReplacementForgets(t *testing.T) {
	cases := []struct {
		name    string
		replace func(t *testing.T, m *Mem, text string)
		bad     bool
	}{
		{"ReplaceFile", func(t *testing.T, m *Mem, text string) { check(t, ReplaceFile(m, "/meta", []byte(text))) }, false},
		{"whole", func(t *testing.T, m *Mem, text string) { replaceWith(t, m, text, true, false, true) }, false},
		{"no sync of the file", func(t *testing.T, m *Mem, text string) { replaceWith(t, m, text, false, false, true) }, true},
		{"no sync of the directory", func(t *testing.T, m *Mem, text string) { replaceWith(t, m, text, true, false, false) }, true},
		{"in place", func(t *testing.T, m *Mem, text string) { replaceWith(t, m, text, true, true, true) }, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := NewMem()
			check(t, ReplaceFile(m, "/meta", []byte("v0")))
			r := m.Record()
			m.Mark("v0")
			for i := range 3 {
				text := fmt.Sprintf("v%d", i+1)
				c.replace(t, m, text)
				m.Mark(text)
			}
			bad := brokenPromises(t, r)
			if (len(bad) > 0) != c.bad {
				t.Errorf("%d states break a promise: %.10q", len(bad), bad)
			}
		})
	}
}

// brokenPromises returns the states in which /meta is not what the last mark promised or the next
// one was about to.
func brokenPromises(t *testing.T, r *Recording) (bad []string) {
	for s := range r.Crashes(Enumeration{}) {
		promised := s.Marks[len(s.Marks)-1].(string)
		next := fmt.Sprintf("v%c", promised[1]+1)
		got, err := ReadFile(s.FS, "/meta")
		if err != nil || string(got) != promised && string(got) != next {
			bad = append(bad, fmt.Sprintf("%s: %q, %v; promised %s", s.Description, got, err, promised))
		}
	}
	return bad
}

// A recording sees failed syncs too.
func TestCrashesAfterAFailedSync(t *testing.T) {
	m := NewMem()
	run(t, m, "write a 1\n sync a\n syncdir /")
	r := m.Record()
	run(t, m, "write a 2\n failsync a\n sync a")
	all := states(t, r, Enumeration{})
	if last := all[len(all)-1]; !strings.HasSuffix(last, "/a=1\x00") {
		t.Errorf("got %q", last)
	}
}

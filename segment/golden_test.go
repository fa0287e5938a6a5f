package segment

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"weir/segment/vfs"
)

var update = flag.Bool("update", false, "write the golden files anew; the format has changed")

// TestGolden pins the bytes of format version 1: a change of any of them is a
// new version.
func TestGolden(t *testing.T) {
	f := newFixture(t, vfs.NewMem(), "/log", 150)
	f.add(t, f.raft(KindNoop, ""))
	f.add(t, f.batch(t, 2, 1_700_000_000_500, "first"))
	f.add(t, f.batch(t, 1, 1_700_000_000_100, "older than the first"))
	f.add(t, f.raft(KindConfiguration, "voters: a, b, c"))
	f.add(t, f.batch(t, 3, 1_700_000_001_000, "after the configuration"))
	f.add(t, f.raft(KindBarrier, "x"))
	f.add(t, f.batch(t, 1, 1_700_000_000_900, "last"))
	if err := f.s.Seal(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{".log", ".index", ".timeindex"} {
		got := readFile(t, f.cfg.FS, f.path(suffix))
		name := filepath.Join("testdata", "v1"+suffix+".hex")
		if *update {
			if err := os.WriteFile(name, []byte(hex.Dump(got)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal([]byte(hex.Dump(got)), want) {
			t.Errorf("%s differs from %s:\n%s", suffix, name, hex.Dump(got))
		}
	}
	if got := readFile(t, f.cfg.FS, f.path(".log")); !bytes.Equal(got, f.bytes) {
		t.Error("the log file is not the frames back to back")
	}
	if err := f.s.Close(); err != nil {
		t.Fatal(err)
	}
	s := OpenSealed(f.cfg, 100, int64(len(f.bytes)))
	if end := verify(t, s); end.NextOffset != 107 || end.NextRaftIndex != 48 {
		t.Errorf("sealed segment ends at %+v", end)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

package command

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/cluster"
	"weir/cluster/broker/brokertest"
	"weir/cmd/weir/fault"
	"weir/log"
)

func mustWrite(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// segmentsOf are the .log files of a replica, in order.
func segmentsOf(t *testing.T, dir string) []string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) < 2 {
		t.Fatal(logs, err)
	}
	return logs
}

// flip changes one bit of a file, in the middle of what is not zero.
func flip(t *testing.T, path string) {
	t.Helper()
	b := mustRead(t, path)
	b[len(bytes.TrimRight(b, "\x00"))/2] ^= 1
	mustWrite(t, path, b)
}

func indexOf(segment, ext string) string { return strings.TrimSuffix(segment, ".log") + ext }

// verifies says what log verify finds in a replica's folder: its kinds, and the paths.
func verifies(c *cli, dir string) (v verdict) {
	c.t.Helper()
	out, errs, code := c.run("", "log", "verify", dir, "-o", "json")
	var all []verdict
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		c.t.Fatalf("%v: %s%s", err, out, errs)
	}
	if (code == fault.Done) != all[0].Sound || !all[0].Sound && code != fault.Failed {
		c.t.Errorf("exit %d: %s", code, out)
	}
	return all[0]
}

// TestLogRepair: each damage that loses no record is said by verify, mended by repair, which leaves nothing to do, and the
// broker has the same records afterwards.
func TestLogRepair(t *testing.T) {
	c, data, parts := dumpable(t)
	dir := parts[0]
	logs := segmentsOf(t, dir)
	last := logs[len(logs)-1]
	if v := verifies(c, dir); !v.Sound || v.End != 1601 || v.Segments != len(logs) || len(v.Findings) != 0 {
		t.Fatalf("before any damage: %+v", v)
	}
	before := c.ok("dump", "--records", dir)
	for _, x := range []struct {
		name string
		kind log.Kind
		path string // of the finding
		hurt func()
	}{
		{"a bit of a sealed index", log.BadIndex, indexOf(logs[0], ".index"), func() { flip(t, indexOf(logs[0], ".index")) }},
		{"a bit of a sealed time index", log.BadIndex, indexOf(logs[0], ".timeindex"), func() { flip(t, indexOf(logs[0], ".timeindex")) }},
		{"a lost index", log.BadIndex, indexOf(logs[0], ".index"), func() { os.Remove(indexOf(logs[0], ".index")) }},
		{"a lost index of the last segment", log.BadIndex, indexOf(last, ".index"), func() { os.Remove(indexOf(last, ".index")) }},
		{"a bit of the last index", log.BadIndex, indexOf(last, ".index"), func() { flip(t, indexOf(last, ".index")) }},
		{"a cut index", log.BadIndex, indexOf(logs[0], ".index"), func() { os.Truncate(indexOf(logs[0], ".index"), 16) }},
		{"an append cut short", log.Torn, last, func() {
			b := mustRead(t, last)
			mustWrite(t, last, append(b, b[96:150]...))
		}},
		{"no slot of the checkpoint", log.BadCheckpoint, filepath.Join(dir, "checkpoint"), func() {
			mustWrite(t, filepath.Join(dir, "checkpoint"), make([]byte, 64<<10))
		}},
		{"a file on its way out", log.Leftover, filepath.Join(dir, "00000000000000000000.log.deleted"), func() {
			mustWrite(t, filepath.Join(dir, "00000000000000000000.log.deleted"), []byte("old"))
		}},
		{"a damaged state of producers", log.Leftover, filepath.Join(dir, "00000000000000000001.checkpoint"), func() {
			mustWrite(t, filepath.Join(dir, "00000000000000000001.checkpoint"), []byte("no state"))
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := &cli{t: t}
			x.hurt()
			hurt := fingerprint(t, data)
			v := verifies(c, dir)
			if len(v.Findings) == 0 || v.Findings[0].Kind != x.kind || v.Findings[0].Path != x.path || v.End != 1601 {
				t.Fatalf("found %+v, want %s in %s", v, x.kind, x.path)
			}
			if out := c.ok("log", "repair", "--dry-run", data); !strings.Contains(out, x.path) {
				t.Errorf("--dry-run says\n%s", out)
			}
			if _, errs, code := c.run("", "log", "repair", data); code != fault.WrongUsage || !strings.Contains(errs, "There is no terminal to ask at") {
				t.Errorf("without -y: exit %d, %s", code, errs)
			}
			if fingerprint(t, data) != hurt {
				t.Fatal("something was changed before anybody said so")
			}
			c.ok("log", "repair", "-y", data)
			if v := verifies(c, dir); !v.Sound || v.End != 1601 {
				t.Fatalf("after the repair: %+v", v)
			}
			mended := fingerprint(t, data)
			if _, errs, code := c.run("", "log", "repair", "-y", data); code != 0 || !strings.Contains(errs, "nothing to do") || fingerprint(t, data) != mended {
				t.Errorf("a second repair: exit %d, %s", code, errs)
			}
		})
	}
	if got := c.ok("dump", "--records", dir); got != before {
		t.Error("the records are not those of before")
	}
	if _, err := os.Stat(filepath.Join(dir, "no-vote")); err != nil {
		t.Errorf("the replica whose checkpoint was lost has its vote: %v", err)
	}
	b := brokertest.StartIn(t, data, nil)
	defer brokertest.Stop(t, b)
	c.addr = b.Addr()
	if got := c.ok("consume", "t", "-p", "0", "--from", "start", "-e", "-f", "%o\n"); strings.Count(got, "\n") != 1601 {
		t.Errorf("the broker has %d records", strings.Count(got, "\n"))
	}
	c.fails(fault.Failed, []string{"log", "verify", data}, "a broker has "+data+" open")
	c.fails(fault.Failed, []string{"log", "repair", "-y", dir}, "a broker has "+data+" open")
}

// TestLogRepairRefuses: nothing is cut where records are damaged or missing; the folder is set aside where that is asked for.
func TestLogRepairRefuses(t *testing.T) {
	for name, hurt := range map[string]func(t *testing.T, logs []string){
		"a bit of a sealed segment": func(t *testing.T, logs []string) { flip(t, logs[1]) },
		"a bit of a sealed header": func(t *testing.T, logs []string) {
			b := mustRead(t, logs[1])
			b[30] ^= 1
			mustWrite(t, logs[1], b)
		},
		"a bit of the last segment": func(t *testing.T, logs []string) { flip(t, logs[len(logs)-1]) },
		"a missing segment":         func(t *testing.T, logs []string) { os.Remove(logs[1]) },
		"no first segment":          func(t *testing.T, logs []string) { os.Remove(logs[0]) },
		"no last segment":           func(t *testing.T, logs []string) { os.Remove(logs[len(logs)-1]) },
		"a last segment cut": func(t *testing.T, logs []string) {
			b := mustRead(t, logs[len(logs)-1])
			mustWrite(t, logs[len(logs)-1], b[:len(b)/2])
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, data, parts := dumpable(t)
			hurt(t, segmentsOf(t, parts[0]))
			before := fingerprint(t, data)
			v := verifies(c, parts[0])
			corrupt := false
			for _, f := range v.Findings {
				corrupt = corrupt || f.Kind == log.Corrupt
			}
			if !corrupt || v.End >= 1601 && name != "no first segment" {
				t.Fatalf("%+v", v)
			}
			if _, errs, code := c.run("", "log", "repair", "-y", data); code != fault.Failed || !strings.Contains(errs, "1 folder not mended: records are damaged or missing") {
				t.Errorf("exit %d, %s", code, errs)
			}
			if fingerprint(t, data) != before {
				t.Error("something was changed")
			}
			if out := c.ok("log", "repair", "-y", "--set-aside", data); !strings.Contains(out, "has lost what it held") {
				t.Errorf("it does not say what is lost:\n%s", out)
			}
			if aside, err := filepath.Glob(filepath.Join(data, cluster.DamagedFolder, "*", "*.log")); err != nil || len(aside) == 0 {
				t.Errorf("nothing was set aside: %v, %v", aside, err)
			}
			if out := c.ok("log", "verify", data); strings.Contains(out, parts[0]) {
				t.Errorf("it is there still:\n%s", out)
			}
		})
	}
}

func TestLogOfNothing(t *testing.T) {
	c := &cli{t: t}
	dir := t.TempDir()
	c.fails(fault.Failed, []string{"log", "verify", filepath.Join(dir, "gone")}, "cannot read", "no such file")
	c.fails(fault.Failed, []string{"log", "repair", dir}, "no log in "+dir)
}

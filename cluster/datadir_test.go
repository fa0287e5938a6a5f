package cluster

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/cluster/config"
	"weir/log"
	"weir/segment/vfs"
)

func TestMetaRefused(t *testing.T) {
	good := `{"version":1,"cluster.id":"c","node.id":1,"directory.id":"` + strings.Repeat("ab", 16) + `"}`
	for _, x := range []struct {
		name, meta, want string
		settings         map[string]string
	}{
		{"garbled", `{"version":1,`, "unexpected end", nil},
		{"empty", ``, "unexpected end", nil},
		{"other version", strings.Replace(good, `"version":1`, `"version":2`, 1), "layout version 2", nil},
		{"no cluster", strings.Replace(good, `"c"`, `""`, 1), "is missing", nil},
		{"short directory id", strings.Replace(good, "abab", "ab", 1), "is missing", nil},
		{"directory id is no number", strings.Replace(good, "abab", "xyxy", 1), "is missing", nil},
		{"foreign node", strings.Replace(good, `"node.id":1`, `"node.id":2`, 1), "belongs to node 2, this is node 1", nil},
		{"foreign cluster", good, "belongs to cluster c, the configuration names d", map[string]string{"cluster.id": "d"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, metaFile), []byte(x.meta), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Open(context.Background(), brokerConfig(t, dir, x.settings), nil, quiet)
			var meta *MetaError
			if !errors.As(err, &meta) || !strings.Contains(err.Error(), x.want) {
				t.Errorf("got %v, want a MetaError with %q", err, x.want)
			}
			if b, err := os.ReadFile(filepath.Join(dir, metaFile)); err != nil || string(b) != x.meta {
				t.Errorf("the file was changed to %q (%v)", b, err)
			}
		})
	}
}

// TestMetaMissing: a folder with data in it is not begun afresh.
func TestMetaMissing(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	mustTopic(t, n, "t", 1, nil)
	closeNode(t, n)
	if err := os.Remove(filepath.Join(dir, metaFile)); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), brokerConfig(t, dir, nil), nil, quiet)
	var meta *MetaError
	if !errors.As(err, &meta) {
		t.Errorf("got %v, want MetaError", err)
	}
}

// TestControllerMissing: nor is one whose metadata are gone; what they would
// call orphans stays where it is.
func TestControllerMissing(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	topic := mustTopic(t, n, "t", 1, nil)
	partition := n.dir.partition(topic.ID, 0)
	controller := n.dir.controller()
	closeNode(t, n)
	if err := os.RemoveAll(controller); err != nil {
		t.Fatal(err)
	}
	if n, err := Open(context.Background(), brokerConfig(t, dir, nil), nil, quiet); err == nil {
		closeNode(t, n)
		t.Error("the node began afresh over its data")
	}
	if _, err := os.Stat(partition); err != nil {
		t.Errorf("the data were touched: %v", err)
	}
}

// openDataDir takes a directory as a node that begins a cluster does.
func openDataDir(fsys vfs.FS, cfg *config.Broker, logger *slog.Logger) (*dataDir, error) {
	d, err := lockDataDir(fsys, cfg, logger)
	if err != nil {
		return nil, err
	}
	if err := d.open(cfg, cfg.ClusterID); err != nil {
		return nil, errors.Join(err, d.close(false))
	}
	return d, nil
}

// TestFirstStartCutOff opens a data directory for the first time with
// operation n failing, for every n, and then again without: the second start
// always succeeds, also after a power loss at that point, and has the same
// identity as the first if that got so far as to have one.
func TestFirstStartCutOff(t *testing.T) {
	cfg := brokerConfig(t, "/data", nil)
	for failing := 1; ; failing++ {
		mem := vfs.NewMem()
		inj := vfs.NewInjector(vfs.Rule{Kinds: ^vfs.OpKind(0), Nth: failing, Times: -1, Err: errors.New("the disk is gone")})
		d, err := openDataDir(vfs.Inject(mem, inj), cfg, quiet)
		if err == nil {
			err = d.recovered()
		}
		if err == nil {
			break // all of it went through
		}
		for name, after := range map[string]*vfs.Mem{"kill": mem.ProcessCrashClone(), "power loss": mem.CrashClone(vfs.CrashOptions{})} {
			d, err := openDataDir(after, cfg, quiet)
			if err != nil {
				t.Fatalf("operation %d failed, then %s: %v", failing, name, err)
			}
			if !d.fresh || len(d.meta.DirectoryID) != 32 || d.meta.ClusterID == "" {
				t.Errorf("operation %d failed, then %s: %+v", failing, name, d.meta)
			}
			if err := d.close(false); err != nil {
				t.Error(err)
			}
		}
		if failing > 200 {
			t.Fatal("the first start has no end")
		}
	}
}

// TestIdentityIsDurable: what the first start named itself is still its name
// after a power loss.
func TestIdentityIsDurable(t *testing.T) {
	cfg := brokerConfig(t, "/a/b/data", nil)
	mem := vfs.NewMem()
	first, err := openDataDir(mem, cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	second, err := openDataDir(mem.CrashClone(vfs.CrashOptions{}), cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if first.meta != second.meta {
		t.Errorf("was %+v, is %+v", first.meta, second.meta)
	}
}

// TestRecoveryMode: what each way to end leaves for the next start to expect.
func TestRecoveryMode(t *testing.T) {
	cfg := brokerConfig(t, "/data", nil)
	mem := vfs.NewMem()
	open := func() *dataDir {
		t.Helper()
		d, err := openDataDir(mem, cfg, quiet)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	end := func(d *dataDir, clean bool) {
		t.Helper()
		if err := d.close(clean); err != nil {
			t.Fatal(err)
		}
	}
	rebooted := func() {
		t.Helper()
		if err := vfs.ReplaceFile(mem, "/data/"+bootFile, []byte("another boot\n")); err != nil {
			t.Fatal(err)
		}
	}
	step := func(what string, want log.RecoveryMode) *dataDir {
		t.Helper()
		d := open()
		if d.recovery != want {
			t.Errorf("%s: got mode %v, want %v", what, d.recovery, want)
		}
		return d
	}
	end(step("a new folder", log.RecoverPowerLoss), false)
	d := step("killed before it had recovered", log.RecoverPowerLoss)
	if err := d.recovered(); err != nil {
		t.Fatal(err)
	}
	end(d, false)
	end(step("killed", log.RecoverProcessCrash), true)
	end(step("stopped cleanly", log.RecoverClean), false)
	end(step("killed after a clean start", log.RecoverProcessCrash), false)
	rebooted()
	end(step("another boot", log.RecoverPowerLoss), false)
	d = step("killed in the middle of recovering from a power loss", log.RecoverPowerLoss)
	if err := d.recovered(); err != nil {
		t.Fatal(err)
	}
	end(d, true)
	rebooted()
	end(step("stopped cleanly, then another boot", log.RecoverClean), false)
	end(step("killed, in a boot that was never marked", log.RecoverPowerLoss), false)
}

// TestOrphans: data that the metadata do not know go to the trash, and from
// there when nobody has asked for them for a day. What does not look like a
// topic stays.
func TestOrphans(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	known := mustTopic(t, n, "t", 1, nil)
	appendRecord(t, known, 0, time.Now(), "v")
	orphan := hex.EncodeToString(make([]byte, 16))
	for _, name := range []string{orphan, "not-a-topic"} {
		if err := os.MkdirAll(filepath.Join(n.dir.topics(), name, "0"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	closeNode(t, n)
	n = openNode(t, dir, nil)
	if p, err := n.Topic("t").Partition(0); err != nil || p.LogEndOffset() != 1 {
		t.Errorf("a topic that is known: %v", err)
	}
	if _, err := os.Stat(filepath.Join(n.dir.topics(), "not-a-topic", "0")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(n.dir.topics(), orphan)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the orphan is still among the topics (%v)", err)
	}
	moved, err := filepath.Glob(filepath.Join(n.dir.trash(), orphan+".*"))
	if err != nil || len(moved) != 1 {
		t.Fatalf("in the trash: %v, %v", moved, err)
	}
	stray := filepath.Join(n.dir.trash(), "by-hand")
	if err := os.WriteFile(stray, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	n.dir.emptyTrash(time.Now().Add(trashKept - time.Minute))
	if _, err := os.Stat(moved[0]); err != nil {
		t.Errorf("it went before its day was over: %v", err)
	}
	n.dir.emptyTrash(time.Now().Add(trashKept + time.Minute))
	if _, err := os.Stat(moved[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there after a day (%v)", err)
	}
	if _, err := os.Stat(stray); err != nil {
		t.Errorf("what is not ours went too: %v", err)
	}
	closeNode(t, n)
}

// TestForeignControllerSweepsNothing: an image of another cluster calls nothing
// an orphan.
func TestForeignControllerSweepsNothing(t *testing.T) {
	n := startNode(t, nil)
	topic := mustTopic(t, n, "t", 1, nil)
	other := &folder{fs: n.fs, root: n.dir.root, meta: n.dir.meta, logger: quiet} // the node's own is in use
	other.meta.ClusterID = "another"
	other.sweepOrphans(n.Image())
	if _, err := os.Stat(n.dir.partition(topic.ID, 0)); err != nil {
		t.Error(err)
	}
}

// TestNodeFirstStartCutOff starts a node on every state of the folder that a
// first start passes through.
func TestNodeFirstStartCutOff(t *testing.T) {
	whole := t.TempDir()
	closeNode(t, openNode(t, whole, nil))
	keep := []string{"LOCK", "meta.json", "running"}
	for n := range keep {
		for _, torn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d files and next torn %v", n, torn), func(t *testing.T) {
				dir := t.TempDir()
				for _, name := range keep[:n] {
					b, err := os.ReadFile(filepath.Join(whole, name))
					if err == nil {
						err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if torn {
					if err := os.WriteFile(filepath.Join(dir, keep[n]+".tmp"), []byte("{"), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				node := openNode(t, dir, nil)
				mustTopic(t, node, "t", 1, nil)
				closeNode(t, node)
			})
		}
	}
}

// TestDiscardIsFinished: what a replica voted is forgotten with its data when it has moved elsewhere, also when a crash
// comes in between, and not what it votes when it has come back.
func TestDiscardIsFinished(t *testing.T) {
	n := startNode(t, nil)
	topic := mustTopic(t, n, "t", 1, nil)
	replica := func(index int32) {
		if err := os.MkdirAll(n.dir.partition(topic.ID, index), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(n.dir.partition(topic.ID, index), "log"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := n.votes.Group(groupID(topic.ID, index)).SetUint64([]byte("CurrentTerm"), 3); err != nil {
			t.Fatal(err)
		}
	}
	is := func(what string, index int32, here bool) {
		t.Helper()
		has, err := n.dir.hasPartition(topic.ID, index)
		if err != nil || has != here || n.votes.Known(groupID(topic.ID, index)) != here {
			t.Errorf("%s: data %v (%v), votes %v, want %v", what, has, err, n.votes.Known(groupID(topic.ID, index)), here)
		}
		if was, err := n.dir.wasHere(topic.ID, index); err != nil || !was {
			t.Errorf("%s: that it was here is not known (%v)", what, err)
		}
	}
	for index := range int32(4) {
		replica(10 + index)
	}
	n.removeReplica(topic, 10)
	is("moved", 10, false)
	n.removeLeft(topic, 11)
	is("moved while the node was down", 11, false)
	n.removeLeft(topic, 11)
	crash := errors.New("a crash")
	for _, index := range []int32{12, 13} {
		if err := n.dir.noteMoved(topic.ID, index); err != nil {
			t.Fatal(err)
		}
		if err := n.dir.discardPartition(topic.ID, index, func() error { return crash }); !errors.Is(err, crash) {
			t.Fatal(err)
		}
	}
	replica(13) // it has come back
	if err := n.finishDiscards(); err != nil {
		t.Fatal(err)
	}
	is("moved, and a crash", 12, false)
	is("moved, and back after a crash", 13, true)
	if left, err := os.ReadDir(n.dir.trash()); err != nil || len(left) > 0 {
		t.Errorf("in the trash are %v (%v)", left, err)
	}
}

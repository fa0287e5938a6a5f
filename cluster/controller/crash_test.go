package controller

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"weir/cluster/metadata"
)

func copyDir(t *testing.T, from string) (to string) {
	t.Helper()
	to = t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestStateIsOnDiskWithoutClose(t *testing.T) {
	dir := t.TempDir()
	config := testConfig(dir, true)
	config.TrailingEntries = 1
	c := open(t, config)
	register(t, c)
	createTopics(t, c, 0, 5)
	if err := c.Snapshot(); err != nil {
		t.Fatal(err)
	}
	createTopics(t, c, 5, 8)
	sameImage(t, open(t, testConfig(copyDir(t, dir), false)).Image(), c.Image())
}

// proposeUntilKilled is the body of the process that TestKill kills: it prints the number of each
// topic that was acknowledged.
func proposeUntilKilled(dir string) {
	config := testConfig(dir, true) // the parent kills the first start too, so nobody knows whether it is new
	config.SnapshotThreshold, config.TrailingEntries, config.SnapshotInterval = 8, 2, 5_000_000
	c, err := Open(context.Background(), config)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_, err = c.Propose(context.Background(), metadata.RegisterBroker{ID: 1, Directory: [16]byte{1},
		Endpoints: []metadata.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 9092}}})
	for n := len(c.Image().Topics()); err == nil; n++ {
		if _, err = c.Propose(context.Background(), topicCommand(n)); err == nil {
			fmt.Println(n)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

func TestKill(t *testing.T) {
	dir := t.TempDir()
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	highest := -1
	for range 8 {
		highest = max(highest, killAfter(t, dir, random.IntN(25)))
		image := func() *metadata.Image {
			c := open(t, testConfig(copyDir(t, dir), true))
			defer mustClose(t, c)
			return c.Image()
		}()
		for n := range highest + 1 {
			if _, ok := image.Topic("topic-" + itoa(n)); !ok {
				t.Fatalf("topic %d was acknowledged and is gone; %d are left", n, len(image.Topics()))
			}
		}
	}
}

// killAfter starts the child, kills it after so many acknowledgements, and returns the last one.
func killAfter(t *testing.T, dir string, acknowledgements int) (last int) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "CONTROLLER_TEST_CHILD="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	last = -1
	lines := bufio.NewScanner(out)
	for count := 0; lines.Scan(); count++ {
		if _, err := fmt.Sscan(lines.Text(), &last); err != nil {
			t.Errorf("child says %q", lines.Text())
		}
		if count == acknowledgements {
			break
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(out); err == nil { // what it managed to say before it died counts too
		for line := range slices.Values(splitLines(rest)) {
			if _, err := fmt.Sscan(line, &last); err != nil {
				t.Errorf("child says %q", line)
			}
		}
	}
	var killed *exec.ExitError
	if err := child.Wait(); !errors.As(err, &killed) {
		t.Fatalf("child ended by itself: %v", err)
	}
	return last
}

// splitLines returns the whole lines of b.
func splitLines(b []byte) (lines []string) {
	for i := slices.Index(b, '\n'); i >= 0; i = slices.Index(b, '\n') {
		lines = append(lines, string(b[:i]))
		b = b[i+1:]
	}
	return lines
}

// sampleDir returns a directory with a snapshot, a log behind it, and the image of both. Its last
// transactions belong to a second start, since the loss of a newest meta page alone looks like a
// transaction that was under way.
func sampleDir(t *testing.T) (string, *metadata.Image) {
	t.Helper()
	dir := t.TempDir()
	config := testConfig(dir, true)
	config.TrailingEntries = 1
	c := open(t, config)
	register(t, c)
	createTopics(t, c, 0, 5)
	if err := c.Snapshot(); err != nil {
		t.Fatal(err)
	}
	createTopics(t, c, 5, 40)
	mustClose(t, c)
	c = open(t, testConfig(dir, false))
	mustClose(t, c)
	return dir, c.Image()
}

func mustNotOpen(t *testing.T, dir string) error {
	t.Helper()
	c, err := tryOpen(testConfig(dir, false))
	if err == nil {
		t.Errorf("opened with %d topics", len(c.Image().Topics()))
		mustClose(t, c)
	}
	return err
}

func TestMissingStateIsRefused(t *testing.T) {
	if err := mustNotOpen(t, t.TempDir()); !errors.Is(err, ErrEmpty) {
		t.Fatal(err)
	}
	sample, _ := sampleDir(t)
	for _, lost := range []string{"raft.db", "snapshots"} {
		dir := copyDir(t, sample)
		if err := os.RemoveAll(filepath.Join(dir, "controller", lost)); err != nil {
			t.Fatal(err)
		}
		err := mustNotOpen(t, dir)
		var corrupt *CorruptError
		if !errors.Is(err, ErrEmpty) && !errors.As(err, &corrupt) {
			t.Errorf("without %s: %v", lost, err)
		}
	}
	dir := copyDir(t, sample)
	config := testConfig(dir, false)
	config.Directory = [16]byte{2} // another incarnation
	if _, err := tryOpen(config); err == nil {
		t.Error("a stranger opened the group")
	}
}

func TestDamagedFilesAreRefused(t *testing.T) {
	sample, _ := sampleDir(t)
	names, err := filepath.Glob(filepath.Join(sample, "controller", "snapshots", "*", "*"))
	if err != nil || len(names) != 2 {
		t.Fatal(names, err)
	}
	damage := map[string]func(b []byte) []byte{
		"empty":   func([]byte) []byte { return nil },
		"half":    func(b []byte) []byte { return b[:len(b)/2] },
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 0xff; return b },
	}
	for name, change := range damage {
		for _, file := range names {
			relative, _ := filepath.Rel(sample, file)
			if name == "flipped" && filepath.Base(file) == "meta.json" {
				continue // the middle of meta.json is a field that is not read
			}
			dir := copyDir(t, sample)
			rewrite(t, filepath.Join(dir, relative), change)
			err := mustNotOpen(t, dir)
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.Path == "" {
				t.Errorf("%s %s: %v", name, filepath.Base(file), err)
			}
		}
	}
	for name, change := range map[string]func(b []byte) []byte{
		"empty":   func([]byte) []byte { return nil },
		"cut":     func(b []byte) []byte { return b[:8192] },
		"garbage": func([]byte) []byte { return []byte("not a database") },
		"zeroes":  func(b []byte) []byte { clear(b); return b },
		"renamed": func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("logs"), []byte("logz")) },
		"halved":  func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("CurrentTerm"), []byte("CurrentTurm")) },
	} {
		dir := copyDir(t, sample)
		rewrite(t, filepath.Join(dir, "controller", "raft.db"), change)
		err := mustNotOpen(t, dir)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) {
			t.Errorf("raft.db %s: %v", name, err)
		}
	}
}

func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// One flipped bit anywhere in the database is refused, or it makes no difference. It is never a
// panic and never another state.
func TestFlippedBitsInTheDatabase(t *testing.T) {
	sample, want := sampleDir(t)
	path := filepath.Join(sample, "controller", "raft.db")
	used := usedBytes(t, path)
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	refused := 0
	for range 150 {
		dir := copyDir(t, sample)
		at, bit := random.IntN(used), byte(1)<<random.IntN(8)
		rewrite(t, filepath.Join(dir, "controller", "raft.db"), func(b []byte) []byte { b[at] ^= bit; return b })
		c, err := tryOpen(testConfig(dir, false))
		if err != nil {
			refused++
			continue
		}
		sameImage(t, c.Image(), want)
		mustClose(t, c)
	}
	if refused == 0 {
		t.Error("no flipped bit was noticed")
	}
}

// usedBytes returns how much of the file the database uses.
func usedBytes(t *testing.T, path string) int {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.View(func(tx *bbolt.Tx) error { n = int(tx.Size()); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// A first start may end anywhere before its first entry; the next one begins again.
func TestFirstStartMayBeCutOff(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "controller", "raft.db")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp", []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newController(testConfig(dir, true))
	if err := c.openStores(); err != nil {
		t.Fatal(err)
	}
	stable := &stableStore{bolt: c.bolt, fault: c.fault}
	if err := errors.Join(stable.SetUint64([]byte("CurrentTerm"), 1), c.closeStores()); err != nil {
		t.Fatal(err)
	}
	register(t, open(t, testConfig(dir, true)))
}

func TestSnapshotMetaIsWhatWeThink(t *testing.T) {
	sample, _ := sampleDir(t)
	names, _ := filepath.Glob(filepath.Join(sample, "controller", "snapshots", "*", "meta.json"))
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	var meta struct {
		ID          string
		Index, Term uint64
	}
	if err := json.Unmarshal(b, &meta); err != nil {
		t.Fatal(err)
	}
	// The order of names must be the order of snapshots, or the newest is not found.
	got := numbers(meta.ID)
	if len(got) != 3 || got[0] != meta.Term || got[1] != meta.Index || filepath.Base(filepath.Dir(names[0])) != meta.ID {
		t.Fatalf("%+v has the name %s", meta, meta.ID)
	}
	if compareSnapshots("2-9-1", "2-10-1") >= 0 || compareSnapshots("9-1-1", "10-1-1") >= 0 {
		t.Fatal("names are not compared as numbers")
	}
}

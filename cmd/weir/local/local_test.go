package local

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/segment/vfs"
)

// sleeper is a process that does nothing until the test ends it.
func sleeper(t *testing.T, script string) (Process, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil { // its first word: the trap is set
		t.Fatal(err)
	}
	p, err := identify(cmd.Process.Pid, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return p, cmd
}

func TestProcessIsNotMistaken(t *testing.T) {
	p, _ := sleeper(t, "echo ready; exec sleep 600")
	if !p.Alive() {
		t.Fatal("a process that runs counts as gone")
	}
	other := p
	other.Birth = "1" + p.Birth // one that had the pid before
	if other.Alive() {
		t.Error("another birth is alive")
	}
	if err := other.Signal(os.Kill); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a signal to it: %v", err)
	}
	if err := other.Kill(t.Context()); err != nil {
		t.Errorf("killing what is gone: %v", err)
	}
	if !p.Alive() {
		t.Fatal("the wrong process was killed")
	}
}

// A child that nobody has waited for is still in the process table, and has ended.
func TestZombieHasEnded(t *testing.T) {
	p, _ := sleeper(t, "echo ready; exec sleep 600")
	if err := p.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.Alive() {
		t.Error("alive after SIGKILL")
	}
}

func TestStopAsksBeforeItForces(t *testing.T) {
	polite, _ := sleeper(t, "echo ready; exec sleep 600")
	if forced, err := polite.Stop(t.Context(), time.Minute); forced || err != nil || polite.Alive() {
		t.Errorf("forced %v, %v, alive %v", forced, err, polite.Alive())
	}
	deaf, _ := sleeper(t, "trap '' TERM; echo ready; while :; do sleep 600; done")
	if forced, err := deaf.Stop(t.Context(), 50*time.Millisecond); !forced || err != nil || deaf.Alive() {
		t.Errorf("forced %v, %v, alive %v", forced, err, deaf.Alive())
	}
}

func TestNew(t *testing.T) {
	s, err := New(3, 9092, "weir")
	if err != nil || strings.Join(s.Addresses(), ",") != "127.0.0.1:9092,127.0.0.1:10092,127.0.0.1:11092" || s.Nodes[2].Peer != "127.0.0.1:11093" || s.Admin(&s.Nodes[2]) != "127.0.0.1:11644" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range [][2]int{{0, 9092}, {10, 9092}, {3, 0}, {3, 62984}, {-1, 1}} {
		if _, err := New(bad[0], bad[1], "weir"); err == nil {
			t.Errorf("New(%d, %d) is taken", bad[0], bad[1])
		}
	}
	if _, err := New(3, 62983, "weir"); err != nil {
		t.Error(err)
	}
	if s.Node(0) != nil || s.Node(4) != nil || s.Node(3).ID != 3 {
		t.Error("Node finds others")
	}
}

func TestStateIsKept(t *testing.T) {
	d := Dir(t.TempDir())
	if _, err := d.Load(); !errors.Is(err, ErrNone) {
		t.Fatalf("an empty folder: %v", err)
	}
	s, err := New(2, 9092, "/bin/weir")
	if err != nil {
		t.Fatal(err)
	}
	self, err := Self(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.Supervisor, s.Nodes[0].Process = &self, &self
	if err := d.Save(s); err != nil {
		t.Fatal(err)
	}
	back, err := d.Load()
	if err != nil || !back.Supervised() || !back.Nodes[0].Up() || back.Nodes[1].Up() || back.Nodes[0].Process.Started != self.Started {
		t.Fatalf("%+v, %v", back, err)
	}
	for _, bad := range []string{"{", `{"version":2}`, `{"version":1,"nodes":[{"node":2}]}`} {
		if err := os.WriteFile(filepath.Join(string(d), stateFile), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Load(); err == nil || !strings.Contains(err.Error(), stateFile) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestLock(t *testing.T) {
	d := Dir(t.TempDir())
	held, err := d.TryLock()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Lock(ctx); !errors.Is(err, ErrBusy) {
		t.Errorf("a lock that is held: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestStartStopRemove(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "data"))
	if err := os.Mkdir(string(d), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := New(3, 9092, "/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	var ended []<-chan struct{}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		n.Args = []string{"-c", "echo hello; exec sleep 600"}
		if n.ID == 3 {
			n.Args = []string{"-c", "echo ended"}
		}
		done, err := d.Start(s, n, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		p := *n.Process
		t.Cleanup(func() { p.Kill(context.Background()) })
		ended = append(ended, done)
	}
	<-ended[2]
	back, err := d.Load()
	if err != nil || !back.Nodes[0].Up() || !back.Nodes[1].Up() || back.Nodes[2].Up() {
		t.Fatalf("%+v, %v", back, err)
	}
	stopped, forced, err := d.StopAll(t.Context(), back, time.Minute, time.Now())
	if err != nil || len(stopped) != 2 || len(forced) != 0 || !back.Stopped || back.Nodes[0].Ended != Stopped || back.Nodes[2].Ended != "" {
		t.Errorf("stopped %v, forced %v, %v", stopped, forced, err)
	}
	for _, done := range ended {
		<-done
	}
	if said, err := os.ReadFile(d.Log(3)); string(said) != "ended\n" {
		t.Errorf("the log holds %q, %v", said, err)
	}
	mine := filepath.Join(string(d), "thesis.txt")
	if err := os.WriteFile(mine, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(back); err != nil {
		t.Fatal(err)
	}
	if left, err := d.RemoveDir(); left != 1 || err != nil {
		t.Errorf("%d left, %v", left, err)
	}
	os.Remove(mine)
	if left, err := d.RemoveDir(); left != 0 || err != nil {
		t.Errorf("%d left, %v", left, err)
	}
	if _, err := os.Stat(string(d)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: %v", err)
	}
}

// A broker that the state does not know may work on a folder all the same.
func TestRemoveLeavesAFolderInUse(t *testing.T) {
	d := Dir(t.TempDir())
	s, err := New(1, 9092, "weir")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.Data(1), 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := vfs.OS.Lock(filepath.Join(d.Data(1), "LOCK"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := d.Remove(s); err == nil || !strings.Contains(err.Error(), "works on "+d.Data(1)) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(d.Data(1)); err != nil {
		t.Error(err)
	}
}

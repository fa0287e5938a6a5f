package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/cmd/weir/fault"
	"weir/cmd/weir/local"
)

var (
	binaryDir  string // removed when all tests have run
	weirBinary = sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp("", "weir-command-test-")
		if err != nil {
			return "", err
		}
		binaryDir = dir
		path := filepath.Join(dir, "weir")
		if out, err := exec.Command("go", "build", "-o", path, "weir/cmd/weir").CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
		return path, nil
	})
)

// devCluster is a folder and ports for a cluster of real processes. None of them outlives the test.
type devCluster struct {
	*cli
	t      *testing.T
	binary string
	data   string
	base   int
}

func newDevCluster(t *testing.T) *devCluster {
	t.Helper()
	binary, err := weirBinary()
	if err != nil {
		t.Fatal(err)
	}
	d := &devCluster{t: t, cli: &cli{t: t}, binary: binary, data: filepath.Join(t.TempDir(), "data"), base: freePorts(t, 3)}
	t.Cleanup(func() {
		state, err := local.Dir(d.data).Load()
		if errors.Is(err, local.ErrNone) {
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		for _, n := range state.Nodes {
			if t.Failed() {
				log, _ := os.ReadFile(local.Dir(d.data).Log(n.ID))
				t.Logf("node %d said\n%s", n.ID, log)
			}
			if n.Process != nil {
				n.Process.Signal(os.Kill) // the folder goes after it: this is the last chance
			}
		}
	})
	return d
}

// freePorts finds the ports of a cluster, below those that the system gives away by itself.
func freePorts(t *testing.T, nodes int) (base int) {
	t.Helper()
next:
	for range 100 {
		base = 11000 + 2*rand.IntN(8000)
		for i := range nodes {
			for _, port := range []int{base + 1000*i, base + 1000*i + 1, base + 1000*i + 552} {
				l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
				if err != nil {
					continue next
				}
				l.Close()
			}
		}
		return base
	}
	t.Fatal("no free ports")
	return 0
}

// devProcess is a weir dev in a terminal of its own.
type devProcess struct {
	cmd       *exec.Cmd
	out, errs lockedBuffer
	ended     chan error
}

// terminal runs weir dev --nodes 3 as a process and returns when it has greeted.
func (d *devCluster) terminal(args ...string) *devProcess {
	d.t.Helper()
	p := &devProcess{ended: make(chan error, 1)}
	p.cmd = exec.Command(d.binary, append([]string{"dev", "--nodes", "3", "--data", d.data}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	if err := p.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	d.t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		if d.t.Failed() {
			d.t.Logf("weir dev said\n%s%s", &p.out, &p.errs)
		}
	})
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(p.out.String(), "starts empty)\n") {
		select {
		case <-tick.C:
		case err := <-p.ended:
			p.ended <- err
			d.t.Fatalf("weir dev ended: %v\n%s%s", err, &p.out, &p.errs)
		case <-deadline:
			d.t.Fatalf("weir dev does not greet:\n%s%s", &p.out, &p.errs)
		}
	}
	d.addr = regexp.MustCompile(`Kafka +(\S+)`).FindStringSubmatch(p.out.String())[1]
	return p
}

// wait returns the exit code of a weir dev that is to end.
func (p *devProcess) wait(t *testing.T) int {
	t.Helper()
	select {
	case err := <-p.ended:
		p.ended <- err
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(time.Minute):
		t.Fatalf("weir dev does not end:\n%s%s", &p.out, &p.errs)
		return -1
	}
}

// other runs a command as a process of its own, as in another terminal.
func (d *devCluster) other(args ...string) string {
	d.t.Helper()
	out, err := exec.Command(d.binary, append(args, "--data", d.data)...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("weir %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func (d *devCluster) status() []devRow {
	d.t.Helper()
	var rows []devRow
	if err := json.Unmarshal([]byte(d.ok("dev", "status", "--data", d.data, "-o", "json")), &rows); err != nil {
		d.t.Fatal(err)
	}
	return rows
}

// processes are those of the nodes.
func (d *devCluster) processes() map[int]local.Process {
	d.t.Helper()
	state, err := local.Dir(d.data).Load()
	if err != nil {
		d.t.Fatal(err)
	}
	all := map[int]local.Process{}
	for _, n := range state.Nodes {
		all[n.ID] = *n.Process
	}
	return all
}

func (d *devCluster) wantGone(processes ...map[int]local.Process) {
	d.t.Helper()
	for _, of := range processes {
		for id, p := range of {
			if p.Alive() {
				d.t.Errorf("node %d (pid %d) still runs", id, p.Pid)
			}
		}
	}
}

func TestDevNodesKillAndRestart(t *testing.T) {
	d := newDevCluster(t)
	dev := d.terminal("--port-base", strconv.Itoa(d.base), "--set", "offsets.topic.num.partitions=6")
	first := d.processes()
	address := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", d.base+1000*i) }
	for _, want := range []string{
		"weir " + Version + " · 3 nodes · data in " + d.data + " · every acknowledged write is on disk\n",
		"  Kafka     " + address(0) + "," + address(1) + "," + address(2) + "\n",
		fmt.Sprintf("  Metrics   http://127.0.0.1:%d/metrics http://127.0.0.1:%d/metrics ", d.base+552, d.base+1552),
		fmt.Sprintf("  node 2    %s  pid %d ", address(1), first[2].Pid),
		"  export WEIR_BROKERS=" + address(0) + "," + address(1) + "," + address(2) + "\n",
		"  weir dev kill 2 --data " + d.data + "\n",
		"(weir dev --nodes 3 --fresh --data " + d.data + " starts empty)\n",
	} {
		if !strings.Contains(dev.out.String(), want) {
			t.Errorf("it greets with\n%slacks %q", &dev.out, want)
		}
	}
	// What it tells to type. Topics are made on demand, with a copy on each broker.
	d.ok("produce", "orders", "-k", "u1", "hello")
	if got := d.ok("topic", "describe", "orders", "-o", "json"); strings.Count(got, `"replicas"`) != 4 {
		t.Errorf("orders is\n%s", got)
	}

	groups := []string{"a", "b", "c", "d", "e", "f"} // each broker coordinates some
	for _, g := range groups {
		d.commit(g, 0)
	}

	if got := d.ok("dev", "kill", "2", "--data", d.data); got != fmt.Sprintf("killed node 2 (pid %d)\n", first[2].Pid) {
		t.Errorf("kill says %q", got)
	}
	if got := d.ok(append([]string{"group", "describe"}, groups...)...); strings.Count(got, ": Empty, 0 members, lag ") != len(groups) {
		t.Errorf("right after the death of some groups' coordinator:\n%s", got)
	}
	dev.errs.await(t, fmt.Sprintf("node 2 was killed (pid %d). It comes back with: weir dev restart 2", first[2].Pid))
	if rows := d.status(); rows[1].Up || rows[1].Pid != nil || rows[1].Ended != "killed" || rows[1].Since == nil || !rows[0].Up || *rows[0].Pid != first[1].Pid {
		t.Errorf("status is %+v", rows)
	}
	d.fails(fault.Failed, []string{"dev", "kill", "2", "--data", d.data}, "node 2 does not run", "weir dev restart 2")
	d.fails(fault.WrongUsage, []string{"dev", "kill", "4", "--data", d.data}, "there is no node 4: they are 1 to 3")
	d.ok("produce", "orders", "-k", "u1", "still here") // two of three are a majority
	if got := d.ok("consume", "orders", "--from", "start", "-e", "-o", "value"); got != "hello\nstill here\n" {
		t.Errorf("read %q", got)
	}

	// From another terminal: one that is down, and one that runs.
	if got := d.other("dev", "restart", "2"); !strings.HasSuffix(got, " on "+address(1)+"\n") {
		t.Errorf("restart says %q", got)
	}
	if got := d.other("dev", "restart", "1"); !strings.Contains(got, fmt.Sprintf("node 1 has stopped (pid %d)\n", first[1].Pid)) {
		t.Errorf("restart says %q", got)
	}
	second := d.processes()
	dev.errs.await(t, fmt.Sprintf("node 2 is up again (pid %d)\n", second[2].Pid))
	dev.errs.await(t, fmt.Sprintf("node 1 is up again (pid %d)\n", second[1].Pid))
	d.ok("produce", "orders", "-k", "u1", "all back")

	// Ctrl-C stops them all, also those that this weir dev did not start.
	if err := dev.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := dev.wait(t); code != fault.Done || !strings.HasSuffix(dev.errs.String(), "Stopped 3 brokers. The data is in "+d.data+".\n") {
		t.Errorf("exit %d:\n%s", code, &dev.errs)
	}
	if strings.Contains(dev.errs.String(), "by itself") {
		t.Errorf("it calls an end that was asked for a surprise:\n%s", &dev.errs)
	}
	d.wantGone(first, second)
	for id := 1; id <= 3; id++ {
		if _, err := os.Stat(filepath.Join(d.data, strconv.Itoa(id), "clean-shutdown")); err != nil {
			t.Errorf("node %d was not closed: %v", id, err)
		}
	}
}

// The supervisor is killed: the brokers go on, every command finds them, and the next weir dev takes them over.
func TestDevNodesOutliveTheSupervisor(t *testing.T) {
	d := newDevCluster(t)
	lost := d.terminal("--port-base", strconv.Itoa(d.base))
	first := d.processes()
	d.ok("produce", "orders", "kept", "-q")
	lost.cmd.Process.Kill()
	lost.wait(t)

	out, errs, code := d.run("", "dev", "status", "--data", d.data)
	if code != 0 || strings.Count(out, " up ") != 3 || !strings.Contains(errs, "does not run in the foreground any more; weir dev stop") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	data := []string{"--data", d.data}
	d.fails(fault.Failed, append([]string{"dev", "--nodes", "3", "--fresh"}, data...), "still run", "weir dev stop --data "+d.data)
	d.fails(fault.WrongUsage, append([]string{"dev", "--nodes", "2"}, data...), "holds a cluster of 3 nodes, not of 2", "--nodes 3")
	d.fails(fault.WrongUsage, append([]string{"dev", "--nodes", "3", "--port-base", "7000"}, data...), fmt.Sprintf("its ports from %d on", d.base))
	d.fails(fault.Failed, append([]string{"dev"}, data...), "holds a cluster of 3 nodes", "--nodes 3")
	d.ok("dev", "kill", "3", "--data", d.data)

	dev := d.terminal()
	if got := dev.errs.String(); !strings.Contains(got, fmt.Sprintf("node 1 runs already (pid %d)\nnode 2 runs already (pid %d)\n", first[1].Pid, first[2].Pid)) {
		t.Errorf("it says %s", got)
	}
	d.fails(fault.Failed, append([]string{"dev", "--nodes", "3"}, data...), fmt.Sprintf("weir dev runs there already, as process %d", dev.cmd.Process.Pid))

	// One that ends by itself is told of, and stays down.
	third := d.processes()[3]
	if err := third.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	dev.errs.await(t, fmt.Sprintf("node 3 ended by itself (pid %d); its log is %s", third.Pid, filepath.Join(d.data, "3.log")))
	if rows := d.status(); rows[2].Up || rows[2].Ended != "by itself" || rows[2].Since == nil {
		t.Errorf("status is %+v", rows)
	}

	// Stopped from elsewhere, weir dev ends by itself.
	if got := d.ok("dev", "stop", "--data", d.data); got != "stopped 2 brokers; the data is in "+d.data+"\n" {
		t.Errorf("stop says %q", got)
	}
	if code := dev.wait(t); code != fault.Done || !strings.HasSuffix(dev.errs.String(), "weir dev stop has stopped the brokers. The data is in "+d.data+".\n") {
		t.Errorf("exit %d:\n%s", code, &dev.errs)
	}
	d.wantGone(first)

	dev = d.terminal()
	if got := d.ok("consume", "orders", "--from", "start", "-e", "-o", "value"); got != "kept\n" {
		t.Errorf("after all that: %q", got)
	}
	d.fails(fault.WrongUsage, append([]string{"dev", "purge"}, data...), "-y")
	if got := d.ok("dev", "purge", "--dry-run", "--data", d.data); strings.Count(got, "would remove") != 3 {
		t.Errorf("purge --dry-run says %q", got)
	}
	last := d.processes()
	if got := d.ok("dev", "purge", "-y", "--data", d.data); got != "removed 3 brokers and their data from "+d.data+"\n" {
		t.Errorf("purge says %q", got)
	}
	if code := dev.wait(t); code != fault.Done {
		t.Errorf("exit %d:\n%s", code, &dev.errs)
	}
	d.wantGone(last)
	if _, err := os.Stat(d.data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("purge left the folder: %v", err)
	}
}

func TestDevNodesRefuses(t *testing.T) {
	d := newDevCluster(t)
	data := []string{"--data", d.data}
	for _, verb := range []string{"status", "stop", "kill 1", "restart 1", "purge -y"} {
		d.fails(fault.Failed, append(append([]string{"dev"}, strings.Fields(verb)...), data...), "there is no cluster in "+d.data, "weir dev --nodes 3")
	}
	if _, err := os.Stat(d.data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("looking made the folder: %v", err)
	}
	nodes := func(more ...string) []string {
		return append(append([]string{"dev", "--nodes", "3"}, data...), more...)
	}
	d.fails(fault.WrongUsage, nodes("--port-base", "64000"), "within 1-65535")
	d.fails(fault.WrongUsage, nodes("--set", "num.partition=3"), "num.partitions")
	taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", d.base+1001))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	d.fails(fault.Failed, nodes("--port-base", strconv.Itoa(d.base)), fmt.Sprintf("node 2 cannot listen on 127.0.0.1:%d", d.base+1001), "--port-base")
	if err := os.MkdirAll(filepath.Join(d.data, "2"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.fails(fault.Failed, nodes(), filepath.Join(d.data, "2")+" is there, and no dev.json")
	if err := os.WriteFile(filepath.Join(d.data, "meta.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.fails(fault.WrongUsage, nodes(), "holds the data of a single broker", "--fresh")
}

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/cluster/config"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/local"
	"weir/cmd/weir/output"
)

const (
	// devLook is between two looks at the state of the cluster and at its processes.
	devLook = 200 * time.Millisecond
	// devBusy is how long to wait for another weir dev command: the longest is a stop that has to use force.
	devBusy = local.StopGrace + 10*time.Second
)

// supervisor looks after a cluster in the foreground. It only watches: what it knows of the processes it
// reads from the state, as every other weir dev command does, so that any of them may start and stop nodes.
type supervisor struct {
	s    *Streams
	o    devOptions
	dir  local.Dir
	cfg  *config.Broker
	seen map[int]local.Node // as it was told of last
}

func runDevNodes(ctx context.Context, s *Streams, o devOptions) error {
	if o.nodes < 1 || o.nodes > local.MaxNodes {
		return fault.Usage("--nodes %d: a cluster has 1 to %d brokers here", o.nodes, local.MaxNodes)
	}
	dir, err := filepath.Abs(o.data)
	if err != nil {
		return err
	}
	src := &brokerSources{profile: config.DevProfile(), sets: o.sets}
	src.flag("log.dirs", dir, "--data")
	cfg, err := src.load(s) // the brokers read the same once more; a mistake is to be met here
	if err != nil {
		return err
	}
	v := &supervisor{s: s, o: o, dir: local.Dir(dir), cfg: cfg, seen: map[int]local.Node{}}
	state, err := v.start(ctx)
	if state == nil {
		return err
	}
	if err == nil {
		err = v.ready(ctx, state)
	}
	if err == nil {
		err = v.run(ctx, state)
		if err == nil && ctx.Err() == nil {
			return nil // somebody else stopped or removed it
		}
	}
	return errors.Join(err, v.stop(context.WithoutCancel(ctx)))
}

// run supervises until ctx ends or somebody else has stopped the cluster.
func (v *supervisor) run(ctx context.Context, state *local.State) error {
	v.greet(v.s.Out, state)
	beside, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if !v.o.demo {
			return
		}
		if err := trickle(beside, state.Addresses(), demoRate, v.s.Now); err != nil && beside.Err() == nil {
			v.s.note("%s the demo ended: %v", v.s.colour("31", "error:"), err)
		}
	}()
	defer func() { cancel(); <-done }()
	tick := time.NewTicker(devLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		state, err := v.dir.Load()
		if errors.Is(err, local.ErrNone) {
			v.s.note("Ended: weir dev purge has removed the data.")
			return nil
		}
		if err != nil {
			return fault.Explain("cannot see what the cluster does", err)
		}
		if v.look(state) {
			v.s.note("Ended: weir dev stop has stopped the brokers. The data is in %s.", v.o.data)
			return nil
		}
	}
}

// start begins a cluster, or goes on with the one that is there. A state says that processes may run.
func (v *supervisor) start(ctx context.Context) (*local.State, error) {
	what := "cannot start a cluster in " + v.o.data
	if err := os.MkdirAll(string(v.dir), 0o755); err != nil {
		return nil, fault.Explain(what, err)
	}
	lock, err := lockDev(ctx, v.dir, what)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	state, err := v.plan(what)
	if err != nil {
		return nil, err
	}
	if err := v.portsAreFree(state); err != nil {
		return nil, err
	}
	self, err := local.Self(v.s.Now())
	if err != nil {
		return nil, fault.Explain(what, err)
	}
	state.Supervisor = &self
	for i := range state.Nodes {
		n := &state.Nodes[i]
		if n.Up() {
			v.s.note("node %d runs already (pid %d)", n.ID, n.Process.Pid)
		} else {
			n.Args = v.args(state, n)
			_, err = v.dir.Start(state, n, v.s.Now())
		}
		if err != nil {
			return state, fault.Explain(fmt.Sprintf("cannot start node %d", n.ID), err)
		}
		v.seen[n.ID] = *n
	}
	return state, fault.Explain(what, v.dir.Save(state))
}

// plan is the state to start from: the one in the folder, or a new one.
func (v *supervisor) plan(what string) (*local.State, error) {
	state, err := v.dir.Load()
	switch {
	case errors.Is(err, local.ErrNone):
		state = nil
	case err != nil:
		return nil, fault.Explain(what, err)
	case state.Supervised():
		return nil, &fault.Error{What: what, Why: fmt.Sprintf("weir dev runs there already, as process %d", state.Supervisor.Pid),
			Do: "Stop it: " + devVerb("stop", v.o.data)}
	case v.o.fresh:
		if slices.ContainsFunc(state.Nodes, func(n local.Node) bool { return n.Up() }) {
			return nil, &fault.Error{What: "cannot start afresh in " + v.o.data, Why: "Brokers of the cluster there still run", Do: "Stop them: " + devVerb("stop", v.o.data)}
		}
		if err := v.dir.Remove(state); err != nil {
			return nil, fault.Explain("cannot start afresh in "+v.o.data, err)
		}
		state = nil
	case len(state.Nodes) != v.o.nodes:
		return nil, &fault.Error{What: fmt.Sprintf("%s holds a cluster of %s, not of %d", v.o.data, output.Plural(int64(len(state.Nodes)), "node"), v.o.nodes),
			Do: fmt.Sprintf("Start it with --nodes %d, start empty with --fresh, or name another folder with --data", len(state.Nodes)), Exit: fault.WrongUsage}
	case v.o.portBase != 0 && v.o.portBase != state.PortBase:
		return nil, &fault.Error{What: fmt.Sprintf("the cluster in %s has its ports from %d on, not from %d", v.o.data, state.PortBase, v.o.portBase),
			Do: "Leave --port-base out, start empty with --fresh, or name another folder with --data", Exit: fault.WrongUsage}
	}
	if state == nil {
		return v.newState()
	}
	if state.Binary, err = os.Executable(); err != nil {
		return nil, fault.Explain(what, err)
	}
	return state, nil
}

func (v *supervisor) newState() (*local.State, error) {
	if _, err := os.Stat(filepath.Join(string(v.dir), "meta.json")); err == nil {
		if !v.o.fresh {
			return nil, &fault.Error{What: v.o.data + " holds the data of a single broker",
				Do: "Start that with weir dev alone, start empty with --fresh, or name another folder with --data", Exit: fault.WrongUsage}
		}
		if err := emptyDataDir(string(v.dir)); err != nil {
			return nil, err
		}
	}
	for id := 1; id <= v.o.nodes; id++ {
		if _, err := os.Stat(v.dir.Data(id)); err == nil {
			return nil, &fault.Error{What: "cannot start a cluster in " + v.o.data, Why: v.dir.Data(id) + " is there, and no dev.json that tells of it",
				Do: "Name another folder with --data, or remove it yourself"}
		}
	}
	binary, err := os.Executable()
	if err != nil {
		return nil, fault.Explain("cannot tell which program to start", err)
	}
	base := v.o.portBase
	if base == 0 {
		base = devPortBase
	}
	state, err := local.New(v.o.nodes, base, binary)
	if err != nil {
		return nil, fault.Usage("%v", err)
	}
	return state, nil
}

// args is the command line of a node: weir start with what dev mode sets.
func (v *supervisor) args(state *local.State, n *local.Node) []string {
	args := []string{"start", "--node-id", strconv.Itoa(n.ID), "--data", v.dir.Data(n.ID), "--listen", n.Kafka, "--peer-listen", n.Peer}
	if n.ID > 1 {
		args = append(args, "--join", state.Nodes[0].Peer)
	}
	profile := config.DevProfile()
	profile["default.replication.factor"] = strconv.Itoa(min(3, len(state.Nodes)))
	for _, key := range slices.Sorted(maps.Keys(profile)) {
		args = append(args, "--set", key+"="+profile[key])
	}
	args = append(args, "--set", "admin.listener="+state.Admin(n))
	for _, set := range v.o.sets { // the last one of a key counts
		args = append(args, "--set", set)
	}
	if v.o.verbose {
		args = append(args, "--verbose")
	}
	return args
}

// portsAreFree looks before anything is started, so that a port in use is named and not a broker that
// failed.
func (v *supervisor) portsAreFree(state *local.State) error {
	for _, n := range state.Nodes {
		if n.Up() {
			continue
		}
		for _, addr := range []string{n.Kafka, n.Peer, state.Admin(&n)} {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				return &fault.Error{What: fmt.Sprintf("node %d cannot listen on %s", n.ID, addr), Why: upper(cause(err)),
					Do: "Stop what listens there, or start a new cluster elsewhere with --port-base and --data", Err: err}
			}
			l.Close()
		}
	}
	return nil
}

// ready waits until every node answers and knows all others.
func (v *supervisor) ready(ctx context.Context, state *local.State) error {
	var all []int32
	for _, n := range state.Nodes {
		all = append(all, int32(n.ID))
	}
	for i := range state.Nodes {
		if err := awaitNode(ctx, v.dir, &state.Nodes[i], all); err != nil {
			return err
		}
	}
	return nil
}

// look tells what has changed, and returns whether the cluster was stopped by somebody else.
func (v *supervisor) look(state *local.State) (stopped bool) {
	up := false
	for i := range state.Nodes {
		n := &state.Nodes[i]
		before := v.seen[n.ID]
		alive := n.Up()
		up = up || alive
		if same := sameProcess(before.Process, n.Process); same && before.Ended == n.Ended && (alive || n.Ended != "") {
			continue
		} else if !same && alive {
			v.s.note("node %d is up again (pid %d)", n.ID, n.Process.Pid)
			v.seen[n.ID] = *n
			continue
		}
		if alive || n.Process == nil { // an end is announced and not there yet
			continue
		}
		switch n.Ended {
		case local.Killed:
			v.s.note("node %d was killed (pid %d). It comes back with: %s", n.ID, n.Process.Pid, devVerb("restart", v.o.data, n.ID))
		case local.Restarted:
			v.s.note("node %d has stopped and is to start again", n.ID)
		case "":
			if !v.noticed(n) {
				continue // the next look tells
			}
			v.s.note("%s node %d ended by itself (pid %d); its log is %s. It comes back with: %s",
				v.s.colour("33", "warning:"), n.ID, n.Process.Pid, v.dir.Log(n.ID), devVerb("restart", v.o.data, n.ID))
		}
		v.seen[n.ID] = *n
	}
	return state.Stopped && !up
}

// noticed keeps that a node ended when nobody wanted it to. It is false when somebody else changes the
// state right now: then that comes first.
func (v *supervisor) noticed(n *local.Node) bool {
	lock, err := v.dir.TryLock()
	if err != nil {
		return false
	}
	defer lock.Close()
	state, err := v.dir.Load()
	if err != nil {
		return false
	}
	now := state.Node(n.ID)
	if !sameProcess(now.Process, n.Process) || now.Ended != "" || v.dir.End(state, local.ByItself, v.s.Now(), now) != nil {
		return false
	}
	*n = *now
	return true
}

func sameProcess(a, b *local.Process) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Pid == b.Pid && a.Birth == b.Birth
}

// stop stops every node that runs, whoever started it.
func (v *supervisor) stop(ctx context.Context) error {
	v.s.note("Stopping the brokers.")
	stopped, err := stopDev(ctx, v.s, v.dir, v.o.data)
	if err == nil {
		v.s.note("Stopped %s. The data is in %s.", output.Plural(int64(len(stopped)), "broker"), v.o.data)
	}
	return err
}

func (v *supervisor) greet(w io.Writer, state *local.State) {
	addresses := strings.Join(state.Addresses(), ",")
	var metrics []string
	for _, n := range state.Nodes {
		metrics = append(metrics, metricsURL(state.Admin(&n)))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "weir %s · %s · data in %s · %s\n", Version, output.Plural(int64(len(state.Nodes)), "node"), v.o.data, durability(v.cfg))
	fmt.Fprintf(&b, "  Kafka     %s\n", addresses)
	if !v.cfg.Admin.Chosen {
		fmt.Fprintf(&b, "  Metrics   %s\n", strings.Join(metrics, " "))
	}
	for _, n := range state.Nodes {
		fmt.Fprintf(&b, "  node %d    %-15s  pid %-7d  log %s\n", n.ID, n.Kafka, n.Process.Pid, filepath.Join(v.o.data, filepath.Base(v.dir.Log(n.ID))))
	}
	fmt.Fprintf(&b, "Try, in another terminal:\n  export %s=%s\n", connect.Environment[0], addresses)
	if v.o.demo {
		fmt.Fprintf(&b, "  weir consume %s\n", demoTopic)
	} else {
		fmt.Fprintf(&b, "  weir produce orders -k u1 'hello'\n  weir consume orders --from start\n")
	}
	victim := min(2, len(state.Nodes))
	fmt.Fprintf(&b, "  weir topic describe %s\n", demoTopic)
	fmt.Fprintf(&b, "  %s\n  %s\n", devVerb("kill", v.o.data, victim), devVerb("restart", v.o.data, victim))
	fmt.Fprintf(&b, "Ctrl-C stops; the data stays (%s starts empty)\n", devVerb("--nodes "+strconv.Itoa(len(state.Nodes))+" --fresh", v.o.data))
	io.WriteString(w, b.String())
}

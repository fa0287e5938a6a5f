// Package local keeps a cluster of brokers on this machine: one process and one folder each, and a file
// that says which process is which. Whoever reads the file can see, kill, start and stop them; none of it
// needs the process that started them.
package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"weir/segment/vfs"
)

// MaxNodes is how many brokers a local cluster has at most.
const MaxNodes = 9

// portStep is between the ports of one node and those of the next.
const portStep = 1000

// adminStep is from a node's port for clients to its admin port: from Kafka's usual one, 9092, to 9644.
const adminStep = 552

// Names of a cluster's files; beside them are the folders 1, 2, ... and their logs 1.log, 2.log, ...
const (
	stateFile = "dev.json"
	lockFile  = "dev.lock"
)

// stateVersion is of the file's format.
const stateVersion = 1

// ErrNone is returned where there is no cluster.
var ErrNone = errors.New("there is no local cluster")

// ErrBusy is returned when another process changes the cluster and does not come to an end.
var ErrBusy = errors.New("another command works on the local cluster")

// State is what the file holds.
type State struct {
	Version    int      `json:"version"`
	Binary     string   `json:"binary"`
	PortBase   int      `json:"port_base"`
	Supervisor *Process `json:"supervisor"` // the weir dev that started it last; it may be gone
	Stopped    bool     `json:"stopped"`    // all nodes were, on purpose, and none has been started since
	Nodes      []Node   `json:"nodes"`
}

// Node is one broker of the cluster.
type Node struct {
	ID      int       `json:"node"`
	Kafka   string    `json:"kafka"` // host:port
	Peer    string    `json:"peer"`  // host:port
	Args    []string  `json:"args"`
	Process *Process  `json:"process"` // the last one; it may have ended
	Ended   Ended     `json:"ended,omitempty"`
	At      time.Time `json:"ended_at,omitzero"`
}

// Ended says how a node's process came, or is just coming, to its end. It is written before the end is
// brought about, so that whoever sees a node down knows whether somebody wanted it.
type Ended string

// The ways to end.
const (
	Killed    Ended = "killed"
	Stopped   Ended = "stopped"
	Restarted Ended = "restarted"
	ByItself  Ended = "by itself"
)

// Up reports whether the node's process runs.
func (n *Node) Up() bool { return n.Process != nil && n.Process.Alive() }

// New lays out a cluster of nodes brokers on ports from portBase on.
func New(nodes, portBase int, binary string) (*State, error) {
	if nodes < 1 || nodes > MaxNodes {
		return nil, fmt.Errorf("%d nodes: there are 1 to %d", nodes, MaxNodes)
	}
	if last := portBase + (nodes-1)*portStep + adminStep; portBase < 1 || last > 65535 {
		return nil, fmt.Errorf("ports %d to %d: they are within 1-65535", portBase, last)
	}
	s := &State{Version: stateVersion, Binary: binary, PortBase: portBase}
	for i := range nodes {
		port := portBase + i*portStep
		s.Nodes = append(s.Nodes, Node{ID: i + 1, Kafka: loopback(port), Peer: loopback(port + 1)})
	}
	return s, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Admin is where a node serves metrics and health, host:port.
func (s *State) Admin(n *Node) string { return loopback(s.PortBase + (n.ID-1)*portStep + adminStep) }

// Node finds a node by its number, nil when there is none.
func (s *State) Node(id int) *Node {
	if id < 1 || id > len(s.Nodes) {
		return nil
	}
	return &s.Nodes[id-1]
}

// Addresses are those of all nodes, up or down, for clients.
func (s *State) Addresses() []string {
	var all []string
	for _, n := range s.Nodes {
		all = append(all, n.Kafka)
	}
	return all
}

// Supervised reports whether the process that started the cluster still looks after it.
func (s *State) Supervised() bool { return s.Supervisor != nil && s.Supervisor.Alive() }

// Dir is the folder of a cluster.
type Dir string

// Data is the data folder of a node.
func (d Dir) Data(id int) string { return filepath.Join(string(d), strconv.Itoa(id)) }

// Log is the file that a node's process writes to.
func (d Dir) Log(id int) string { return filepath.Join(string(d), strconv.Itoa(id)+".log") }

// Load reads the state. The error is ErrNone where there is no cluster.
func (d Dir) Load() (*State, error) {
	data, err := os.ReadFile(filepath.Join(string(d), stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, err
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(string(d), stateFile), err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("%s is of version %d, this is for version %d", filepath.Join(string(d), stateFile), s.Version, stateVersion)
	}
	for i, n := range s.Nodes {
		if n.ID != i+1 {
			return nil, fmt.Errorf("%s names node %d where %d is due", filepath.Join(string(d), stateFile), n.ID, i+1)
		}
	}
	return &s, nil
}

// Save replaces the state. The caller holds the lock.
func (d Dir) Save(s *State) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(string(d), stateFile)
	if err := os.WriteFile(name+".new", append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// TryLock keeps others from changing the cluster, until the closer is closed. The error is ErrBusy when
// somebody else does. Reading needs no lock.
func (d Dir) TryLock() (io.Closer, error) {
	lock, err := vfs.OS.Lock(filepath.Join(string(d), lockFile))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, ErrBusy
	}
	return lock, err
}

// Lock is TryLock that waits until ctx ends.
func (d Dir) Lock(ctx context.Context) (io.Closer, error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		lock, err := d.TryLock()
		if !errors.Is(err, ErrBusy) {
			return lock, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(ErrBusy, ctx.Err())
		}
	}
}

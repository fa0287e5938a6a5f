// Package controller runs the Raft group that decides what the cluster is: it keeps the commands
// of package metadata in a replicated log on disk and applies them in order on every broker.
//
// A single broker is a group of one voter; there is no other mode.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"weir/cluster/metadata"
)

// Config says what Open opens.
type Config struct {
	Dir       string   // DATA/controller; made if missing
	NodeID    int32    // of this broker
	Directory [16]byte // id of the data directory: a wiped broker is another voter

	// New says that the data directory has never held a controller, so that an empty one may be
	// given its first state. State that is found is kept in any case. When New is false, an empty
	// directory is refused with ErrEmpty.
	New bool

	// Transport carries the group's messages; nil means a group that talks to nobody. Open owns it.
	Transport raft.Transport

	Logger  *slog.Logger // nil: none
	OnFatal func(error)  // called at most once, when a write failed or history cannot be applied; must not call Close; may be nil

	SnapshotThreshold uint64        // entries between two snapshots; 0: DefaultSnapshotThreshold
	TrailingEntries   uint64        // entries kept behind a snapshot; 0: DefaultTrailingEntries
	SnapshotInterval  time.Duration // between two looks at the threshold; 0: DefaultSnapshotInterval
}

const (
	DefaultSnapshotThreshold = 1024
	DefaultTrailingEntries   = 1024
	DefaultSnapshotInterval  = 30 * time.Second

	// Timeouts of a group whose members share a machine room. A group of one waits for none of
	// them; they also set how often an idle leader wakes up (once a lease).
	heartbeatTimeout = time.Second
	leaderLease      = 500 * time.Millisecond

	// drainTimeout is how long Close and a failed disk wait for proposals under way. It is shorter
	// than heartbeatTimeout, so that a group with a failed disk stops before it votes again.
	drainTimeout = leaderLease
)

// Controller is one broker's member of the group.
type Controller struct {
	config    Config
	logger    *slog.Logger
	machine   *metadata.Machine
	fault     *fault
	bolt      *raftboltdb.BoltStore
	snapshots raft.SnapshotStore
	transport raft.Transport
	raft      *raft.Raft

	stop    chan struct{}  // closed by Close
	slots   chan struct{}  // one token per proposal under way
	owned   sync.WaitGroup // listeners and the watcher of fault
	pending sync.WaitGroup // proposals under way

	mu            sync.Mutex // guards the two below
	closing       bool
	subscriptions []*subscription

	shutdownOnce sync.Once
	shutdown     raft.Future
	closed       chan struct{} // closed when Close is done
	closeErr     error         // written before closed is
}

// Open opens the group, and waits until its leader is known; when that is this broker, until all
// of history has been applied. Everything that Propose acknowledged before is in the image.
//
// Damaged files are refused with CorruptError, missing ones with ErrEmpty. ctx bounds the wait.
func Open(ctx context.Context, config Config) (c *Controller, err error) {
	c = &Controller{
		config: config.withDefaults(), machine: metadata.NewMachine(), fault: newFault(),
		stop: make(chan struct{}), slots: make(chan struct{}, maxPending), closed: make(chan struct{}),
	}
	c.logger = c.config.Logger
	if err := c.openStores(); err != nil {
		return nil, errors.Join(err, c.closeStores())
	}
	if err := c.startRaft(); err != nil {
		return nil, errors.Join(err, c.closeStores())
	}
	c.goOwned(c.watchFault)
	if err := c.awaitLeader(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.SnapshotThreshold == 0 {
		c.SnapshotThreshold = DefaultSnapshotThreshold
	}
	if c.TrailingEntries == 0 {
		c.TrailingEntries = DefaultTrailingEntries
	}
	if c.SnapshotInterval == 0 {
		c.SnapshotInterval = DefaultSnapshotInterval
	}
	return c
}

// serverID names a voter by node and data directory.
func (c Config) serverID() raft.ServerID {
	return raft.ServerID(fmt.Sprintf("%d.%x", c.NodeID, c.Directory))
}

func (c *Controller) openStores() error {
	if err := os.MkdirAll(c.config.Dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(c.config.Dir, "raft.db")
	fresh, err := c.checkFile(path)
	if err != nil {
		return err
	}
	c.bolt, err = raftboltdb.New(raftboltdb.Options{
		Path:                    path,
		MsgpackUseNewTimeFormat: true,
		BoltOptions: &bbolt.Options{
			Timeout:         time.Second, // another process holds the file: say so instead of waiting for ever
			NoFreelistSync:  true,
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: 1 << 20, // the file grows once at first, not at every entry
		},
	})
	if err != nil {
		return fmt.Errorf("controller: open %s: %w", path, err)
	}
	c.snapshots, err = raft.NewFileSnapshotStoreWithLogger(c.config.Dir, 2, newRaftLogger(c.logger))
	if err != nil {
		return fmt.Errorf("controller: open snapshots in %s: %w", c.config.Dir, err)
	}
	if !fresh {
		return nil
	}
	return errors.Join(syncDir(c.config.Dir), syncDir(filepath.Dir(c.config.Dir)))
}

func (c *Controller) startRaft() error {
	logs := &logStore{bolt: c.bolt, fault: c.fault}
	stable := &stableStore{bolt: c.bolt, fault: c.fault}
	c.transport = c.config.Transport
	if c.transport == nil {
		_, c.transport = raft.NewInmemTransport(raft.ServerAddress(c.config.serverID()))
	}
	if _, ok := c.transport.(raft.WithPreVote); !ok {
		return errors.New("controller: the transport does not carry pre-votes")
	}
	conf := c.raftConfig()
	empty, err := c.verify(logs, stable)
	if err != nil {
		return err
	}
	if empty {
		first := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: conf.LocalID, Address: c.transport.LocalAddr()}}}
		if err := raft.BootstrapCluster(conf, logs, stable, c.snapshots, c.transport, first); err != nil {
			return fmt.Errorf("controller: first configuration: %w", err)
		}
	}
	machine := &fsm{machine: c.machine, fault: c.fault, changed: c.imageChanged}
	c.raft, err = raft.NewRaft(conf, machine, logs, stable, c.snapshots, c.transport)
	if err != nil {
		return fmt.Errorf("controller: start: %w", err)
	}
	return nil
}

func (c *Controller) raftConfig() *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = c.config.serverID()
	conf.HeartbeatTimeout = heartbeatTimeout + time.Millisecond // awaitLeader takes the millisecond off
	conf.ElectionTimeout = heartbeatTimeout + time.Millisecond
	conf.LeaderLeaseTimeout = leaderLease
	conf.MaxAppendEntries = 256
	conf.SnapshotThreshold = c.config.SnapshotThreshold
	conf.SnapshotInterval = c.config.SnapshotInterval
	conf.TrailingLogs = c.config.TrailingEntries
	conf.NoSnapshotRestoreOnStart = true // verify has restored it
	conf.NoLegacyTelemetry = true
	conf.Logger = newRaftLogger(c.logger)
	return conf
}

// awaitLeader waits for a leader. The only voter there is need not wait to hear from another one
// first: shortening the timeout makes the library look at once whether it is due to stand.
func (c *Controller) awaitLeader(ctx context.Context) error {
	servers := c.raft.GetConfiguration().Configuration().Servers
	if !hasServer(servers, c.config.serverID()) {
		return fmt.Errorf("controller: this broker (%s) is not a member of its own group: %v", c.config.serverID(), servers)
	}
	if len(servers) == 1 {
		reload := c.raft.ReloadableConfig()
		reload.HeartbeatTimeout = heartbeatTimeout
		if err := c.raft.ReloadConfig(reload); err != nil {
			return err
		}
	}
	known := make(chan raft.Observation, 1)
	observer := raft.NewObserver(known, false, func(o *raft.Observation) bool {
		l, ok := o.Data.(raft.LeaderObservation)
		return ok && l.LeaderID != ""
	})
	c.raft.RegisterObserver(observer)
	defer c.raft.DeregisterObserver(observer)
	for {
		if _, leader := c.raft.LeaderWithID(); leader == c.config.serverID() {
			err := c.Barrier(ctx)
			return errors.Join(err, c.fault.get())
		} else if leader != "" {
			return nil
		}
		select {
		case <-known:
		case <-c.fault.raised:
			return c.fault.get()
		case <-ctx.Done():
			return fmt.Errorf("controller: no leader yet: %w", ctx.Err())
		}
	}
}

func hasServer(servers []raft.Server, id raft.ServerID) bool {
	for _, s := range servers {
		if s.ID == id {
			return true
		}
	}
	return false
}

// Image returns the newest image applied here.
func (c *Controller) Image() *metadata.Image { return c.machine.Image() }

// Leader returns the node id of the broker that leads the group, if one is known.
func (c *Controller) Leader() (node int32, known bool) {
	_, id := c.raft.LeaderWithID()
	head, _, _ := strings.Cut(string(id), ".")
	n, err := strconv.ParseInt(head, 10, 32)
	return int32(n), err == nil
}

// Snapshot writes a snapshot now and drops the log entries behind it but the trailing ones.
func (c *Controller) Snapshot() error {
	err := c.raft.Snapshot().Error()
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return err
}

// Fault returns what stopped the group, or nil.
func (c *Controller) Fault() error { return c.fault.get() }

func (c *Controller) goOwned(f func()) {
	c.owned.Add(1)
	go func() {
		defer c.owned.Done()
		f()
	}()
}

// watchFault stops the group at the first failed write, before it can stand for election again,
// and tells the owner.
func (c *Controller) watchFault() {
	select {
	case <-c.stop:
		return
	case <-c.fault.raised:
	}
	err := c.fault.get()
	c.logger.Error("controller stopped", "err", err)
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.drain()
	c.shutdownRaft()
	if c.config.OnFatal != nil {
		c.config.OnFatal(err)
	}
}

// shutdownRaft tells the library to stop. Only the future of its first call waits until it has.
func (c *Controller) shutdownRaft() raft.Future {
	c.shutdownOnce.Do(func() { c.shutdown = c.raft.Shutdown() })
	return c.shutdown
}

// drain waits for the proposals under way. The library answers those it holds, unless it is shut
// down while they wait for the FSM; so they get the time that they need first.
func (c *Controller) drain() {
	done := make(chan struct{})
	go func() {
		c.pending.Wait()
		close(done)
	}()
	timer := time.NewTimer(drainTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// Close stops the group and closes its files. Listeners have returned when it does; calls after
// the first wait for it and return the same error.
func (c *Controller) Close() error {
	c.mu.Lock()
	first := !isClosed(c.stop)
	c.closing = true
	if first {
		close(c.stop)
	}
	c.mu.Unlock()
	if !first {
		<-c.closed
		return c.closeErr
	}
	c.drain()
	err := c.shutdownRaft().Error()
	c.owned.Wait()
	c.closeErr = errors.Join(err, c.closeStores())
	close(c.closed)
	return c.closeErr
}

func (c *Controller) closeStores() error {
	if c.bolt == nil {
		return nil
	}
	return c.bolt.Close()
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

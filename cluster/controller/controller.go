// Package controller runs the Raft group that decides what the cluster is: it keeps the commands
// of package metadata in a replicated log on disk and applies them in order on every broker.
//
// A single broker is a group of one voter; there is no other mode.
package controller

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"weir/cluster/boltfile"
	"weir/cluster/metadata"
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

	incarnation uint64        // of this object, random: part of the ids of its proposals
	counter     atomic.Uint64 // of its proposals
	waiting     *waiters      // proposals of this broker that are not applied here yet
	liveness    *liveness     // who was heard, while this broker leads
	registered  atomic.Uint64 // epoch of the newest registration by Register
	heard       atomic.Pointer[time.Time]
	led         atomic.Uint64 // term in which this broker leads and all of history has been applied

	leaderChanged signal        // another leader, or led has changed
	imageAdvanced signal        // after every change of the image
	wakeLeader    chan struct{} // one token when the leader may have something to do

	stop        chan struct{} // closed by Close
	ctx         context.Context
	cancel      context.CancelFunc // ends ctx, with stop
	calls       context.Context
	cancelCalls context.CancelFunc // ends calls, which proposals under way wait by, when their time is over
	slots       chan struct{}      // one token per proposal under way
	owned       sync.WaitGroup     // listeners, the watcher of fault, the leader's work, heartbeats
	pending     sync.WaitGroup     // proposals under way

	mu            sync.Mutex // guards the four below
	closeBegun    bool
	closing       bool // no new proposals
	subscriptions []*subscription
	transferTerm  uint64 // the last term in which this leader tried to hand over

	shutdownOnce sync.Once
	shutdown     raft.Future
	closed       chan struct{} // closed when Close is done
	closeErr     error         // written before closed is
}

// Open opens the group and starts this broker's part in it. A broker that is the only voter leads
// on return, and everything that Propose acknowledged before is in the image; ctx bounds that wait,
// which is one for the disk. Any other broker waits for nobody: see AwaitLeader and AwaitReady.
//
// Damaged files are refused with CorruptError, missing ones with ErrEmpty.
func Open(ctx context.Context, config Config) (c *Controller, err error) {
	c = newController(config)
	if err := c.openStores(); err != nil {
		return nil, errors.Join(err, c.closeStores())
	}
	if err := c.startRaft(); err != nil {
		return nil, errors.Join(err, c.closeStores())
	}
	c.goOwned(c.watchFault)
	c.goOwned(c.lead)
	if c.config.Heartbeat != nil {
		c.goOwned(c.beat)
	}
	if err := c.standAtOnce(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func newController(config Config) *Controller {
	c := &Controller{
		config: config.withDefaults(), machine: metadata.NewMachine(), fault: newFault(config.Disk),
		waiting: newWaiters(), liveness: newLiveness(), wakeLeader: make(chan struct{}, 1),
		stop: make(chan struct{}), slots: make(chan struct{}, maxPending), closed: make(chan struct{}),
	}
	c.logger = c.config.Logger
	c.noteHeard()
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.calls, c.cancelCalls = context.WithCancel(context.Background())
	var random [8]byte
	rand.Read(random[:])
	c.incarnation = binary.BigEndian.Uint64(random[:])
	return c
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
		BoltOptions:             boltfile.Options(),
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
	return errors.Join(boltfile.SyncDir(path), boltfile.SyncDir(c.config.Dir))
}

func (c *Controller) startRaft() error {
	logs := &logStore{bolt: c.bolt, fault: c.fault}
	stable := &stableStore{bolt: c.bolt, fault: c.fault}
	address := raft.ServerAddress(c.config.serverID())
	c.transport = c.config.Transport
	if c.transport == nil {
		_, c.transport = raft.NewInmemTransport(address)
	}
	if _, ok := c.transport.(raft.WithPreVote); !ok {
		return errors.New("controller: the transport does not carry pre-votes")
	}
	if got := c.transport.LocalAddr(); got != address {
		return fmt.Errorf("controller: the transport's address is %s, want %s", got, address)
	}
	conf := c.config.raftConfig()
	empty, err := c.verify(logs, stable)
	if err != nil {
		return err
	}
	if empty && c.config.Bootstrap {
		first := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: conf.LocalID, Address: address}}}
		if err := raft.BootstrapCluster(conf, logs, stable, c.snapshots, c.transport, first); err != nil {
			return fmt.Errorf("controller: first configuration: %w", err)
		}
	}
	machine := &fsm{machine: c.machine, fault: c.fault, waiting: c.waiting, changed: c.imageChanged}
	c.raft, err = raft.NewRaft(conf, machine, logs, stable, c.snapshots, c.transport)
	if err != nil {
		return fmt.Errorf("controller: start: %w", err)
	}
	if t, ok := c.transport.(interface {
		SetMembers(func() raft.Configuration)
	}); ok {
		t.SetMembers(func() raft.Configuration { return c.raft.GetConfiguration().Configuration() })
	}
	c.raft.RegisterObserver(raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		if _, ok := o.Data.(raft.LeaderObservation); ok {
			c.leaderChanged.fire()
		}
		return false
	}))
	return c.checkMembership(stable)
}

// checkMembership refuses a group that this broker did not join and that does not know it: the
// state is another broker's, or an earlier incarnation's.
func (c *Controller) checkMembership(stable *stableStore) error {
	servers := c.raft.GetConfiguration().Configuration().Servers
	if _, err := stable.read(keyServerID); err == nil || hasServer(servers, c.config.serverID()) {
		return nil
	}
	return errors.Join(
		fmt.Errorf("controller: this broker (%s) is not a member of its own group: %v", c.config.serverID(), servers),
		c.shutdownRaft().Error())
}

// standAtOnce makes the only voter there is lead: it need not wait to hear from another one first.
// Shortening the timeout makes the library look at once whether it is due to stand.
func (c *Controller) standAtOnce(ctx context.Context) error {
	if !soleVoter(c.raft.GetConfiguration().Configuration().Servers, c.config.serverID()) {
		return nil
	}
	reload := c.raft.ReloadableConfig()
	reload.HeartbeatTimeout = c.config.HeartbeatTimeout
	if err := c.raft.ReloadConfig(reload); err != nil {
		return err
	}
	return c.AwaitLeader(ctx)
}

func soleVoter(servers []raft.Server, id raft.ServerID) bool {
	voters := 0
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			voters++
			if s.ID != id {
				return false
			}
		}
	}
	return voters == 1
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
// The transport is closed first, so that it does not wait for calls to peers.
func (c *Controller) shutdownRaft() raft.Future {
	c.shutdownOnce.Do(func() {
		if t, ok := c.transport.(raft.WithClose); ok {
			if err := t.Close(); err != nil {
				c.logger.Warn("controller: the transport did not close cleanly", "err", err)
			}
		}
		c.shutdown = c.raft.Shutdown()
	})
	return c.shutdown
}

// drain waits for the proposals under way, and gives up those that take too long. The library
// answers those it holds, unless it is shut down while they wait for the FSM; so they get the time
// that they need first.
func (c *Controller) drain() {
	done := make(chan struct{})
	go func() {
		c.pending.Wait()
		close(done)
	}()
	timer := time.NewTimer(c.config.drainTimeout())
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	c.cancelCalls()
}

// Close hands leadership over when there is somebody to take it, stops the group and closes its
// files. Listeners have returned when it does; calls after the first wait for it and return the
// same error.
func (c *Controller) Close() error {
	c.mu.Lock()
	first := !c.closeBegun
	c.closeBegun = true
	c.mu.Unlock()
	if !first {
		<-c.closed
		return c.closeErr
	}
	c.handOver()
	c.mu.Lock()
	c.closing = true
	close(c.stop)
	c.mu.Unlock()
	c.cancel()
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

package controller

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
)

// Call carries a request to the controller on another broker and brings the answer back. It must
// return soon after its context ends. An error that wraps ErrNotSent says that the request never
// left; after any other error it may have arrived.
type Call func(ctx context.Context, node int32, request []byte) ([]byte, error)

// Disk is told of one write after the other.
type Disk interface {
	Begin()
	End()
}

// Config says what Open opens.
type Config struct {
	Dir       string   // DATA/controller; made if missing
	NodeID    int32    // of this broker
	Directory [16]byte // id of the data directory: a wiped broker is another voter

	// New says that the data directory has never held a controller, so that an empty one may be
	// given its first state. State that is found is kept in any case. When New is false, an empty
	// directory is refused with ErrEmpty.
	New bool

	// Bootstrap says that this broker begins the cluster, as its first voter, if there is no state
	// yet. It is set on exactly one broker of a new cluster. All others wait to be added: see
	// Register.
	Bootstrap bool

	// Transport carries the group's messages; nil means a group that talks to nobody. Open owns it.
	// Its local address and the addresses it is given are server ids: see ServerID.
	Transport raft.Transport

	// Disk, if not nil, hears when a write of the group's main goroutine begins and when it has come
	// back. A leader that hangs in one leads on in the eyes of its followers, which hear heartbeats of
	// other goroutines (hashicorp/raft issue 503): whoever owns Transport has to end those then.
	Disk Disk

	Forward   Call // reaches HandleForward; nil: proposals are made by the leader only
	Heartbeat Call // reaches HandleHeartbeat; nil: this broker gives no sign of life

	Logger  *slog.Logger // nil: none
	OnFatal func(error)  // called at most once, when a write failed or history cannot be applied; must not call Close; may be nil

	SnapshotThreshold uint64        // entries between two snapshots; 0: DefaultSnapshotThreshold
	TrailingEntries   uint64        // entries kept behind a snapshot; 0: DefaultTrailingEntries
	SnapshotInterval  time.Duration // between two looks at the threshold; 0: DefaultSnapshotInterval

	// How long a follower waits to hear from a leader before it asks around whether to stand, and
	// a candidate for votes; how long a leader goes on without a majority. 0: the defaults. The
	// lease must not exceed the heartbeat timeout.
	HeartbeatTimeout time.Duration
	ElectionTimeout  time.Duration
	LeaderLease      time.Duration

	HeartbeatInterval time.Duration // between two signs of life of a broker; 0: DefaultHeartbeatInterval
	SessionTimeout    time.Duration // without one before it is fenced; 0: DefaultSessionTimeout
}

const (
	DefaultSnapshotThreshold = 1024
	DefaultTrailingEntries   = 1024
	DefaultSnapshotInterval  = 30 * time.Second

	// Timeouts of a group whose members share a machine room. A group of one waits for none of
	// them; they also set how often an idle leader wakes up (once a lease).
	DefaultHeartbeatTimeout = time.Second
	DefaultElectionTimeout  = time.Second
	DefaultLeaderLease      = 500 * time.Millisecond

	DefaultHeartbeatInterval = 500 * time.Millisecond
	DefaultSessionTimeout    = 6 * time.Second
)

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.SnapshotThreshold, DefaultSnapshotThreshold)
	orDefault(&c.TrailingEntries, DefaultTrailingEntries)
	orDefault(&c.SnapshotInterval, DefaultSnapshotInterval)
	orDefault(&c.HeartbeatTimeout, DefaultHeartbeatTimeout)
	orDefault(&c.ElectionTimeout, DefaultElectionTimeout)
	orDefault(&c.LeaderLease, DefaultLeaderLease)
	orDefault(&c.HeartbeatInterval, DefaultHeartbeatInterval)
	orDefault(&c.SessionTimeout, DefaultSessionTimeout)
	return c
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// ServerID names a member of the group by broker and data directory. It is also the member's
// address: the transport looks up where the broker is.
func ServerID(node int32, directory [16]byte) raft.ServerID {
	return raft.ServerID(fmt.Sprintf("%d.%x", node, directory))
}

func (c *Config) serverID() raft.ServerID { return ServerID(c.NodeID, c.Directory) }

// drainTimeout is how long Close and a failed disk wait for proposals under way. It is at most the
// lease, which is below the heartbeat timeout, so that a group with a failed disk stops before it
// votes again.
func (c *Config) drainTimeout() time.Duration { return c.LeaderLease }

func (c *Config) raftConfig() *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = c.serverID()
	conf.HeartbeatTimeout = c.HeartbeatTimeout + time.Millisecond // standAtOnce takes the millisecond off
	conf.ElectionTimeout = c.ElectionTimeout + time.Millisecond
	conf.LeaderLeaseTimeout = c.LeaderLease
	conf.MaxAppendEntries = 256
	conf.SnapshotThreshold = c.SnapshotThreshold
	conf.SnapshotInterval = c.SnapshotInterval
	conf.TrailingLogs = c.TrailingEntries
	conf.NoSnapshotRestoreOnStart = true // verify has restored it
	conf.ShutdownOnRemove = false        // a broker that was removed may be registered again
	conf.NoLegacyTelemetry = true
	conf.Logger = newRaftLogger(c.Logger)
	return conf
}

// Package cluster runs a node: it owns the data directory, the controller's
// Raft group and the partitions that the metadata place here, opens them in
// order and closes them in the reverse one.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/config"
	"weir/cluster/controller"
	"weir/cluster/metadata"
	"weir/cluster/transport"
	"weir/cluster/votes"
	"weir/partition"
	"weir/segment/vfs"
)

// syncWorkers is how many files are synced side by side. A sync waits for the
// device, not for a core, so this is about its queue.
const syncWorkers = 16

// Node is safe for concurrent use.
type Node struct {
	logger *slog.Logger
	fs     vfs.FS
	static *config.Broker // without the cluster's dynamic values
	dir    *dataDir

	folders     []*folder // the first is dir's
	votes       *votes.Store
	peers       peers
	controller  atomic.Pointer[controller.Controller] // nil until it is open
	watchdog    *partition.Watchdog
	closing     partition.Watched    // what a stop does beside closing partitions
	logLimit    *controller.LogLimit // of the Raft library's lines about partitions
	voting      partition.Watched    // writes of votes
	governing   partition.Watched    // writes of the controller
	leaders     *leaders
	dropped     dropped
	requests    atomic.Pointer[RequestHandler] // nil until somebody serves them
	retired     retired
	membersWake chan struct{} // one token when a partition's members may have to change
	throttle    *throttle     // of what is sent to replicas that are behind
	cleaner     *cleaner
	moves       *moves
	room        *room
	topics      atomic.Pointer[topicSet]
	config      atomic.Pointer[config.Broker]

	reconciling sync.Mutex // one reconcile at a time; guards closed
	closed      bool       // partitions are opened no more
	fatal       chan error // holds the first one

	ctx       context.Context // of the background goroutines
	cancel    context.CancelFunc
	running   sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

// Open takes the data directory and brings up all that is in it; a new one begins a
// cluster, or joins the one that cfg's seeds belong to. On return every partition that
// belongs here is open, or offline with its reason logged, and has a leader or does not
// get one for now; the metadata are no older than this node's registration. endpoints are
// what clients reach this broker by. ctx ends the wait for a cluster that does not answer.
// Errors: *LockedError when another process has the directory, *MetaError when it belongs
// to another node, cluster or version.
func Open(ctx context.Context, cfg *config.Broker, endpoints []metadata.Endpoint, logger *slog.Logger) (*Node, error) {
	return openOn(ctx, vfs.OS, cfg, endpoints, logger)
}

// raftLinesPerSecond is how often the same message of the Raft library is logged, of whatever partitions.
const raftLinesPerSecond = 10

// openOn is Open on a file system; what bbolt keeps is on the operating system's in any
// case.
func openOn(ctx context.Context, fsys vfs.FS, cfg *config.Broker, endpoints []metadata.Endpoint, logger *slog.Logger) (*Node, error) {
	n := &Node{
		logger: logger, fs: fsys, static: cfg, fatal: make(chan error, 1), watchdog: partition.NewWatchdog(cfg.WriteTimeout),
		retired: retired{wake: make(chan struct{}, 1), closing: make(map[partitionKey]closingReplica), growing: make(map[partitionKey]bool)},
		leaders: newLeaders(), logLimit: controller.NewLogLimit(raftLinesPerSecond), dropped: dropped{wake: make(chan struct{}, 1)}, membersWake: make(chan struct{}, 1), throttle: &throttle{now: time.Now}, cleaner: newCleaner(), moves: newMoves(), room: newRoom(), peers: peers{
			seeds: make(map[int32]string), lost: make(map[int32]time.Time), there: make(map[int32]bool), news: make(chan struct{}),
		},
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.config.Store(n.static)
	n.topics.Store(newTopicSet(nil))
	if err := n.open(ctx, endpoints); err != nil {
		return nil, errors.Join(err, n.abort())
	}
	return n, nil
}

func (n *Node) open(ctx context.Context, endpoints []metadata.Endpoint) error {
	ln, internal, err := listenForPeers(n.static)
	if err != nil {
		return err
	}
	n.peers.internal = internal
	if err := n.openStores(ctx); err != nil {
		return errors.Join(err, closeListener(ln))
	}
	if err := n.openTransport(ln); err != nil {
		return err
	}
	if err := n.openController(ctx); err != nil {
		return err
	}
	if err := n.register(ctx, endpoints); err != nil {
		return err
	}
	image := n.meta().Image()
	n.lookAtRoom() // what is opened may take records at once
	n.reconcile(image)
	for _, f := range n.inUse() {
		n.noteRecovered(f)
		f.sweepOrphans(image)
	}
	n.meta().OnChange(image, func(_, image *metadata.Image) { n.reconcile(image) })
	n.running.Go(n.maintain)
	for _, f := range n.folders {
		n.running.Go(func() { n.compactFolder(f) })
	}
	n.running.Go(n.tellLeaders)
	n.running.Go(n.keepMembers)
	n.running.Go(n.keepReplicas)
	n.running.Go(n.watchRoom)
	n.askLeaders(ctx)
	n.awaitOwn(ctx, image)
	return nil
}

func closeListener(ln net.Listener) error {
	if ln == nil {
		return nil
	}
	return ln.Close()
}

// openStores takes the data directory. A new one that joins a cluster asks first which.
func (n *Node) openStores(ctx context.Context) (err error) {
	if n.dir, err = lockDataDir(n.fs, n.static, n.logger); err != nil {
		return err
	}
	n.folders = append(n.folders, n.dir.folder)
	clusterID, first := n.static.ClusterID, n.dir.isNew()
	if len(n.static.Peers.Seeds) > 0 && first {
		found, err := n.findCluster(ctx)
		if err != nil {
			return err
		}
		if clusterID != "" && clusterID != found {
			return &MetaError{Path: n.dir.root, Reason: fmt.Sprintf("is to be of cluster %s, the seeds are of cluster %s", clusterID, found)}
		}
		clusterID = found
	}
	if err := n.dir.open(n.static, clusterID); err != nil {
		return err
	}
	n.recallPeers()
	if err := n.openFolders(first); err != nil {
		return err
	}
	n.openSyncers()
	if n.dir.fresh, err = n.isFresh(); err != nil {
		return err
	}
	if err := n.dir.checkVotes(); err != nil {
		return err
	}
	n.watch(&n.voting, "a write of votes")
	if n.votes, err = votes.Open(n.dir.votes(), n.logger, &n.voting, n.fail); err != nil {
		return err
	}
	if err := n.finishMoves(); err != nil {
		return err
	}
	return n.finishDiscards()
}

// watch has it told when the disk does not come back from writes beside those of partitions.
func (n *Node) watch(x *partition.Watched, op string) {
	n.watchdog.Watch(x, func() {
		n.logger.Error("the disk hangs", "err", &partition.HungError{Op: op, Limit: n.watchdog.Limit()})
	})
}

func (n *Node) openController(ctx context.Context) error {
	n.watch(&n.governing, "a write of the controller")
	cfg := controller.Config{
		Dir: n.dir.controller(), NodeID: n.ID(), Directory: n.dir.meta.directory(), New: n.dir.fresh,
		Bootstrap: len(n.static.Peers.Seeds) == 0,
		Forward:   n.call(serviceForward), Heartbeat: n.call(serviceHeartbeat),
		Disk:   &n.governing,
		Logger: n.logger, OnFatal: n.fail, SessionTimeout: n.static.Peers.SessionTimeout,
	}
	if t := n.peers.transport; t != nil {
		group, err := t.Group(transport.GroupID{})
		if err != nil {
			return err
		}
		cfg.Transport = patientController{newPatientGroup(group, &n.peers), &n.governing}
	}
	c, err := controller.Open(ctx, cfg)
	if err != nil {
		return err
	}
	n.controller.Store(c)
	n.serveControllers(c)
	return nil
}

// meta is the controller.
func (n *Node) meta() *controller.Controller { return n.controller.Load() }

// register tells the cluster who and where this node is, and waits until it has seen that.
func (n *Node) register(ctx context.Context, endpoints []metadata.Endpoint) error {
	if len(n.static.Peers.Seeds) == 0 && n.meta().Image().ClusterID() == "" {
		err := untilKnown(ctx, func() error {
			_, err := n.meta().Propose(ctx, metadata.SetClusterID{ID: n.dir.meta.ClusterID})
			return err
		})
		if err != nil {
			return err
		}
	}
	if len(n.static.Peers.Seeds) > 0 && len(n.meta().Image().Brokers()) == 0 && len(n.peers.seeds) == 0 {
		// It was new before, and never came as far as to hear of the others.
		if _, err := n.findCluster(ctx); err != nil {
			return err
		}
	}
	command := metadata.RegisterBroker{
		ID: n.ID(), Directory: n.dir.meta.directory(), Rack: n.static.Rack, Endpoints: endpoints, Internal: n.peers.internal,
	}
	if err := n.meta().Register(ctx, command, n.seedCalls()...); err != nil {
		return err
	}
	if err := n.meta().AwaitReady(ctx); err != nil {
		return err
	}
	if got := n.meta().Image().ClusterID(); got != n.dir.meta.ClusterID {
		return &MetaError{Path: n.dir.root, Reason: fmt.Sprintf("belongs to cluster %s, its controller log to %s", n.dir.meta.ClusterID, got)}
	}
	return nil
}

// untilKnown proposes what may be proposed twice again when its outcome is lost with a leadership: others
// that start at the same time, or are cut off, are no reason not to.
func untilKnown(ctx context.Context, propose func() error) error {
	for {
		err := propose()
		if !errors.Is(err, raft.ErrLeadershipLost) || ctx.Err() != nil {
			return err
		}
	}
}

// ownLeaderTimeout bounds the wait of a start for leaders: partitions whose other
// replicas are down get none.
const ownLeaderTimeout = 3 * time.Second

// awaitOwn waits until the partitions that are here alone are led, so that a broker that
// answers does not refuse at first.
func (n *Node) awaitOwn(ctx context.Context, image *metadata.Image) {
	ctx, cancel := context.WithTimeout(ctx, ownLeaderTimeout)
	defer cancel()
	for _, t := range n.topics.Load().byName {
		mt, ok := image.TopicByID(t.ID)
		if !ok {
			continue
		}
		for i, p := range t.partitions {
			if p != nil && len(mt.Partitions[i].Replicas) == 1 {
				if err := p.AwaitLeader(ctx); err != nil {
					n.logger.Warn("a partition has no leader yet", "topic", t.Name, "partition", i, "err", err)
				}
			}
		}
	}
}

// fail notes an error after which this process must not acknowledge anything
// any more. Whoever runs the node reads it from Fatal and ends the process.
func (n *Node) fail(err error) {
	select {
	case n.fatal <- err:
	default: // the first one counts
	}
}

// Fatal receives the error after which the process has to end: a sync, or a
// write on a disk that is not full, that failed. Recovery at the next start
// finds what is really on disk.
func (n *Node) Fatal() <-chan error { return n.fatal }

// ID is the broker id that clients see.
func (n *Node) ID() int32 { return n.static.NodeID }

// ControllerID is the broker that leads the controller as far as this node knows, -1 for
// none.
func (n *Node) ControllerID() int32 {
	if id, known := n.meta().Leader(); known {
		return id
	}
	return -1
}

// ClusterID is fixed when the first data directory of a cluster is made.
func (n *Node) ClusterID() string { return n.dir.meta.ClusterID }

// DataDir is the first of the data folders.
func (n *Node) DataDir() string { return n.dir.root }

// DirectoryID names the data directory in DescribeLogDirs and Raft.
func (n *Node) DirectoryID() [16]byte { return n.dir.meta.directory() }

// Config is what the node runs with now, dynamic values included.
func (n *Node) Config() *config.Broker { return n.config.Load() }

// Image is the newest metadata that this node has put into effect.
func (n *Node) Image() *metadata.Image { return n.topics.Load().image }

// Propose has the controller apply a command and waits until this node has
// put the outcome into effect: after CreateTopics the partitions are open.
// Errors are those of the command (cluster/metadata) and *UnavailableError;
// after a context's error the outcome is unknown.
func (n *Node) Propose(ctx context.Context, cmd metadata.Command) (any, error) {
	result, err := n.meta().Propose(ctx, cmd)
	if err == nil {
		err = n.meta().AwaitDelivery(ctx)
	}
	return result, unavailable(err)
}

// CatchUp waits until this node has put into effect all that the cluster had decided when it was called: what its
// image does not know then, is not. Errors are those of Propose.
func (n *Node) CatchUp(ctx context.Context) error {
	_, err := n.Propose(ctx, metadata.SetClusterID{ID: n.ClusterID()}) // which changes nothing
	return err
}

// UnavailableError says that the controller did not take a command, or that
// it is not known whether it did: it is closing, busy or led by another broker.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string { return "cluster: " + e.Err.Error() }
func (e *UnavailableError) Unwrap() error { return e.Err }

// unavailable marks the controller's own errors, so that callers need not know
// that package. Refusals of a command pass as they are.
func unavailable(err error) error {
	var notLeader *controller.NotLeaderError
	var unknown *controller.UnknownOutcomeError
	if errors.Is(err, controller.ErrClosed) || errors.Is(err, controller.ErrBusy) || errors.As(err, &notLeader) || errors.As(err, &unknown) {
		return &UnavailableError{Err: err}
	}
	return err
}

func (n *Node) close() error {
	n.watchdog.Watch(&n.closing, func() { n.logger.Error("the disk hangs while the node closes") })
	defer n.watchdog.Forget(&n.closing)
	n.cancel()
	n.closing.Begin()
	n.running.Wait()
	n.reconciling.Lock()
	n.closed = true // a proposal under way may still change the metadata
	n.reconciling.Unlock()
	n.closing.End()
	set := n.topics.Load()
	err := set.closeAll()
	n.closing.Begin()
	defer n.closing.End()
	err = errors.Join(err, n.meta().Close(), n.closeShared())
	select {
	case fatal := <-n.fatal:
		n.fatal <- fatal
		err = errors.Join(err, fatal)
	default:
	}
	return errors.Join(err, n.closeFolders(err == nil))
}

// closeShared closes what partitions and the controller have used.
func (n *Node) closeShared() (err error) {
	if n.peers.transport != nil {
		err = n.peers.transport.Close()
	}
	for _, f := range n.folders {
		if f.syncer != nil {
			f.syncer.Close()
		}
	}
	if n.votes != nil {
		err = errors.Join(err, n.votes.Close())
	}
	return err
}

// abort undoes a half-done open.
func (n *Node) abort() error {
	n.cancel()
	n.running.Wait()
	defer n.watchdog.Close()
	err := n.topics.Load().closeAll()
	if c := n.meta(); c != nil {
		err = errors.Join(err, c.Close())
	}
	err = errors.Join(err, n.closeShared())
	return errors.Join(err, n.closeFolders(false))
}

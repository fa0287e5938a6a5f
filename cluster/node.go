// Package cluster runs a node: it owns the data directory, the controller's
// Raft group and the partitions that the metadata place here, opens them in
// order and closes them in the reverse one.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/cluster/config"
	"weir/cluster/controller"
	"weir/cluster/metadata"
	"weir/log"
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

	syncer     *log.Syncer
	controller *controller.Controller
	topics     atomic.Pointer[topicSet]
	config     atomic.Pointer[config.Broker]

	reconciling sync.Mutex // one reconcile at a time; guards closed
	closed      bool       // partitions are opened no more
	fatal       chan error // holds the first one

	ctx       context.Context // of the background goroutines
	cancel    context.CancelFunc
	running   sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

// Open takes the data directory and brings up all that is in it. On return
// every partition is open, or offline with its reason logged; the metadata are
// those that were last committed. endpoints are what clients reach this broker
// by. Errors: *LockedError when another process has the directory,
// *MetaError when it belongs to another node or version.
func Open(cfg *config.Broker, endpoints []metadata.Endpoint, logger *slog.Logger) (*Node, error) {
	n := &Node{logger: logger, fs: vfs.OS, static: cfg, fatal: make(chan error, 1)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if err := n.open(endpoints); err != nil {
		return nil, errors.Join(err, n.abort())
	}
	return n, nil
}

func (n *Node) open(endpoints []metadata.Endpoint) error {
	var err error
	if n.dir, err = openDataDir(n.fs, n.static, n.logger); err != nil {
		return err
	}
	n.config.Store(n.static)
	n.topics.Store(newTopicSet(nil))
	n.syncer = log.NewSyncer(syncWorkers, n.fail)
	n.controller, err = controller.Open(n.ctx, controller.Config{
		Dir: n.dir.controller(), NodeID: n.static.NodeID, Directory: n.dir.meta.directory(), New: n.dir.fresh, Bootstrap: true,
		Logger: n.logger, OnFatal: n.fail,
	})
	if err != nil {
		return err
	}
	if err := n.register(endpoints); err != nil {
		return err
	}
	image := n.controller.Image()
	n.reconcile(image)
	if err := n.noteRecovered(); err != nil {
		return err
	}
	n.dir.sweepOrphans(image)
	n.controller.OnChange(image, func(_, image *metadata.Image) { n.reconcile(image) })
	n.running.Go(n.maintain)
	return nil
}

// register tells the controller who and where this node is.
func (n *Node) register(endpoints []metadata.Endpoint) error {
	if n.controller.Image().ClusterID() == "" {
		if _, err := n.controller.Propose(n.ctx, metadata.SetClusterID{ID: n.dir.meta.ClusterID}); err != nil {
			return err
		}
	}
	if got := n.controller.Image().ClusterID(); got != n.dir.meta.ClusterID {
		return &MetaError{Path: n.dir.root, Reason: fmt.Sprintf("belongs to cluster %s, its controller log to %s", n.dir.meta.ClusterID, got)}
	}
	_, err := n.controller.Propose(n.ctx, metadata.RegisterBroker{
		ID: n.ID(), Directory: n.dir.meta.directory(), Rack: n.static.Rack, Endpoints: endpoints,
	})
	return err
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

// ClusterID is fixed when the first data directory of a cluster is made.
func (n *Node) ClusterID() string { return n.dir.meta.ClusterID }

// DataDir is the root of the data directory.
func (n *Node) DataDir() string { return n.dir.root }

// DirectoryID names the data directory in DescribeLogDirs and Raft.
func (n *Node) DirectoryID() [16]byte { return n.dir.meta.directory() }

// Config is what the node runs with now, dynamic values included.
func (n *Node) Config() *config.Broker { return n.config.Load() }

// Image is the newest metadata that this node has put into effect.
func (n *Node) Image() *metadata.Image { return n.topics.Load().image }

// FreeBytes reports the room on the data directory's file system.
func (n *Node) FreeBytes() (free, total int64, err error) { return n.fs.FreeBytes(n.dir.root) }

// Propose has the controller apply a command and waits until this node has
// put the outcome into effect: after CreateTopics the partitions are open.
// Errors are those of the command (cluster/metadata) and *UnavailableError;
// after a context's error the outcome is unknown.
func (n *Node) Propose(ctx context.Context, cmd metadata.Command) (any, error) {
	result, err := n.controller.Propose(ctx, cmd)
	if err == nil {
		err = n.controller.AwaitDelivery(ctx)
	}
	return result, unavailable(err)
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

// maintain runs what time asks for: retention, forgetting producers, retrying
// partitions that are offline, emptying the trash, compaction.
func (n *Node) maintain() {
	for {
		timer := time.NewTimer(n.Config().RetentionCheckInterval)
		select {
		case <-timer.C:
		case <-n.ctx.Done():
			timer.Stop()
			return
		}
		now := time.Now()
		for _, t := range n.topics.Load().byName {
			t.maintain(now, n.logger)
		}
		n.reconcile(n.controller.Image())
		if err := n.noteRecovered(); err != nil {
			n.logger.Error("the data directory is not marked as recovered", "err", err)
		}
		n.dir.emptyTrash(now)
		for _, t := range n.topics.Load().byName { // last, since it may take long
			t.compact(n.ctx, now, n.logger)
		}
	}
}

// noteRecovered marks the data as recovered once every partition is open.
func (n *Node) noteRecovered() error {
	if n.topics.Load().anyOffline() {
		return nil
	}
	return n.dir.recovered()
}

// Close stops everything in the reverse order of Open and leaves the mark of a
// clean shutdown if all of it went well and no partition was offline, which
// would still have to be recovered. It is idempotent.
func (n *Node) Close() error {
	n.closeOnce.Do(func() { n.closeErr = n.close() })
	return n.closeErr
}

func (n *Node) close() error {
	n.cancel()
	n.running.Wait()
	n.reconciling.Lock()
	n.closed = true // a proposal under way may still change the metadata
	n.reconciling.Unlock()
	set := n.topics.Load()
	err := set.closeAll()
	err = errors.Join(err, n.controller.Close())
	n.syncer.Close()
	select {
	case fatal := <-n.fatal:
		n.fatal <- fatal
		err = errors.Join(err, fatal)
	default:
	}
	return errors.Join(err, n.dir.close(err == nil && !set.anyOffline()))
}

// abort undoes a half-done open.
func (n *Node) abort() error {
	n.cancel()
	var err error
	if set := n.topics.Load(); set != nil {
		err = set.closeAll()
	}
	if n.controller != nil {
		err = errors.Join(err, n.controller.Close())
	}
	if n.syncer != nil {
		n.syncer.Close()
	}
	if n.dir != nil {
		err = errors.Join(err, n.dir.close(false))
	}
	return err
}

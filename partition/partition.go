// Package partition is one replicated partition: an ordered log of record
// batches with a high watermark, the state of its idempotent producers, and
// those who wait for it to move.
//
// A batch passes three events in this order, whatever replicates it:
// proposed (checked, and its place in the order taken), stored (in this
// broker's log, offset and leader epoch stamped) and committed (safe as the
// topic's durability says; from here consumers see it). DESIGN.md tells who
// does what at each.
//
// All ranges are half-open: the log end offset, the high watermark and every
// "next offset" are one past the last record they speak of.
package partition

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"weir/log"
	"weir/segment/vfs"
)

// Config says where a partition lives and what it may use.
type Config struct {
	Dir         string
	FS          vfs.FS
	Topic       string
	TopicID     [16]byte
	Partition   int32
	Recovery    log.RecoveryMode
	Syncer      *log.Syncer // shared by the node's partitions
	Replication Replication
	Logger      *slog.Logger
	Now         func() time.Time
	Settings    Settings
	// Fatal, if not nil, hears of what must end the process: a disk that fails
	// writes for another reason than room, or a log that contradicts its group. A
	// failed sync the Syncer tells by itself. It must not call back into the
	// partition.
	Fatal func(error)
	// Reopen, if not nil, hears, at most once, that this replica has left its group and
	// is to be closed, waited for (Gone) and opened again. It must not block, nor call
	// back into the partition.
	Reopen func(error)
	// Damaged says that bad bytes have been found in the log since the process began: the
	// replica takes part, and does not stand for election.
	Damaged bool
	// Watchdog, if not nil, has the replica leave when its disk hangs.
	Watchdog *Watchdog
	// Room, if not nil, says why a leader is not to take a batch of so many bytes, nil if it may, and whether another
	// replica could lead and take it. Markers and commands are not asked for: they let go of what fills the disk.
	// Full, if not nil, says why a follower is not to store batches of so many bytes, by an error that vfs.IsNoSpace
	// knows. Neither may block, nor call back into the partition.
	Room func(sizeBytes int) (elsewhere bool, err error)
	Full func(sizeBytes int) error

	messageEntries int // in one message to a follower, at most; 0: as many as the library asks for. For tests.
}

// Settings can be changed while the partition is open.
type Settings struct {
	Log log.Settings

	// WriteCaching commits a batch once it is written, before it is on disk.
	// What a power loss may then take is bounded by FlushInterval and
	// FlushRecords. Off, a batch is committed once fdatasync has returned.
	WriteCaching  bool
	FlushInterval time.Duration // 0: never by time
	FlushRecords  int64         // 0: never by count

	// Compact has Compact do something, within the bounds of Compaction.
	Compact    bool
	Compaction log.Compaction

	// MaxProducers is how many idempotent producers are remembered; the
	// least recently seen one makes room. At most MaxProducersLimit.
	MaxProducers int
	// ProducerExpiry is how long a silent producer without an open transaction is remembered.
	ProducerExpiry time.Duration
}

// Partition is safe for concurrent use.
type Partition struct {
	cfg    Config
	log    *log.Log
	logger *slog.Logger // names the partition
	raft   atomic.Pointer[raft.Raft]

	epoch            atomic.Int32                  // of the leadership under which this replica serves, -1 for none; written under mu
	since            atomic.Pointer[time.Time]     // when that leadership began
	leader           atomic.Pointer[raft.ServerID] // as the library last said
	highWatermark    atomic.Int64                  // written under mu
	lastStable       atomic.Int64                  // likewise, after it: never above it; the log start may have passed it
	aborted          atomic.Pointer[abortedIndex]  // of state, for readers; written under mu
	closed           atomic.Bool                   // written under mu
	rolledAt         atomic.Int64                  // base offset of the newest segment, 0 for the first
	checkpointOnDisk atomic.Uint64                 // raft index of the newest one that no crash takes
	startFailed      atomic.Pointer[error]         // why the log start has not been moved as asked
	followers        followers
	timeouts         timeouts
	waiters          waiters
	alarm            alarm          // rings when a follower may have to be told something
	turned           alarm          // rings when the replica begins or ends to lead
	closing          chan struct{}  // closed with the partition
	gone             chan struct{}  // closed when nothing of the partition runs any more
	background       sync.WaitGroup // writers of checkpoints, those that delete segments, and those that insist on an entry

	left      atomic.Pointer[error] // why the replica has left its group, nil while it takes part
	disk      activities
	hung      chan struct{} // closed when the disk hangs
	hungOnce  sync.Once
	damaged   atomic.Bool               // bad bytes have been found in the log
	full      atomic.Pointer[time.Time] // when the disk was last found full, nil once something has been written since
	membersAt atomic.Uint64             // raft index of the newest membership stored since the replica was opened
	yielded   time.Time                 // when it handed over last for want of room; guarded by mu
	abstains  atomic.Bool               // the replica has given up its vote
	ballots   ballots

	// order has the library take proposals in the order in which they were checked.
	// Lock order: order, mu, the log's own locks, waiters.mu.
	order sync.Mutex

	// mu guards everything below. The main goroutine of the group takes it, so the
	// library is never called with it held.
	mu               sync.Mutex
	room             sync.Cond // something was stored, or ended
	settings         Settings
	state            *state                // as of what is applied
	proposals        uint64                // number of the last one
	queue            []*proposal           // not stored, in order
	claimed          []*proposal           // those that the log may be writing; ended ones among them
	stored           []*proposal           // not committed, in order
	ahead            map[int64][]*proposal // of idempotent producers, by id: those of queue and stored, in order
	beginning        int                   // how many of ahead begin a transaction
	uncommittedBytes int
	startAsked       int64 // by commands applied and not carried out yet, 0 for none; until then there is no new checkpoint
	startTried       int64 // up to which the disk has refused them, until Maintain or another order has it tried again
	startMoving      bool  // moveStart runs
	servesThen       int32 // the leadership that begins to serve when it has ended, 0 for none
	startOrdered     int64 // the largest that a command applied since the open has asked for
	checkpointOwed   bool  // the newest could not be written
	ordering         atomic.Bool
	starting         *Append // the newest command by which retention has asked for one; nil: none
	sole             bool    // of this leadership: no other replica has a vote
	handingOver      int32   // epoch of the leadership of which a transfer is under way, 0 for none
	transferred      int32   // epoch of the leadership that was last to be handed over
	syncing          bool    // a flush is under way; its end looks for more
	syncAgain        bool    // one was asked for since it began
	unflushed        int64   // records written since the last sync was asked for
	unflushedBytes   int     // and bytes
	flushTime        *time.Timer
	checkpoint       uint64             // raft index of the newest checkpoint, written or being written
	checkpointOffset int64              // its next offset
	checkpointing    int                // how many are being written
	shutdown         func() raft.Future // ends the library once; its future is done when that has ended
	held             chan struct{}      // closed when the write comes back that claimed bytes are read by; nil: none is

	// w belongs to the main goroutine of the group.
	w writerState
}

// writerState is what StoreLogs keeps from call to call.
type writerState struct {
	entries  []log.Entry
	own      []*proposal
	caching  bool               // the topic wants batches to count in the page cache
	cached   bool               // the file is there that says so
	cut      bool               // the end of the log has been deleted, and nothing is stored since
	stamped  bool               // the entries come from a leader
	synced   func(int64, error) // gives the outcome to syncDone
	syncDone chan error
	inLine   atomic.Bool // a sync has been asked for, and is waited for
}

// Open opens the partition in cfg.Dir, which it makes if it is not there, and joins
// its group. On return everything that recovery found is on disk; what of it is
// committed, and who leads, the group finds out: see AwaitLeader. Errors:
// *log.CorruptError when the log is damaged below what was known to be synced,
// *LostError.
func Open(cfg Config) (*Partition, error) {
	p := &Partition{
		cfg: cfg, settings: cfg.Settings, ahead: make(map[int64][]*proposal),
		closing: make(chan struct{}), gone: make(chan struct{}), hung: make(chan struct{}),
	}
	p.logger = cfg.Logger.With("topic", cfg.Topic, "partition", cfg.Partition)
	p.room.L = &p.mu
	p.damaged.Store(cfg.Damaged)
	p.epoch.Store(-1)
	p.w.syncDone = make(chan error, 1)
	p.w.synced = func(_ int64, err error) { p.w.syncDone <- err }
	l, err := log.Open(log.Config{
		Dir: cfg.Dir, FS: cfg.FS, Syncer: cfg.Syncer,
		TopicID: cfg.TopicID, Partition: cfg.Partition,
		Recovery: cfg.Recovery, Logger: cfg.Logger, Now: cfg.Now,
		Settings: cfg.Settings.Log,
		OnRoll:   p.rolled,
	})
	if err != nil {
		return nil, errors.Join(err, p.stopRaft())
	}
	p.log = l
	p.watch()
	if err := p.start(); err != nil {
		p.shut() // it may have joined its group
		err = errors.Join(err, p.finish(false))
		p.unwatch()
		return nil, err
	}
	return p, nil
}

// start loads the state beside the log and joins the group.
func (p *Partition) start() error {
	if p.cfg.Recovery != log.RecoverClean {
		if err := p.log.Sync(); err != nil {
			return err
		}
	}
	if err := p.loadVote(); err != nil {
		return err
	}
	if err := p.bootstrap(); err != nil {
		return err
	}
	var err error
	if p.state, err = p.endInstall(p.loadState()); err != nil {
		return err
	}
	at := p.state.at
	p.checkpoint, p.checkpointOffset = at.raftIndex, at.nextOffset
	p.checkpointOnDisk.Store(at.raftIndex)
	p.setAborted(p.state.aborted)
	if err := p.applyRetold(); err != nil {
		return err
	}
	p.setHighWatermark(max(at.nextOffset, p.log.LogStartOffset()))
	p.log.SetAppliedFloor(at.raftIndex)
	p.setRetainFloor()
	p.deleteSegments() // the library is to find no holes
	if err := p.startRaft(); err != nil {
		return err
	}
	return p.log.CloseIdle() // what reading the log at a start has opened
}

// AwaitLeader waits until this replica serves as the leader, or another one is known
// to lead. Errors: ctx's, ErrClosed.
func (p *Partition) AwaitLeader(ctx context.Context) error {
	w := NewWaiter()
	p.Attach(w)
	defer p.Detach(w)
	for {
		if p.closed.Load() {
			return ErrClosed
		}
		if _, leading := p.Leading(); leading {
			return nil
		}
		if leader := p.Leader(); leader != "" && leader != p.cfg.Replication.Local {
			return nil
		}
		select {
		case <-w.C():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close leaves the group, settles what is pending with ErrClosed, syncs the log and
// leaves a clean checkpoint, so that the next Open reads nothing again. It leaves a disk
// behind that hangs: *HungError, and see Gone.
func (p *Partition) Close() error { return p.end(true) }

// Abandon is Close for a partition whose data is about to be thrown away, or that has left
// its group: it releases files and maps and saves no state.
func (p *Partition) Abandon() error { return p.end(false) }

// Gone is closed when all that Close or Abandon have to wait for has ended, the disk that
// hung too. Until then nobody else may open the log.
func (p *Partition) Gone() <-chan struct{} { return p.gone }

// end closes the partition, once.
func (p *Partition) end(save bool) error {
	if !p.shut() {
		return nil
	}
	done := make(chan error, 1)
	go func() { // ends with what hangs
		p.disk.close.Begin()
		err := p.finish(save)
		p.disk.close.End()
		p.unwatch()
		close(p.gone)
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-p.hung:
		return &HungError{Op: "what had begun before it was closed", Limit: p.cfg.Watchdog.Limit()}
	}
}

// finish waits for what runs and lets go of the log.
func (p *Partition) finish(save bool) error {
	if err := p.stopRaft(); err != nil {
		p.logger.Error("leaving the group", "err", err)
	}
	p.forsake(ErrClosed) // what was being written meanwhile
	p.letGo()
	p.background.Wait()
	p.mu.Lock()
	for p.syncing {
		p.room.Wait()
	}
	p.mu.Unlock()
	if save {
		p.saveCheckpoint()
	}
	err := p.log.Close()
	if save && err == nil && p.w.cached {
		err = p.unmark(cachedName)
	}
	return err
}

// shut refuses new work, and ends what is pending. It says false when that was done before.
func (p *Partition) shut() bool {
	p.mu.Lock()
	if p.closed.Swap(true) {
		p.mu.Unlock()
		return false
	}
	close(p.closing)
	p.stopFlushTimer()
	p.timeouts.end()
	p.epoch.Store(-1)
	p.mu.Unlock()
	p.forsake(ErrClosed)
	p.waiters.wakeAll()
	return true
}

// stopRaft closes the transport, so that nothing waits for a peer any more, and ends the
// library's goroutines.
func (p *Partition) stopRaft() (err error) {
	if t := p.cfg.Replication.Transport; t != nil {
		err = t.Close()
	}
	p.mu.Lock()
	shutdown := p.shutdown
	p.mu.Unlock()
	if shutdown != nil {
		err = errors.Join(err, shutdown().Error())
	}
	return err
}

// SetSettings puts new settings in force for what comes next.
func (p *Partition) SetSettings(s Settings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settings = s
	p.state.producers.limit = s.MaxProducers
	p.log.SetSettings(s.Log)
	if p.log.DurableOffset() < p.log.LogEndOffset() {
		p.requestSync() // what was cached under the old settings
	}
}

// rolled runs on the writer's goroutine, from within Append, Roll or Retain, when a segment
// begins at base. A checkpoint per segment bounds what a start reads again; it is due
// when what lies before the segment has been applied.
func (p *Partition) rolled(base int64) { p.rolledAt.Store(base) }

// Topic, ID and Index name the partition.
func (p *Partition) Topic() string     { return p.cfg.Topic }
func (p *Partition) TopicID() [16]byte { return p.cfg.TopicID }
func (p *Partition) Index() int32      { return p.cfg.Partition }
func (p *Partition) Dir() string       { return filepath.Clean(p.cfg.Dir) }

// LeaderEpoch is the newest one that this replica knows of. It never goes back.
func (p *Partition) LeaderEpoch() int32 {
	return int32(min(p.raft.Load().CurrentTerm(), math.MaxInt32))
}

// LogStartOffset is the first readable offset, HighWatermark the first one
// that is not known to be committed, LogEndOffset the one the next append
// gets: start <= last stable <= high watermark <= end.
func (p *Partition) LogStartOffset() int64 { return p.log.LogStartOffset() }
func (p *Partition) HighWatermark() int64  { return p.highWatermark.Load() }
func (p *Partition) LogEndOffset() int64   { return p.log.LogEndOffset() }

// storageError makes err one of the partition's disk, unless it is one already, or of a replica that only is opened again.
func (p *Partition) storageError(err error) error {
	if retired := (*RetiredError)(nil); errors.As(err, &retired) {
		return err
	}
	if storage := (*StorageError)(nil); errors.As(err, &storage) {
		return err
	}
	return &StorageError{Topic: p.cfg.Topic, Partition: p.cfg.Partition, Err: err}
}

// SizeBytes is what the partition's records take on disk.
func (p *Partition) SizeBytes() int64 { return p.log.SizeBytes() }

// Copy begins a copy of all files of the partition in dir, an empty folder, to be finished when the partition has been
// closed: see log.Copy.
func (p *Partition) Copy(dir string, pace func(ctx context.Context, bytes int) error) *log.Copy {
	return p.log.Copy(dir, pace)
}

// Segments counts the segments of the log.
func (p *Partition) Segments() int { return p.log.Segments() }

// CheckLeaderEpoch compares the epoch a client believes in with ours. -1
// asks for no check. Errors: *LeaderEpochError.
func (p *Partition) CheckLeaderEpoch(epoch int32) error {
	if current := p.LeaderEpoch(); epoch != -1 && epoch != current {
		return &LeaderEpochError{Got: epoch, Want: current}
	}
	return nil
}

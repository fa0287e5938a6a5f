// Package log keeps one partition on this machine: a chain of segments that is
// appended to at one end and dropped whole at the other. DESIGN.md tells how it
// works, ../segment/FORMAT.md what is on disk.
//
// Offsets are Kafka offsets, raft indexes count entries, and all ranges are
// half-open. LogStartOffset ≤ DurableOffset ≤ LogEndOffset always holds.
package log

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/segment"
	"weir/segment/vfs"
)

// Config is what a log is opened with.
type Config struct {
	Dir       string // made if it is not there
	FS        vfs.FS // nil: the operating system's
	Syncer    *Syncer
	TopicID   [16]byte
	Partition int32
	Recovery  RecoveryMode
	Logger    *slog.Logger     // nil: none
	Now       func() time.Time // nil: time.Now
	Settings  Settings
	// OnRoll, if set, is called with the base offset of each new segment, on
	// the goroutine that rolls and with the writer's lock held: from within
	// Append, Roll or Retain, before the entries of that Append are counted.
	OnRoll func(base int64)
}

// Settings can be changed while the log is open.
type Settings struct {
	SegmentBytes       int64         // a segment is sealed before it grows past this; 0: 1 GiB
	SegmentAge         time.Duration // or when it has become this old; ≤ 0: never
	SegmentJitter      time.Duration // of which at most this much is left out, at random for each segment
	IndexIntervalBytes int           // log bytes between index entries, of new segments; 0: 4096
	RetentionBytes     int64         // size to which Retain cuts; ≤ 0: no limit
	RetentionAge       time.Duration // age past which Retain deletes; ≤ 0: no limit
	// DeleteByRetention says that size and age count. Segments below the log
	// start are deleted in any case.
	DeleteByRetention bool
}

const (
	defaultSegmentBytes       = 1 << 30
	defaultIndexIntervalBytes = 4096
	// maxSegmentBytes is Kafka's bound too; positions fit 32 bits with room
	// for one append that goes past it.
	maxSegmentBytes = 1<<31 - 1
	// maxAppendBytes bounds one Append.
	maxAppendBytes = 1 << 30
)

func (s Settings) withDefaults() *Settings {
	if s.SegmentBytes <= 0 {
		s.SegmentBytes = defaultSegmentBytes
	}
	s.SegmentBytes = min(s.SegmentBytes, maxSegmentBytes)
	if s.IndexIntervalBytes <= 0 {
		s.IndexIntervalBytes = defaultIndexIntervalBytes
	}
	return &s
}

// RecoveryMode says how the log was left.
type RecoveryMode = segment.Mode

// The modes; see package segment. The owner of the data directory knows which.
const (
	RecoverClean        = segment.RecoverClean
	RecoverProcessCrash = segment.RecoverProcessCrash
	RecoverPowerLoss    = segment.RecoverPowerLoss
)

// Log is one partition's log. Append, Roll, TruncateSuffix, AdvanceStart,
// DeleteSegments, Retain and Close exclude each other; everything else, Compact
// too, runs beside them and beside itself.
type Log struct {
	cfg      Config
	fs       vfs.FS
	logger   *slog.Logger
	readOnly bool
	settings atomic.Pointer[Settings]

	// What readers see. Each is written by the holder of mu, but for the first: see changeList.
	segments  atomic.Pointer[[]*segment.Segment] // never empty, never changed in place
	logStart  atomic.Int64
	logEnd    atomic.Int64
	firstRaft atomic.Uint64
	nextRaft  atomic.Uint64
	epochs    atomic.Pointer[epochList]

	durable      atomic.Int64
	appliedFloor atomic.Uint64
	retainFloor  atomic.Uint64 // 0: none
	uses         atomic.Int64  // counts reads of segments, for eviction
	closed       atomic.Bool
	failure      atomic.Pointer[FailedError]

	cuts   atomic.Uint64 // odd while the end of the log is being cut off
	headMu sync.Mutex    // guards trail; held while it is followed, taken after all others but those of a segment
	trail  segment.Trail // where EntryHead has come to

	compactMu sync.Mutex      // one compaction at a time; first in the order
	closing   context.Context // ends when compaction and copies are to stop
	stop      context.CancelFunc

	layoutMu sync.Mutex // the log start, and which segments there are but for new ones; before mu

	mu sync.Mutex // writer's lock
	w  writerState

	checkpointMu sync.Mutex // guards checkpoint; after mu
	checkpoint   checkpointFile

	syncMu  sync.Mutex   // one sync at a time; guards synced and cutting; after checkpointMu
	synced  durablePoint // everything below is on disk
	cutting uint64       // raft index from which TruncateSuffix is removing, 0 for none

	queue syncQueue // of the Syncer
}

// writerState belongs to the holder of mu.
type writerState struct {
	frames         []segment.Frame // reused
	bufs           [][]byte        // reused
	scratch        []byte          // raft frames being written
	firstTimestamp int64           // of the active segment, -1 while it has none
	jitter         float64         // share of SegmentJitter that the active segment is rolled early by
	changed        bool            // something is not as the last Close or Open left it
	cuts           int             // suffixes cut off
}

// durablePoint is a place up to which everything has been synced.
type durablePoint struct {
	segment *segment.Segment
	state   segment.State
	bytes   int64 // synced since the last checkpoint
}

// SetSettings puts new settings in force for what comes next.
func (l *Log) SetSettings(s Settings) { l.settings.Store(s.withDefaults()) }

// LogStartOffset is the first readable offset.
func (l *Log) LogStartOffset() int64 { return l.logStart.Load() }

// LogEndOffset is the offset that the next record gets.
func (l *Log) LogEndOffset() int64 { return l.logEnd.Load() }

// DurableOffset is the end of what is on disk for certain.
func (l *Log) DurableOffset() int64 {
	// A sync can have taken along what an append is just about to publish.
	durable := l.durable.Load()
	return min(durable, l.logEnd.Load())
}

// LastEpoch is the leader epoch of the last entry, -1 for none.
func (l *Log) LastEpoch() int32 {
	epochs := *l.epochs.Load()
	if len(epochs) == 0 {
		return -1
	}
	return epochs[len(epochs)-1].epoch
}

// EpochAt is the leader epoch of the record at offset, -1 when it is not known.
func (l *Log) EpochAt(offset int64) int32 { return l.epochs.Load().at(offset) }

// EndOffsetFor answers OffsetForLeaderEpoch: the largest epoch known that is at
// or below the one asked for and where it ends; for the last one the log end;
// (-1, -1) for one that is yet to come. An epoch older than all known comes
// back itself, ending where the first known one begins.
func (l *Log) EndOffsetFor(epoch int32) (int32, int64) {
	return l.epochs.Load().endOffset(epoch, l.logEnd.Load())
}

// FirstRaftIndex is the raft index of the first entry that the log holds, or
// will hold when it is empty.
func (l *Log) FirstRaftIndex() uint64 { return l.firstRaft.Load() }

// LastRaftIndex is the raft index of the last entry ever appended, 0 for none. It
// is below FirstRaftIndex, and the log without an entry, only before the first
// Append and after a TruncateSuffix of all there was.
func (l *Log) LastRaftIndex() uint64 { return l.nextRaft.Load() - 1 }

// EpochBefore is the leader epoch of the entry before a raft index that the log
// holds, -1 for none. Errors: those of EntryHead.
func (l *Log) EpochBefore(raftIndex uint64) (int32, error) {
	if raftIndex > l.FirstRaftIndex() {
		head, err := l.EntryHead(raftIndex - 1)
		return head.Epoch, err
	}
	first := l.list()[0]
	h, err := first.Header()
	if err == nil && h.BaseRaftIndex != raftIndex {
		err = ErrEntryNotFound
	}
	return h.EpochBefore, err
}

// SetAppliedFloor has TruncateSuffix refuse to remove entries at or below a
// raft index. It only rises.
func (l *Log) SetAppliedFloor(raftIndex uint64) {
	for {
		old := l.appliedFloor.Load()
		if raftIndex <= old || l.appliedFloor.CompareAndSwap(old, raftIndex) {
			return
		}
	}
}

// SetRetainFloor has DeleteSegments and Retain keep every segment with entries at or
// above a raft index, on top of the last one; 0, as after Open, sets no floor.
func (l *Log) SetRetainFloor(raftIndex uint64) { l.retainFloor.Store(raftIndex) }

// SizeBytes is the size of all segments' frames, without indexes and without
// the space reserved ahead.
func (l *Log) SizeBytes() int64 {
	n := int64(0)
	for _, s := range l.list() {
		n += s.SizeBytes()
	}
	return n
}

// Segments is the number of segments.
func (l *Log) Segments() int { return len(l.list()) }

// Dir is the folder.
func (l *Log) Dir() string { return l.cfg.Dir }

func (l *Log) list() []*segment.Segment { return *l.segments.Load() }

// changeList publishes another list, which change makes of the present one: the holder of mu adds at its end, beside the
// holder of layoutMu, who changes what is before. Neither waits for the other, who may be waiting for the disk: readers
// look again and again for a segment that has been dropped and not replaced.
func (l *Log) changeList(change func([]*segment.Segment) []*segment.Segment) {
	for {
		old := l.segments.Load()
		list := change(*old)
		if l.segments.CompareAndSwap(old, &list) {
			return
		}
	}
}

func (l *Log) active() *segment.Segment {
	list := l.list()
	return list[len(list)-1]
}

// writable says why the log takes no writes.
func (l *Log) writable() error {
	switch f := l.failure.Load(); {
	case l.closed.Load():
		return ErrClosed
	case l.readOnly:
		return ErrReadOnly
	case f != nil:
		return f
	}
	return nil
}

// fail makes the log refuse writes for good, when err is one after which
// nothing is certain, and passes err on. It goes to the Syncer's fatal callback,
// once, unless the disk was only full.
func (l *Log) fail(err error) error {
	if err == nil {
		return nil
	}
	if l.failure.CompareAndSwap(nil, &FailedError{Dir: l.cfg.Dir, Err: err}) && l.cfg.Syncer != nil && !OutOfRoom(err) {
		l.cfg.Syncer.fatal(err)
	}
	return err
}

// failIfSync is fail for errors of syncing only.
func (l *Log) failIfSync(err error) error {
	if sync := (*segment.SyncError)(nil); errors.As(err, &sync) {
		return l.fail(err)
	}
	return err
}

// syncDir makes names in the folder durable.
func (l *Log) syncDir() error {
	if err := l.fs.SyncDir(l.cfg.Dir); err != nil {
		return &segment.SyncError{Path: l.cfg.Dir, Err: err}
	}
	return nil
}

// Close syncs, writes the checkpoint that makes the next Open instant, and
// lets go of the files. Ranges handed out stay readable until their release.
// After an error the log was not closed cleanly: the next Open must recover.
// Closing again does nothing.
func (l *Log) Close() error {
	l.stop()
	l.compactMu.Lock()
	defer l.compactMu.Unlock()
	l.layoutMu.Lock()
	defer l.layoutMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed.Load() {
		return nil
	}
	var err error
	if f := l.failure.Load(); f != nil {
		err = f
	} else if !l.readOnly && l.w.changed {
		err = l.failIfSync(l.save())
	}
	l.closed.Store(true)
	for _, s := range l.list() {
		err = errors.Join(err, s.Close())
	}
	l.checkpointMu.Lock() // a worker may be writing one
	defer l.checkpointMu.Unlock()
	return err
}

// save leaves on disk what a clean Open needs.
func (l *Log) save() error {
	active := l.active()
	if !active.Sealed() {
		if err := l.syncBy(active, active.Trim); err != nil {
			return err
		}
	}
	if err := l.writeCheckpoint(unmoved, durably); err != nil {
		return err
	}
	return l.syncDir()
}

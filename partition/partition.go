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
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"weir/log"
	"weir/segment/vfs"
)

// Config says where a partition lives and what it may use.
type Config struct {
	Dir       string
	FS        vfs.FS
	Topic     string
	TopicID   [16]byte
	Partition int32
	Recovery  log.RecoveryMode
	Syncer    *log.Syncer // shared by the node's partitions
	Logger    *slog.Logger
	Now       func() time.Time
	Settings  Settings
	// Fatal, if not nil, hears of a disk that fails writes for another reason
	// than room; a failed sync the Syncer tells by itself. It must not call
	// back into the partition.
	Fatal func(error)
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
	// least recently seen one makes room.
	MaxProducers int
	// ProducerExpiry is how long a silent producer is remembered.
	ProducerExpiry time.Duration
}

// Partition is safe for concurrent use.
type Partition struct {
	cfg   Config
	log   *log.Log
	epoch int32 // leader epoch of this incarnation, fixed while open

	highWatermark atomic.Int64 // written under mu
	closed        atomic.Bool  // written under mu
	waiters       waiters
	background    sync.WaitGroup // snapshot writers

	// mu guards everything below and the order of appends. Lock order: mu,
	// then the log's own locks, then waiters.mu.
	mu             sync.Mutex
	settings       Settings
	announced      bool // this epoch's no-op is in the log
	producers      *producers
	pending        []*Append // stored, not committed, in offset order
	syncing        bool      // a sync is under way; its end looks for more
	syncAgain      bool      // one was asked for since it began
	unflushed      int64     // records written since the last sync was asked for
	unflushedBytes int       // and bytes
	flushTime      *time.Timer
	snapshot       int64 // offset of the newest producer snapshot, written or being written

	snapshotOnDisk atomic.Int64 // offset of the newest one that no crash takes
}

// Open opens the partition in cfg.Dir, which it makes if it is not there. On
// return everything that recovery found is on disk, and is committed: this
// release has one replica of each partition. Errors: *log.CorruptError when
// the log is damaged below what was known to be synced.
func Open(cfg Config) (*Partition, error) {
	p := &Partition{cfg: cfg, settings: cfg.Settings}
	l, err := log.Open(log.Config{
		Dir: cfg.Dir, FS: cfg.FS, Syncer: cfg.Syncer,
		TopicID: cfg.TopicID, Partition: cfg.Partition,
		Recovery: cfg.Recovery, Logger: cfg.Logger, Now: cfg.Now,
		Settings: cfg.Settings.Log,
		OnRoll:   p.rolled,
	})
	if err != nil {
		return nil, err
	}
	p.log = l
	if err := p.recover(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return p, nil
}

// recover brings the state beside the log to the log's end.
func (p *Partition) recover() error {
	if p.cfg.Recovery != log.RecoverClean {
		if err := p.log.Sync(); err != nil {
			return err
		}
	}
	end, start := p.log.LogEndOffset(), p.log.LogStartOffset()
	table, from, err := loadProducers(p.cfg.FS, p.cfg.Dir, end, p.settings.MaxProducers)
	if err != nil {
		return err
	}
	if from < start {
		// What lay between is gone. To a producer that sent any of it, this
		// state would call its next batch a gap; one that is not known at all
		// is believed.
		table, from = newProducers(p.settings.MaxProducers), start
	}
	p.producers, p.snapshot = table, from
	p.snapshotOnDisk.Store(from)
	now := p.cfg.Now()
	for h, err := range p.log.Batches(from, end) {
		if err != nil {
			return err
		}
		if h.ProducerID >= 0 && !h.IsControl() {
			p.producers.add(h, h.BaseOffset, now)
		}
	}
	p.epoch = p.log.LastEpoch() + 1
	p.highWatermark.Store(end)
	return nil
}

// Close settles what is pending with ErrClosed, syncs the log and leaves a
// clean checkpoint, so that the next Open reads nothing again.
func (p *Partition) Close() error {
	if !p.shut() {
		return nil
	}
	var err error
	if end := p.log.LogEndOffset(); end != p.snapshot {
		err = writeSnapshot(p.cfg.FS, p.cfg.Dir, end, p.producers.encode(end))
	}
	return errors.Join(err, p.log.Close())
}

// Abandon is Close for a partition whose data is about to be thrown away: it
// releases files and maps and saves nothing more.
func (p *Partition) Abandon() error {
	if !p.shut() {
		return nil
	}
	return p.log.Close()
}

// shut refuses new work, ends what is pending and waits for what runs. It
// says false when that was done before.
func (p *Partition) shut() bool {
	p.mu.Lock()
	if p.closed.Swap(true) {
		p.mu.Unlock()
		return false
	}
	p.stopFlushTimer()
	pending := p.pending
	p.pending = nil
	p.mu.Unlock()
	for _, a := range pending {
		a.settle(ErrClosed)
	}
	p.waiters.wakeAll()
	p.background.Wait()
	return true
}

// SetSettings puts new settings in force for what comes next.
func (p *Partition) SetSettings(s Settings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settings = s
	p.producers.limit = s.MaxProducers
	p.log.SetSettings(s.Log)
	if p.log.DurableOffset() < p.log.LogEndOffset() {
		p.requestSync() // what was cached under the old settings
	}
}

// Maintain does what time asks for: retention, and forgetting producers. It
// returns how many segments it deleted.
func (p *Partition) Maintain(now time.Time) (segments int, err error) {
	p.mu.Lock()
	if p.closed.Load() {
		p.mu.Unlock()
		return 0, ErrClosed
	}
	p.producers.expire(now.Add(-p.settings.ProducerExpiry))
	// Retention may roll the active segment, which only the writer may do.
	start := p.log.LogStartOffset()
	segments, err = p.log.Retain(now, p.highWatermark.Load())
	moved := p.log.LogStartOffset() > start // perhaps without a segment to delete: the last entry stays
	p.mu.Unlock()
	if moved {
		p.waiters.wakeAll() // parked reads below the new start must hear of it
	}
	return segments, err
}

// rolled runs under mu, from within Append, when a segment begins at base. A
// snapshot per segment bounds what recovery must read again.
func (p *Partition) rolled(base int64) {
	if p.producers == nil || base == p.snapshot {
		return
	}
	p.snapshot = base
	encoded := p.producers.encode(base)
	p.background.Go(func() { p.writeSnapshot(base, encoded) })
}

// Topic, ID and Index name the partition. LeaderEpoch is that of this
// incarnation: it rises at every open and never goes back.
func (p *Partition) Topic() string      { return p.cfg.Topic }
func (p *Partition) TopicID() [16]byte  { return p.cfg.TopicID }
func (p *Partition) Index() int32       { return p.cfg.Partition }
func (p *Partition) Dir() string        { return filepath.Clean(p.cfg.Dir) }
func (p *Partition) LeaderEpoch() int32 { return p.epoch }

// LogStartOffset is the first readable offset, HighWatermark the first one
// that is not known to be committed, LogEndOffset the one the next append
// gets: start <= last stable <= high watermark <= end.
func (p *Partition) LogStartOffset() int64   { return p.log.LogStartOffset() }
func (p *Partition) HighWatermark() int64    { return p.highWatermark.Load() }
func (p *Partition) LogEndOffset() int64     { return p.log.LogEndOffset() }
func (p *Partition) LastStableOffset() int64 { return p.highWatermark.Load() }

func (p *Partition) storageError(err error) error {
	return &StorageError{Topic: p.cfg.Topic, Partition: p.cfg.Partition, Err: err}
}

// SizeBytes is what the partition's records take on disk.
func (p *Partition) SizeBytes() int64 { return p.log.SizeBytes() }

// CheckLeaderEpoch compares the epoch a client believes in with ours. -1
// asks for no check. Errors: *LeaderEpochError.
func (p *Partition) CheckLeaderEpoch(epoch int32) error {
	if epoch == -1 || epoch == p.epoch {
		return nil
	}
	return &LeaderEpochError{Got: epoch, Want: p.epoch}
}

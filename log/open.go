package log

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"weir/segment"
	"weir/segment/vfs"
)

// Open opens the log in cfg.Dir, or makes an empty one there. It cuts what an
// unclean end left behind, as cfg.Recovery allows, and says how much. All that
// is in the log on return is on disk.
//
// Errors: *CorruptError when what had been synced is gone or damaged, and
// nothing has been changed then but index files; *VersionError; those of the
// file system.
func Open(cfg Config) (*Log, error) {
	l := newLog(cfg, false)
	if err := vfs.MkdirAllSync(l.fs, cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	if err := l.recover(); err != nil {
		return nil, errors.Join(err, l.abandon())
	}
	return l, nil
}

// OpenReadOnly opens the log in dir and never writes a byte: what recovery would
// cut is left out of sight, and missing indexes are made in memory. fsys may be
// nil. A writer may have the log open meanwhile; what it adds is not seen.
func OpenReadOnly(dir string, fsys vfs.FS, logger *slog.Logger) (*Log, error) {
	l := newLog(Config{Dir: dir, FS: fsys, Logger: logger, Recovery: RecoverPowerLoss}, true)
	if err := l.recover(); err != nil {
		return nil, errors.Join(err, l.abandon())
	}
	return l, nil
}

func newLog(cfg Config, readOnly bool) *Log {
	if cfg.FS == nil {
		cfg.FS = vfs.OS
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{cfg: cfg, fs: cfg.FS, logger: cfg.Logger, readOnly: readOnly}
	l.closing, l.stop = context.WithCancel(context.Background())
	l.settings.Store(cfg.Settings.withDefaults())
	l.segments.Store(new([]*segment.Segment))
	l.epochs.Store(new(epochList))
	return l
}

// abandon lets go of what a failed open holds.
func (l *Log) abandon() error {
	var err error
	for _, s := range l.list() {
		err = errors.Join(err, s.Close())
	}
	return err
}

func (l *Log) segmentConfig() segment.Config {
	return segment.Config{FS: l.fs, Dir: l.cfg.Dir, ReadOnly: l.readOnly, Uses: &l.uses, Opened: l.evict}
}

// recover brings memory in line with the disk, and the disk with what is valid
// on it: FORMAT.md, section 5.
func (l *Log) recover() error {
	listing, err := segment.List(l.fs, l.cfg.Dir)
	if err != nil {
		return err
	}
	if !l.readOnly {
		for _, name := range listing.Leftover {
			if err := segment.Remove(l.fs, name); err != nil {
				return err
			}
		}
	}
	if done, err := l.resumeReset(listing); done || err != nil {
		return err
	}
	var known bool
	if l.checkpoint, known, err = loadCheckpoint(l.fs, l.cfg.Dir); err != nil {
		return err
	}
	if known && l.cfg.Recovery == RecoverProcessCrash && !l.readOnly {
		if err := l.checkpoint.writeAgain(l.fs); err != nil {
			return err
		}
	}
	if known {
		l.logStart.Store(l.checkpoint.last.logStart)
		epochs := l.checkpoint.last.epochs
		l.epochs.Store(&epochs)
	} else if len(listing.Bases) > 0 {
		l.logStart.Store(listing.Bases[0])
	}
	if len(listing.Bases) == 0 {
		return l.create(known)
	}
	return l.scan(listing.Bases, known)
}

// create begins an empty log.
func (l *Log) create(known bool) error {
	if known {
		return &CorruptError{Path: l.cfg.Dir, Offset: l.checkpoint.last.point.State.NextOffset, Reason: "a checkpoint and no segment"}
	}
	if l.readOnly {
		return fmt.Errorf("%s: no log", l.cfg.Dir)
	}
	s, err := segment.Create(l.segmentConfig(), l.newHeader(0, 1, -1))
	if err != nil {
		return err
	}
	l.segments.Store(&[]*segment.Segment{s})
	if err := l.syncDir(); err != nil {
		return err
	}
	return l.settle(segment.State{NextRaftIndex: 1, Epoch: -1})
}

// scan opens the segments and finds the end. Those below the recovery point are
// taken by name and size.
func (l *Log) scan(bases []int64, known bool) error {
	first := 0
	var point *segment.RecoveryPoint
	if known {
		point = &l.checkpoint.last.point
		for first < len(bases) && bases[first] != point.Base {
			first++
		}
		if first == len(bases) {
			return &CorruptError{Path: segment.LogPath(l.cfg.Dir, point.Base), Offset: point.Base, Reason: "the segment of the recovery point is missing"}
		}
	}
	var list []*segment.Segment
	for _, base := range bases[:first] {
		info, err := l.fs.Stat(segment.LogPath(l.cfg.Dir, base))
		if err != nil {
			return err
		}
		list = append(list, segment.OpenSealed(l.segmentConfig(), base, info.Size()))
	}
	l.segments.Store(&list)
	var before *segment.State
	for i := first; i < len(bases)-1; i++ {
		end, err := l.scanSealed(bases[i], point, before)
		if err != nil {
			return err
		}
		before, point = &end, nil
	}
	return l.openLast(bases[len(bases)-1], point, before)
}

func (l *Log) scanSealed(base int64, point *segment.RecoveryPoint, before *segment.State) (segment.State, error) {
	info, err := l.fs.Stat(segment.LogPath(l.cfg.Dir, base))
	if err != nil {
		return segment.State{}, err
	}
	s := segment.OpenSealed(l.segmentConfig(), base, info.Size())
	l.addToList(s)
	end, scanned, err := s.ScanSealed(point, before, l.noteEpoch)
	if err == nil && scanned > 0 {
		l.logger.Info("segment scanned", "path", s.Path(), "bytes", scanned)
	}
	return end, err
}

func (l *Log) addToList(s *segment.Segment) {
	list := append(append([]*segment.Segment(nil), l.list()...), s)
	l.segments.Store(&list)
}

func (l *Log) noteEpoch(f segment.Frame) {
	old := *l.epochs.Load()
	if n := len(old); n > 0 && old[n-1].epoch >= f.Epoch {
		return
	}
	grown := old.add(epochStart{epoch: f.Epoch, offset: f.Offset, raftIndex: f.RaftIndex})
	l.epochs.Store(&grown)
}

// openLast opens the last segment, which may end anywhere.
func (l *Log) openLast(base int64, point *segment.RecoveryPoint, before *segment.State) error {
	s, report, err := segment.OpenActive(l.segmentConfig(), base, point, before, l.cfg.Recovery, l.noteEpoch)
	if errors.Is(err, segment.ErrTorn) {
		return l.replaceTorn(base, before)
	}
	if err != nil {
		return err
	}
	l.addToList(s)
	if l.cfg.Recovery != RecoverClean && !l.readOnly {
		// The process before may have died between a new file and its name.
		if err := l.syncDir(); err != nil {
			return err
		}
	}
	if report.CutBytes > 0 || report.ScannedBytes > 0 || report.IndexRemade {
		say := l.logger.Info
		if report.CutBytes > 0 {
			say = l.logger.Warn
		}
		say("log recovered after an unclean end", "path", s.Path(), "scanned_bytes", report.ScannedBytes,
			"cut_bytes", report.CutBytes, "reason", report.Reason, "index_remade", report.IndexRemade)
	}
	end, err := s.End()
	if err != nil {
		return err
	}
	return l.settle(end)
}

// replaceTorn deals with a last segment whose creation was cut short: nothing
// was ever in it, so that it is made again where the one before ends.
func (l *Log) replaceTorn(base int64, before *segment.State) error {
	if before == nil && base != 0 {
		return &CorruptError{Path: segment.LogPath(l.cfg.Dir, base), Offset: base, Reason: "no header, and no segment before it"}
	}
	if l.readOnly {
		return fmt.Errorf("%s: nothing in it yet", segment.LogPath(l.cfg.Dir, base))
	}
	start := segment.State{NextRaftIndex: 1, Epoch: -1}
	if before != nil {
		start = *before
	}
	if start.NextOffset != base {
		return &CorruptError{Path: segment.LogPath(l.cfg.Dir, base), Offset: start.NextOffset, Reason: "the segment before ends elsewhere"}
	}
	s, err := segment.Create(l.segmentConfig(), l.newHeader(base, start.NextRaftIndex, start.Epoch))
	if err != nil {
		return err
	}
	l.addToList(s)
	if err := l.syncDir(); err != nil {
		return err
	}
	l.logger.Warn("segment made again after its creation was cut short", "path", s.Path())
	return l.settle(start)
}

// settle takes the end that was found as the log's.
func (l *Log) settle(end segment.State) error {
	active := l.active()
	at, err := active.End()
	if err != nil {
		return err
	}
	if l.logStart.Load() > end.NextOffset {
		return &CorruptError{Path: active.Path(), Position: at.Position, Offset: end.NextOffset,
			Reason: fmt.Sprintf("the log ends below its start, %d", l.logStart.Load())}
	}
	if err := l.readFirst(); err != nil {
		return err
	}
	epochs := l.epochs.Load().endingIn(end.Epoch, l.logStart.Load(), end.NextRaftIndex)
	l.epochs.Store(&epochs)
	l.logEnd.Store(end.NextOffset)
	l.nextRaft.Store(end.NextRaftIndex)
	l.setSynced(active, at)
	l.w.jitter = rand.Float64()
	if l.w.firstTimestamp, err = active.FirstTimestamp(active.BaseOffset()); err != nil {
		return err
	}
	point := l.checkpoint.last.point
	l.w.changed = point.Base != active.BaseOffset() || point.State != at
	return nil
}

// readFirst takes from the first segment's header where the log begins, and in
// which epoch, when nobody else knows.
func (l *Log) readFirst() error {
	h, err := l.list()[0].Header()
	if err != nil {
		return err
	}
	if !l.readOnly && (h.TopicID != l.cfg.TopicID || h.Partition != l.cfg.Partition) {
		return &CorruptError{Path: l.list()[0].Path(), Offset: h.BaseOffset,
			Reason: fmt.Sprintf("it belongs to partition %d of topic %x, not to %d of %x", h.Partition, h.TopicID, l.cfg.Partition, l.cfg.TopicID)}
	}
	l.firstRaft.Store(h.BaseRaftIndex)
	epochs := *l.epochs.Load()
	if h.EpochBefore < 0 || len(epochs) > 0 && epochs[0].offset <= h.BaseOffset {
		return nil
	}
	seeded := append(epochList{{epoch: h.EpochBefore, offset: h.BaseOffset, raftIndex: h.BaseRaftIndex - 1}}, epochs...)
	seeded = seeded.from(l.logStart.Load())
	l.epochs.Store(&seeded)
	return nil
}

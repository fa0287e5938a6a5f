package log

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"weir/protocol/recordbatch"
	"weir/segment"
)

// Compaction says when and how far Compact works. Times are milliseconds.
type Compaction struct {
	DeleteRetentionMillis int64   // how long a tombstone stays after compaction has met it
	MinLagMillis          int64   // records younger than this, by their segment, stay; ≤ 0: none
	MaxLagMillis          int64   // dirty records older than this ask for a pass; ≤ 0: never
	MinDirtyRatio         float64 // dirty bytes over all bytes above which there is a pass
	// MaxKeys is how many keys a pass remembers, at KeyBytes each; 0: as many as fit 128 MiB. With
	// more than that it ends where they do not fit, and the next one goes on. A single batch with more
	// has the room that it needs.
	MaxKeys int
	Meter   Meter // follows the pass; nil: nobody does
}

// defaultMaxKeys takes 128 MiB, the default of Kafka's log.cleaner.dedupe.buffer.size.
const defaultMaxKeys = 128 << 20 / KeyBytes

// Compacted says what a pass did.
type Compacted struct {
	To                      int64 // every key below has its last record only; 0 when there was no pass
	Keys                    int   // different keys seen among the dirty records
	Segments                int   // rewritten
	Records                 int64 // removed
	BytesBefore, BytesAfter int64 // of the segments rewritten
}

// Judge tells Compact what the log alone does not. It may be called for batches below the
// last stable offset.
type Judge interface {
	// Begin is called before anything else when a pass has something to do. Its error ends the
	// pass before it removes anything.
	Begin() error
	// KeepsHeader says which batches leave their header behind when they lose all records, or
	// are markers that stay: the last of each producer.
	KeepsHeader(recordbatch.Header) bool
	// Aborted says whether a batch of a transaction is one of those that were aborted.
	Aborted(recordbatch.Header) bool
}

// Compact removes, from sealed segments that end at or below lastStable,
// records that have a later one of the same key, tombstones whose time has come,
// and records without a key. Offsets and raft indexes stay. It makes one pass over
// the log if there is enough to do, beside readers and the writer, whom it delays
// only while a finished segment is swapped in. Of transactions all records go that were
// aborted, and markers when nothing else is left of the transaction for as long as
// tombstones stay.
//
// It ends early, with what has been swapped in staying so, on the error of ctx, on
// ErrClosed when Close waits for it, and on damage (*CorruptError, and those of
// decoding). After an error of the file system such as a full disk, or for want of
// memory (ENOMEM), the log is sound, and another pass tries again. A failed sync is
// *segment.SyncError, final.
func (l *Log) Compact(ctx context.Context, now time.Time, lastStable int64, c Compaction, judge Judge) (Compacted, error) {
	l.compactMu.Lock()
	defer l.compactMu.Unlock()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(l.closing, stop)()
	p := pass{l: l, ctx: ctx, now: now.UnixMilli(), Compaction: c, judge: judge, meter: c.Meter, live: make(map[int64]bool)}
	if p.meter == nil {
		p.meter = freely{}
	}
	if p.MaxKeys <= 0 {
		p.MaxKeys = defaultMaxKeys
	}
	err := p.run(lastStable)
	if p.keys != nil {
		p.keys.release()
	}
	if errors.Is(err, segment.ErrDropped) {
		err = l.stopped() // retention was faster; what is left can wait
	}
	return p.result, err
}

// stopped says why a pass, or a copy, is to end.
func (l *Log) stopped() error {
	if l.closing.Err() != nil {
		return ErrClosed
	}
	return nil
}

// pass is one run of Compact.
type pass struct {
	Compaction
	l      *Log
	ctx    context.Context
	now    int64 // unix milliseconds
	judge  Judge
	meter  Meter
	live   map[int64]bool // producers of whose transaction records stay, up to its marker
	result Compacted

	logEnd  int64 // as the pass began
	cuts    int   // likewise
	secured bool  // the recovery point is past all sealed segments
	keys    *keyTable
	end     int64 // records below it are in keys, if they are dirty

	read, written int64 // bytes that the meter has not been told of
	walked        int64 // bytes of all frames that were looked at
}

// run is the pass; the order of its steps is told in DESIGN.md.
func (p *pass) run(lastStable int64) error {
	l := p.l
	l.mu.Lock()
	err := l.writable()
	p.cuts, p.logEnd = l.w.cuts, l.logEnd.Load()
	l.mu.Unlock()
	if err != nil {
		return err
	}
	cleaned, err := l.readCleaned()
	if err != nil {
		return err
	}
	all, dirty, err := p.choose(cleaned, lastStable)
	if err != nil || len(dirty) == 0 {
		return err
	}
	from := max(cleaned, dirty[0].BaseOffset())
	if err := p.judge.Begin(); err != nil {
		return err
	}
	planned := sizeBytes(dirty)
	p.meter.Plan(planned)
	if err := p.readKeys(dirty, from); err != nil || p.end <= from {
		return err
	}
	p.result.Keys = p.keys.used
	all = slices.DeleteFunc(all, func(s *segment.Segment) bool { return s.BaseOffset() >= p.end })
	p.meter.Plan(sizeBytes(all) + p.walked - planned)
	for _, s := range all {
		if err := p.rewrite(s); err != nil {
			return fmt.Errorf("compaction of %s: %w", s.Path(), err)
		}
	}
	if err := p.tell(); err != nil {
		return err
	}
	return p.finish()
}

func sizeBytes(segments []*segment.Segment) (n int64) {
	for _, s := range segments {
		n += s.SizeBytes()
	}
	return n
}

// finish notes how far the log has been compacted.
func (p *pass) finish() error {
	l := p.l
	l.layoutMu.Lock()
	defer l.layoutMu.Unlock()
	if l.w.cuts != p.cuts {
		return segment.ErrDropped
	}
	if err := l.writeCleaned(p.end); err != nil {
		return err
	}
	p.result.To = p.end
	return nil
}

// choose gives the segments that may be compacted and those of them that are
// dirty, none when it is not worth a pass.
func (p *pass) choose(cleaned, lastStable int64) (all, dirty []*segment.Segment, err error) {
	list := p.l.list()
	start := p.l.LogStartOffset()
	var cleanBytes, dirtyBytes int64
	for i, s := range list[:len(list)-1] {
		next := list[i+1].BaseOffset()
		if next <= start {
			continue // about to be deleted
		}
		if next > lastStable || !s.Sealed() {
			break
		}
		if next <= cleaned {
			cleanBytes += s.SizeBytes()
			all = append(all, s)
			continue
		}
		young, err := p.young(s)
		if err != nil {
			return nil, nil, err
		}
		if young {
			break
		}
		dirtyBytes += s.SizeBytes()
		all, dirty = append(all, s), append(dirty, s)
	}
	p.meter.Found(cleanBytes, dirtyBytes)
	if len(dirty) == 0 {
		return nil, nil, nil
	}
	if float64(dirtyBytes) > p.MinDirtyRatio*float64(cleanBytes+dirtyBytes) {
		return all, dirty, nil
	}
	overdue, err := p.overdue(dirty[0], cleaned)
	if err != nil || !overdue {
		return nil, nil, err
	}
	return all, dirty, nil
}

// young tells whether a segment has a record that must stay for its age.
func (p *pass) young(s *segment.Segment) (bool, error) {
	if p.MinLagMillis <= 0 {
		return false, nil
	}
	end, err := s.End()
	return end.MaxTimestamp > p.now-p.MinLagMillis, err
}

// overdue tells whether the first dirty record, which is in s at or after cleaned, has waited too long.
func (p *pass) overdue(s *segment.Segment, cleaned int64) (bool, error) {
	if p.MaxLagMillis <= 0 || p.now < p.MaxLagMillis {
		return false, nil
	}
	ts, err := s.FirstTimestamp(max(cleaned, s.BaseOffset()))
	return ts >= 0 && ts < p.now-p.MaxLagMillis, err
}

// check says whether the pass is to end. It is called for every frame that was read.
func (p *pass) check(bytes int64) error {
	p.walked += bytes
	if err := p.moved(bytes, 0); err != nil {
		return err
	}
	return p.ended()
}

func (p *pass) ended() error {
	if err := p.l.stopped(); err != nil {
		return err
	}
	return p.ctx.Err()
}

// swap puts a finished copy in the place of its segment.
func (p *pass) swap(s *segment.Segment, copied *segment.Rewrite) error {
	l := p.l
	l.layoutMu.Lock()
	defer l.layoutMu.Unlock()
	list := l.list()
	at := slices.Index(list, s)
	err := l.writable()
	if err == nil && (at < 0 || at == len(list)-1 || l.w.cuts != p.cuts) {
		err = segment.ErrDropped // deleted or cut meanwhile
	}
	if err == nil {
		err = p.secure()
	}
	if err != nil {
		return errors.Join(err, copied.Discard())
	}
	fresh, err := copied.Swap(l.segmentConfig())
	if fresh != nil {
		l.changeList(func(list []*segment.Segment) []*segment.Segment {
			list = slices.Clone(list)
			list[at] = fresh
			return list
		})
	}
	return l.failIfSync(err)
}

// secure moves the recovery point into the last segment, in both slots, so that
// no recovery looks for a position in a segment that has been rewritten.
func (p *pass) secure() error {
	if p.secured {
		return nil
	}
	l := p.l
	l.mu.Lock() // once in a pass: no other segment is to begin meanwhile
	defer l.mu.Unlock()
	if err := l.failIfSync(l.writeCheckpoint(unmoved, twice)); err != nil {
		return err
	}
	l.checkpointMu.Lock()
	base := l.checkpoint.last.point.Base
	l.checkpointMu.Unlock()
	if want := l.active().BaseOffset(); base != want {
		return fmt.Errorf("recovery point is in the segment of offset %d, want %d", base, want)
	}
	p.secured = true
	return nil
}

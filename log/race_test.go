package log_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// TestReadersBesideWriter has one writer append, roll, retain and truncate what
// is not committed, and readers who check all that they get below the high
// watermark. It is for the race detector.
func TestReadersBesideWriter(t *testing.T) {
	for name, fsys := range map[string]vfs.FS{"os": vfs.OS, "mem": vfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := "/log"
			if name == "os" {
				dir = t.TempDir()
			}
			syncer := log.NewSyncer(2, func(err error) { t.Error(err) })
			l := logtest.Open(t, log.Config{
				Dir: dir, FS: fsys, Syncer: syncer,
				Settings: log.Settings{SegmentBytes: 8 << 10, IndexIntervalBytes: 256, DeleteByRetention: true, RetentionBytes: 60 << 10},
			})
			var committed watermark
			var readers sync.WaitGroup
			for i := range 4 {
				readers.Go(func() { follow(t, l, &committed, 200<<i, false) })
			}
			readers.Go(func() { look(t, l, &committed) })
			for i := range 1500 {
				appendBatch(t, l, int32(i/100), logtest.Batch(t, int64(i), 1+i%4, fmt.Sprint("value ", i)))
				switch {
				case i%70 == 69: // not committed yet: may be cut
					appendBatch(t, l, int32(i/100), logtest.Batch(t, 1, 2, "cut off"))
					if err := l.TruncateSuffix(l.LastRaftIndex()); err != nil {
						t.Error(err)
					}
				case i%50 == 49:
					if _, err := l.Retain(time.UnixMilli(int64(i)), committed.get()); err != nil {
						t.Error(err)
					}
				case i%9 == 8:
					syncer.Request(l, func(int64, error) {})
				}
				committed.set(l.LogEndOffset())
			}
			committed.end()
			readers.Wait()
			syncer.Close()
		})
	}
}

// watermark is a high watermark that can be waited for.
type watermark struct {
	mu    sync.Mutex
	moved sync.Cond
	at    int64
	ended bool
}

func (w *watermark) set(to int64) { w.change(func() { w.at = to }) }
func (w *watermark) end()         { w.change(func() { w.ended = true }) }

func (w *watermark) change(how func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moved.L = &w.mu
	how()
	w.moved.Broadcast()
}

func (w *watermark) get() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// past waits until the watermark is above offset; false at the end.
func (w *watermark) past(offset int64) (at int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moved.L = &w.mu
	for w.at <= offset && !w.ended {
		w.moved.Wait()
	}
	return w.at, w.at > offset
}

// follow reads along and checks every batch; of a log that is being compacted,
// some may be missing.
func follow(t *testing.T, l *log.Log, committed *watermark, maxBytes int, compacted bool) {
	next := int64(0)
	var buf []byte
	for {
		limit, ok := committed.past(next)
		if !ok {
			return
		}
		r, err := l.Read(next, maxBytes, limit, true)
		var gone *log.OffsetOutOfRangeError
		if errors.As(err, &gone) && gone.Start > next {
			next = gone.Start
			continue
		}
		if err != nil || r.Bytes == 0 || r.FirstOffset > next && !compacted {
			t.Errorf("read at %d: %+v, %v", next, r, err)
			return
		}
		buf, err = r.AppendTo(buf[:0])
		if err := errors.Join(err, r.Release()); err != nil {
			t.Error(err)
			return
		}
		for b := buf; len(b) > 0; {
			h, err := recordbatch.ParseHeader(b)
			if err == nil {
				err = recordbatch.VerifyChecksum(b[:h.SizeBytes()])
			}
			if err != nil {
				t.Errorf("batch read at %d: %v", next, err)
				return
			}
			b, next = b[h.SizeBytes():], h.NextOffset()
		}
	}
}

// look asks all other questions meanwhile.
func look(t *testing.T, l *log.Log, committed *watermark) {
	for next := int64(0); ; {
		limit, ok := committed.past(next)
		if !ok {
			return
		}
		next = limit
		if _, _, err := l.OffsetForTimestamp(limit/3, limit); err != nil && !outOfRange(err) {
			t.Error(err)
		}
		if _, _, err := l.MaxTimestamp(limit); err != nil && !outOfRange(err) {
			t.Error(err)
		}
		if e, release, err := l.Entry((l.FirstRaftIndex() + l.LastRaftIndex()) / 2); err == nil {
			if len(e.Data) == 0 {
				t.Error("an empty entry")
			}
			release()
		} else if !errors.Is(err, log.ErrEntryNotFound) {
			t.Error(err)
		}
		l.EpochAt(limit - 1)
		l.EndOffsetFor(3)
		if err := l.Sync(); err != nil {
			t.Error(err)
		}
		for _, err := range l.Batches(l.LogStartOffset(), limit) {
			if err != nil && !outOfRange(err) {
				t.Error(err)
			}
		}
	}
}

func outOfRange(err error) bool {
	var gone *log.OffsetOutOfRangeError
	return errors.As(err, &gone)
}

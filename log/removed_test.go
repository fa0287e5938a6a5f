package log_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

func removed(next int64) log.Entry {
	return log.Entry{Kind: log.KindRemoved, Epoch: 1, NextOffset: next}
}

// removedAmid is the last entry of an append that ends amid a run.
func removedAmid(next int64, ahead uint64) log.Entry {
	return log.Entry{Kind: log.KindRemoved, Epoch: 1, NextOffset: next, Ahead: ahead}
}

// Removed entries take raft indexes, and all offsets of their run, which becomes one stand-in also where the entries
// given end amid it.
func TestAppendRemoved(t *testing.T) {
	for _, tc := range []struct {
		name    string
		entries []log.Entry
		frames  []string // raft index, kind, offsets, how many removed
		next    int64
		last    uint64
	}{
		{"a run of one", []log.Entry{removed(9)}, []string{"2 batch [2, 9) 1"}, 9, 2},
		{"a run", []log.Entry{removed(0), removed(0), removed(9)}, []string{"2 batch [2, 9) 3"}, 9, 4},
		{"two runs", []log.Entry{removed(0), removed(5), removed(9)}, []string{"2 batch [2, 5) 2", "4 batch [5, 9) 1"}, 9, 4},
		{"a run that goes on", []log.Entry{removed(5), removed(0), removedAmid(20, 7)}, []string{"2 batch [2, 5) 1", "3 batch [5, 20) 9"}, 20, 11},
		{"as many offsets as there may be", []log.Entry{removed(2 + 1<<31)}, []string{"2 batch [2, 2147483650) 1"}, 2 + 1<<31, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := logtest.Open(t, log.Config{FS: mem})
			appendBatch(t, l, 1, logtest.Batch(t, 1, 2, "before"))
			res, err := l.AppendStamped(tc.entries)
			if err != nil || res.NextOffset != tc.next || l.LogEndOffset() != tc.next || res.LastRaftIndex != tc.last || l.LastRaftIndex() != tc.last {
				t.Fatalf("%+v, %v; log ends at %d, entry %d", res, err, l.LogEndOffset(), l.LastRaftIndex())
			}
			framesAre(t, l, tc.frames)
			r, err := l.Read(2, 1000, tc.next, true)
			if err != nil || r.Bytes != 0 || r.NextOffset != tc.next {
				t.Fatalf("read of what has been removed: %+v, %v", r, err)
			}
			if r, err = l.Read(0, 1000, tc.next, true); err != nil || r.FirstOffset != 0 || r.NextOffset < 2 {
				t.Fatalf("read from the start: %+v, %v", r, err)
			}
			if err := r.Release(); err != nil {
				t.Fatal(err)
			}
			for i := range tc.last {
				if h, err := l.EntryHead(i + 1); err != nil || h.Epoch != 1 {
					t.Errorf("entry %d: %+v, %v", i+1, h, err)
				}
			}
			appendBatch(t, l, 1, logtest.Batch(t, 1, 2, "after"))
			if r, err = l.Read(2, 1000, tc.next+2, true); err != nil || r.FirstOffset != tc.next {
				t.Fatalf("read past what has been removed: %+v, %v", r, err)
			}
			if err := r.Release(); err != nil {
				t.Fatal(err)
			}
			clone := mem.ProcessCrashClone()
			again := logtest.Open(t, log.Config{FS: clone, Recovery: log.RecoverProcessCrash})
			framesAre(t, again, tc.frames)
		})
	}
}

// framesAre compares the frames from raft index 2 on, the last batch left out.
func framesAre(t *testing.T, l *log.Log, want []string) {
	t.Helper()
	var got []string
	for f, err := range l.Frames(2) {
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < len(want) {
			got = append(got, fmt.Sprintf("%d %s [%d, %d) %d", f.RaftIndex, f.Kind, f.Offset, f.NextOffset, f.Removed))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("frames are %q, want %q", got, want)
	}
}

func TestAppendRemovedRefuses(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	appendBatch(t, l, 1, logtest.Batch(t, 1, 2, "before"))
	var diverged *log.DivergedError
	if _, err := l.AppendStamped([]log.Entry{removed(0), removed(1)}); !errors.As(err, &diverged) || diverged.RaftIndex != 3 ||
		diverged.GotOffset != 1 || diverged.WantOffset != 3 {
		t.Errorf("a run that ends below the log: %v", err)
	}
	if _, err := l.AppendStamped([]log.Entry{removed(2)}); !errors.As(err, &diverged) || diverged.GotOffset != 2 {
		t.Errorf("a run without offsets: %v", err)
	}
	var entry *log.EntryError
	for what, entries := range map[string][]log.Entry{
		"more offsets than a batch spans":       {removed(3 + 1<<31)},
		"more entries than a stand-in may have": {removedAmid(9, 1<<31-1)},
		"entries ahead without number":          {removedAmid(9, 1<<64-1)},
		"a run without an end":                  {removed(0), removed(0)},
		"a run whose end a batch follows on":    {removed(0), {Kind: log.KindBatch, Epoch: 1, Data: logtest.Batch(t, 1, 2, "after")}},
		"an entry amid a run":                   {removedAmid(9, 1), removed(12)},
	} {
		if _, err := l.AppendStamped(entries); !errors.As(err, &entry) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := l.Append([]log.Entry{removed(5)}); !errors.As(err, &entry) {
		t.Errorf("a leader that appends what it has removed: %v", err)
	}
	if l.LastRaftIndex() != 1 || l.LogEndOffset() != 2 {
		t.Errorf("log ends at %d, entry %d", l.LogEndOffset(), l.LastRaftIndex())
	}
	if _, err := l.AppendStamped([]log.Entry{removed(0), removedAmid(7, 1), {Kind: log.KindNoop, Epoch: 1}}); !errors.As(err, &entry) {
		t.Errorf("an entry after a run that goes on: %v", err)
	}
	if _, err := l.AppendStamped([]log.Entry{removed(0), removedAmid(7, 1)}); err != nil {
		t.Fatal(err)
	}
	var refused *log.TruncateError
	for from := range uint64(2) {
		if err := l.TruncateSuffix(3 + from); !errors.As(err, &refused) {
			t.Errorf("cut amid a stand-in: %v", err)
		}
	}
	if err := errors.Join(l.TruncateSuffix(5), l.TruncateSuffix(2)); err != nil || l.LogEndOffset() != 2 {
		t.Errorf("cut beside it: %v, log end %d", err, l.LogEndOffset())
	}
}

// A batch that has lost its last records at the leader, and lies among the last frames of a follower: a read amid it that has
// no record there begins with the next one, as at the leader.
func TestReadAmidThinnedBatch(t *testing.T) {
	l := logtest.Open(t, log.Config{FS: vfs.NewMem()})
	keyed := func(keys ...string) {
		t.Helper()
		var records []recordbatch.Record
		for _, k := range keys {
			records = append(records, recordbatch.Record{Timestamp: 1, Key: []byte(k), Value: []byte("v")})
		}
		b, err := recordbatch.AppendBatch(nil, recordbatch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, recordbatch.CodecNone, records)
		if err != nil {
			t.Fatal(err)
		}
		appendBatch(t, l, 1, b)
	}
	keyed("a", "b", "c") // of which a stays
	keyed("b", "c")
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Compact(context.Background(), time.UnixMilli(1), 5, log.Compaction{}, logtest.Judge{}); err != nil {
		t.Fatal(err)
	}
	f := logtest.Open(t, log.Config{FS: vfs.NewMem()})
	replicate(t, l, f, 5)
	for _, x := range []*log.Log{l, f} {
		for offset, want := range []int64{0, 3, 3, 3, 3} {
			r, err := x.Read(int64(offset), 1, 5, true)
			if err != nil || r.FirstOffset != want {
				t.Errorf("a read at %d begins at %d, want %d (%v)", offset, r.FirstOffset, want, err)
			}
			if err := r.Release(); err != nil {
				t.Error(err)
			}
		}
	}
}

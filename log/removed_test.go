package log_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"weir/log"
	"weir/log/logtest"
	"weir/segment/vfs"
)

func removed(next int64) log.Entry {
	return log.Entry{Kind: log.KindRemoved, Epoch: 1, NextOffset: next}
}

// Removed entries take raft indexes, and offsets where a run ends; what of a run
// is known to end within an append becomes one stand-in.
func TestAppendRemoved(t *testing.T) {
	for _, tc := range []struct {
		name    string
		entries []log.Entry
		frames  []string // raft index, kind, offsets, how many removed
		next    int64
	}{
		{"a run of one", []log.Entry{removed(9)}, []string{"2 batch [2, 9) 1"}, 9},
		{"a run", []log.Entry{removed(0), removed(0), removed(9)}, []string{"2 batch [2, 9) 3"}, 9},
		{"two runs", []log.Entry{removed(0), removed(5), removed(9)}, []string{"2 batch [2, 5) 2", "4 batch [5, 9) 1"}, 9},
		{"a run that goes on", []log.Entry{removed(5), removed(0), removed(0)}, []string{"2 batch [2, 5) 1", "3 noop [5, 5) 0", "4 noop [5, 5) 0"}, 5},
		{"one that took its offsets before", []log.Entry{removed(2)}, []string{"2 noop [2, 2) 0"}, 2},
		{"as many offsets as there may be", []log.Entry{removed(2 + 1<<31)}, []string{"2 batch [2, 2147483650) 1"}, 2 + 1<<31},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := logtest.Open(t, log.Config{FS: mem})
			appendBatch(t, l, 1, logtest.Batch(t, 1, 2, "before"))
			res, err := l.AppendStamped(tc.entries)
			if err != nil || res.NextOffset != tc.next || l.LogEndOffset() != tc.next || l.LastRaftIndex() != uint64(1+len(tc.entries)) {
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
			for i := 1; i <= len(tc.entries)+1; i++ {
				if h, err := l.EntryHead(uint64(i)); err != nil || h.Epoch != 1 {
					t.Errorf("entry %d: %+v, %v", i, h, err)
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
		diverged.GotOffset != 1 || diverged.WantOffset != 2 {
		t.Errorf("a run that ends below the log: %v", err)
	}
	var entry *log.EntryError
	if _, err := l.AppendStamped([]log.Entry{removed(3 + 1<<31)}); !errors.As(err, &entry) {
		t.Errorf("more offsets than a batch spans: %v", err)
	}
	if _, err := l.Append([]log.Entry{removed(5)}); !errors.As(err, &entry) {
		t.Errorf("a leader that appends what it has removed: %v", err)
	}
	if l.LastRaftIndex() != 1 || l.LogEndOffset() != 2 {
		t.Errorf("log ends at %d, entry %d", l.LogEndOffset(), l.LastRaftIndex())
	}
	if _, err := l.AppendStamped([]log.Entry{removed(0), removed(7), removed(0)}); err != nil {
		t.Fatal(err)
	}
	var refused *log.TruncateError
	if err := l.TruncateSuffix(3); !errors.As(err, &refused) {
		t.Errorf("cut amid a stand-in: %v", err)
	}
	if err := errors.Join(l.TruncateSuffix(4), l.TruncateSuffix(2)); err != nil || l.LogEndOffset() != 2 {
		t.Errorf("cut beside it: %v, log end %d", err, l.LogEndOffset())
	}
}

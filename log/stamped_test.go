package log_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"weir/log"
	"weir/log/logtest"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// replicate has the follower take what it lacks of the leader, in pieces.
func replicate(t *testing.T, leader, follower *log.Log, maxCount int) {
	t.Helper()
	for next := follower.LastRaftIndex() + 1; next <= leader.LastRaftIndex(); next = follower.LastRaftIndex() + 1 {
		r, err := leader.ReadEntries(next, maxCount, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		_, entries, err := r.Read(nil, nil)
		if err := errors.Join(err, r.Release()); err != nil {
			t.Fatal(err)
		}
		res, err := follower.AppendStamped(entries)
		if err != nil {
			t.Fatalf("entries from %d on: %v", next, err)
		}
		if res.FirstRaftIndex != next || res.NextOffset != follower.LogEndOffset() {
			t.Fatalf("entries from %d on went to %+v", next, res)
		}
	}
	if follower.LogEndOffset() != leader.LogEndOffset() || follower.LastEpoch() != leader.LastEpoch() {
		t.Fatalf("follower ends at %d in epoch %d, leader at %d in %d",
			follower.LogEndOffset(), follower.LastEpoch(), leader.LogEndOffset(), leader.LastEpoch())
	}
}

// A follower's file is the leader's, byte for byte.
func TestAppendStamped(t *testing.T) {
	settings := log.Settings{SegmentBytes: 3000, IndexIntervalBytes: 200}
	fs := [2]*vfs.Mem{vfs.NewMem(), vfs.NewMem()}
	leader := logtest.Open(t, log.Config{FS: fs[0], Now: at(5), Settings: settings})
	follower := logtest.Open(t, log.Config{FS: fs[1], Now: at(5), Settings: settings})
	mixed(t, leader, 100)
	replicate(t, leader, follower, 1)
	var content [2][]byte
	for i := range fs {
		b, err := vfs.ReadFile(fs[i], "/log/00000000000000000000.log")
		if err != nil {
			t.Fatal(err)
		}
		content[i] = b
	}
	if !bytes.Equal(content[0], content[1]) {
		t.Error("the first segments differ")
	}
}

// What is not the leader's, or would not be in its place here, is refused whole.
func TestAppendStampedRefuses(t *testing.T) {
	good := func() []byte {
		b := logtest.Batch(t, 1, 3, "value")
		recordbatch.SetBaseOffset(b, 2)
		recordbatch.SetPartitionLeaderEpoch(b, 5)
		return b
	}
	changed := func(how func(b []byte)) []byte {
		b := good()
		how(b)
		return b
	}
	l := logtest.Open(t, log.Config{})
	appendBatch(t, l, 4, logtest.Batch(t, 1, 2, "before"))
	for _, tc := range []struct {
		name     string
		data     []byte
		diverged *log.DivergedError
	}{
		{"offset below", changed(func(b []byte) { recordbatch.SetBaseOffset(b, 1) }),
			&log.DivergedError{RaftIndex: 3, GotOffset: 1, WantOffset: 2, GotEpoch: 5, WantEpoch: 5}},
		{"offset above", changed(func(b []byte) { recordbatch.SetBaseOffset(b, 3) }),
			&log.DivergedError{RaftIndex: 3, GotOffset: 3, WantOffset: 2, GotEpoch: 5, WantEpoch: 5}},
		{"not stamped", changed(func(b []byte) { recordbatch.SetBaseOffset(b, -1) }),
			&log.DivergedError{RaftIndex: 3, GotOffset: -1, WantOffset: 2, GotEpoch: 5, WantEpoch: 5}},
		{"epoch", changed(func(b []byte) { recordbatch.SetPartitionLeaderEpoch(b, 4) }),
			&log.DivergedError{RaftIndex: 3, GotOffset: 2, WantOffset: 2, GotEpoch: 4, WantEpoch: 5}},
		{"a bit in the records", changed(func(b []byte) { b[len(b)-1] ^= 1 }), nil},
		{"cut short", good()[:80], nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			given := slices.Clone(tc.data)
			_, err := l.AppendStamped([]log.Entry{{Kind: log.KindNoop, Epoch: 5}, {Kind: log.KindBatch, Epoch: 5, Data: tc.data}})
			var diverged *log.DivergedError
			var entry *log.EntryError
			switch {
			case tc.diverged != nil && (!errors.As(err, &diverged) || *diverged != *tc.diverged):
				t.Errorf("got %v, want %v", err, tc.diverged)
			case tc.diverged == nil && (!errors.As(err, &entry) || entry.Index != 1):
				t.Errorf("got %v", err)
			}
			if l.LastRaftIndex() != 1 || l.LastEpoch() != 4 || !bytes.Equal(given, tc.data) {
				t.Errorf("the log ends with entry %d of epoch %d", l.LastRaftIndex(), l.LastEpoch())
			}
		})
	}
	b := good()
	before := slices.Clone(b)
	if _, err := l.AppendStamped([]log.Entry{{Kind: log.KindNoop, Epoch: 5}, {Kind: log.KindBatch, Epoch: 5, Data: b}}); err != nil || !bytes.Equal(b, before) {
		t.Fatal(err)
	}
}

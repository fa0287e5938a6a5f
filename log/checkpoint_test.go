package log

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"weir/segment"
	"weir/segment/vfs"
)

var update = flag.Bool("update", false, "write the golden file anew; the format has changed")

func sampleCheckpoint() checkpoint {
	return checkpoint{
		sequence: 7, logStart: 30,
		point: segment.RecoveryPoint{
			Base:          20,
			State:         segment.State{Position: 4096, NextOffset: 44, NextRaftIndex: 40, Epoch: 5, MaxTimestamp: 1_700_000_000_000},
			OffsetEntries: 3, TimeEntries: 2,
		},
		epochs: epochList{{epoch: 2, offset: 30, raftIndex: 25}, {epoch: 5, offset: 41, raftIndex: 37}},
	}
}

func TestCheckpointGolden(t *testing.T) {
	c := sampleCheckpoint()
	b := c.encode()
	name := filepath.Join("testdata", "checkpoint-v1.hex")
	if *update {
		if err := os.WriteFile(name, []byte(hex.Dump(b)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if hex.Dump(b) != string(want) {
		t.Errorf("differs from %s:\n%s", name, hex.Dump(b))
	}
	if got, err := decodeCheckpoint(b); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Every flipped bit makes a slot invalid.
func TestCheckpointFlips(t *testing.T) {
	b := sampleCheckpoint().encode()
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		if c, err := decodeCheckpoint(b); err == nil {
			t.Errorf("bit %d flipped: %+v", bit, c)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

func TestCheckpointSlots(t *testing.T) {
	fsys := vfs.NewMem()
	if err := fsys.MkdirAll("/log", 0o755); err != nil {
		t.Fatal(err)
	}
	var file checkpointFile
	start := func() int64 {
		t.Helper()
		c, ok, err := loadCheckpoint(fsys, "/log")
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return c.last.logStart
	}
	for i, how := range []care{lazily, lazily, durably, twice, lazily, durably} {
		c := sampleCheckpoint()
		c.logStart = int64(i)
		if err := file.write(fsys, "/log", c, how); err != nil {
			t.Fatal(err)
		}
		if got := start(); got != int64(i) {
			t.Fatalf("write %d: log start %d is read back", i, got)
		}
	}
	whole, err := vfs.ReadFile(fsys, "/log/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	// One slot damaged: the other one counts, whichever it is. Both: refuse.
	left := map[int]int64{file.slot: 4, 1 - file.slot: 5}
	for slot := range 2 {
		b := bytes.Clone(whole)
		b[slot*slotBytes+30] ^= 1
		replace(t, fsys, b)
		if got := start(); got != left[slot] {
			t.Errorf("slot %d damaged: log start %d, want %d", slot, got, left[slot])
		}
		b[(1-slot)*slotBytes+30] ^= 1
		replace(t, fsys, b)
		var corrupt *CorruptError
		if _, _, err := loadCheckpoint(fsys, "/log"); !errors.As(err, &corrupt) {
			t.Errorf("both slots damaged: %v", err)
		}
	}
}

func replace(t *testing.T, fsys vfs.FS, content []byte) {
	t.Helper()
	if err := vfs.ReplaceFile(fsys, "/log/checkpoint", content); err != nil {
		t.Fatal(err)
	}
}

func FuzzCheckpoint(f *testing.F) {
	b := sampleCheckpoint().encode()
	f.Add(b)
	f.Add(b[:slotFixedBytes])
	f.Add(checkpoint{point: segment.RecoveryPoint{State: segment.State{Position: 96, NextRaftIndex: 1}}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCheckpoint(b)
		if err != nil {
			return
		}
		again := c.encode()
		// The two reserved bytes are the writer's zeros, whatever they were.
		if len(again) > len(b) || len(c.epochs) > maxEpochs {
			t.Fatalf("%d bytes decode to %d", len(b), len(again))
		}
		if d, err := decodeCheckpoint(again); err != nil || !reflect.DeepEqual(c, d) {
			t.Fatalf("%+v becomes %+v, %v", c, d, err)
		}
	})
}

// Many epochs make a slot larger than what is read at first.
func TestCheckpointManyEpochs(t *testing.T) {
	fsys := vfs.NewMem()
	if err := fsys.MkdirAll("/log", 0o755); err != nil {
		t.Fatal(err)
	}
	c := sampleCheckpoint()
	c.epochs = nil
	for i := range int32(maxEpochs) {
		c.epochs = append(c.epochs, epochStart{i, int64(i), uint64(i)})
	}
	if n := len(c.encode()); n > slotBytes {
		t.Fatalf("%d epochs take %d bytes of a slot of %d", maxEpochs, n, slotBytes)
	}
	var file checkpointFile
	if err := file.write(fsys, "/log", c, durably); err != nil {
		t.Fatal(err)
	}
	got, ok, err := loadCheckpoint(fsys, "/log")
	if err != nil || !ok || !reflect.DeepEqual(got.last.epochs, c.epochs) {
		t.Fatalf("%d epochs are read back, %v, %v", len(got.last.epochs), ok, err)
	}
}

func TestEpochList(t *testing.T) {
	// Epoch 3 holds raft frames only: it begins where 4 does.
	l := epochList{{1, 0, 1}, {2, 10, 11}, {3, 20, 22}, {4, 20, 23}, {7, 30, 35}}
	for _, tc := range []struct {
		ask, epoch int32
		end        int64
	}{
		{0, 0, 0}, {1, 1, 10}, {2, 2, 20}, {3, 2, 20}, {4, 4, 30}, {5, 4, 30}, {6, 4, 30}, {7, 7, 44}, {8, -1, -1},
	} {
		if epoch, end := l.endOffset(tc.ask, 44); epoch != tc.epoch || end != tc.end {
			t.Errorf("epoch %d ends as %d at %d, want %d at %d", tc.ask, epoch, end, tc.epoch, tc.end)
		}
	}
	for offset, want := range map[int64]int32{0: 1, 9: 1, 10: 2, 19: 2, 20: 4, 29: 4, 30: 7, 99: 7, -1: -1} {
		if got := l.at(offset); got != want {
			t.Errorf("offset %d is of epoch %d, want %d", offset, got, want)
		}
	}
	if got := l.from(15); !reflect.DeepEqual(got, epochList{{2, 15, 11}, {3, 20, 22}, {4, 20, 23}, {7, 30, 35}}) {
		t.Errorf("from 15: %v", got)
	}
	if got := l.from(0); !reflect.DeepEqual(got, l) {
		t.Errorf("from 0: %v", got)
	}
	if got := l.below(23); !reflect.DeepEqual(got, l[:3]) {
		t.Errorf("below raft index 23: %v", got)
	}
	if epoch, end := (epochList{}).endOffset(3, 9); epoch != -1 || end != -1 {
		t.Errorf("of nothing: %d, %d", epoch, end)
	}
	long := epochList{}
	for i := range int32(maxEpochs + 20) {
		long = long.add(epochStart{i, int64(i), uint64(i)})
	}
	if len(long) != maxEpochs || long[0].epoch != 20 {
		t.Errorf("%d epochs from %d on", len(long), long[0].epoch)
	}
}

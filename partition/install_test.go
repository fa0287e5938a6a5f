package partition

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"weir/log"
	"weir/segment/vfs"
)

// leaderSnapshot is what a leader sends whose log begins with a later entry than the first.
func leaderSnapshot(t *testing.T) (*peerState, []byte) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	set := testSettings()
	set.Log.SegmentBytes = 1 << 10
	r := open(t, vfs.NewMem(), log.RecoverClean, set)
	for range 24 {
		if err := await(t, r.put(makeBatch(t, rng, nobody, 3), AcksAll)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.DeleteRecords(context.Background(), r.HighWatermark()-4); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); r.log.FirstRaftIndex() <= 1; {
		if err := r.Maintain(time.Now()); err != nil || time.Now().After(deadline) {
			t.Fatalf("the log still begins with its first entry: %v", err)
		}
	}
	_, b, err := r.snapshotForPeer()
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.decodeSnapshot(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	return s, b
}

// TestInstallPowerLossEverywhere: whenever the power goes while a snapshot takes the log's place, the replica opens
// again, with the log that it had or with the leader's and all that the snapshot tells.
func TestInstallPowerLossEverywhere(t *testing.T) {
	want, snapshot := leaderSnapshot(t)
	mem, rng := vfs.NewMem(), rand.New(rand.NewPCG(3, 4))
	r := open(t, mem, log.RecoverClean, testSettings())
	if err := await(t, r.put(makeBatch(t, rng, nobody, 2), AcksAll)); err != nil {
		t.Fatal(err)
	}
	recording := mem.Record()
	if err := r.install(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	mem.Mark("installed")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	taken, kept := 0, 0
	for state := range recording.Crashes(vfs.Enumeration{}) {
		again, err := tryOpen(state.FS, log.RecoverPowerLoss, testSettings())
		if err != nil {
			t.Fatalf("%s: %v", state.Description, err)
		}
		switch first := again.log.FirstRaftIndex(); {
		case first == want.at.raftIndex && again.LogStartOffset() == want.logStart && again.LogEndOffset() == want.at.nextOffset:
			taken++
		case first == 1 && again.LogEndOffset() == 2 && len(state.Marks) == 0:
			kept++
		default:
			t.Fatalf("%s: the log begins with entry %d and offset %d, and ends at %d", state.Description, first, again.LogStartOffset(), again.LogEndOffset())
		}
		if installing, err := again.marked(installingName); installing || err != nil {
			t.Fatalf("%s: the snapshot is there still, %v", state.Description, err)
		}
		if err := verify(again.Partition); err != nil {
			t.Fatalf("%s: %v", state.Description, err)
		}
		if err := again.stop(); err != nil {
			t.Fatalf("%s: %v", state.Description, err)
		}
	}
	if taken < 100 || kept < 10 {
		t.Errorf("%d states have the snapshot, %d the log before: too few", taken, kept)
	}
	t.Logf("%d states have the snapshot, %d the log before", taken, kept)
}

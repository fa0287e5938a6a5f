package log

import (
	"errors"
	"testing"

	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// TestCheckpointAfterClose: a worker that comes late with its checkpoint leaves
// a closed log alone, whose folder may be somebody else's by now.
func TestCheckpointAfterClose(t *testing.T) {
	inj := vfs.NewInjector()
	l, err := Open(Config{Dir: "/log", FS: vfs.Inject(vfs.NewMem(), inj)})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	before := len(inj.Trace())
	if err := l.advanceRecoveryPoint(); err != nil {
		t.Fatal(err)
	}
	if late := inj.Trace()[before:]; len(late) > 0 {
		t.Fatalf("%d operations after Close, first %v", len(late), late[0])
	}
}

// TestCheckpointBesideAdvanceStart: a worker that took the log start before
// AdvanceStart moved it, and the checkpoint's lock after, does not bring it back.
func TestCheckpointBesideAdvanceStart(t *testing.T) {
	mem := vfs.NewMem()
	l, err := Open(Config{Dir: "/log", FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := recordbatch.AppendBatch(nil, recordbatch.Header{ProducerID: -1}, recordbatch.CodecNone, []recordbatch.Record{{Value: []byte("x")}})
	if err == nil {
		_, err = l.Append([]Entry{{Kind: KindBatch, Data: batch}})
	}
	if err != nil {
		t.Fatal(err)
	}
	start := l.logStart.Load()
	if err := errors.Join(l.AdvanceStart(1), l.writeCheckpoint(start, lazily)); err != nil {
		t.Fatal(err)
	}
	again, err := Open(Config{Dir: "/log", FS: mem.ProcessCrashClone(), Recovery: RecoverProcessCrash})
	if err != nil {
		t.Fatal(err)
	}
	if got := again.LogStartOffset(); got != 1 {
		t.Errorf("log start %d after a crash, want 1", got)
	}
	if err := errors.Join(again.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestLazyCheckpoints: one slot is on disk at any time, however many
// checkpoints are written without a sync. Slots are larger than a sector here.
func TestLazyCheckpoints(t *testing.T) {
	mem := vfs.NewMem()
	l, err := Open(Config{Dir: "/log", FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := recordbatch.AppendBatch(nil, recordbatch.Header{ProducerID: -1}, recordbatch.CodecNone, []recordbatch.Record{{Value: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	for epoch := range int32(100) { // epochs with records stay in the checkpoint
		if _, err := l.Append([]Entry{{Kind: KindBatch, Epoch: epoch, Data: batch}}); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(l.Sync(), l.writeCheckpoint(0, lazily)); err != nil {
			t.Fatal(err)
		}
		if epoch == 0 {
			if err := l.writeCheckpoint(0, durably); err != nil { // and the name
				t.Fatal(err)
			}
		}
	}
	for seed := range uint64(100) {
		again, err := Open(Config{Dir: "/log", FS: mem.CrashClone(vfs.CrashOptions{Seed: seed}), Recovery: RecoverPowerLoss})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if got := again.LastEpoch(); got != 99 {
			t.Fatalf("seed %d: last epoch %d, want 99", seed, got)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

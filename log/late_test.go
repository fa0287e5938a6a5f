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

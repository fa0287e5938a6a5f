package log

import (
	"testing"

	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// TestSyncBesideAppend: a sync that comes between the moment an append is in
// the segment and the moment it is in the log writes no recovery point above an
// epoch that the checkpoint does not have, and promises nothing past the end.
func TestSyncBesideAppend(t *testing.T) {
	l, err := Open(Config{Dir: "/log", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := recordbatch.AppendBatch(nil, recordbatch.Header{ProducerID: -1}, recordbatch.CodecNone, []recordbatch.Record{{Value: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	appended := make(chan error, 1)
	go func() {
		var err error
		for epoch := int32(1); epoch <= 3000 && err == nil; epoch++ {
			_, err = l.Append([]Entry{{Kind: KindNoop, Epoch: epoch}, {Kind: KindBatch, Epoch: epoch, Data: batch}})
		}
		appended <- err
	}()
	for done := false; !done; {
		select {
		case err := <-appended:
			if done = true; err != nil {
				t.Fatal(err)
			}
		default:
		}
		if _, err := l.syncOnce(); err != nil {
			t.Fatal(err)
		}
		if durable, end := l.DurableOffset(), l.LogEndOffset(); durable > end {
			t.Fatalf("durable %d, log end %d", durable, end)
		}
		if err := l.writeCheckpoint(0, lazily); err != nil {
			t.Fatal(err)
		}
		last := l.checkpoint.last
		if n := len(last.epochs); last.point.State.Epoch >= 0 && (n == 0 || last.epochs[n-1].epoch != last.point.State.Epoch) {
			t.Fatalf("the recovery point is in epoch %d, the last of %d epochs is %+v", last.point.State.Epoch, n, last.epochs[max(n-1, 0):])
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

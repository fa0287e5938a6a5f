package log_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// TestEmptiedBatchIsReplicated: a batch of which compaction keeps the head for its producer's sake comes to other
// replicas with that head and stays one after they have been opened again.
func TestEmptiedBatchIsReplicated(t *testing.T) {
	l, err := log.Open(log.Config{Dir: "/log", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		h := recordbatch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
		if i == 2 {
			h = recordbatch.Header{ProducerID: 7, ProducerEpoch: 3, BaseSequence: 9}
		}
		b, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, []recordbatch.Record{{Timestamp: 1, Key: []byte("k"), Value: []byte("v")}})
		if err != nil {
			t.Fatal(err)
		}
		if err := put(l, 1, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	judge := logtest.Judge{Keep: func(h recordbatch.Header) bool { return h.ProducerID == 7 }}
	if _, err := l.Compact(context.Background(), time.UnixMilli(1), 5, log.Compaction{}, judge); err != nil {
		t.Fatal(err)
	}
	mem := vfs.NewMem()
	follower := log.Config{Dir: "/log", FS: mem}
	f, err := log.Open(follower)
	if err != nil {
		t.Fatal(err)
	}
	replicate(t, l, f, 5)
	for range 2 {
		for i := range uint64(5) {
			got, err := f.EntryHead(i + 1)
			if err != nil {
				t.Fatal(err)
			}
			switch h := got.Batch; i {
			case 2:
				if got.Kind != log.KindBatch || h.ProducerID != 7 || h.ProducerEpoch != 3 || h.BaseSequence != 9 || h.BaseOffset != 2 || h.RecordCount != 0 {
					t.Errorf("entry %d: %+v", i+1, got)
				}
			case 4:
				if h.RecordCount != 1 {
					t.Errorf("entry %d: %+v", i+1, got)
				}
			default:
				if got.Kind != log.KindRemoved {
					t.Errorf("entry %d: %+v", i+1, got)
				}
			}
		}
		if err := errors.Join(logtest.Check(f), f.Close()); err != nil {
			t.Fatal(err)
		}
		if f, err = log.Open(follower); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
}

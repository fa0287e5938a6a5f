package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"weir/log"
	"weir/log/logtest"
	"weir/segment/vfs"
)

// headReads counts what reading heads costs.
func headReads(t *testing.T, inj *vfs.Injector, read func()) (n int, bytes int64) {
	t.Helper()
	before := len(inj.Trace())
	read()
	for _, op := range inj.Trace()[before:] {
		if op.Kind == vfs.OpRead {
			n++
			bytes += op.Length
		}
	}
	return n, bytes
}

// Heads cost no read of the data, none of the file for what has just been
// appended, and few in order.
func TestEntryHeadCost(t *testing.T) {
	inj := vfs.NewInjector()
	inj.Add(vfs.Rule{Kinds: vfs.OpRead, Nth: 1 << 30})
	l := logtest.Open(t, log.Config{FS: vfs.Inject(vfs.NewMem(), inj), Settings: log.Settings{IndexIntervalBytes: 4096}})
	heads := func(from, to uint64) func() {
		return func() {
			for i := from; i <= to; i++ {
				if h, err := l.EntryHead(i); err != nil || h.Kind != log.KindBatch {
					t.Fatalf("head of entry %d: %+v, %v", i, h, err)
				}
			}
		}
	}
	large := logtest.Batch(t, 1, 1, strings.Repeat("x", 50_000))
	for range 100 {
		appendBatch(t, l, 1, bytes.Clone(large))
	}
	if n, _ := headReads(t, inj, heads(40, 100)); n != 0 {
		t.Errorf("%d reads for the last entries appended", n)
	}
	if n, b := headReads(t, inj, heads(1, 20)); n > 21 || b > 21*4096 {
		t.Errorf("%d reads of %d bytes for 20 large batches", n, b)
	}
	if n, b := headReads(t, inj, heads(7, 7)); n != 1 || b > 4096 {
		t.Errorf("%d reads of %d bytes for one amid them", n, b)
	}
	small := logtest.Batch(t, 1, 1, "x")
	for range 2000 {
		appendBatch(t, l, 1, bytes.Clone(small))
	}
	if n, _ := headReads(t, inj, heads(101, 1900)); n > 60 {
		t.Errorf("%d reads for 1800 small batches of %d bytes", n, len(small))
	}
}

// Raft's bytes come whole, however large, from memory and from the file.
func TestEntryHeadOfRaftFrames(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	sizes := []int{0, 1, 25, 26, 100, 4060, 5000, 100_000}
	var entries []log.Entry
	for _, n := range sizes {
		entries = append(entries, log.Entry{Kind: log.KindConfiguration, Epoch: 1, Data: bytes.Repeat([]byte{'c'}, n)})
	}
	if _, err := l.Append(entries); err != nil {
		t.Fatal(err)
	}
	look := func(where string) {
		for i, n := range sizes {
			h, err := l.EntryHead(uint64(i + 1))
			if err != nil || !bytes.Equal(h.Data, entries[i].Data) {
				t.Errorf("%s: %d bytes of configuration, want %d: %v", where, len(h.Data), n, err)
			}
		}
	}
	look("in memory")
	for range 70 {
		appendBatch(t, l, 1, logtest.Batch(t, 1, 1, "x"))
	}
	look("in the file")
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	look("sealed")
}

// What has been cut off and written anew is met as it is now, also by somebody
// whose place was there.
func TestEntryHeadAfterTruncation(t *testing.T) {
	l := logtest.Open(t, log.Config{Settings: log.Settings{SegmentBytes: 4000}})
	for epoch := range int32(4) {
		for i := range 100 {
			appendBatch(t, l, epoch, logtest.Batch(t, 1, 1+i%3, fmt.Sprint("of epoch ", epoch, strings.Repeat("x", int(epoch)))))
		}
		from := l.LastRaftIndex() - 90
		for i := from - 5; i < from+40; i++ {
			if h, err := l.EntryHead(i); err != nil || i >= from && h.Epoch != epoch {
				t.Fatalf("entry %d: %+v, %v", i, h, err)
			}
		}
		if err := l.TruncateSuffix(from); err != nil {
			t.Fatal(err)
		}
		if _, err := l.EntryHead(from); err != log.ErrEntryNotFound {
			t.Fatalf("entry cut off: %v", err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.EntryHead(1); !errors.Is(err, log.ErrClosed) {
		t.Fatalf("after Close: %v", err)
	}
}

// TestHeadsBesideWriter is for the race detector: heads are read while the log is
// appended to, cut, and deleted from.
func TestHeadsBesideWriter(t *testing.T) {
	l := logtest.Open(t, log.Config{Settings: log.Settings{SegmentBytes: 3000, IndexIntervalBytes: 200}})
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for i := uint64(1); ; i++ {
				select {
				case <-done:
					return
				default:
				}
				h, err := l.EntryHead(i)
				if i%4 == 0 {
					err = readSome(l, i)
				}
				switch {
				case err == log.ErrEntryNotFound:
					i = max(l.FirstRaftIndex(), 1) - 1
				case err == nil && i%4 == 0:
				case err != nil || int64(i) != int64(h.Offset)+1:
					t.Errorf("entry %d: %+v, %v", i, h, err)
					return
				}
			}
		})
	}
	for i := range 3000 {
		appendBatch(t, l, int32(i/100), logtest.Batch(t, 1, 1, strings.Repeat("x", i%37)))
		switch i % 100 {
		case 33, 66:
			if err := l.TruncateSuffix(l.LastRaftIndex() - uint64(i%30)); err != nil {
				t.Error(err)
			}
		case 99:
			err := l.AdvanceStart(l.LogEndOffset() - 60)
			if _, deleteErr := l.DeleteSegments(); errors.Join(err, deleteErr) != nil {
				t.Error(err, deleteErr)
			}
		}
	}
	close(done)
	readers.Wait()
}

// readSome reads a range of entries, of which the end may be cut off meanwhile.
func readSome(l *log.Log, first uint64) error {
	r, err := l.ReadEntries(first, 10, 1000)
	if err != nil {
		return err
	}
	_, _, err = r.Read(nil, nil)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return errors.Join(err, r.Release())
}

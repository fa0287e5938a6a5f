package log_test

import (
	"errors"
	"strings"
	"testing"

	"weir/log"
	"weir/log/logtest"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// TestFirstRecord: the first record that a client is given, over what compaction has taken away, markers, and
// a log start that has moved.
func TestFirstRecord(t *testing.T) {
	l := logtest.Open(t, log.Config{})
	at := func(millis int64, key string) recordbatch.Record {
		r := rec(key, "v")
		r.Timestamp = millis
		return r
	}
	marker := plain
	marker.Attributes = 1<<4 | 1<<5
	want := func(what string, from, limit, offset, millis int64) {
		t.Helper()
		found, ok, err := l.FirstRecord(from, limit)
		if err != nil || ok != (offset >= 0) || ok && (found.Offset != offset || found.Timestamp != millis) {
			t.Errorf("%s: %+v, %v, %v", what, found, ok, err)
		}
	}
	want("an empty log", 0, 0, -1, 0)
	appendRecords(t, l, plain, at(1000, "a"), at(900, "b"), at(1100, "c")) // 0 to 2
	appendRecords(t, l, plain, at(2000, "a"), at(2100, "c"))               // 3 and 4
	appendRecords(t, l, marker, at(2500, "x"))                             // 5
	appendRecords(t, l, plain, at(3000, "d"))                              // 6
	appendRecords(t, l, marker, at(3500, "x"))                             // 7
	want("the first", 0, 8, 0, 1000)
	want("one within a batch, of an earlier time", 1, 8, 1, 900)
	want("what follows a marker", 5, 8, 6, 3000)
	want("nothing but a marker", 7, 8, -1, 0)
	want("the end", 8, 8, -1, 0)
	want("past the end", 99, 8, -1, 0)
	want("what a limit leaves out", 5, 6, -1, 0)

	compact(t, l, 10_000, log.Compaction{}) // takes the first a and c away
	want("a record that compaction has taken away", 0, 8, 1, 900)
	want("the last ones of a batch", 2, 8, 3, 2000)

	if err := l.AdvanceStart(4); err != nil {
		t.Fatal(err)
	}
	want("below the log start", 0, 8, 4, 2100)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.FirstRecord(4, 8); !errors.Is(err, log.ErrClosed) {
		t.Errorf("of a closed log: %v", err)
	}
}

// TestFirstRecordBesideASwap: a walk that reads the old file when compaction puts a new one in its place looks again.
func TestFirstRecordBesideASwap(t *testing.T) {
	inj := vfs.NewInjector()
	l := logtest.Open(t, log.Config{FS: vfs.Inject(vfs.NewMem(), inj)})
	for _, r := range []recordbatch.Record{rec("a", "1"), rec("b", strings.Repeat("larger", 10))} {
		b, err := recordbatch.AppendBatch(nil, plain, recordbatch.CodecNone, []recordbatch.Record{r})
		if err != nil {
			t.Fatal(err)
		}
		appendBatch(t, l, 1, b)
	}
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	appendRecords(t, l, plain, rec("a", "2"))
	if found, ok, err := l.FirstRecord(0, 3); err != nil || !ok || found.Offset != 0 { // opens the file, too
		t.Fatalf("%+v, %v, %v", found, ok, err)
	}

	gate := vfs.NewGate()
	inj.Add(vfs.Rule{Kinds: vfs.OpRead, Path: "*.log", Gate: gate})
	type answer struct {
		log.Found
		ok  bool
		err error
	}
	got := make(chan answer, 1)
	go func() {
		found, ok, err := l.FirstRecord(0, 3)
		got <- answer{found, ok, err}
	}()
	<-gate.Entered()
	done := compact(t, l, 10_000, log.Compaction{})
	gate.Open()
	if a := <-got; a.err != nil || !a.ok || a.Offset != 1 {
		t.Errorf("%+v", a)
	}
	if done.Records != 1 {
		t.Errorf("%+v, want one record removed", done)
	}
}

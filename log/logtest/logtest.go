// Package logtest opens logs for tests and checks them whole at the end.
package logtest

import (
	"errors"
	"fmt"
	"testing"

	"weir/log"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// Open opens a log, in memory unless cfg names a file system, and at the test's
// cleanup verifies every frame and index entry, closes it, and does so again
// after a clean open.
func Open(t testing.TB, cfg log.Config) *log.Log {
	t.Helper()
	if cfg.FS == nil {
		cfg.FS = vfs.NewMem()
	}
	if cfg.Dir == "" {
		cfg.Dir = "/log"
	}
	l, err := log.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Check(l); err != nil {
			t.Errorf("log at the end of the test: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("closing the log: %v", err)
			return
		}
		cfg.Recovery, cfg.OnRoll = log.RecoverClean, nil
		again, err := log.Open(cfg)
		if err != nil {
			t.Errorf("opening the log again: %v", err)
			return
		}
		if err := errors.Join(Check(again), again.Close()); err != nil {
			t.Errorf("log opened again: %v", err)
		}
	})
	return l
}

// Check verifies a log that nobody writes to: frames and indexes, and through
// the readers' eyes that offsets are dense, those that compaction has taken the
// records of included, batches whole, and records decodable. A log that is closed already is left alone.
func Check(l *log.Log) error {
	start, end := l.LogStartOffset(), l.LogEndOffset()
	if durable := l.DurableOffset(); start > durable || durable > end {
		return fmt.Errorf("log start %d, durable %d, log end %d are out of order", start, durable, end)
	}
	if _, err := l.Read(start, 0, start, false); errors.Is(err, log.ErrClosed) {
		return nil
	}
	if err := l.Verify(); err != nil {
		return err
	}
	next := start
	for next < end {
		r, err := l.Read(next, 1<<20, end, true)
		if err != nil {
			return fmt.Errorf("read at %d: %w", next, err)
		}
		b, err := r.AppendTo(nil)
		if err := errors.Join(err, r.Release()); err != nil {
			return err
		}
		if r.Bytes == 0 {
			return checkEmptied(l, next, end)
		}
		if r.FirstOffset > next {
			if err := checkEmptied(l, next, r.FirstOffset); err != nil {
				return err
			}
		}
		if next, err = checkBatches(b, r, next); err != nil {
			return err
		}
	}
	return nil
}

// checkEmptied checks that compaction has emptied all batches in [from, to); one
// that begins before may have records there.
func checkEmptied(l *log.Log, from, to int64) error {
	for h, err := range l.Batches(from, to) {
		if err != nil {
			return err
		}
		if amid := h.BaseOffset < from && h.RecordCount <= h.LastOffsetDelta; h.RecordCount != 0 && !amid {
			return fmt.Errorf("read at %d passes over %d records at %d", from, h.RecordCount, h.BaseOffset)
		}
		from = h.NextOffset()
	}
	if from != to {
		return fmt.Errorf("batches end at %d, want %d", from, to)
	}
	return nil
}

// checkBatches checks the bytes of a range and returns the offset after it.
func checkBatches(b []byte, r log.Range, next int64) (int64, error) {
	if len(b) == 0 {
		return 0, fmt.Errorf("read at %d gives no bytes", next)
	}
	if h, err := recordbatch.ParseHeader(b); err != nil || h.RecordCount == 0 {
		return 0, fmt.Errorf("read at %d begins with an empty batch (%v)", next, err)
	}
	next = r.FirstOffset
	for len(b) > 0 {
		h, err := recordbatch.ParseHeader(b)
		if err != nil {
			return 0, fmt.Errorf("batch at offset %d: %w", next, err)
		}
		if h.BaseOffset != next || h.SizeBytes() > len(b) {
			return 0, fmt.Errorf("batch at offset %d has base offset %d and %d bytes of %d", next, h.BaseOffset, h.SizeBytes(), len(b))
		}
		if err := recordbatch.VerifyChecksum(b[:h.SizeBytes()]); err != nil {
			return 0, fmt.Errorf("batch at offset %d: %w", next, err)
		}
		if err := checkRecords(b[:h.SizeBytes()], h); err != nil {
			return 0, err
		}
		next = h.NextOffset()
		b = b[h.SizeBytes():]
	}
	if next != r.NextOffset {
		return 0, fmt.Errorf("range ends at %d, says %d", next, r.NextOffset)
	}
	return next, nil
}

// checkRecords checks the offsets of a batch's records: dense, unless compaction
// has removed some.
func checkRecords(b []byte, h recordbatch.Header) error {
	next, n := h.BaseOffset, int32(0)
	for record, err := range recordbatch.Records(b, 0) {
		if err != nil {
			return fmt.Errorf("record %d: %w", next, err)
		}
		whole := h.RecordCount == h.LastOffsetDelta+1
		if record.Offset < next || record.Offset > h.LastOffset() || whole && record.Offset != next {
			return fmt.Errorf("record %d, want %d", record.Offset, next)
		}
		next = record.Offset + 1
		n++
	}
	if n != h.RecordCount {
		return fmt.Errorf("batch at offset %d has %d records, states %d", h.BaseOffset, n, h.RecordCount)
	}
	return nil
}

// Batch makes a batch of n records with the value and a timestamp each, unix
// milliseconds, of which the record's place in the batch is added.
func Batch(t testing.TB, timestamp int64, n int, value string) []byte {
	t.Helper()
	records := make([]recordbatch.Record, n)
	for i := range records {
		records[i] = recordbatch.Record{Timestamp: timestamp + int64(i), Key: fmt.Appendf(nil, "key-%d", i), Value: []byte(value)}
	}
	h := recordbatch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	b, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, records)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Judge is a log.Judge of functions; one that is nil says no.
type Judge struct {
	Keep  func(recordbatch.Header) bool
	Abort func(recordbatch.Header) bool
}

// Begin implements log.Judge.
func (Judge) Begin() error { return nil }

// KeepsHeader implements log.Judge.
func (j Judge) KeepsHeader(h recordbatch.Header) bool { return j.Keep != nil && j.Keep(h) }

// Aborted implements log.Judge.
func (j Judge) Aborted(h recordbatch.Header) bool { return j.Abort != nil && j.Abort(h) }

package log

import (
	"errors"
	"math"

	"weir/protocol/recordbatch"
	"weir/segment"
)

// Found is a record found by its timestamp.
type Found struct {
	Offset    int64
	Timestamp int64 // unix milliseconds
	Epoch     int32 // leader epoch of its batch
}

// OffsetForTimestamp finds the first record, by offset, whose timestamp (unix
// milliseconds) is ts or more, in batches that end at or below limit; false when
// there is none. Timestamps may be in any order.
func (l *Log) OffsetForTimestamp(ts, limit int64) (Found, bool, error) {
	return l.search(func() (Found, bool, error) {
		return l.offsetForTimestamp(ts, l.logStart.Load(), min(limit, l.logEnd.Load()))
	})
}

// search makes a search again until no segment has gone away amid it.
func (l *Log) search(once func() (Found, bool, error)) (Found, bool, error) {
	for {
		found, ok, err := once()
		if !errors.Is(err, segment.ErrDropped) || l.closed.Load() {
			return found, ok, l.explain(err, l.logStart.Load())
		}
	}
}

func (l *Log) offsetForTimestamp(ts, start, limit int64) (Found, bool, error) {
	for _, s := range l.from(start) {
		if start >= limit || s.BaseOffset() >= limit {
			break
		}
		end, err := s.End()
		if err == nil && end.MaxTimestamp < ts {
			continue
		}
		var found Found
		var ok bool
		if err == nil {
			found, ok, err = l.firstRecord(s, ts, start, limit)
		}
		if ok || err != nil {
			return found, ok, err
		}
	}
	return Found{}, false, nil
}

// firstRecord finds the first record of a segment at or after both ts and start.
func (l *Log) firstRecord(s *segment.Segment, ts, start, limit int64) (Found, bool, error) {
	position := int64(0)
	for {
		batch, ok, err := s.FirstAtOrAfter(ts, position, limit)
		if err != nil || !ok {
			return Found{}, false, err
		}
		found, ok, err := l.recordIn(s, batch, ts, start, limit)
		if ok || err != nil {
			return found, ok, err
		}
		position = batch.End() // only records below the log start were late enough
	}
}

// recordIn decodes one batch for its first record at or after both ts and start.
func (l *Log) recordIn(s *segment.Segment, batch segment.Frame, ts, start, limit int64) (Found, bool, error) {
	if batch.NextOffset <= start {
		return Found{}, false, nil
	}
	b, err := readBatch(s, batch.Offset, limit, batch.Bytes)
	if err != nil {
		return Found{}, false, err
	}
	for record, err := range recordbatch.Records(b, math.MaxInt) {
		if err != nil {
			return Found{}, false, err
		}
		if record.Timestamp >= ts && record.Offset >= start {
			return Found{Offset: record.Offset, Timestamp: record.Timestamp, Epoch: batch.Epoch}, true, nil
		}
	}
	return Found{}, false, nil
}

// FirstRecord finds the first record of a client, none of a marker, at or after offset, in batches that end at
// or below limit; false when there is none. Below the log start the search begins at that.
func (l *Log) FirstRecord(offset, limit int64) (Found, bool, error) {
	return l.search(func() (Found, bool, error) {
		return l.firstRecordFrom(max(offset, l.logStart.Load()), min(limit, l.logEnd.Load()))
	})
}

// firstRecordFrom is FirstRecord until a segment has gone away. A batch is decoded from the segment whose walk has
// met it: the one in its place may be another by now, where compaction has taken that batch away.
func (l *Log) firstRecordFrom(offset, limit int64) (found Found, ok bool, err error) {
	from := offset
	walked := l.batches(&from, limit, func(s *segment.Segment, h recordbatch.Header) bool {
		if h.IsControl() || h.RecordCount == 0 {
			return true
		}
		batch := segment.Frame{Offset: h.BaseOffset, NextOffset: h.NextOffset(), Bytes: int64(h.SizeBytes()), Epoch: h.PartitionLeaderEpoch}
		found, ok, err = l.recordIn(s, batch, math.MinInt64, offset, limit)
		return !ok && err == nil
	})
	return found, ok, errors.Join(err, walked)
}

// readBatch reads the batch at offset, of so many bytes.
func readBatch(s *segment.Segment, offset, limit, size int64) ([]byte, error) {
	r, err := s.Read(offset, limit, math.MaxInt32, true)
	if err != nil {
		return nil, err
	}
	r.Bytes = int(min(int64(r.Bytes), size))
	b, err := r.AppendTo(nil)
	return b, errors.Join(err, r.Release())
}

// MaxTimestamp finds the record with the largest timestamp, the first of those,
// in batches that end at or below limit; false when there is none.
func (l *Log) MaxTimestamp(limit int64) (Found, bool, error) {
	return l.search(func() (Found, bool, error) {
		return l.maxTimestamp(l.logStart.Load(), min(limit, l.logEnd.Load()))
	})
}

func (l *Log) maxTimestamp(start, limit int64) (Found, bool, error) {
	largest := int64(-1)
	var in *segment.Segment
	for _, s := range l.from(start) {
		if start >= limit || s.BaseOffset() >= limit {
			break
		}
		ts, err := maxTimestampOf(s, start, limit)
		if err != nil {
			return Found{}, false, err
		}
		if ts > largest {
			largest, in = ts, s
		}
	}
	if in == nil {
		return Found{}, false, nil
	}
	return l.firstRecord(in, largest, start, limit)
}

// maxTimestampOf is the largest timestamp of a segment within [start, limit).
func maxTimestampOf(s *segment.Segment, start, limit int64) (int64, error) {
	if s.BaseOffset() >= start {
		return s.MaxTimestamp(limit)
	}
	largest := int64(-1)
	for h, err := range s.Batches(start) {
		if err != nil {
			return 0, err
		}
		if h.NextOffset() > limit {
			break
		}
		ts := h.MaxTimestamp
		if h.BaseOffset < start && h.RecordCount > 0 {
			if ts, err = maxTimestampIn(s, h, start, limit); err != nil {
				return 0, err
			}
		}
		largest = max(largest, ts)
		if h.NextOffset() == limit {
			break // what follows may be cut off meanwhile
		}
	}
	return largest, nil
}

// maxTimestampIn is the largest timestamp of the records at or after start in a
// batch that begins before it.
func maxTimestampIn(s *segment.Segment, h recordbatch.Header, start, limit int64) (int64, error) {
	b, err := readBatch(s, h.BaseOffset, limit, int64(h.SizeBytes()))
	if err != nil {
		return 0, err
	}
	largest := int64(-1)
	for stamp, err := range recordbatch.Stamps(b, math.MaxInt) {
		if err != nil {
			return 0, err
		}
		if stamp.Offset >= start {
			largest = max(largest, stamp.Timestamp)
		}
	}
	return largest, nil
}

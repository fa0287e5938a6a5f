package log

import (
	"slices"

	"weir/segment"
)

// EntryRange is consecutive entries as they lie in one segment file, to be read
// with Read, or by what is in it: File, Position and Bytes say where, Entries what.
// It is released by the caller.
type EntryRange struct {
	segment.EntryRange
}

// ReadEntries gives the entries from raft index first on: at least one however
// large, otherwise at most maxCount, and maxBytes of file. A range ends at the end
// of a segment too: ask again for what follows. It runs beside everything; a range
// stays readable when retention or compaction takes its segment away.
//
// Errors: ErrEntryNotFound itself when there is no first, ErrClosed, *CorruptError,
// those of reading.
func (l *Log) ReadEntries(first uint64, maxCount int, maxBytes int64) (EntryRange, error) {
	for {
		if l.closed.Load() {
			return EntryRange{}, ErrClosed
		}
		cuts := l.cuts.Load()
		s, err := l.segmentOfEntry(first)
		if err == nil {
			// The segment may have frames that an append is about to publish.
			count := min(uint64(max(maxCount, 1)), l.nextRaft.Load()-first)
			var r segment.EntryRange
			if r, err = s.ReadEntries(first, int(count), maxBytes); err == nil {
				return EntryRange{r}, nil
			}
		}
		if err := l.again(err, cuts, first); err != nil {
			return EntryRange{}, err
		}
	}
}

// Read reads the range into buf, or a larger one, and appends its entries to dst.
// Their Data are slices of the buffer returned, and good as long as it is: whole
// batches as they were stamped, and Raft's bytes of Raft's own kinds. Removed
// entries have none.
//
// Errors: io.ErrUnexpectedEOF when the end of the log has been cut off below the
// range, and perhaps written anew; *CorruptError, those of reading. Nothing is
// appended then.
func (r *EntryRange) Read(buf []byte, dst []Entry) ([]byte, []Entry, error) {
	buf, err := r.AppendTo(buf[:0])
	if err != nil {
		return buf, dst, err
	}
	dst = slices.Grow(dst, len(r.Entries))
	for _, e := range r.Entries {
		entry := Entry{Kind: e.Kind, Epoch: e.Epoch}
		switch frame := buf[e.Start:][:e.Bytes:e.Bytes]; {
		case e.Kind == KindRemoved:
			entry.NextOffset, entry.Ahead = e.NextOffset, e.Ahead
		case e.Kind.Raft():
			entry.Data = segment.RaftFrameData(frame)
		default:
			entry.Data = frame
		}
		dst = append(dst, entry)
	}
	return buf, dst, nil
}

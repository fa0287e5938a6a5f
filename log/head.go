package log

import (
	"errors"

	"weir/protocol/recordbatch"
	"weir/segment"
)

// EntryHead is an entry without a batch's records.
type EntryHead struct {
	Kind       EntryKind
	Epoch      int32 // leader epoch (Raft term)
	Offset     int64 // base offset; the log end there for Raft's own kinds
	NextOffset int64 // one past its last offset; Offset for Raft's own kinds
	SizeBytes  int64 // in the file, our head of a raft frame included; 0 for KindRemoved
	Batch      recordbatch.Header
	Data       []byte // of Raft's own kinds: Raft's bytes, a copy; nil for none
}

// EntryHead returns the head of the entry of a raft index. It reads a few KiB at
// most, nothing for the last entries appended, and next to nothing for entries
// asked for in order.
//
// Of a run of entries that compaction has removed, KindRemoved, only the last one
// has offsets, those of the whole run, and the Batch that stands in for it; the
// NextOffset of the others is 0. A batch that is kept for its producer is one without records.
//
// Errors: ErrEntryNotFound itself, ErrClosed, *CorruptError, those of reading.
func (l *Log) EntryHead(raftIndex uint64) (EntryHead, error) {
	for {
		if l.closed.Load() {
			return EntryHead{}, ErrClosed
		}
		cuts := l.cuts.Load()
		h, err := l.head(raftIndex)
		if err == nil {
			return entryHead(h, raftIndex), nil
		}
		if err := l.again(err, cuts, raftIndex); err != nil {
			return EntryHead{}, err
		}
	}
}

func (l *Log) head(raftIndex uint64) (segment.Head, error) {
	s, err := l.segmentOfEntry(raftIndex)
	if err != nil {
		return segment.Head{}, err
	}
	if !l.headMu.TryLock() {
		var own segment.Trail // somebody else is on the way
		return s.Head(&own, raftIndex)
	}
	defer l.headMu.Unlock()
	return s.Head(&l.trail, raftIndex)
}

func entryHead(h segment.Head, raftIndex uint64) EntryHead {
	e := EntryHead{Kind: h.Kind, Epoch: h.Epoch, Offset: h.Offset, NextOffset: h.NextOffset, SizeBytes: h.Bytes, Batch: h.Batch, Data: h.Data}
	if h.Removed == 0 || h.Emptied {
		return e
	}
	if raftIndex+1 < h.RaftIndex+uint64(h.Removed) {
		return EntryHead{Kind: KindRemoved, Epoch: h.Epoch}
	}
	e.Kind, e.SizeBytes = KindRemoved, 0
	return e
}

// again says why a lookup of a raft index that ended with err is not to be made
// once more, nil if it is: because the segment has gone away or the end of the log
// has been cut off meanwhile. cuts is as before the lookup.
func (l *Log) again(err error, cuts uint64, raftIndex uint64) error {
	switch {
	case l.closed.Load():
		return ErrClosed
	case raftIndex < l.firstRaft.Load() || raftIndex >= l.nextRaft.Load():
		return ErrEntryNotFound
	case errors.Is(err, segment.ErrDropped):
		return nil
	case cuts%2 == 1 || cuts != l.cuts.Load():
		l.awaitWriter()
		return nil
	}
	return err
}

// awaitWriter returns when the writer is done with what it is at.
func (l *Log) awaitWriter() {
	l.mu.Lock()
	defer l.mu.Unlock()
}

// forgetTrail is called when what lies on the trail may change, and when nobody
// has followed it for long.
func (l *Log) forgetTrail() {
	l.headMu.Lock()
	defer l.headMu.Unlock()
	l.trail.Reset()
}

package partition

import (
	"errors"
	"math"
	"testing"
	"time"

	"weir/protocol/recordbatch"
)

func header(id int64, epoch int16, sequence, records int32) recordbatch.Header {
	return recordbatch.Header{
		ProducerID: id, ProducerEpoch: epoch, BaseSequence: sequence,
		LastOffsetDelta: records - 1, RecordCount: records,
	}
}

// check is what a partition does with a batch when nothing is on its way.
func check(t *producers, h recordbatch.Header, virgin bool) (*batchRef, error) {
	if ref := t.find(h, cachedBatches); ref != nil {
		return ref, nil
	}
	return nil, t.footing(h.ProducerID).takes(h, virgin)
}

// TestProducersCheck walks one producer through the cases of KIP-98.
func TestProducersCheck(t *testing.T) {
	now := time.UnixMilli(1)
	table := newProducers(10)
	for i := range int32(7) {
		table.add(header(7, 3, i*10, 10), int64(i*10), now)
	}
	const duplicate, accepted, gap, fenced = "duplicate", "new", "gap", "fenced"
	for _, c := range []struct {
		name  string
		h     recordbatch.Header
		virgn bool
		want  string
	}{
		{name: "the next in line", h: header(7, 3, 70, 1), want: accepted},
		{name: "the last again", h: header(7, 3, 60, 10), want: duplicate},
		{name: "the fifth last again", h: header(7, 3, 20, 10), want: duplicate},
		{name: "older than what is remembered", h: header(7, 3, 10, 10), want: gap},
		{name: "one missing", h: header(7, 3, 71, 1), want: gap},
		{name: "half of the last", h: header(7, 3, 60, 5), want: gap},
		{name: "an older instance", h: header(7, 2, 70, 1), want: fenced},
		{name: "a newer instance starts at 0", h: header(7, 4, 0, 1), want: accepted},
		{name: "a newer instance starts late", h: header(7, 4, 1, 1), want: gap},
		{name: "an unknown producer in mid-sequence", h: header(8, 0, 5, 1), want: accepted},
		{name: "an unknown producer, empty partition", h: header(8, 0, 5, 1), virgn: true, want: gap},
		{name: "an unknown producer at 0, empty partition", h: header(8, 0, 0, 1), virgn: true, want: accepted},
	} {
		t.Run(c.name, func(t *testing.T) {
			dup, err := check(table, c.h, c.virgn)
			var sequence *SequenceError
			var epoch *ProducerEpochError
			got := accepted
			switch {
			case errors.As(err, &sequence):
				got = gap
			case errors.As(err, &epoch):
				got = fenced
			case dup != nil:
				got = duplicate
				if dup.baseOffset != int64(c.h.BaseSequence) {
					t.Errorf("duplicate found at offset %d, want %d", dup.baseOffset, c.h.BaseSequence)
				}
			}
			if got != c.want {
				t.Errorf("got %s (%v), want %s", got, err, c.want)
			}
		})
	}
}

func TestProducersSequenceWraps(t *testing.T) {
	table := newProducers(10)
	table.add(header(1, 0, math.MaxInt32-1, 2), 0, time.Now())
	if _, err := check(table, header(1, 0, 0, 1), false); err != nil {
		t.Errorf("after the largest sequence comes 0: %v", err)
	}
	h := header(1, 0, math.MaxInt32, 3) // crosses the border: MaxInt32, 0, 1
	if got := h.LastSequence(); got != 1 {
		t.Fatalf("last sequence across the border: got %d, want 1", got)
	}
}

// TestProducersNewEpochForgets: a retry of the old instance's batch must not
// be taken for one of the new instance.
func TestProducersNewEpochForgets(t *testing.T) {
	table := newProducers(10)
	table.add(header(1, 0, 0, 5), 0, time.Now())
	table.add(header(1, 1, 0, 1), 5, time.Now())
	dup, err := check(table, header(1, 1, 0, 5), false)
	if dup != nil || err == nil {
		t.Errorf("got duplicate %v, error %v; want a sequence error", dup, err)
	}
}

func TestProducersLimitAndExpiry(t *testing.T) {
	table := newProducers(3)
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	for id := range int64(4) {
		table.add(header(id, 0, 0, 1), id, at(int(id)))
	}
	if table.byID[0] != nil || len(table.byID) != 3 || table.lru.Len() != 3 {
		t.Fatalf("one over the limit: have %d producers, the oldest kept: %v", len(table.byID), table.byID[0] != nil)
	}
	table.add(header(1, 0, 1, 1), 9, at(9))
	table.expire(at(4))
	if len(table.byID) != 1 || table.byID[1] == nil {
		t.Errorf("after expiry: %d producers, want only the one seen last", len(table.byID))
	}
}

// TestMillionProducers: who comes with ever new producer ids has a partition forget the most silent ones, and nobody who
// has a transaction; what a checkpoint takes stays within what the limit allows.
func TestMillionProducers(t *testing.T) {
	const limit = 10_000
	s := &state{at: applied{raftIndex: 1}, producers: newProducers(limit)}
	now := time.Unix(1, 0)
	first := header(0, 0, 0, 1)
	first.Attributes = transactionalBit
	s.producers.add(first, 0, now)
	for id := range int64(1_000_000) {
		s.producers.add(header(id+1, 0, 0, 1), id+1, now)
	}
	if have := len(s.producers.byID); have != limit || s.producers.lru.Len() != limit-1 {
		t.Fatalf("%d producers are known, %d of them may be forgotten", have, s.producers.lru.Len())
	}
	for id, want := range map[int64]bool{0: true, 1: false, 1_000_000 - limit + 1: false, 1_000_000 - limit + 2: true, 1_000_000: true} {
		if known := s.producers.byID[id] != nil; known != want {
			t.Errorf("producer %d is known: %v", id, known)
		}
	}
	if stable := s.producers.stable(1_000_001); stable != 0 {
		t.Errorf("last stable offset %d: the transaction of the oldest is open", stable)
	}
	if size, most := len(s.encode()), checkpointMinBytes+8+4+limit*(producerMinBytes+producerTxnBytes+cachedBatches*batchRefBytes); size > most {
		t.Errorf("a checkpoint of %d bytes, more than %d", size, most)
	}
	// Who was forgotten and comes back goes on: nothing says that a batch of it is missing.
	if _, err := check(s.producers, header(1, 0, 1, 1), false); err != nil {
		t.Errorf("a forgotten producer: %v", err)
	}
}

// TestLargestCheckpoint: there is room for as many producers as may be configured, each with all its batches, and as many
// transactions as there may be.
func TestLargestCheckpoint(t *testing.T) {
	size := func(producers, aborted int) int {
		s := &state{producers: newProducers(MaxProducersLimit), aborted: make(abortedIndex, aborted)}
		for id := range int64(producers) {
			s.producers.insert(id).n = cachedBatches
		}
		return len(s.encode())
	}
	none := size(0, 0)
	// Those with a transaction are kept above the limit.
	most := none + (MaxProducersLimit+maxOpenTransactions)*(size(1, 0)-none) + maxAbortedTransactions*(size(0, 1)-none)
	const left = 1 << 20 // for memberships
	if most > maxCheckpointBytes-left {
		t.Errorf("%d bytes, of at most %d", most, maxCheckpointBytes)
	}
}

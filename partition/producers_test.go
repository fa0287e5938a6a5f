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

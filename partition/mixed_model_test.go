package partition

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"weir/protocol/recordbatch"
)

// keyModel is what the replicas of a partition that is compacted and deleted from may show: all records and markers that
// were ever sent, and at which offset the first look below a high watermark found which of them.
//
// Each replica compacts for itself and segments differ, so between two settled states replicas need not hold the same
// records. What holds exactly on each of them, at any moment at which nothing is under way:
//
//   - log start <= high watermark <= log end. The start is one that was ordered, or that of a replica which a snapshot
//     has begun and for which that order is still to come. It never goes back, not by a crash either. The high watermark
//     does not go back while the replica is open.
//   - What is read at an offset was sent, and is what everybody has ever read there: key, value, headers, timestamp.
//     A batch of an idempotent producer is there once. Where a producer was told that its records lie, they do.
//   - A record between log start and high watermark is missing only if a later one of its key, or the end of its
//     transaction, which was aborted, lies below a point up to which some replica has been compacted, or if it is a
//     tombstone that was met by a pass delete.retention.ms before another. So from there on the last record of each key
//     is there. A record that was aborted stands for no key. A marker is missing as a tombstone may be.
//   - A tombstone that is gone has taken all earlier records of its key along.
//   - A read at any offset between the two begins with the first record there is at or above it.
//   - What readers at ReadCommitted are given is what is there below the last stable offset, without what was aborted.
//     That offset lies above no record of a transaction that is open, and below no other.
type keyModel struct {
	t         testing.TB
	retention time.Duration          // delete.retention.ms
	sent      map[string]*sentRecord // by name
	records   []*sentRecord          // by offset; nil: not seen, and deleted somewhere
	txns      []*modelTxn            // in the order in which they began
	acked     map[int64]*sentRecord  // where a producer was told that it lies
	end       int64                  // past all of these
	starts    map[int64]bool         // where the log start may have been ordered to
	start     int64                  // the largest of which that was acknowledged
	compacted int64                  // no pass has gone further
	met       map[int64]time.Time    // by offset, tombstones: when a pass may first have met them
	pass      time.Time              // the last one's
}

// sentRecord is a record with a name of its own, which it carries in a header: a tombstone has no value.
type sentRecord struct {
	recordbatch.Record
	once   bool      // its producer is idempotent
	at     int64     // where it was found, -1 before
	txn    *modelTxn // that it is of, nil for none
	marker bool      // it is no record, but the end of a transaction
	never  bool      // it was refused, or written by a leader that was cut off
}

const nameHeader = "name"

func newKeyModel(t testing.TB, retention time.Duration) *keyModel {
	return &keyModel{
		t: t, retention: retention, sent: map[string]*sentRecord{}, acked: map[int64]*sentRecord{},
		starts: map[int64]bool{0: true}, met: map[int64]time.Time{},
	}
}

const modelKeys = 12

// batch makes the next batch: of n records, each a key's next value, or its deletion.
func (m *keyModel) batch(rng *rand.Rand, who identity, n int, now time.Time) Batch {
	m.t.Helper()
	return m.name(who, m.draw(rng, n, now), nil)
}

func (m *keyModel) draw(rng *rand.Rand, n int, now time.Time) []recordbatch.Record {
	records := make([]recordbatch.Record, n)
	for i := range records {
		r := recordbatch.Record{Timestamp: now.UnixMilli(), Key: fmt.Appendf(nil, "key-%d", rng.IntN(modelKeys))}
		if rng.IntN(5) > 0 {
			r.Value = make([]byte, rng.IntN(150))
			for j := range r.Value {
				r.Value[j] = byte(rng.Uint32())
			}
		}
		records[i] = r
	}
	return records
}

// last makes a batch of one record that nothing supersedes.
func (m *keyModel) last(now time.Time) Batch {
	m.t.Helper()
	return m.name(nobody, []recordbatch.Record{{Timestamp: now.UnixMilli(), Key: fmt.Append(nil, "last-", len(m.sent)), Value: []byte{}}}, nil)
}

// name makes a batch of records, each of which gets a name, in a transaction if that is not nil.
func (m *keyModel) name(who identity, records []recordbatch.Record, txn *modelTxn) Batch {
	m.t.Helper()
	for i := range records {
		name := fmt.Sprint(len(m.sent))
		records[i].Headers = []recordbatch.RecordHeader{{Key: nameHeader, Value: []byte(name)}}
		m.sent[name] = &sentRecord{Record: records[i], once: who.id >= 0, at: -1, txn: txn}
	}
	h := recordbatch.Header{ProducerID: who.id, ProducerEpoch: who.epoch, BaseSequence: who.sequence}
	if txn != nil {
		h = h.InTransaction()
	}
	b, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, records)
	if err != nil {
		m.t.Fatal(err)
	}
	return parsed(m.t, b)
}

// acknowledged notes where a producer was told that a batch lies.
func (m *keyModel) acknowledged(b Batch, base int64) {
	m.t.Helper()
	for i, r := range m.decode(b.Data) {
		m.acknowledge(m.sent[nameOf(r)], base+int64(i))
	}
}

func (m *keyModel) acknowledge(s *sentRecord, offset int64) {
	m.t.Helper()
	if offset < int64(len(m.records)) && m.records[offset] != nil && m.records[offset] != s {
		m.t.Fatalf("record %s is acknowledged at %d, where %s was read", nameOf(s.Record), offset, nameOf(m.records[offset].Record))
	}
	m.acked[offset], m.end = s, max(m.end, offset+1)
}

// ordered notes that the log start may be moved, and deleted that it has been.
func (m *keyModel) ordered(start int64) { m.starts[start] = true }
func (m *keyModel) deleted(start int64) { m.start = max(m.start, start) }

// compacts notes that a pass below an offset is about to begin.
func (m *keyModel) compacts(below int64, now time.Time) {
	m.compacted, m.pass = max(m.compacted, below), now
	for o, r := range m.records {
		if _, met := m.met[int64(o)]; r != nil && r.Value == nil && !met && int64(o) < below {
			m.met[int64(o)] = now
		}
	}
}

// buried says that a tombstone may be gone.
func (m *keyModel) buried(offset int64) bool {
	met, ok := m.met[offset]
	return ok && m.records[offset].Value == nil && !m.pass.Before(met.Add(m.retention))
}

func (m *keyModel) decode(b []byte) (all []recordbatch.Record) {
	m.t.Helper()
	for len(b) > 0 {
		h, err := recordbatch.ParseHeader(b)
		if err != nil {
			m.t.Fatal(err)
		}
		if h.IsControl() {
			all = append(all, m.decodeMarker(b[:h.SizeBytes()], h)...)
			b = b[h.SizeBytes():]
			continue
		}
		for r, err := range recordbatch.Records(b, 0) {
			if err != nil {
				m.t.Fatal(err)
			}
			r.Headers = slices.Clone(r.Headers) // the iterator uses them again
			all = append(all, r)
		}
		b = b[h.SizeBytes():]
	}
	return all
}

func nameOf(r recordbatch.Record) string {
	for _, h := range r.Headers {
		if h.Key == nameHeader {
			return string(h.Value)
		}
	}
	return ""
}

// read gives the records at or above an offset that one read, or, if all, as many as it takes, find below the high
// watermark.
func (m *keyModel) read(p *Partition, from int64, maxBytes int, all bool) (found []recordbatch.Record) {
	m.t.Helper()
	for next := from; next < p.HighWatermark(); {
		r, err := p.Read(next, maxBytes, true)
		if err != nil {
			m.t.Fatalf("read at %d: %v", next, err)
		}
		b, err := r.AppendTo(nil)
		if err != nil {
			m.t.Fatal(err)
		}
		if err := r.Release(); err != nil {
			m.t.Fatal(err)
		}
		for _, record := range m.decode(b) {
			if record.Offset >= from {
				found = append(found, record)
			}
		}
		if !all || len(b) == 0 {
			return found
		}
		next = r.NextOffset
	}
	return found
}

// learn takes over what a replica is the first to show.
func (m *keyModel) learn(p *Partition) {
	m.t.Helper()
	for int64(len(m.records)) < min(p.LogStartOffset(), p.HighWatermark()) {
		m.records = append(m.records, nil)
	}
	from := p.LogStartOffset()
	for from < int64(len(m.records)) && m.records[from] != nil {
		from++
	}
	for _, r := range m.read(p, from, 3000, true) {
		s := m.sent[nameOf(r)]
		switch {
		case r.Offset < int64(len(m.records)) && m.records[r.Offset] != nil:
			continue
		case r.Offset > int64(len(m.records)):
			m.t.Fatalf("record %d follows on %d, and nobody has compacted there", r.Offset, len(m.records)-1)
		case s == nil:
			m.t.Fatalf("record %d, %s, was never sent: %q=%q", r.Offset, nameOf(r), r.Key, r.Value)
		case s.never:
			m.t.Fatalf("record %d, %s, is not to be anywhere: %q=%q", r.Offset, nameOf(r), r.Key, r.Value)
		case s.once && s.at >= 0:
			m.t.Fatalf("record %s of an idempotent producer is at %d and at %d", nameOf(r), s.at, r.Offset)
		case m.acked[r.Offset] != nil && m.acked[r.Offset] != s:
			m.t.Fatalf("record %s is at %d, where %s was acknowledged", nameOf(r), r.Offset, nameOf(m.acked[r.Offset].Record))
		}
		if s.at = r.Offset; r.Offset == int64(len(m.records)) {
			m.records = append(m.records, s)
		}
		m.records[r.Offset] = s
	}
}

// check compares a replica with what it may show.
func (m *keyModel) check(p *Partition, rng *rand.Rand) {
	m.t.Helper()
	start, high, end := p.LogStartOffset(), p.HighWatermark(), p.LogEndOffset()
	if start > high || high > end || high > int64(len(m.records)) {
		m.t.Fatalf("start %d, high watermark %d, end %d, known up to %d: out of order", start, high, end, len(m.records))
	}
	if first, err := p.firstKept(); !m.starts[start] && (err != nil || start != first.nextOffset) {
		m.t.Fatalf("the log starts at %d, which nobody has ordered, and its first entry ends at %d (%v)", start, first.nextOffset, err)
	}
	present := map[int64]bool{}
	all := m.read(p, start, 3000, true)
	for _, r := range all {
		want := m.records[r.Offset]
		if want == nil || !bytes.Equal(r.Key, want.Key) || !bytes.Equal(r.Value, want.Value) || (r.Value == nil) != (want.Value == nil) ||
			r.Timestamp != want.Timestamp || nameOf(r) != nameOf(want.Record) || present[r.Offset] {
			m.t.Fatalf("record %d is %s: %q=%q, want %+v", r.Offset, nameOf(r), r.Key, r.Value, want)
		}
		present[r.Offset] = true
	}
	m.checkKeys(start, high, present)
	m.checkMarkers(start, high, present)
	m.checkCommitted(p, all)
	for range 3 {
		m.checkRead(p, start, high, all, rng)
	}
}

func (m *keyModel) checkKeys(start, high int64, present map[int64]bool) {
	m.t.Helper()
	later := map[string]int64{} // of each key, the first record above that a pass may have seen
	gone := map[string]int64{}  // of each key, the tombstone above that is gone
	for o := max(high, m.compacted) - 1; o >= start; o-- {
		if o >= int64(len(m.records)) || m.records[o] == nil {
			continue
		}
		if s := m.records[o]; s.marker || s.txn.aborted() {
			m.checkUnkeyed(o, s, present[o] || o >= high)
			continue
		}
		key := string(m.records[o].Key)
		superseding, superseded := later[key]
		tombstone, deleted := gone[key]
		switch {
		case o >= high:
		case present[o] && deleted:
			m.t.Fatalf("record %d of %s is there, and the tombstone at %d is gone (log [%d, %d))", o, key, tombstone, start, high)
		case present[o] || superseded:
		case !m.buried(o):
			m.t.Fatalf("record %d of %s is gone; a later one is at %d, log [%d, %d), compacted up to %d", o, key, superseding, start, high, m.compacted)
		default:
			gone[key] = o
		}
		if o < m.compacted {
			later[key] = o
		}
	}
}

func (m *keyModel) checkRead(p *Partition, start, high int64, all []recordbatch.Record, rng *rand.Rand) {
	m.t.Helper()
	if start == high {
		return
	}
	offset := start + rng.Int64N(high-start)
	want, got := high, high
	for _, r := range all {
		if r.Offset >= offset {
			want = r.Offset
			break
		}
	}
	if found := m.read(p, offset, []int{1, 300, 5000}[rng.IntN(3)], false); len(found) > 0 {
		got = found[0].Offset
	}
	if got != want {
		m.t.Fatalf("a read at %d gives record %d first, want %d (log [%d, %d))", offset, got, want, start, high)
	}
}

// clean wants a replica to hold nothing but the last record of each key that is not deleted.
func (m *keyModel) clean(p *Partition) {
	m.t.Helper()
	last := map[string]*sentRecord{}
	for _, r := range m.records[p.LogStartOffset():p.HighWatermark()] {
		if !r.marker && !r.txn.aborted() {
			last[string(r.Key)] = r
		}
	}
	for _, r := range m.read(p, p.LogStartOffset(), 3000, true) {
		if m.records[r.Offset].marker {
			continue // it stays for its producer, or its records
		}
		if want := last[string(r.Key)]; want == nil || nameOf(want.Record) != nameOf(r) || r.Value == nil {
			m.t.Fatalf("record %d of %s (tombstone %t, last %v) is there after all has been compacted, log [%d, %d)", r.Offset, r.Key, r.Value == nil, want, p.LogStartOffset(), p.HighWatermark())
		}
		delete(last, string(r.Key))
	}
	for key, r := range last {
		if r.Value != nil {
			m.t.Fatalf("record %s of %s is gone", nameOf(r.Record), key)
		}
	}
}

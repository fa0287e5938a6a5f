package command

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// batch makes a record batch of n records from an offset to another, inclusive, all at a time in unix ms.
func batch(first, last, millis int64, n int, attributes int16) []byte {
	b := kmsg.RecordBatch{FirstOffset: first, Magic: 2, Attributes: attributes, LastOffsetDelta: int32(last - first),
		FirstTimestamp: millis, MaxTimestamp: millis, ProducerID: 7, NumRecords: int32(n)}
	for i := range n {
		r := kmsg.Record{OffsetDelta: int32(last-first) - int32(n-1-i), Key: []byte{0, 0, 0, 0}, Value: []byte{0, 0, 0, 0, 0, 0}}
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		b.Records = r.AppendTo(b.Records)
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// TestFirstRecordOfAnAnswer: markers, what was aborted and what compaction has emptied is passed over, and the
// search goes on where an answer ends.
func TestFirstRecordOfAnAnswer(t *testing.T) {
	const control, transactional = 1 << 5, 1 << 4
	at := topicPartition{"t", 0}
	aborted := []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 7, FirstOffset: 10}}
	join := func(batches ...[]byte) (all []byte) {
		for _, b := range batches {
			all = append(all, b...)
		}
		return all
	}
	for _, test := range []struct {
		what      string
		committed bool
		batches   []byte
		aborted   []kmsg.FetchResponseTopicPartitionAbortedTransaction
		code      int16
		end       int64
		found     *unread
		left      *firstAsk
	}{
		{what: "a record", batches: batch(10, 10, 500, 1, 0), end: 20, found: &unread{timestamp: 500}},
		{what: "one within a batch", batches: batch(5, 12, 500, 8, 0), end: 13, found: &unread{timestamp: 500}},
		{what: "a gap that compaction has left in a batch", batches: batch(8, 12, 500, 1, 0), end: 13, found: &unread{timestamp: 500}},
		{what: "one without a timestamp", batches: batch(10, 10, -1, 1, 0), end: 20, found: &unread{timestamp: -1}},
		{what: "a marker before a record", batches: join(batch(10, 10, 1, 1, control|transactional), batch(11, 11, 500, 1, 0)), end: 12, found: &unread{timestamp: 500}},
		{what: "nothing but a marker", batches: batch(10, 10, 1, 1, control|transactional), end: 11, found: &unread{none: true}},
		{what: "an emptied batch at the end", batches: batch(10, 14, 1, 0, 0), end: 15, found: &unread{none: true}},
		{what: "an emptied batch before more", batches: batch(10, 14, 1, 0, 0), end: 30, left: &firstAsk{offset: 15, maxBytes: firstFetchBytes}},
		{what: "an aborted record", committed: true, aborted: aborted, batches: join(batch(10, 10, 1, 1, transactional), batch(11, 11, 1, 1, control|transactional)), end: 12, found: &unread{none: true}},
		{what: "an aborted record, uncommitted ones wanted", aborted: aborted, batches: batch(10, 10, 500, 1, transactional), end: 12, found: &unread{timestamp: 500}},
		{what: "a batch that did not fit", end: 12, left: &firstAsk{offset: 10, maxBytes: 8 * firstFetchBytes}},
		{what: "a leader that is none", code: kerr.NotLeaderForPartition.Code, end: 12, left: &firstAsk{offset: 10, maxBytes: firstFetchBytes}},
		{what: "an offset that is gone", code: kerr.OffsetOutOfRange.Code, end: 12},
	} {
		ask := firstAsk{offset: 10, maxBytes: firstFetchBytes}
		f := firstReader{committed: test.committed, found: map[topicPartition]unread{}, left: map[topicPartition]firstAsk{at: ask}}
		p := kmsg.NewFetchResponseTopicPartition()
		p.RecordBatches, p.ErrorCode, p.AbortedTransactions = test.batches, test.code, test.aborted
		p.HighWatermark, p.LastStableOffset = test.end, test.end
		f.take(at, ask, &p)
		found, ok := f.found[at]
		if ok != (test.found != nil) || ok && found != *test.found {
			t.Errorf("%s: found %v, %+v", test.what, ok, found)
		}
		left, ok := f.left[at]
		if ok != (test.left != nil) || ok && left != *test.left {
			t.Errorf("%s: left %v, %+v", test.what, ok, left)
		}
	}
}

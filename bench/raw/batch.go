package raw

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Positions in a record batch of magic 2 (Kafka's RecordBatch).
const (
	batchHeadBytes   = 61
	positionLength   = 8
	positionCRC      = 17
	positionDataCRC  = 21 // the checksum covers this and all that follows
	positionLastDelt = 23
	positionCount    = 57
	lengthOverhead   = 12 // what the length field does not count: base offset and itself
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// buildBatch returns one uncompressed batch of random records without keys, as many as fit into
// maxBytes and at least one, and their count.
func buildBatch(maxBytes, recordBytes int, timestampMillis int64, seed uint64) ([]byte, int) {
	rng := rand.New(rand.NewPCG(seed, 0x726177))
	value := make([]byte, recordBytes+8)
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1,
		Magic:                2,
		FirstTimestamp:       timestampMillis,
		MaxTimestamp:         timestampMillis,
		ProducerID:           -1,
		ProducerEpoch:        -1,
		FirstSequence:        -1,
	}
	for n := int32(0); ; n++ {
		for i := 0; i < recordBytes; i += 8 {
			binary.LittleEndian.PutUint64(value[i:], rng.Uint64())
		}
		grown := appendRecord(batch.Records, kmsg.Record{OffsetDelta: n, Value: value[:recordBytes]})
		if n > 0 && batchHeadBytes+len(grown) > maxBytes {
			break
		}
		batch.Records, batch.NumRecords, batch.LastOffsetDelta = grown, n+1, n
	}
	b := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(b[positionLength:], uint32(len(b)-lengthOverhead))
	binary.BigEndian.PutUint32(b[positionCRC:], crc32.Checksum(b[positionDataCRC:], castagnoli))
	return b, int(batch.NumRecords)
}

// appendRecord encodes r after dst with its length in front.
func appendRecord(dst []byte, r kmsg.Record) []byte {
	body := r.AppendTo(nil)[1:] // a zero length took one byte
	dst = binary.AppendVarint(dst, int64(len(body)))
	return append(dst, body...)
}

// fetched is what a run of batches holds.
type fetched struct {
	next    int64 // one past the last whole batch
	records int64
	bytes   int64 // of whole batches
}

// scanBatches walks the heads of the batches in b, whose last one may be cut short.
func scanBatches(b []byte, next int64) (fetched, error) {
	f := fetched{next: next}
	for len(b) >= batchHeadBytes {
		size := int64(int32(binary.BigEndian.Uint32(b[positionLength:]))) + lengthOverhead
		if size < batchHeadBytes {
			return f, fmt.Errorf("fetched batch of %d bytes", size)
		}
		if size > int64(len(b)) {
			break
		}
		base, delta := int64(binary.BigEndian.Uint64(b)), int32(binary.BigEndian.Uint32(b[positionLastDelt:]))
		count := int32(binary.BigEndian.Uint32(b[positionCount:]))
		if base < 0 || base > math.MaxInt64-math.MaxInt32-1 || delta < 0 || count < 0 {
			return f, fmt.Errorf("fetched batch of %d records begins at offset %d and ends %d later", count, base, delta)
		}
		// A batch may begin below the offset asked for, but never ends there.
		last := base + int64(delta)
		if last < f.next || (f.bytes > 0 && base != f.next) {
			return f, fmt.Errorf("fetched batch holds offsets %d to %d, want %d next", base, last, f.next)
		}
		f.next = last + 1
		f.records += int64(count)
		f.bytes += size
		b = b[size:]
	}
	return f, nil
}

package protocol

import (
	"encoding/binary"
	"slices"
)

// FetchPartition is one partition of a Fetch response. Fields that the version
// does not carry are left out of the response.
type FetchPartition struct {
	Partition        int32
	ErrorCode        ErrorCode
	HighWatermark    int64 // exclusive
	LastStableOffset int64 // exclusive
	LogStartOffset   int64
	// Aborted is null when nil, which is what read_uncommitted asks for; sorted
	// by FirstOffset otherwise.
	Aborted []AbortedTransaction
	// PreferredReadReplica is a node id, or -1 for none.
	PreferredReadReplica int32
	// DivergingEpoch and CurrentLeader are left out when nil (v12+).
	DivergingEpoch *EpochEndOffset
	CurrentLeader  *LeaderAndEpoch
	// RecordsBytes is how many bytes of record batches the caller puts in.
	RecordsBytes int
}

// AbortedTransaction says from where on a producer's records were aborted.
type AbortedTransaction struct {
	ProducerID  int64
	FirstOffset int64
}

// EpochEndOffset is the largest leader epoch both sides know and its end offset
// (exclusive), at which a fetcher's log diverges (KIP-595).
type EpochEndOffset struct {
	Epoch     int32
	EndOffset int64
}

// LeaderAndEpoch is the leader of a partition as far as known (KIP-951).
type LeaderAndEpoch struct {
	LeaderID    int32
	LeaderEpoch int32
}

// NodeEndpoint is where a node named in a LeaderAndEpoch listens; a nil Rack is null.
type NodeEndpoint struct {
	NodeID int32
	Host   string
	Port   int32
	Rack   *string
}

// FetchEncoder encodes a Fetch response, versions 4 to 18, around record batches
// that it never sees: what it writes is cut where records belong, and the caller
// sends the pieces and the records in turn. The calls are Begin, then for every
// topic Topic and as many times Partition as Topic announced, then Finish. An
// encoder may be used again after Begin, which ends the life of earlier segments.
// The zero value is ready for Begin.
type FetchEncoder struct {
	buf          []byte
	version      int16
	flexible     bool
	cuts         []int    // positions in buf where records are inserted
	segments     [][]byte // reused by Finish
	recordsBytes int
	left         int // partitions of the topic still to come
}

// FetchResponseHead is what stands before the topics of a Fetch response.
type FetchResponseHead struct {
	ThrottleMillis int32
	ErrorCode      ErrorCode // v7+
	SessionID      int32     // v7+
	Topics         int       // how many Topic calls follow
}

// Begin starts the response to h, its header included.
func (e *FetchEncoder) Begin(h RequestHeader, head FetchResponseHead) {
	e.version, e.flexible = h.Version, flexible(KeyFetch, h.Version)
	e.cuts, e.recordsBytes = e.cuts[:0], 0
	e.buf = AppendResponseHeader(e.buf[:0], h)
	e.int32(head.ThrottleMillis)
	if e.version >= 7 {
		e.int16(int16(head.ErrorCode))
		e.int32(head.SessionID)
	}
	e.count(head.Topics)
}

// Topic starts a topic with that many partitions: by name up to version 12, by id
// from 13 on.
func (e *FetchEncoder) Topic(name string, id [16]byte, partitions int) {
	if e.version >= 13 {
		e.buf = append(e.buf, id[:]...)
	} else {
		e.string(name)
	}
	e.count(partitions)
	if e.left = partitions; partitions == 0 {
		e.noTags()
	}
}

// Partition adds a partition of the current topic. When it has records, a segment
// ends where they belong. No records are written as length 0 and not as null,
// which librdkafka takes for a broken response.
func (e *FetchEncoder) Partition(p FetchPartition) {
	e.int32(p.Partition)
	e.int16(int16(p.ErrorCode))
	e.int64(p.HighWatermark)
	e.int64(p.LastStableOffset)
	if e.version >= 5 {
		e.int64(p.LogStartOffset)
	}
	e.aborted(p.Aborted)
	if e.version >= 11 {
		e.int32(p.PreferredReadReplica)
	}
	e.length(p.RecordsBytes)
	if p.RecordsBytes > 0 {
		e.cuts = append(e.cuts, len(e.buf))
		e.recordsBytes += p.RecordsBytes
	}
	e.partitionTags(&p)
	if e.left--; e.left == 0 {
		e.noTags()
	}
}

// Finish ends the response, with endpoints in a tag from version 16 on, and
// returns its segments: the records of the n-th partition with RecordsBytes > 0
// go between the n-th segment and the next. Segments live until the next Begin.
func (e *FetchEncoder) Finish(endpoints []NodeEndpoint) [][]byte {
	if e.flexible {
		e.endpoints(endpoints)
	}
	e.segments = e.segments[:0]
	start := 0
	for _, cut := range e.cuts {
		e.segments = append(e.segments, e.buf[start:cut:cut])
		start = cut
	}
	e.segments = append(e.segments, slices.Clip(e.buf[start:]))
	return e.segments
}

// SizeBytes is the size of the response so far, records included.
func (e *FetchEncoder) SizeBytes() int { return len(e.buf) + e.recordsBytes }

func (e *FetchEncoder) aborted(transactions []AbortedTransaction) {
	switch {
	case transactions != nil:
		e.count(len(transactions))
	case e.flexible:
		e.buf = append(e.buf, 0)
	default:
		e.int32(-1)
	}
	for _, t := range transactions {
		e.int64(t.ProducerID)
		e.int64(t.FirstOffset)
		e.noTags()
	}
}

// partitionTags writes the tagged fields of a partition; the structs in them end
// in an empty tag section of their own, which their sizes count.
func (e *FetchEncoder) partitionTags(p *FetchPartition) {
	if !e.flexible {
		return
	}
	tags := 0
	if p.DivergingEpoch != nil {
		tags++
	}
	if p.CurrentLeader != nil {
		tags++
	}
	e.uvarint(tags)
	if d := p.DivergingEpoch; d != nil {
		e.buf = append(e.buf, 0, 4+8+1)
		e.int32(d.Epoch)
		e.int64(d.EndOffset)
		e.noTags()
	}
	if l := p.CurrentLeader; l != nil {
		e.buf = append(e.buf, 1, 4+4+1)
		e.int32(l.LeaderID)
		e.int32(l.LeaderEpoch)
		e.noTags()
	}
}

// endpoints writes the tag section of the response. The size of the tag stands
// before it and is a varint, so the tag is written behind and moved into place.
func (e *FetchEncoder) endpoints(endpoints []NodeEndpoint) {
	if len(endpoints) == 0 || e.version < 16 {
		e.noTags()
		return
	}
	e.buf = append(e.buf, 1, 0) // one tagged field, number 0
	start := len(e.buf)
	e.count(len(endpoints))
	for _, n := range endpoints {
		e.int32(n.NodeID)
		e.string(n.Host)
		e.int32(n.Port)
		if n.Rack == nil {
			e.buf = append(e.buf, 0)
		} else {
			e.string(*n.Rack)
		}
		e.noTags()
	}
	var size [binary.MaxVarintLen32]byte
	n := binary.PutUvarint(size[:], uint64(len(e.buf)-start))
	e.buf = slices.Insert(e.buf, start, size[:n]...)
}

func (e *FetchEncoder) int16(v int16) { e.buf = binary.BigEndian.AppendUint16(e.buf, uint16(v)) }
func (e *FetchEncoder) int32(v int32) { e.buf = binary.BigEndian.AppendUint32(e.buf, uint32(v)) }
func (e *FetchEncoder) int64(v int64) { e.buf = binary.BigEndian.AppendUint64(e.buf, uint64(v)) }
func (e *FetchEncoder) uvarint(v int) { e.buf = binary.AppendUvarint(e.buf, uint64(v)) }

// length writes the length of bytes or the count of an array.
func (e *FetchEncoder) length(n int) {
	if e.flexible {
		e.uvarint(n + 1)
		return
	}
	e.int32(int32(n))
}

func (e *FetchEncoder) count(n int) { e.length(n) }

func (e *FetchEncoder) string(s string) {
	if e.flexible {
		e.uvarint(len(s) + 1)
	} else {
		e.int16(int16(len(s)))
	}
	e.buf = append(e.buf, s...)
}

func (e *FetchEncoder) noTags() {
	if e.flexible {
		e.buf = append(e.buf, 0)
	}
}

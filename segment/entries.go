package segment

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

const (
	entryBytes = 16

	flagRaft = 1 << 0 // the frame at this position is one of Raft's own
	flagEnd  = 1 << 1 // the end of a sealed segment

	// timeStride is after how many index intervals a timestamp that has not
	// grown is noted again, which bounds the walk behind a lookup.
	timeStride = 16
)

// offsetEntry is an entry of `.index`.
type offsetEntry struct {
	relativeOffset    uint32
	position          uint32
	relativeRaftIndex uint32
	flags             uint8
}

func (e offsetEntry) append(dst []byte) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, e.relativeOffset)
	dst = binary.BigEndian.AppendUint32(dst, e.position)
	dst = binary.BigEndian.AppendUint32(dst, e.relativeRaftIndex)
	return binary.BigEndian.AppendUint32(dst, offsetCheck(dst[start:], e.flags)<<8|uint32(e.flags))
}

// offsetCheck is the low 24 bits of the CRC-32C of the first 12 bytes of b and flags.
func offsetCheck(b []byte, flags uint8) uint32 {
	c := ^crc32.Checksum(b[:12], castagnoli)
	c = castagnoli[byte(c)^flags] ^ c>>8 // one byte more, without a slice for it
	return ^c & 0xffffff
}

func parseOffsetEntry(b []byte) (offsetEntry, bool) {
	e := offsetEntry{
		relativeOffset:    binary.BigEndian.Uint32(b),
		position:          binary.BigEndian.Uint32(b[4:]),
		relativeRaftIndex: binary.BigEndian.Uint32(b[8:]),
		flags:             b[15],
	}
	return e, e.position >= HeaderBytes && binary.BigEndian.Uint32(b[12:])>>8 == offsetCheck(b, e.flags)
}

// timeEntry is an entry of `.timeindex`.
type timeEntry struct {
	maxTimestamp int64 // of everything below position
	position     uint32
}

func (e timeEntry) append(dst []byte) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.maxTimestamp))
	dst = binary.BigEndian.AppendUint32(dst, e.position)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func parseTimeEntry(b []byte) (timeEntry, bool) {
	e := timeEntry{
		maxTimestamp: int64(binary.BigEndian.Uint64(b)),
		position:     binary.BigEndian.Uint32(b[8:]),
	}
	return e, e.position >= HeaderBytes && binary.BigEndian.Uint32(b[12:]) == crc32.Checksum(b[:12], castagnoli)
}

// rule decides which frames get index entries. It depends on the log alone, so
// that an index made again is equal. The zero value is not ready: see newRule.
type rule struct {
	header   Header
	interval int64
	last     int64     // position of the last index entry, HeaderBytes for none
	lastTime timeEntry // the last time entry
}

func newRule(h Header) rule {
	return rule{
		header: h, interval: int64(h.IndexIntervalBytes), last: HeaderBytes,
		lastTime: timeEntry{maxTimestamp: noTimestamp, position: HeaderBytes},
	}
}

// observe takes the next frame and the state before it, and says which entries
// it gets.
func (r *rule) observe(before State, f Frame) (o offsetEntry, t timeEntry, hasOffset, hasTime bool) {
	due := f.Position-r.last >= r.interval
	if !due && !f.Kind.Raft() {
		return
	}
	o = offsetEntry{
		relativeOffset:    uint32(f.Offset - r.header.BaseOffset),
		position:          uint32(f.Position),
		relativeRaftIndex: uint32(before.NextRaftIndex - r.header.BaseRaftIndex),
	}
	if f.Kind.Raft() {
		o.flags = flagRaft
	}
	r.last = f.Position
	if !due || before.MaxTimestamp == noTimestamp {
		return o, t, true, false
	}
	stale := f.Position-int64(r.lastTime.position) >= timeStride*r.interval
	if before.MaxTimestamp <= r.lastTime.maxTimestamp && !stale {
		return o, t, true, false
	}
	t = timeEntry{maxTimestamp: before.MaxTimestamp, position: uint32(f.Position)}
	r.lastTime = t
	return o, t, true, true
}

// sealing gives the entries that end the indexes of a sealed segment.
func (r *rule) sealing(end State) (offsetEntry, timeEntry) {
	o := offsetEntry{
		relativeOffset:    uint32(end.NextOffset - r.header.BaseOffset),
		position:          uint32(end.Position),
		relativeRaftIndex: uint32(end.NextRaftIndex - r.header.BaseRaftIndex),
		flags:             flagEnd,
	}
	return o, timeEntry{maxTimestamp: end.MaxTimestamp, position: uint32(end.Position)}
}

// room reports whether entries for frames of n bytes, ending at next and
// nextRaft, still have relative numbers that fit.
func (h Header) room(position, n, next int64, nextRaft uint64) bool {
	return position+n <= math.MaxUint32 && next-h.BaseOffset <= math.MaxUint32 &&
		nextRaft-h.BaseRaftIndex <= math.MaxUint32
}

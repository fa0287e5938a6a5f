package segment

import (
	"encoding/binary"
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
	number            int // of the entry in its file; under the check, not stored
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
	return binary.BigEndian.AppendUint32(dst, entryCheck(dst[start:], e.flags, e.number)<<8|uint32(e.flags))
}

// entryCheck is the CRC-32C of the first 12 bytes of an entry, its flags and its
// number: an entry in another's place is as bad as one that has changed. It
// goes byte by byte because package crc32 would have each entry on the heap.
func entryCheck(b []byte, flags uint8, number int) uint32 {
	c := ^uint32(0)
	for _, x := range b[:12] {
		c = castagnoli[byte(c)^x] ^ c>>8
	}
	c = castagnoli[byte(c)^flags] ^ c>>8
	for shift := 24; shift >= 0; shift -= 8 {
		c = castagnoli[byte(c)^byte(uint32(number)>>shift)] ^ c>>8
	}
	return ^c
}

func parseOffsetEntry(b []byte, number int) (offsetEntry, bool) {
	e := offsetEntry{
		number:            number,
		relativeOffset:    binary.BigEndian.Uint32(b),
		position:          binary.BigEndian.Uint32(b[4:]),
		relativeRaftIndex: binary.BigEndian.Uint32(b[8:]),
		flags:             b[15],
	}
	check := binary.BigEndian.Uint32(b[12:]) >> 8
	return e, e.position >= HeaderBytes && check == entryCheck(b, e.flags, number)&0xffffff
}

// timeEntry is an entry of `.timeindex`.
type timeEntry struct {
	number       int   // as in offsetEntry
	maxTimestamp int64 // of everything below position
	position     uint32
}

func (e timeEntry) append(dst []byte) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.maxTimestamp))
	dst = binary.BigEndian.AppendUint32(dst, e.position)
	return binary.BigEndian.AppendUint32(dst, entryCheck(dst[start:], 0, e.number))
}

func parseTimeEntry(b []byte, number int) (timeEntry, bool) {
	e := timeEntry{
		number:       number,
		maxTimestamp: int64(binary.BigEndian.Uint64(b)),
		position:     binary.BigEndian.Uint32(b[8:]),
	}
	return e, e.position >= HeaderBytes && binary.BigEndian.Uint32(b[12:]) == entryCheck(b, 0, number)
}

// rule decides which frames get index entries. It depends on the log alone, so
// that an index made again is equal. The zero value is not ready: see newRule.
type rule struct {
	header   Header
	interval int64
	offsets  int       // entries of `.index` so far
	last     int64     // position of the last of them, HeaderBytes for none
	times    int       // entries of `.timeindex` so far
	lastTime timeEntry // the last of them
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
		number:            r.offsets,
		relativeOffset:    uint32(f.Offset - r.header.BaseOffset),
		position:          uint32(f.Position),
		relativeRaftIndex: uint32(before.NextRaftIndex - r.header.BaseRaftIndex),
	}
	if f.Kind.Raft() {
		o.flags = flagRaft
	}
	r.last = f.Position
	r.offsets++
	if !due || before.MaxTimestamp == noTimestamp {
		return o, t, true, false
	}
	stale := f.Position-int64(r.lastTime.position) >= timeStride*r.interval
	if before.MaxTimestamp <= r.lastTime.maxTimestamp && !stale {
		return o, t, true, false
	}
	t = timeEntry{number: r.times, maxTimestamp: before.MaxTimestamp, position: uint32(f.Position)}
	r.lastTime = t
	r.times++
	return o, t, true, true
}

// sealing gives the entries that end the indexes of a sealed segment.
func (r *rule) sealing(end State) (offsetEntry, timeEntry) {
	o := offsetEntry{
		number:            r.offsets,
		relativeOffset:    uint32(end.NextOffset - r.header.BaseOffset),
		position:          uint32(end.Position),
		relativeRaftIndex: uint32(end.NextRaftIndex - r.header.BaseRaftIndex),
		flags:             flagEnd,
	}
	return o, timeEntry{number: r.times, maxTimestamp: end.MaxTimestamp, position: uint32(end.Position)}
}

// room reports whether entries for frames of n bytes, ending at next and
// nextRaft, still have relative numbers that fit.
func (h Header) room(position, n, next int64, nextRaft uint64) bool {
	return position+n <= math.MaxUint32 && next-h.BaseOffset <= math.MaxUint32 &&
		nextRaft-h.BaseRaftIndex <= math.MaxUint32
}

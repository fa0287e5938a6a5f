package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"weir/protocol/recordbatch"
)

// The layout of FORMAT.md as constants; positions are within a frame.
const (
	// FormatVersion is the newest format that this package reads and writes: that
	// of a segment that may hold stand-ins.
	FormatVersion = 2
	// HeaderBytes is the size of the segment header, and so the position of
	// the first entry in a `.log` file.
	HeaderBytes = 96
	// RaftFrameBytes is the size of a raft frame without its data.
	RaftFrameBytes = 36

	plainVersion = 1 // of a segment begun without stand-ins

	prefixBytes  = 21 // what every frame begins with
	lengthEnd    = 12 // the length field counts from here
	ownMagic     = 0x57
	minHeadBytes = recordbatch.HeaderBytes
	noTimestamp  = -1
)

// Kind tells frames apart.
type Kind uint8

// The kinds of frames. All but a batch are stored with this number; a batch is
// known by its magic.
const (
	KindBatch         Kind = 0
	KindNoop          Kind = 1
	KindConfiguration Kind = 2
	KindBarrier       Kind = 3
	// KindRemoved is an entry that compaction has removed. It is never stored:
	// what stands in for it is a batch without records.
	KindRemoved Kind = 4

	kindHeader Kind = 255
)

// String is the kind's name as `weir dump` prints it.
func (k Kind) String() string {
	switch k {
	case KindBatch:
		return "batch"
	case KindNoop:
		return "noop"
	case KindConfiguration:
		return "configuration"
	case KindBarrier:
		return "barrier"
	case KindRemoved:
		return "removed"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Raft reports whether the frame is one of Raft's own, which consumers never see.
func (k Kind) Raft() bool { return k >= KindNoop && k <= KindBarrier }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Frame is one entry of a `.log` file without its bytes.
type Frame struct {
	Kind         Kind
	Position     int64 // of its first byte in the file
	Bytes        int64 // the whole frame
	Offset       int64 // base offset; for a raft frame the log end offset there
	NextOffset   int64 // one past its last offset; Offset for a raft frame
	RaftIndex    uint64
	Epoch        int32
	MaxTimestamp int64 // unix milliseconds; -1 for none
	// Removed is how many raft entries compaction has removed here: the frame is
	// their stand-in. 0 for a frame that is an entry itself.
	Removed int32
	// Emptied says that it stands in for one batch, whose head tells where its producer is: to replicas it is that
	// batch, without records.
	Emptied bool
}

// gone says that compaction has left nothing of the entries to be told to others.
func (f Frame) gone() bool { return f.Removed > 0 && !f.Emptied }

// entries is how many raft indexes the frame takes.
func (f Frame) entries() uint64 { return uint64(max(f.Removed, 1)) }

// End is the position one past the frame.
func (f Frame) End() int64 { return f.Position + f.Bytes }

// Header is the segment header.
type Header struct {
	BaseOffset         int64
	BaseRaftIndex      uint64
	EpochBefore        int32 // -1 for none
	Partition          int32
	TopicID            [16]byte
	CreatedMillis      int64
	IndexIntervalBytes int
	StandIns           bool // it may hold stand-ins
}

// AppendHeader appends the segment header frame, HeaderBytes long.
func AppendHeader(dst []byte, h Header) []byte {
	start := len(dst)
	dst = appendPrefix(dst, h.BaseOffset, HeaderBytes, h.EpochBefore)
	dst = append(dst, byte(kindHeader))
	version := uint16(plainVersion)
	if h.StandIns {
		version = FormatVersion
	}
	dst = binary.BigEndian.AppendUint16(dst, version)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.BaseOffset))
	dst = binary.BigEndian.AppendUint64(dst, h.BaseRaftIndex)
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.EpochBefore))
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.Partition))
	dst = append(dst, h.TopicID[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.CreatedMillis))
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.IndexIntervalBytes))
	dst = append(dst, make([]byte, HeaderBytes-(len(dst)-start))...)
	return stampCRC(dst, start)
}

// ParseHeader reads a segment header. A whole one of another version gives a
// *VersionError; everything else that is wrong is told by the error's text.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderBytes {
		return Header{}, fmt.Errorf("segment header of %d bytes, want %d", len(b), HeaderBytes)
	}
	b = b[:HeaderBytes]
	if b[16] != ownMagic || Kind(b[21]) != kindHeader {
		return Header{}, fmt.Errorf("magic 0x%x kind %d, want a segment header", b[16], b[21])
	}
	if got, want := crc32.Checksum(b[prefixBytes:], castagnoli), binary.BigEndian.Uint32(b[17:]); got != want {
		return Header{}, fmt.Errorf("segment header has CRC %08x, states %08x", got, want)
	}
	version := binary.BigEndian.Uint16(b[22:])
	if version != plainVersion && version != FormatVersion {
		return Header{}, &VersionError{Version: int(version)}
	}
	h := Header{
		BaseOffset:         int64(binary.BigEndian.Uint64(b[24:])),
		BaseRaftIndex:      binary.BigEndian.Uint64(b[32:]),
		EpochBefore:        int32(binary.BigEndian.Uint32(b[40:])),
		Partition:          int32(binary.BigEndian.Uint32(b[44:])),
		TopicID:            [16]byte(b[48:64]),
		CreatedMillis:      int64(binary.BigEndian.Uint64(b[64:])),
		IndexIntervalBytes: int(min(binary.BigEndian.Uint32(b[72:]), math.MaxInt32)),
		StandIns:           version == FormatVersion,
	}
	length := int32(binary.BigEndian.Uint32(b[8:]))
	offset, epoch := int64(binary.BigEndian.Uint64(b)), int32(binary.BigEndian.Uint32(b[12:]))
	if length != HeaderBytes-lengthEnd || offset != h.BaseOffset || epoch != h.EpochBefore {
		return Header{}, fmt.Errorf("segment header outside the CRC: length %d, offset %d, epoch %d do not fit", length, offset, epoch)
	}
	if h.BaseOffset < 0 || h.BaseRaftIndex == 0 || h.EpochBefore < -1 || h.IndexIntervalBytes == 0 {
		return Header{}, fmt.Errorf("segment header with impossible values %+v", h)
	}
	return h, nil
}

// AppendRaftFrame appends one of Raft's own frames. offset is the log end
// offset at that place.
func AppendRaftFrame(dst []byte, kind Kind, offset int64, epoch int32, raftIndex uint64, data []byte) []byte {
	start := len(dst)
	dst = appendPrefix(dst, offset, RaftFrameBytes+len(data), epoch)
	dst = append(dst, byte(kind), 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, raftIndex)
	dst = binary.BigEndian.AppendUint32(dst, uint32(epoch))
	dst = append(dst, data...)
	return stampCRC(dst, start)
}

// RaftFrameData is the data within a whole raft frame. It shares its memory.
func RaftFrameData(frame []byte) []byte { return frame[RaftFrameBytes:] }

// AppendStandIn appends the batch without records that stands in for n removed
// entries of one epoch, of which the offsets are [offset, next).
func AppendStandIn(dst []byte, offset, next int64, epoch, n int32) []byte {
	return recordbatch.AppendEmpty(dst, recordbatch.Header{
		BaseOffset: offset, LastOffsetDelta: int32(next - offset - 1), PartitionLeaderEpoch: epoch,
		BaseTimestamp: int64(n), MaxTimestamp: noTimestamp, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1,
	})
}

// IsEmptied says whether a batch is what compaction leaves of one that it keeps for its producer.
func IsEmptied(h recordbatch.Header) bool {
	return h.RecordCount == 0 && h.ProducerID >= 0 && h.BaseTimestamp == 1 && h.SizeBytes() == recordbatch.HeaderBytes
}

func appendPrefix(dst []byte, offset int64, size int, epoch int32) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(offset))
	dst = binary.BigEndian.AppendUint32(dst, uint32(size-lengthEnd))
	dst = binary.BigEndian.AppendUint32(dst, uint32(epoch))
	return append(dst, ownMagic, 0, 0, 0, 0)
}

func stampCRC(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start+17:], crc32.Checksum(b[start+prefixBytes:], castagnoli))
	return b
}

// parseFrame reads the head of the frame that b begins with, at position.
// b need not hold the whole frame; minHeadBytes are always enough. reason is
// empty when the head is sound, and says what is wrong otherwise. RaftIndex is
// set for raft frames only: that of a batch comes from counting.
func parseFrame(b []byte, position int64) (f Frame, reason string) {
	if len(b) < prefixBytes {
		return Frame{}, "frame cut short"
	}
	f = Frame{
		Position:     position,
		Offset:       int64(binary.BigEndian.Uint64(b)),
		Bytes:        lengthEnd + int64(int32(binary.BigEndian.Uint32(b[8:]))),
		Epoch:        int32(binary.BigEndian.Uint32(b[12:])),
		MaxTimestamp: noTimestamp,
	}
	f.NextOffset = f.Offset
	if f.Offset < 0 || f.Epoch < 0 {
		return f, "negative offset or epoch"
	}
	switch b[16] {
	case recordbatch.Magic:
		if f.Bytes < recordbatch.HeaderBytes {
			return f, "length too small for a batch"
		}
		if len(b) < recordbatch.HeaderBytes {
			return f, "batch header cut short"
		}
		delta := int64(int32(binary.BigEndian.Uint32(b[23:])))
		if delta < 0 || f.Offset > math.MaxInt64-delta-1 {
			return f, "last offset delta out of range"
		}
		f.NextOffset = f.Offset + delta + 1
		f.MaxTimestamp = int64(binary.BigEndian.Uint64(b[35:]))
		if binary.BigEndian.Uint32(b[57:]) == 0 {
			return parseStandIn(b, f)
		}
		return f, ""
	case ownMagic:
		return parseRaftFrame(b, f)
	}
	return f, fmt.Sprintf("magic %d", int8(b[16]))
}

// parseStandIn reads what is special about a batch without records.
func parseStandIn(b []byte, f Frame) (Frame, string) {
	n := int64(binary.BigEndian.Uint64(b[27:]))
	if n < 1 || n > math.MaxInt32 {
		return f, fmt.Sprintf("stand-in for %d entries", n)
	}
	f.Removed = int32(n)
	if f.Emptied = int64(binary.BigEndian.Uint64(b[43:])) >= 0; f.Emptied && n != 1 {
		return f, fmt.Sprintf("batch of a producer for %d entries", n)
	}
	return f, ""
}

func parseRaftFrame(b []byte, f Frame) (Frame, string) {
	if f.Bytes < RaftFrameBytes {
		return f, "length too small for a raft frame"
	}
	if len(b) < RaftFrameBytes {
		return f, "raft frame cut short"
	}
	f.Kind = Kind(b[21])
	if !f.Kind.Raft() {
		return f, fmt.Sprintf("frame of kind %d", b[21])
	}
	f.RaftIndex = binary.BigEndian.Uint64(b[24:])
	if int32(binary.BigEndian.Uint32(b[32:])) != f.Epoch {
		return f, "epoch differs from the one under the CRC"
	}
	return f, ""
}

// State is what counting over a segment arrives at: the place where the next
// frame goes.
type State struct {
	Position      int64 // valid length of the `.log` file, in bytes
	NextOffset    int64
	NextRaftIndex uint64
	Epoch         int32 // of the last entry, -1 for none
	MaxTimestamp  int64 // of the batches in this segment, -1 for none
}

// start is the state of a segment that holds nothing but its header.
func (h Header) start() State {
	return State{
		Position: HeaderBytes, NextOffset: h.BaseOffset, NextRaftIndex: h.BaseRaftIndex,
		Epoch: h.EpochBefore, MaxTimestamp: noTimestamp,
	}
}

// fits says why f cannot be the next frame, or nothing.
func (s *State) fits(f Frame) string {
	switch {
	case f.Offset != s.NextOffset:
		return fmt.Sprintf("offset %d, want %d", f.Offset, s.NextOffset)
	case f.Epoch < s.Epoch:
		return fmt.Sprintf("epoch %d after %d", f.Epoch, s.Epoch)
	case f.Kind.Raft() && f.RaftIndex != s.NextRaftIndex:
		return fmt.Sprintf("raft index %d, want %d", f.RaftIndex, s.NextRaftIndex)
	}
	return ""
}

// add moves the state past f.
func (s *State) add(f Frame) {
	s.Position += f.Bytes
	s.NextOffset = f.NextOffset
	s.NextRaftIndex += f.entries()
	s.Epoch = f.Epoch
	s.MaxTimestamp = max(s.MaxTimestamp, f.MaxTimestamp)
}

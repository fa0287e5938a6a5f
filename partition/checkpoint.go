package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"
)

// A checkpoint is the state machine of a partition as of an applied entry, in a
// file named after the entry's raft index beside the segments. Big-endian:
//
//	magic          [4]byte "WCP2", the last byte is the version
//	raft index     uint64  the state holds everything up to this entry, it included
//	epoch          int32   of that entry
//	next offset    int64   one past the last record up to it
//	configurations uint32  membership of the group, how many follow, oldest first:
//	               raft index uint64, bytes uint32, as raft.EncodeConfiguration gives
//	producers      uint32  how many follow, least recently seen first, and then those that
//	               have a transaction, the oldest first:
//	               id int64, epoch int16, last seen int64 (unix ms), n uint8,
//	               coordinator epoch int32, first offset of its transaction int64 (-1: none),
//	               n times: first sequence int32, last sequence int32,
//	                        base offset int64, next offset int64
//	known to       int64   producers and aborted transactions tell of everything below
//	aborted        uint32  how many aborted transactions follow, in the order in which they ended:
//	               producer id int64, first offset int64, offset of the marker int64,
//	               last stable offset after it int64
//	crc            uint32  CRC-32C of everything before it
//
// Version 1, which is still read, knows no transactions: no coordinator epoch, no
// transaction, no known-to and no aborted ones.
//
// A missing or bad one means that more of the log's heads are read again; but for
// what lies below the first entry kept it is the only witness. So it is on disk
// before an older one goes, and two are kept.
const (
	checkpointMagic    = "WCP2"
	checkpointMagic1   = "WCP1"
	checkpointMinBytes = 4 + 8 + 4 + 8 + 4 + 4 + 4
	maxCheckpointBytes = 64 << 20

	// MaxProducersLimit is for how many producers a checkpoint has room, beside as many transactions as there may be.
	MaxProducersLimit = 200_000

	configurationMinBytes = 8 + 4
	producerMinBytes      = 8 + 2 + 8 + 1
	producerTxnBytes      = 4 + 8 // since version 2
	abortedBytes          = 8 + 8 + 8 + 8
	batchRefBytes         = 4 + 4 + 8 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errBadCheckpoint = errors.New("partition: bad checkpoint")

// applied is a place in the order of entries: everything up to raftIndex has
// been applied, and nextOffset is one past the last record of it.
type applied struct {
	raftIndex  uint64
	epoch      int32
	nextOffset int64
}

// state is what is known at a place beside the log itself.
type state struct {
	at             applied
	configurations configurations
	producers      *producers
	aborted        abortedIndex
}

func (s *state) encode() []byte {
	b := make([]byte, 0, checkpointMinBytes+
		len(s.producers.byID)*(producerMinBytes+producerTxnBytes+cachedBatches*batchRefBytes)+len(s.aborted)*abortedBytes)
	b = append(b, checkpointMagic...)
	b = binary.BigEndian.AppendUint64(b, s.at.raftIndex)
	b = binary.BigEndian.AppendUint32(b, uint32(s.at.epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(s.at.nextOffset))
	b = s.configurations.append(b)
	b = s.producers.append(b)
	b = s.aborted.append(b)
	return checksummed(b)
}

func checksummed(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeState reads what encode wrote; errBadCheckpoint otherwise.
func decodeState(b []byte, maxProducers int) (*state, error) {
	if len(b) < checkpointMinBytes || string(b[:4]) != checkpointMagic && string(b[:4]) != checkpointMagic1 {
		return nil, errBadCheckpoint
	}
	old := string(b[:4]) == checkpointMagic1
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errBadCheckpoint
	}
	s := &state{at: applied{
		raftIndex:  binary.BigEndian.Uint64(body[4:]),
		epoch:      int32(binary.BigEndian.Uint32(body[12:])),
		nextOffset: int64(binary.BigEndian.Uint64(body[16:])),
	}}
	rest, err := s.configurations.decode(body[24:])
	if err == nil {
		s.producers, rest, err = decodeProducers(rest, maxProducers, old)
	}
	if err == nil && !old {
		s.aborted, rest, err = decodeAborted(rest)
	}
	if err != nil || len(rest) != 0 || s.at.raftIndex == 0 || s.at.epoch < 0 || s.at.nextOffset < 0 {
		return nil, errBadCheckpoint
	}
	s.producers.next = max(s.producers.next, s.at.nextOffset)
	return s, nil
}

func (t *producers) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(t.byID)))
	t.all(func(p *producer) {
		b = binary.BigEndian.AppendUint64(b, uint64(p.id))
		b = binary.BigEndian.AppendUint16(b, uint16(p.epoch))
		b = binary.BigEndian.AppendUint64(b, uint64(p.lastSeen.UnixMilli()))
		b = append(b, byte(p.n))
		b = binary.BigEndian.AppendUint32(b, uint32(p.coordinatorEpoch))
		b = binary.BigEndian.AppendUint64(b, uint64(p.transaction))
		for _, r := range p.batches[:p.n] {
			b = binary.BigEndian.AppendUint32(b, uint32(r.firstSequence))
			b = binary.BigEndian.AppendUint32(b, uint32(r.lastSequence))
			b = binary.BigEndian.AppendUint64(b, uint64(r.baseOffset))
			b = binary.BigEndian.AppendUint64(b, uint64(r.nextOffset))
		}
	})
	return binary.BigEndian.AppendUint64(b, uint64(t.next))
}

// decodeProducers reads what append wrote, or, if old, what that of version 1 did.
func decodeProducers(b []byte, limit int, old bool) (t *producers, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errBadCheckpoint
	}
	count := int(binary.BigEndian.Uint32(b))
	b = b[4:]
	t = newProducers(limit)
	for range count {
		if b, err = t.decodeOne(b, old); err != nil {
			return nil, nil, err
		}
	}
	if old {
		return t, b, nil
	}
	if len(b) < 8 {
		return nil, nil, errBadCheckpoint
	}
	if t.next = int64(binary.BigEndian.Uint64(b)); t.next < 0 {
		return nil, nil, errBadCheckpoint
	}
	return t, b[8:], nil
}

func (t *producers) decodeOne(b []byte, old bool) (rest []byte, err error) {
	if len(b) < producerMinBytes {
		return nil, errBadCheckpoint
	}
	id, epoch := int64(binary.BigEndian.Uint64(b)), int16(binary.BigEndian.Uint16(b[8:]))
	seen, n := int64(binary.BigEndian.Uint64(b[10:])), int(b[18])
	b = b[producerMinBytes:]
	if !old && len(b) < producerTxnBytes || t.byID[id] != nil {
		return nil, errBadCheckpoint
	}
	p := t.insert(id)
	p.epoch, p.lastSeen = epoch, time.UnixMilli(seen)
	if !old {
		p.coordinatorEpoch = int32(binary.BigEndian.Uint32(b))
		first := int64(binary.BigEndian.Uint64(b[4:]))
		b = b[producerTxnBytes:]
		if last, open := t.lastOpen(); first < noTransaction || first != noTransaction && open && first <= last {
			return nil, errBadCheckpoint
		}
		if first != noTransaction {
			t.begin(p, first)
		}
	}
	if n > cachedBatches || len(b) < n*batchRefBytes {
		return nil, errBadCheckpoint
	}
	for range n {
		p.push(batchRef{
			firstSequence: int32(binary.BigEndian.Uint32(b)),
			lastSequence:  int32(binary.BigEndian.Uint32(b[4:])),
			baseOffset:    int64(binary.BigEndian.Uint64(b[8:])),
			nextOffset:    int64(binary.BigEndian.Uint64(b[16:])),
		})
		b = b[batchRefBytes:]
	}
	if p.n > 0 {
		t.next = max(t.next, p.batches[p.n-1].nextOffset)
	}
	return b, nil
}

func (x abortedIndex) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(x)))
	for _, t := range x {
		for _, v := range []int64{t.ProducerID, t.FirstOffset, t.lastOffset, t.stable} {
			b = binary.BigEndian.AppendUint64(b, uint64(v))
		}
	}
	return b
}

func decodeAborted(b []byte) (x abortedIndex, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errBadCheckpoint
	}
	count := int64(binary.BigEndian.Uint32(b))
	if b = b[4:]; count > int64(len(b)/abortedBytes) {
		return nil, nil, errBadCheckpoint
	}
	for last := int64(-1); count > 0; count-- {
		field := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[8*i:])) }
		t := AbortedTransaction{ProducerID: field(0), FirstOffset: field(1), lastOffset: field(2), stable: field(3)}
		if b = b[abortedBytes:]; t.lastOffset <= last {
			return nil, nil, errBadCheckpoint
		}
		last = t.lastOffset
		x = append(x, t)
	}
	return x, b, nil
}

// configurations are the committed memberships of the group, oldest first. Those
// that no entry kept can ask for are dropped.
type configurations []configurationAt

type configurationAt struct {
	raftIndex uint64
	members   raft.Configuration
}

// add notes a membership; one that is known by its index already changes nothing.
func (c *configurations) add(raftIndex uint64, members raft.Configuration) {
	if n := len(*c); n == 0 || (*c)[n-1].raftIndex < raftIndex {
		*c = append(*c, configurationAt{raftIndex, members})
	}
}

// at is the membership in force at an entry, the zero one when it is not known.
func (c configurations) at(raftIndex uint64) configurationAt {
	for i := len(c) - 1; i >= 0; i-- {
		if c[i].raftIndex <= raftIndex {
			return c[i]
		}
	}
	return configurationAt{}
}

// keepFrom drops those that were out of force before an entry.
func (c *configurations) keepFrom(raftIndex uint64) {
	for len(*c) > 1 && (*c)[1].raftIndex <= raftIndex {
		*c = (*c)[1:]
	}
}

func (c configurations) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(c)))
	for _, x := range c {
		members := raft.EncodeConfiguration(x.members)
		b = binary.BigEndian.AppendUint64(b, x.raftIndex)
		b = binary.BigEndian.AppendUint32(b, uint32(len(members)))
		b = append(b, members...)
	}
	return b
}

func (c *configurations) decode(b []byte) (rest []byte, err error) {
	if len(b) < 4 {
		return nil, errBadCheckpoint
	}
	count := int(binary.BigEndian.Uint32(b))
	b = b[4:]
	for range count {
		if len(b) < configurationMinBytes {
			return nil, errBadCheckpoint
		}
		raftIndex, n := binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint32(b[8:]))
		b = b[configurationMinBytes:]
		if n > int64(len(b)) || len(*c) > 0 && raftIndex <= (*c)[len(*c)-1].raftIndex {
			return nil, errBadCheckpoint
		}
		members, err := decodeConfiguration(b[:n])
		if err != nil {
			return nil, errBadCheckpoint
		}
		*c = append(*c, configurationAt{raftIndex, members})
		b = b[n:]
	}
	return b, nil
}

// decodeConfiguration is raft.DecodeConfiguration with an error in place of a panic.
func decodeConfiguration(b []byte) (members raft.Configuration, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("partition: membership cannot be read: %v", r)
		}
	}()
	return raft.DecodeConfiguration(b), nil
}

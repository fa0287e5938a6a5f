package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"weir/log"
	"weir/protocol/recordbatch"
)

// snapshots is the library's view of what stands for entries that are gone. It shows
// two faces. To a start, the checkpoint, so that only what follows it is applied
// again. To peers, the first entry kept: a replica that is given it, and then
// everything after, has all records that this one has.
//
// A snapshot for a peer is made when it is asked for, and goes over the wire as
//
//	magic       [4]byte "WSN1", the last byte is the version
//	raft index  uint64  of the entry
//	epoch       int32   of the entry
//	next offset int64   one past the last record up to the entry, it included
//	epoch before int32  that of the entry before, -1 for none
//	base offset int64   log end offset before it
//	log start   int64   the first readable offset
//	kind        uint8   of the entry, as segment.Kind
//	entry       uint32  bytes of the entry's data that follow
//	state       the checkpoint format, as of now: what it tells of later entries
//	            they tell again, which changes nothing
//	crc         uint32  CRC-32C of everything before it
type snapshots struct {
	p       *Partition
	start   applied     // of the checkpoint that the partition was opened with
	running atomic.Bool // the library has started

	mu       sync.Mutex // guards received
	received []byte     // the snapshot a leader has sent, until it is installed
}

var _ raft.SnapshotStore = (*snapshots)(nil)

const (
	snapshotMagic = "WSN1"
	snapshotMin   = 4 + 8 + 4 + 8 + 4 + 8 + 8 + 1 + 4 + checkpointMinBytes + 4
	// maxSnapshotBytes bounds what a leader may send: one entry and a checkpoint.
	maxSnapshotBytes = 256 << 20

	peerSnapshot     = "first-entry"
	receivedSnapshot = "received"
)

func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	at := s.start
	id := "checkpoint"
	if s.running.Load() {
		first, err := s.p.firstKept()
		if errors.Is(err, log.ErrEntryNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		at, id = first, peerSnapshot
	}
	if at.raftIndex == 0 {
		return nil, nil
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return []*raft.SnapshotMeta{s.p.snapshotMeta(id, at)}, nil
}

// firstKept is the place of the first entry in the log whose offsets are known: of a
// run that compaction has removed, the last. log.ErrEntryNotFound when there is none.
func (p *Partition) firstKept() (applied, error) {
	for raftIndex := p.log.FirstRaftIndex(); ; raftIndex++ {
		head, err := p.log.EntryHead(raftIndex)
		if err != nil {
			return applied{}, err
		}
		if head.Kind != log.KindRemoved || head.NextOffset > 0 {
			return applied{raftIndex: raftIndex, epoch: head.Epoch, nextOffset: head.NextOffset}, nil
		}
	}
}

// snapshotMeta is called with mu held.
func (p *Partition) snapshotMeta(id string, at applied) *raft.SnapshotMeta {
	members := p.state.configurations.at(at.raftIndex)
	return &raft.SnapshotMeta{
		Version: 1, ID: id, Index: at.raftIndex, Term: uint64(at.epoch),
		Configuration: members.members, ConfigurationIndex: members.raftIndex,
	}
}

// Open gives a peer what it needs, or the machine what a leader sent.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if id == receivedSnapshot {
		s.mu.Lock()
		b := s.received
		s.received = nil
		s.mu.Unlock()
		return &raft.SnapshotMeta{Version: 1, ID: id, Size: int64(len(b))}, io.NopCloser(bytes.NewReader(b)), nil
	}
	meta, b, err := s.p.snapshotForPeer()
	if err != nil {
		return nil, nil, err
	}
	meta.Size = int64(len(b))
	return meta, io.NopCloser(bytes.NewReader(b)), nil
}

func (p *Partition) snapshotForPeer() (*raft.SnapshotMeta, []byte, error) {
	for {
		meta, b, err := p.trySnapshot()
		if !errors.Is(err, log.ErrEntryNotFound) {
			return meta, b, err
		}
		// Retention has moved on meanwhile.
	}
}

func (p *Partition) trySnapshot() (*raft.SnapshotMeta, []byte, error) {
	at, err := p.firstKept()
	if err != nil {
		return nil, nil, err
	}
	before, err := p.log.EpochBefore(at.raftIndex)
	if err != nil {
		return nil, nil, err
	}
	head, err := p.log.EntryHead(at.raftIndex)
	if err != nil {
		return nil, nil, err
	}
	entry, release, err := p.log.Entry(at.raftIndex)
	if err != nil {
		return nil, nil, err
	}
	if entry.Kind == log.KindBatch {
		if err := recordbatch.VerifyChecksum(entry.Data); err != nil {
			release()
			p.damage(&log.CorruptError{Path: p.cfg.Dir, Position: -1, Offset: head.Offset, Reason: err.Error()})
			return nil, nil, err
		}
	}
	b := append([]byte(nil), snapshotMagic...)
	b = binary.BigEndian.AppendUint64(b, at.raftIndex)
	b = binary.BigEndian.AppendUint32(b, uint32(at.epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(at.nextOffset))
	b = binary.BigEndian.AppendUint32(b, uint32(before))
	b = binary.BigEndian.AppendUint64(b, uint64(head.Offset))
	b = binary.BigEndian.AppendUint64(b, uint64(p.log.LogStartOffset()))
	b = append(b, byte(entry.Kind))
	b = binary.BigEndian.AppendUint32(b, uint32(len(entry.Data)))
	b = append(b, entry.Data...)
	release()
	p.mu.Lock()
	meta := p.snapshotMeta(peerSnapshot, at)
	b = append(b, p.state.encode()...)
	p.mu.Unlock()
	return meta, checksummed(b), nil
}

// Create takes a snapshot from a leader. It runs on the main goroutine of the group.
func (s *snapshots) Create(_ raft.SnapshotVersion, index, _ uint64, _ raft.Configuration, _ uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{snapshots: s}, nil
}

// sink gathers a snapshot in memory.
type sink struct {
	snapshots *snapshots
	b         []byte
}

func (k *sink) ID() string { return receivedSnapshot }

func (k *sink) Write(b []byte) (int, error) {
	if len(k.b)+len(b) > maxSnapshotBytes {
		return 0, fmt.Errorf("partition: a snapshot of more than %d bytes", maxSnapshotBytes)
	}
	k.b = append(k.b, b...)
	return len(b), nil
}

func (k *sink) Close() error {
	k.snapshots.mu.Lock()
	defer k.snapshots.mu.Unlock()
	k.snapshots.received, k.b = k.b, nil
	return nil
}

func (k *sink) Cancel() error {
	k.b = nil
	return nil
}

// peerState is a snapshot as a leader sent it.
type peerState struct {
	at          applied // of the entry
	epochBefore int32
	baseOffset  int64
	logStart    int64
	entry       log.Entry
	state       *state // as of at
}

var errBadSnapshot = errors.New("partition: bad snapshot from the leader")

// decodeSnapshot reads what snapshotForPeer made; errBadSnapshot otherwise. The entry
// of the result lies in b.
func (p *Partition) decodeSnapshot(b []byte) (*peerState, error) {
	if len(b) < snapshotMin || string(b[:4]) != snapshotMagic || crc32.Checksum(b[:len(b)-4], castagnoli) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return nil, errBadSnapshot
	}
	b = b[4 : len(b)-4]
	be := binary.BigEndian
	s := &peerState{
		at:          applied{raftIndex: be.Uint64(b), epoch: int32(be.Uint32(b[8:])), nextOffset: int64(be.Uint64(b[12:]))},
		epochBefore: int32(be.Uint32(b[20:])), baseOffset: int64(be.Uint64(b[24:])), logStart: int64(be.Uint64(b[32:])),
		entry: log.Entry{Kind: log.EntryKind(b[40])},
	}
	size := int64(be.Uint32(b[41:]))
	if b = b[45:]; size > int64(len(b)) {
		return nil, errBadSnapshot
	}
	s.entry.Epoch, s.entry.Data = s.at.epoch, b[:size]
	if s.entry.Kind == log.KindRemoved {
		s.entry.NextOffset = s.at.nextOffset
	}
	p.mu.Lock()
	maxProducers := p.settings.MaxProducers
	p.mu.Unlock()
	var err error
	if s.state, err = decodeState(b[size:], maxProducers); err != nil {
		return nil, err
	}
	s.state.at = s.at // what it tells of later entries they tell again
	return s, nil
}

package controller

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The library's keys for a vote, and ours for the record that holds both and for who the state of
// a broker that joined belongs to.
var (
	keyVoteTerm      = []byte("LastVoteTerm")
	keyVoteCandidate = []byte("LastVoteCand")
	keyVote          = []byte("Vote")
	keyServerID      = []byte("ServerID")
)

// stableStore keeps the group's term and vote. The library writes the term and the candidate of a
// vote one after the other; a crash between the two would leave the new term beside the old
// candidate, who would then be granted a vote without a look at its log (hashicorp/raft issue
// 661). So the term is held in memory until the candidate comes, and both are written as one
// record. It is used by the main goroutine of the group only.
type stableStore struct {
	bolt        *raftboltdb.BoltStore
	fault       *fault
	pendingTerm uint64
	pending     bool // a term is waiting for its candidate
}

func (s *stableStore) Set(key, value []byte) error {
	if bytes.Equal(key, keyVoteCandidate) {
		if !s.pending {
			return s.fault.set(errors.New("controller: candidate of a vote without its term"))
		}
		s.pending = false
		return s.write(keyVote, append(binary.BigEndian.AppendUint64(nil, s.pendingTerm), value...))
	}
	return s.write(key, value)
}

func (s *stableStore) SetUint64(key []byte, value uint64) error {
	if bytes.Equal(key, keyVoteTerm) {
		s.pendingTerm, s.pending = value, true
		return s.fault.get()
	}
	return s.write(key, binary.BigEndian.AppendUint64(nil, value))
}

func (s *stableStore) Get(key []byte) ([]byte, error) {
	if bytes.Equal(key, keyVoteCandidate) {
		record, err := s.vote()
		return record[min(8, len(record)):], err
	}
	return s.read(key)
}

func (s *stableStore) GetUint64(key []byte) (uint64, error) {
	read := s.read
	if bytes.Equal(key, keyVoteTerm) {
		if s.pending {
			return s.pendingTerm, nil
		}
		read = func([]byte) ([]byte, error) { return s.vote() }
	}
	value, err := read(key)
	if err != nil {
		return 0, err
	}
	if len(value) < 8 {
		return 0, fmt.Errorf("controller: stored value of %s has %d bytes", key, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

// vote returns the record of the last vote: 8 bytes term, then the candidate.
func (s *stableStore) vote() ([]byte, error) { return s.read(keyVote) }

// ownedBy notes whose state this is, once.
func (s *stableStore) ownedBy(id raft.ServerID) error {
	if _, err := s.read(keyServerID); err == nil || err.Error() != "not found" {
		return err
	}
	return s.write(keyServerID, []byte(id))
}

// write stores value with a CRC-32C over key and value behind it: bbolt checks its meta pages only.
func (s *stableStore) write(key, value []byte) error {
	record := binary.BigEndian.AppendUint32(bytes.Clone(value), stableSum(key, value))
	return s.fault.write(func() error { return s.bolt.Set(key, record) })
}

// read returns the library's "not found" for a key that was never set.
func (s *stableStore) read(key []byte) ([]byte, error) {
	record, err := s.bolt.Get(key)
	if err != nil {
		return nil, err
	}
	n := len(record) - 4
	if n < 0 || binary.BigEndian.Uint32(record[n:]) != stableSum(key, record[:n]) {
		return nil, fmt.Errorf("controller: stored value of %s fails its checksum", key)
	}
	return record[:n], nil
}

func stableSum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

var _ raft.StableStore = (*stableStore)(nil)

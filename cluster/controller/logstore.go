package controller

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync/atomic"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// fault remembers the first failed write. After it nothing more is written: a disk that failed
// once may have forgotten pages it claims to hold, and a leader that goes on would count them.
type fault struct {
	disk   Disk // may be nil
	err    atomic.Pointer[error]
	raised chan struct{} // closed by the first failure
}

func newFault(disk Disk) *fault { return &fault{disk: disk, raised: make(chan struct{})} }

// write has the main goroutine's writes known to the disk's owner while they are under way, and
// remembers one that fails.
func (f *fault) write(write func() error) error {
	if err := f.get(); err != nil {
		return err
	}
	if f.disk != nil {
		f.disk.Begin()
		defer f.disk.End()
	}
	return f.set(write())
}

// set records err if it is the first one, and returns it.
func (f *fault) set(err error) error {
	if err != nil && f.err.CompareAndSwap(nil, &err) {
		close(f.raised)
	}
	return err
}

func (f *fault) get() error {
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

// logStore keeps the group's entries in bbolt, each with a CRC-32C in its Extensions field, which
// is empty for everybody else.
type logStore struct {
	bolt  *raftboltdb.BoltStore
	fault *fault
}

func (s *logStore) FirstIndex() (uint64, error) { return s.bolt.FirstIndex() }
func (s *logStore) LastIndex() (uint64, error)  { return s.bolt.LastIndex() }

func (s *logStore) GetLog(index uint64, entry *raft.Log) error {
	if err := s.bolt.GetLog(index, entry); err != nil {
		return err // raft.ErrLogNotFound itself for what is not there
	}
	if len(entry.Extensions) != 4 || binary.BigEndian.Uint32(entry.Extensions) != entrySum(entry) || entry.Index != index {
		return fmt.Errorf("controller: log entry %d fails its checksum", index)
	}
	entry.Extensions = nil
	return nil
}

func (s *logStore) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

func (s *logStore) StoreLogs(entries []*raft.Log) error {
	copies := make([]*raft.Log, len(entries))
	for i, e := range entries {
		sealed := *e
		sealed.Extensions = binary.BigEndian.AppendUint32(nil, entrySum(e))
		copies[i] = &sealed
	}
	return s.fault.write(func() error { return s.bolt.StoreLogs(copies) })
}

// DeleteRange is called by the library's snapshot goroutine, too, beside StoreLogs: it is no
// activity of its own, because what hangs in it has the next write of the main goroutine wait.
func (s *logStore) DeleteRange(min, max uint64) error {
	if err := s.fault.get(); err != nil {
		return err
	}
	return s.fault.set(s.bolt.DeleteRange(min, max))
}

func entrySum(e *raft.Log) uint32 {
	var head [17]byte
	binary.BigEndian.PutUint64(head[:], e.Index)
	binary.BigEndian.PutUint64(head[8:], e.Term)
	head[16] = byte(e.Type)
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, e.Data)
}

var _ raft.LogStore = (*logStore)(nil)

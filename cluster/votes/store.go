// Package votes keeps the Raft terms and votes of all groups of a node in one bbolt file. What many
// groups store at the same time shares one transaction, and so one sync.
package votes

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"sync"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"weir/cluster/boltfile"
)

// ErrClosed: the store was closed.
var ErrClosed = errors.New("votes: closed")

// CorruptError: the file is damaged. Nothing in it was repaired, dropped or replaced.
type CorruptError struct {
	Path   string
	Reason string
	Err    error // may be nil
}

func (e *CorruptError) Error() string {
	msg := fmt.Sprintf("votes are corrupt: %s: %s", e.Path, e.Reason)
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

func (e *CorruptError) Unwrap() error { return e.Err }

// FailedError is returned by every call after a write that failed: a disk that failed once may have
// forgotten pages it claims to hold.
type FailedError struct {
	Path string
	Err  error // what failed
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("votes in %s have failed: %v", e.Path, e.Err)
}
func (e *FailedError) Unwrap() error { return e.Err }

// GroupID names a group. All its keys begin with it.
type GroupID = [20]byte

const (
	bucketName = "votes"
	sumBytes   = 4 // CRC-32C of key and value, behind each value: bbolt checks its meta pages only
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Store is the file. All its methods, and those of its groups, may be called from many goroutines.
type Store struct {
	path    string
	db      *bbolt.DB
	logger  *slog.Logger
	disk    Disk
	onFault func(error)

	commitMu sync.Mutex // one transaction at a time; taken before mu, after a group's

	mu      sync.Mutex // guards all below
	groups  map[GroupID]*group
	next    *batch // what waits for the next transaction, nil while nothing does
	failure error  // *FailedError, ErrClosed
}

// Disk is told of one transaction after the other, when it begins and when it has come back.
type Disk interface {
	Begin()
	End()
}

// batch is what goes into one transaction.
type batch struct {
	writes []write
	done   bool // guarded by commitMu, like err
	err    error
}

// write sets a key, or with nil deletes it.
type write struct{ key, value []byte }

// Open opens the file at path, or makes an empty one, durably. It reads all of it: nothing is read
// again. disk, if not nil, hears of transactions. onFault, if set, hears of the first write that fails,
// once, on the goroutine of a caller whose write it was.
//
// Errors: *CorruptError for a damaged file, those of bbolt and the file system.
func Open(path string, logger *slog.Logger, disk Disk, onFault func(error)) (*Store, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if err := prepare(path); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(path, 0o600, boltfile.Options())
	if err != nil {
		return nil, fmt.Errorf("votes: open %s: %w", path, err)
	}
	s := &Store{path: path, db: db, logger: logger, disk: disk, onFault: onFault, groups: map[GroupID]*group{}}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// prepare sees to it that there is a sound file, with a name that stays.
func prepare(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = boltfile.Create(path)
	case err == nil && info.Size() == 0:
		return &CorruptError{Path: path, Reason: "the file is empty"}
	case err == nil:
		err = boltfile.Check(path, bucketName)
	}
	if damage := (*boltfile.DamageError)(nil); errors.As(err, &damage) {
		return &CorruptError{Path: path, Reason: "pages", Err: damage.Err}
	}
	if err != nil {
		return err
	}
	return boltfile.SyncDir(path)
}

// load reads all values.
func (s *Store) load() error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(bucketName))
		if err != nil {
			return err
		}
		return b.ForEach(func(key, record []byte) error {
			n := len(record) - sumBytes
			if len(key) <= len(GroupID{}) || n < 0 || binary.BigEndian.Uint32(record[n:]) != checksum(key, record[:n]) {
				return &CorruptError{Path: s.path, Reason: fmt.Sprintf("the value of key %q fails its checksum", key)}
			}
			g := s.groupLocked(GroupID(key))
			g.values[string(key[len(g.id):])] = bytes.Clone(record[:n])
			return nil
		})
	})
	if err != nil {
		return err
	}
	s.logger.Info("votes read", "path", s.path, "groups", len(s.groups))
	return nil
}

func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

func (s *Store) groupLocked(id GroupID) *group {
	g := s.groups[id]
	if g == nil {
		g = &group{store: s, id: id, values: map[string][]byte{}}
		s.groups[id] = g
	}
	return g
}

func (s *Store) group(id GroupID) *group {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groupLocked(id)
}

// Group is what one group stores, the same for all calls with one id. Reads are served from memory.
// What a write that returned nil has stored is on disk; one that changes nothing writes nothing.
//
// The library writes the term and the candidate of a vote one after the other; a crash between the
// two would leave the new term beside the old candidate, who would then be granted a vote without a
// look at its log (hashicorp/raft issue 661). So the term is held in memory until the candidate
// comes, and both are one record.
//
// Errors: *FailedError, ErrClosed.
func (s *Store) Group(id GroupID) raft.StableStore { return s.group(id) }

// Known reports whether the group has ever stored a term, and has not been forgotten since.
func (s *Store) Known(id GroupID) bool {
	s.mu.Lock()
	g := s.groups[id]
	s.mu.Unlock()
	return g != nil && g.known()
}

// Forget removes all that the group has stored, durably. Nobody uses the group beside it or after.
// Errors: those of a group's writes.
func (s *Store) Forget(id GroupID) error {
	if err := s.group(id).forget(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, id)
	return nil
}

// failed says why the store takes no calls.
func (s *Store) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// commit puts writes on disk. While one transaction is under way, all that come wait together for
// the next, which the first of them to go on makes for all.
func (s *Store) commit(writes ...write) error {
	s.mu.Lock()
	if s.failure != nil {
		defer s.mu.Unlock()
		return s.failure
	}
	if s.next == nil {
		s.next = &batch{}
	}
	b := s.next
	b.writes = append(b.writes, writes...)
	s.mu.Unlock()

	first := s.run(b)
	if first && s.onFault != nil {
		s.onFault(b.err)
	}
	return b.err
}

// run makes the transaction of a batch, unless somebody else in it has. failed says that it is the
// first that failed.
func (s *Store) run(b *batch) (failed bool) {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if b.done {
		return false
	}
	b.done = true
	s.mu.Lock()
	s.next = nil
	b.err = s.failure // of the batch before
	s.mu.Unlock()
	if b.err != nil {
		return false
	}
	if err := s.transaction(b.writes); err != nil {
		b.err = &FailedError{Path: s.path, Err: err}
		s.logger.Error("votes failed", "path", s.path, "err", err)
		s.mu.Lock()
		s.failure = b.err
		s.mu.Unlock()
		return true
	}
	return false
}

func (s *Store) transaction(writes []write) error {
	if s.disk != nil {
		s.disk.Begin()
		defer s.disk.End()
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(bucketName))
		for _, w := range writes {
			var err error
			if w.value == nil {
				err = bucket.Delete(w.key)
			} else {
				err = bucket.Put(w.key, binary.BigEndian.AppendUint32(bytes.Clone(w.value), checksum(w.key, w.value)))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Close waits for the transaction under way and closes the file. What waits for the next one gets
// ErrClosed. Closing again does nothing.
func (s *Store) Close() error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	s.mu.Lock()
	closed := errors.Is(s.failure, ErrClosed)
	s.failure = ErrClosed
	s.mu.Unlock()
	if closed {
		return nil
	}
	return s.db.Close()
}

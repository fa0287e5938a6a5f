// Package txn holds what a transaction coordinator knows and decides of one transactional id (KIP-98,
// KIP-360, KIP-890), see DESIGN.md. It is pure: no I/O, no clock; the caller makes changes durable, and
// rebuilds transactions from what is stored of them.
package txn

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"
)

// State is where a transactional id stands. The numbers are Kafka's, on the wire and in records.
type State int8

// The states. Dead and PrepareEpochFence are never stored here: the first is a tombstone, and what Kafka
// passes through in the second is one step, from Ongoing to PrepareAbort under the next epoch.
const (
	Empty State = iota
	Ongoing
	PrepareCommit // decided; markers are on their way
	PrepareAbort
	CompleteCommit // all markers are written
	CompleteAbort
	Dead
	PrepareEpochFence
)

var stateNames = [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}

// String is Kafka's name.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return "Unknown"
	}
	return stateNames[s]
}

// Preparing says that the outcome is decided and not yet known to all partitions.
func (s State) Preparing() bool { return s == PrepareCommit || s == PrepareAbort }

// Errors that inputs answer.
var (
	ErrConcurrent        = errors.New("txn: another change of this transaction is not finished")
	ErrFenced            = errors.New("txn: there is a newer producer of this transactional id")
	ErrUnknownProducer   = errors.New("txn: the transactional id does not belong to this producer id")
	ErrInvalidState      = errors.New("txn: the transaction is not in a state for this")
	ErrTooManyPartitions = errors.New("txn: too many partitions in one transaction")
	ErrNotInTransaction  = errors.New("txn: the partition is not part of the transaction")
	// ErrNeedID is Init's when it needs a producer id that nobody has had.
	ErrNeedID = errors.New("txn: a new producer id is needed")
)

// NoID and NoEpoch stand for none.
const (
	NoID    int64 = -1
	NoEpoch int16 = -1
)

// lastEpoch is the highest epoch that a client is given. The one above it is for the marker that ends
// its last transaction.
const lastEpoch = math.MaxInt16 - 1

// MaxPartitions bounds one transaction, and maxPartitionBytes what its partitions take in a record.
const (
	MaxPartitions     = 10_000
	maxPartitionBytes = 512 << 10
)

// Producer is a producer id under one of its epochs.
type Producer struct {
	ID    int64
	Epoch int16
}

// NoProducer is nobody.
var NoProducer = Producer{ID: NoID, Epoch: NoEpoch}

// next is the producer of the next epoch. That of p is lastEpoch at most: nobody has anything open under the one above.
func (p Producer) next() Producer { return Producer{ID: p.ID, Epoch: p.Epoch + 1} }

// Partition names one partition.
type Partition struct {
	Topic string
	Index int32
}

func compare(a, b Partition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Index) - int(b.Index)
}

// Snapshot is all that is stored of a transactional id.
type Snapshot struct {
	Producer Producer
	// Last is who was Producer before, if that is the same client, which may not have heard yet:
	// when it asks again it is answered with Producer. NoProducer when somebody has been fenced.
	Last Producer
	// NextID is the producer id after a transaction that has used up the epochs of this one; NoID.
	NextID int64

	State      State
	Version    int16 // of the transaction: 2 ends under a new epoch (KIP-890), as one that is fenced does; 0 does not
	Timeout    time.Duration
	Partitions []Partition // sorted; while Ongoing and while Preparing
	Started    int64       // unix ms of the transaction; -1 when there is none
	Updated    int64       // unix ms
}

// Has says whether a partition is part of the transaction.
func (s *Snapshot) Has(p Partition) bool {
	_, found := slices.BinarySearchFunc(s.Partitions, p, compare)
	return found
}

// promised says that p is who the client is told to be after the transaction that uses up the epochs of its id: it may
// come before all markers are written.
func (s *Snapshot) promised(p Producer) bool { return s.NextID != NoID && p == Producer{ID: s.NextID} }

// with are the partitions and some more, and whether there is anything new in it.
func (s *Snapshot) with(more []Partition) (all []Partition, changed bool, err error) {
	all = append(slices.Clone(s.Partitions), more...)
	slices.SortFunc(all, compare)
	all = slices.Compact(all)
	bytes, topic := 0, ""
	for _, p := range all {
		if bytes += 4; p.Topic != topic {
			bytes, topic = bytes+len(p.Topic)+16, p.Topic
		}
	}
	if len(all) > MaxPartitions || bytes > maxPartitionBytes {
		return nil, false, ErrTooManyPartitions
	}
	return all, len(all) != len(s.Partitions), nil
}

// Sorted says whether partitions are in order, each named once.
func Sorted(all []Partition) bool {
	for i := 1; i < len(all); i++ {
		if compare(all[i-1], all[i]) >= 0 {
			return false
		}
	}
	return true
}

package partition

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// ErrClosed is returned by every operation once Close or Delete began.
// What was proposed before and is not settled ends with it as well: its
// outcome is unknown to the caller.
var ErrClosed = errors.New("partition: closed")

// ErrTransactionEnded refuses a batch that Continues a transaction which has ended since.
var ErrTransactionEnded = errors.New("partition: the transaction of this batch has ended")

// NotLeaderError says that another replica leads, or none that is known. Of a batch
// that was proposed before that was so, it is not known whether it will be committed.
type NotLeaderError struct {
	Topic     string
	Partition int32
	Leader    raft.ServerID // empty when none is known
}

func (e *NotLeaderError) Error() string {
	if e.Leader == "" {
		return fmt.Sprintf("partition: %s-%d has no leader that is known here", e.Topic, e.Partition)
	}
	return fmt.Sprintf("partition: %s-%d is led by replica %s", e.Topic, e.Partition, e.Leader)
}

// LostError says that a replica has lost what it may have acknowledged, so that it
// must not take part again under its name.
type LostError struct {
	Topic     string
	Partition int32
	Reason    string
}

func (e *LostError) Error() string {
	return fmt.Sprintf("partition: %s-%d has lost data: %s", e.Topic, e.Partition, e.Reason)
}

// StorageError says that the log could not take or give bytes: the disk is
// full or failed. Nothing of the batch it refused is in the log.
type StorageError struct {
	Topic     string
	Partition int32
	Err       error
}

func (e *StorageError) Error() string {
	return fmt.Sprintf("partition: %s-%d: storage: %v", e.Topic, e.Partition, e.Err)
}

func (e *StorageError) Unwrap() error { return e.Err }

// SequenceError refuses a batch whose base sequence does not follow the last
// one of its producer: records are missing before it.
type SequenceError struct {
	ProducerID int64
	Epoch      int16
	Got, Want  int32 // base sequences
}

func (e *SequenceError) Error() string {
	return fmt.Sprintf("partition: producer %d epoch %d: got base sequence %d, want %d",
		e.ProducerID, e.Epoch, e.Got, e.Want)
}

// ProducerEpochError refuses a batch of a producer that a later instance of
// itself has fenced.
type ProducerEpochError struct {
	ProducerID int64
	Got, Want  int16 // producer epochs
}

func (e *ProducerEpochError) Error() string {
	return fmt.Sprintf("partition: producer %d: got epoch %d, want at least %d", e.ProducerID, e.Got, e.Want)
}

// TransactionStateError refuses a batch outside of transactions of a producer that has one open.
type TransactionStateError struct {
	ProducerID int64
	Epoch      int16
}

func (e *TransactionStateError) Error() string {
	return fmt.Sprintf("partition: producer %d epoch %d has an open transaction, and this batch is not of it", e.ProducerID, e.Epoch)
}

// TransactionLimitError refuses a batch that would begin a transaction where too many are open, or
// have been aborted and are still above the log start.
type TransactionLimitError struct {
	Topic         string
	Partition     int32
	Open, Aborted int
}

func (e *TransactionLimitError) Error() string {
	return fmt.Sprintf("partition: %s-%d has %d open transactions (of %d at most) and remembers %d that were aborted (of %d at most, both together)",
		e.Topic, e.Partition, e.Open, maxOpenTransactions, e.Aborted, maxAbortedTransactions)
}

// CoordinatorEpochError refuses a marker of a transaction coordinator that a later one has followed.
type CoordinatorEpochError struct {
	ProducerID int64
	Got, Want  int32 // coordinator epochs
}

func (e *CoordinatorEpochError) Error() string {
	return fmt.Sprintf("partition: a marker for producer %d: got coordinator epoch %d, want at least %d", e.ProducerID, e.Got, e.Want)
}

// LeaderEpochError refuses a request that names another leader epoch than
// this partition's (KIP-320). Got < Want: the client's metadata is old. Got >
// Want: ours is.
type LeaderEpochError struct {
	Got, Want int32
}

func (e *LeaderEpochError) Error() string {
	return fmt.Sprintf("partition: got leader epoch %d, current is %d", e.Got, e.Want)
}

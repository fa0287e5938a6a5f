package log

import (
	"errors"
	"fmt"

	"weir/segment"
	"weir/segment/vfs"
)

var (
	// ErrClosed is returned by everything but Close after Close.
	ErrClosed = errors.New("log: closed")
	// ErrReadOnly is returned by what would write to a log opened by OpenReadOnly.
	ErrReadOnly = errors.New("log: read-only")
	// ErrEntryNotFound is returned by Entry for a raft index that the log does
	// not hold.
	ErrEntryNotFound = errors.New("log: no such raft index")
)

// CorruptError names file and place of bytes that are not what was written.
type CorruptError = segment.CorruptError

// VersionError says that a file has a format this build does not read.
type VersionError = segment.VersionError

// OffsetOutOfRangeError says that an offset is not in [Start, End].
type OffsetOutOfRangeError struct {
	Offset, Start, End int64
}

func (e *OffsetOutOfRangeError) Error() string {
	return fmt.Sprintf("offset %d is not within %d and %d", e.Offset, e.Start, e.End)
}

// EntryError says that Append was given something that is not an entry.
type EntryError struct {
	Index  int // in the slice
	Reason string
}

func (e *EntryError) Error() string { return fmt.Sprintf("entry %d: %s", e.Index, e.Reason) }

// DivergedError says that AppendStamped was given an entry that has another place
// in the log it comes from: the two logs differ somewhere below.
type DivergedError struct {
	RaftIndex             uint64
	GotOffset, WantOffset int64 // of the entry, and of this log
	GotEpoch, WantEpoch   int32 // stamped, and of the entry that it came with
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("raft index %d has offset %d of epoch %d, want %d of %d: the logs differ",
		e.RaftIndex, e.GotOffset, e.GotEpoch, e.WantOffset, e.WantEpoch)
}

// TruncateError says that TruncateSuffix was asked to remove what it may not:
// entries that have been applied, or that lie below the log start.
type TruncateError struct {
	From   uint64 // raft index asked for
	Reason string
}

func (e *TruncateError) Error() string {
	return fmt.Sprintf("truncate from raft index %d refused: %s", e.From, e.Reason)
}

// FailedError is returned by every write after one that left the log in doubt,
// such as a failed sync. Only opening it again, by a new process, helps.
type FailedError struct {
	Dir string
	Err error // what failed
}

func (e *FailedError) Error() string { return fmt.Sprintf("log %s has failed: %v", e.Dir, e.Err) }
func (e *FailedError) Unwrap() error { return e.Err }

// OutOfRoom says of an error of a log, also one that has failed with it, that nothing is wrong with the disk but that it
// was full: opened again when there is room, the log is whole. After a sync that failed nobody knows that.
func OutOfRoom(err error) bool {
	var failed *segment.SyncError
	return vfs.IsNoSpace(err) && !errors.As(err, &failed)
}

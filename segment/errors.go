package segment

import (
	"errors"
	"fmt"

	"weir/segment/vfs"
)

// ErrDropped is returned to a reader that comes to a segment which has been
// deleted since the reader found it. It looks again.
var ErrDropped = errors.New("segment: deleted")

// ErrCompacted is returned for the place of an entry that compaction has removed
// together with the one before it.
var ErrCompacted = errors.New("segment: entry removed by compaction")

// CorruptError says that bytes which were on disk for good are not what they
// were. The log refuses to go on; nothing has been changed.
type CorruptError struct {
	Path     string
	Position int64 // in bytes within the file
	Offset   int64 // Kafka offset expected there, -1 when unknown
	Reason   string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("corrupt: %s at position %d (offset %d): %s", e.Path, e.Position, e.Offset, e.Reason)
}

// VersionError says that a file was written in a format this build cannot read.
type VersionError struct {
	Path    string
	Version int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s: format version %d, this build reads up to version %d", e.Path, e.Version, FormatVersion)
}

// TooLargeError says that frames do not fit into one segment.
type TooLargeError struct {
	Bytes, Max int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("append of %d bytes, at most %d fit a segment", e.Bytes, e.Max)
}

// SyncError says that making data durable failed. Nothing is known of what was
// written since the last sync that worked, and trying again proves nothing
// (the kernel forgets the pages): the process stops.
type SyncError struct {
	Path string
	Err  error
}

func (e *SyncError) Error() string { return fmt.Sprintf("sync of %s failed: %v", e.Path, e.Err) }
func (e *SyncError) Unwrap() error { return e.Err }

func syncFile(f vfs.File) error {
	if err := f.Sync(); err != nil {
		return &SyncError{Path: f.Name(), Err: err}
	}
	return nil
}

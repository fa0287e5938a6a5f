package transport

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// checkEntries refuses what the library would panic on, or store out of order: entries that do not follow
// on each other, types it does not know, and configurations that cannot be decoded.
func checkEntries(r *raft.AppendEntriesRequest) error {
	for i, e := range r.Entries {
		if want := r.PrevLogEntry + 1 + uint64(i); e.Index != want {
			return fmt.Errorf("%w: entry %d where %d follows", ErrMalformed, e.Index, want)
		}
		switch e.Type {
		case raft.LogCommand, raft.LogNoop, raft.LogBarrier:
		case raft.LogConfiguration:
			if err := checkConfiguration(e.Data); err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
		default:
			return fmt.Errorf("%w: entry %d of type %d", ErrMalformed, e.Index, e.Type)
		}
	}
	return nil
}

// checkSnapshot refuses a header that the library would panic on. Version 0, without a configuration, is
// of libraries that never spoke this protocol.
func checkSnapshot(r *raft.InstallSnapshotRequest) error {
	if r.SnapshotVersion < 1 {
		return fmt.Errorf("%w: snapshot version %d", ErrMalformed, r.SnapshotVersion)
	}
	return checkConfiguration(r.Configuration)
}

// maxConfigurationBytes is room for some 500 servers, and bounds what the library's decoder is given: a stack
// that is used up cannot be recovered from, whatever that decoder's own limit on nesting is.
const maxConfigurationBytes = 64 << 10

// checkConfiguration decodes a configuration as the library will, which panics when it cannot.
func checkConfiguration(b []byte) (err error) {
	if len(b) > maxConfigurationBytes {
		return fmt.Errorf("%w: a configuration of %d bytes, at most %d", ErrMalformed, len(b), maxConfigurationBytes)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: configuration: %v", ErrMalformed, p)
		}
	}()
	if c := raft.DecodeConfiguration(b); len(c.Servers) == 0 {
		return fmt.Errorf("%w: a configuration without servers", ErrMalformed)
	}
	return nil
}

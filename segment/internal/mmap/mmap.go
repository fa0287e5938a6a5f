// Package mmap gives counted, read-only views of files: out of a memory map where there can be one,
// by pread into a pooled buffer otherwise, behind one interface.
//
// # What keeps a map from killing the process
//
// Touching a mapped page that lies wholly past the end of its file raises SIGBUS, which ends a Go
// program, and so does a page that the disk cannot read. A system call that is handed such a page
// returns EFAULT instead. Therefore:
//
//   - The length of a region may exceed the size of the file, so that a growing file needs one map
//     only. The caller keeps the valid length beside it and asks for views below that.
//   - A file never shrinks while a region of it is open.
//   - Nobody stores into a region; files are written by pwrite, which a map sees at once, and where
//     a full disk is an error and no signal.
//   - Bytes are touched between View and release only. The map goes away after Close, with the last
//     release, and not before.
//   - A cold page is read inside the fault, where the scheduler does not see the thread wait. Big
//     or cold reads go by ModeCopy, by sendfile, or after Populate or Resident.
//
// Built with the tag invariants, views are private copies which release overwrites, so that a use
// after release is seen; a second release and a view past the end of a mapped file panic.
package mmap

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"weir/segment/vfs"
)

var (
	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("mmap: region is closed")
	// ErrBounds is returned for a range that is not inside the region, or that ModeCopy finds to
	// end past the end of the file.
	ErrBounds = errors.New("mmap: out of bounds")
)

// Mode says how a region reads its file.
type Mode uint8

const (
	// ModeMap maps the file. ModeCopy stands in where there can be no map: a file without a
	// descriptor, a system that package gommap does not build on, no address space or no map
	// left (vm.max_map_count).
	ModeMap Mode = iota
	// ModeCopy reads by pread into pooled buffers.
	ModeCopy
)

func (m Mode) String() string {
	if m == ModeCopy {
		return "copy"
	}
	return "map"
}

// Advice says how a range is going to be read.
type Advice uint8

const (
	Normal     Advice = iota
	Random            // no read-ahead
	Sequential        // much read-ahead
	WillNeed          // start reading now, do not wait
	Populate          // read and map now, inside a system call; where the kernel cannot, WillNeed
)

// Region is a read-only window on the first Len bytes of a file. Its methods may be called from any
// goroutine, also beside Close.
type Region interface {
	// View returns the n bytes at position pos, which are not to be written to, and valid until
	// release is called. Each view is released once. It returns ErrBounds, ErrClosed or the error
	// of the read. The caller sees to it that pos+n is not past the end of the file.
	View(pos int64, n int) (b []byte, release func(), err error)
	// Advise tells the kernel about the n bytes at pos. Copies take no advice.
	Advise(advice Advice, pos, n int64) error
	// Resident reports whether the n bytes of a view at pos can be touched without waiting for
	// the disk: always for copies, which wait in View. Linux tells the truth about files that the
	// process may write or owns.
	Resident(pos, n int64) (bool, error)
	// Len returns the length in bytes that was asked for.
	Len() int64
	// Mode returns how the region reads in fact.
	Mode() Mode
	// Close refuses new views; what is out stays valid until its release. It does not close the
	// file, and the file may be closed before or after. Closing again does nothing.
	Close() error
}

// Open returns a region over the first length bytes of f, length being at least 1.
func Open(f vfs.File, length int64, mode Mode) (Region, error) {
	if length <= 0 {
		return nil, fmt.Errorf("%w: length %d of %s", ErrBounds, length, f.Name())
	}
	var r Region
	if fd, ok := f.Fd(); ok && mode == ModeMap && length <= math.MaxInt {
		mapped, err := newMapped(fd, length)
		switch {
		case err == nil:
			r = mapped
		case !mapUnavailable(err):
			return nil, fmt.Errorf("mmap: map %d bytes of %s: %w", length, f.Name(), err)
		}
	}
	if r == nil {
		r = newCopied(f, length)
	}
	if invariants {
		r = &checked{Region: r, file: f}
	}
	return r, nil
}

// mappedBytes counts the address space that is mapped.
var mappedBytes atomic.Int64

// MappedBytes returns how many bytes of address space the regions of this process hold, those
// closed and not yet released included.
func MappedBytes() int64 { return mappedBytes.Load() }

// inside checks a range against the length of a region.
func inside(pos, n, length int64) error {
	if pos < 0 || n < 0 || pos > length-n {
		return fmt.Errorf("%w: %d bytes at %d of %d", ErrBounds, n, pos, length)
	}
	return nil
}

// Package vfs is the file system port of the storage packages: the operating system below it in
// production, memory with crash semantics (Mem) and failing operations (Inject) in tests.
//
// Durability, for every implementation: the bytes and the size of a file survive power loss once
// File.Sync has returned nil, and a name (created, renamed, removed) once SyncDir of its directory
// has. One does not bring the other: a new file needs both.
//
// Every failed operation returns an error that matches fs.ErrNotExist, fs.ErrExist, fs.ErrClosed or
// a syscall.Errno by errors.Is.
package vfs

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
)

// ErrLocked is returned by FS.Lock when somebody, in this process or another, holds the lock.
var ErrLocked = errors.New("vfs: locked by another holder")

// FS is a file system. All methods may be called from any goroutine.
type FS interface {
	// OpenFile opens a regular file. flag is of package os: O_RDONLY, O_WRONLY or O_RDWR with
	// O_CREATE, O_EXCL and O_TRUNC; O_APPEND is refused, since all writes name their position.
	// A directory gives syscall.EISDIR.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Stat describes a file or a directory.
	Stat(name string) (fs.FileInfo, error)
	// ReadDir lists a directory, sorted by name.
	ReadDir(dir string) ([]fs.DirEntry, error)
	// MkdirAll creates dir and the parents it lacks. Each new name is durable after SyncDir of
	// the directory above it.
	MkdirAll(dir string, perm fs.FileMode) error
	// Rename moves a file or directory and replaces a file at newName, atomically. It is durable
	// after SyncDir of both directories.
	Rename(oldName, newName string) error
	// Remove unlinks a file or an empty directory. Open handles stay readable.
	Remove(name string) error
	// RemoveAll removes name and all below it; it is no error when name does not exist. It is not
	// atomic: after a crash any part of the tree may be left.
	RemoveAll(name string) error
	// SyncDir makes the names in dir durable. An error is final: see File.Sync.
	SyncDir(dir string) error
	// Lock takes an exclusive lock on a file, which it creates when needed, without waiting. The
	// lock ends with the closer or with the process. It returns ErrLocked when the lock is held.
	Lock(name string) (io.Closer, error)
	// FreeBytes tells how many bytes an ordinary user can still allocate on the file system that
	// holds dir, and how many it has in all.
	FreeBytes(dir string) (free, total int64, err error)
}

// File is an open regular file. Its methods may be called from any goroutine, also beside Close:
// an operation either completes on the file or returns fs.ErrClosed.
type File interface {
	// ReadAt fills p from position off; fewer bytes come with io.EOF.
	io.ReaderAt
	// WriteAt writes all of p at position off or returns an error and how many bytes went in.
	io.WriterAt
	// Close gives the handle back. It makes nothing durable. A second Close returns fs.ErrClosed.
	io.Closer
	// WritevAt writes the buffers one after the other from position off, as one system call
	// where the system can. A short write is an error. It does not keep or change bufs.
	WritevAt(bufs [][]byte, off int64) (int, error)
	// Sync makes the bytes and the size durable (fdatasync). After an error the state of
	// everything written since the last good Sync is unknown and a second Sync proves nothing:
	// the kernel forgets the failed pages. The caller stops.
	Sync() error
	// Truncate sets the size in bytes; what is new reads as zeroes.
	Truncate(size int64) error
	// Preallocate reserves disk space for the bytes [off, off+length) and extends the size to
	// off+length when it is smaller; what is new reads as zeroes. syscall.ENOSPC comes back when
	// the disk is full, and the size is then unchanged.
	Preallocate(off, length int64) error
	// Size returns the size in bytes, preallocated space included.
	Size() (int64, error)
	// Name returns the name given to OpenFile.
	Name() string
	// Fd returns the descriptor for mmap and sendfile, valid until Close. ok is false for files
	// that have none.
	Fd() (fd uintptr, ok bool)
}

// IsNoSpace reports whether err says that the disk or the quota is full.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

//go:build unix

package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// OS is the file system of the machine.
var OS FS = osFS{}

type osFS struct{}

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&os.O_APPEND != 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EINVAL}
	}
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &osFile{File: f, conn: conn, fd: f.Fd()}, nil
}

func (osFS) Stat(name string) (fs.FileInfo, error)     { return os.Stat(name) }
func (osFS) ReadDir(dir string) ([]fs.DirEntry, error) { return os.ReadDir(dir) }
func (osFS) MkdirAll(dir string, perm fs.FileMode) error {
	return os.MkdirAll(dir, perm)
}
func (osFS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }
func (osFS) Remove(name string) error             { return os.Remove(name) }
func (osFS) RemoveAll(name string) error          { return os.RemoveAll(name) }

func (osFS) SyncDir(dir string) error {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = retryInterrupted(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if err == nil {
		return &osLock{file: f}, nil
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, errors.Join(&fs.PathError{Op: "lock", Path: name, Err: err}, f.Close())
}

// osLock holds a flock; the lock belongs to the open file description and ends when it is closed.
type osLock struct {
	once sync.Once
	file *os.File
	err  error
}

func (l *osLock) Close() error {
	l.once.Do(func() { l.err = l.file.Close() })
	return l.err
}

// osFile adds to os.File the calls that it lacks. They run inside conn.Control, which keeps the
// descriptor from being closed, and reused for another file, under the call.
type osFile struct {
	*os.File
	conn syscall.RawConn
	fd   uintptr
}

func (f *osFile) Fd() (uintptr, bool) { return f.fd, true }

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// control runs call on the descriptor, again while it is interrupted by a signal.
func (f *osFile) control(op string, call func(fd int) error) error {
	var err error
	if f.conn.Control(func(fd uintptr) {
		err = retryInterrupted(func() error { return call(int(fd)) })
	}) != nil {
		err = fs.ErrClosed // the only way for Control to fail
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: f.Name(), Err: err}
	}
	return nil
}

func retryInterrupted(call func() error) error {
	for {
		err := call()
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (f *osFile) Preallocate(off, length int64) error {
	if off < 0 || length <= 0 {
		return &fs.PathError{Op: "preallocate", Path: f.Name(), Err: syscall.EINVAL}
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	err = f.control("preallocate", func(fd int) error { return preallocate(fd, off, length) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return f.preallocateZeroes(off, length)
	}
	if err == nil {
		return nil
	}
	// On a full disk ext4 keeps the part that it found room for, and counts it into the size.
	if now, sizeErr := f.Size(); sizeErr != nil || now > size {
		err = errors.Join(err, sizeErr, f.Truncate(size))
	}
	return err
}

// preallocateZeroes stands in for fallocate where the file system has none: it writes zeroes past
// the present end, which reserves the same blocks. Holes below the end stay holes.
func (f *osFile) preallocateZeroes(off, length int64) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	end := off + length
	zeroes := make([]byte, 1<<20)
	for at := max(size, off); at < end; {
		n, err := f.WriteAt(zeroes[:min(end-at, int64(len(zeroes)))], at)
		if err != nil {
			return errors.Join(err, f.Truncate(size))
		}
		at += int64(n)
	}
	return nil
}

//go:build linux || darwin

package vfs

import (
	"io"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxVectors is IOV_MAX: the number of buffers the kernel takes in one call.
const maxVectors = 1024

func (f *osFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	if off < 0 {
		return 0, &fs.PathError{Op: "writev", Path: f.Name(), Err: syscall.EINVAL}
	}
	written, rest := 0, trimVectors(nil, bufs, 0)
	for len(rest) > 0 {
		n := 0
		err := f.control("writev", func(fd int) (err error) {
			n, err = unix.Pwritev(fd, rest[:min(len(rest), maxVectors)], off+int64(written))
			return err
		})
		if err != nil {
			return written, err
		}
		if n <= 0 {
			return written, &fs.PathError{Op: "writev", Path: f.Name(), Err: io.ErrShortWrite}
		}
		// A short count is a full disk, a signal or the kernel's cap of 2 GiB on one call: the
		// next call goes on or says which.
		written += n
		rest = trimVectors(rest[:0], rest, n)
	}
	return written, nil
}

// trimVectors appends to dst what is left of bufs after the first n bytes, without empty buffers.
// dst may be the start of bufs.
func trimVectors(dst, bufs [][]byte, n int) [][]byte {
	for _, b := range bufs {
		skip := min(n, len(b))
		n -= skip
		if skip < len(b) {
			dst = append(dst, b[skip:])
		}
	}
	return dst
}

//go:build unix && !linux && !darwin

package vfs

import "golang.org/x/sys/unix"

// preallocate has no portable call here; the caller writes zeroes instead.
func preallocate(int, int64, int64) error { return unix.EOPNOTSUPP }

func (f *osFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	written := 0
	for _, b := range bufs {
		n, err := f.WriteAt(b, off+int64(written))
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

//go:build linux || darwin || freebsd || dragonfly

package vfs

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

func (osFS) FreeBytes(dir string) (free, total int64, err error) {
	var stat unix.Statfs_t
	err = retryInterrupted(func() error { return unix.Statfs(dir, &stat) })
	if err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	block := int64(stat.Bsize)
	return int64(stat.Bavail) * block, int64(stat.Blocks) * block, nil
}

//go:build unix && !linux && !darwin && !freebsd && !dragonfly

package vfs

import (
	"errors"
	"io/fs"
)

func (osFS) FreeBytes(dir string) (free, total int64, err error) {
	return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: errors.ErrUnsupported}
}

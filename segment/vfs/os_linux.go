package vfs

import "golang.org/x/sys/unix"

func (f *osFile) Sync() error { return f.control("fdatasync", unix.Fdatasync) }

func preallocate(fd int, off, length int64) error { return unix.Fallocate(fd, 0, off, length) }

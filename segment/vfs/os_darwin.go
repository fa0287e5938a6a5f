package vfs

import "golang.org/x/sys/unix"

// preallocate asks for the blocks past the physical end, then moves the end. (Sync is that of
// os.File, which is F_FULLFSYNC here.)
func preallocate(fd int, off, length int64) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	end := off + length
	if end <= stat.Size {
		return nil
	}
	store := unix.Fstore_t{Flags: unix.F_ALLOCATEALL, Posmode: unix.F_PEOFPOSMODE, Length: end - stat.Size}
	if err := unix.FcntlFstore(uintptr(fd), unix.F_PREALLOCATE, &store); err != nil {
		return err
	}
	return unix.Ftruncate(fd, end)
}

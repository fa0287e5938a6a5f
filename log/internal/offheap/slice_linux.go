package offheap

import (
	"os"
	"syscall"
	"unsafe"
)

// Slice gives n zeros of a type without pointers, n > 0. They take memory as they are written, in huge pages where the
// system has some: who looks here and there in 128 MiB of small ones waits for the page table more than for the
// memory. Nobody may touch them after free. The error is the system's, for want of memory.
func Slice[T any](n int) (slice []T, free func(), err error) {
	var one T
	b, err := syscall.Mmap(-1, 0, n*int(unsafe.Sizeof(one)), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE) // a wish
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n), func() { _ = syscall.Munmap(b) }, nil
}

package mmap

import (
	"fmt"
	"sync/atomic"

	"weir/segment/vfs"
)

// checked is a region whose views are private copies that do not outlive their release. It is put
// around every region by the build tag invariants.
type checked struct {
	Region
	file vfs.File
}

// mangled is what a released view reads as.
const mangled = 0xDB

func (c *checked) View(pos int64, n int) ([]byte, func(), error) {
	if c.Mode() == ModeMap && pos+int64(n) <= c.Len() {
		// The size is not known any more when the file is closed, which the region may outlive.
		if size, err := c.file.Size(); err == nil && pos+int64(n) > size {
			panic(fmt.Sprintf("mmap: view of %d bytes at %d past the end, %d, of %s", n, pos, size, c.file.Name()))
		}
	}
	b, release, err := c.Region.View(pos, n)
	if err != nil {
		return nil, nil, err
	}
	private := make([]byte, n)
	copy(private, b)
	var released atomic.Bool
	return private, func() {
		if released.Swap(true) {
			panic("mmap: view released twice")
		}
		for i := range private {
			private[i] = mangled
		}
		release()
	}, nil
}

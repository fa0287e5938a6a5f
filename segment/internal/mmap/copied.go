package mmap

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"weir/segment/vfs"
)

// copied is a region that reads its file anew for each view.
type copied struct {
	file   vfs.File
	length int64
	closed atomic.Bool
}

func newCopied(f vfs.File, length int64) *copied { return &copied{file: f, length: length} }

// maxPooledBytes is the largest buffer that is kept for the next view.
const maxPooledBytes = 1 << 20

// pooled is a buffer with the function that gives it back, made once for both.
type pooled struct {
	buf     []byte
	release func()
}

var buffers sync.Pool // of *pooled

// buffer returns a pooled buffer of at least n bytes.
func buffer(n int) *pooled {
	p, ok := buffers.Get().(*pooled)
	if !ok {
		p = &pooled{}
		p.release = func() {
			if cap(p.buf) <= maxPooledBytes {
				buffers.Put(p)
			}
		}
	}
	if cap(p.buf) < n {
		p.buf = make([]byte, max(n, 4096))
	}
	return p
}

func (c *copied) Len() int64 { return c.length }
func (c *copied) Mode() Mode { return ModeCopy }

func (c *copied) check(pos, n int64) error {
	if err := inside(pos, n, c.length); err != nil {
		return err
	}
	if c.closed.Load() {
		return ErrClosed
	}
	return nil
}

func (c *copied) View(pos int64, n int) ([]byte, func(), error) {
	if err := c.check(pos, int64(n)); err != nil {
		return nil, nil, err
	}
	p := buffer(n)
	b := p.buf[:n:n]
	got, err := c.file.ReadAt(b, pos)
	if got == n {
		return b, p.release, nil
	}
	p.release()
	if err == io.EOF {
		err = fmt.Errorf("%w: %d bytes at %d, %s ends after %d of them", ErrBounds, n, pos, c.file.Name(), got)
	}
	return nil, nil, err
}

func (c *copied) Advise(_ Advice, pos, n int64) error { return c.check(pos, n) }

func (c *copied) Resident(pos, n int64) (bool, error) {
	err := c.check(pos, n)
	return err == nil, err
}

func (c *copied) Close() error {
	c.closed.Store(true)
	return nil
}

package vfs

import (
	"io"
	"io/fs"
	"slices"
	"syscall"
	"time"
)

// memFile is an open file of a Mem. All but the name is guarded by the mutex of the Mem.
type memFile struct {
	mem           *Mem
	node          *node
	name          string
	reads, writes bool
	closed        bool
}

func (f *memFile) Name() string        { return f.name }
func (f *memFile) Fd() (uintptr, bool) { return 0, false }

func (f *memFile) check(op string, allowed, valid bool) error {
	switch {
	case f.closed:
		return pathError(op, f.name, fs.ErrClosed)
	case !allowed:
		return pathError(op, f.name, syscall.EBADF)
	case !valid:
		return pathError(op, f.name, syscall.EINVAL)
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.mem.mu.RLock()
	defer f.mem.mu.RUnlock()
	if err := f.check("read", f.reads, off >= 0); err != nil {
		return 0, err
	}
	n := f.node.live.readAt(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	return f.writeAt("write", slices.Clone(p), off)
}

// WritevAt is one write, as pwritev is: crash states tear it like any other.
func (f *memFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	return f.writeAt("writev", slices.Concat(bufs...), off)
}

// writeAt keeps p.
func (f *memFile) writeAt(op string, p []byte, off int64) (int, error) {
	if err := f.check(op, f.writes, off >= 0); err != nil {
		return 0, err
	}
	// On a full disk, what fits goes in, page by page, as Linux has it.
	fits := p
	for len(fits) > 0 && !f.mem.hasRoom(f.node, off, int64(len(fits))) {
		lastPage := (off + int64(len(fits)) - 1) / pageBytes * pageBytes
		fits = fits[:max(0, lastPage-off)]
	}
	if len(fits) > 0 {
		f.mem.changeData(f.node, dataOp{kind: opWrite, off: off, length: int64(len(fits)), data: fits})
	}
	if len(fits) < len(p) {
		return len(fits), pathError(op, f.name, syscall.ENOSPC)
	}
	return len(p), nil
}

func (m *Mem) hasRoom(n *node, off, length int64) bool {
	missing := n.live.held.missing(pagesOf(off, length))
	return missing == 0 || m.used+missing <= m.capacity
}

// changeData does a data operation on the running system and keeps it until a Sync.
func (m *Mem) changeData(n *node, op dataOp) {
	before := n.live.held.total()
	op.apply(n.live)
	m.used += n.live.held.total() - before
	n.pending = append(n.pending, op)
	n.modTime = time.Now()
	m.record(event{file: n, data: &op})
}

func (f *memFile) Sync() error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.check("fdatasync", true, true); err != nil {
		return err
	}
	f.node.sync()
	f.mem.record(event{file: f.node})
	return nil
}

// failSync is a Sync whose writing back failed: see File.Sync.
func (f *memFile) failSync() {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	f.node.loseWrites()
	f.mem.record(event{file: f.node, syncFailed: true})
}

func (f *memFile) Truncate(size int64) error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.check("truncate", f.writes, size >= 0); err != nil {
		return err
	}
	f.mem.changeData(f.node, dataOp{kind: opTruncate, off: size})
	return nil
}

func (f *memFile) Preallocate(off, length int64) error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.check("preallocate", f.writes, off >= 0 && length > 0); err != nil {
		return err
	}
	if !f.mem.hasRoom(f.node, off, length) {
		return pathError("preallocate", f.name, syscall.ENOSPC)
	}
	f.mem.changeData(f.node, dataOp{kind: opPreallocate, off: off, length: length})
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.mem.mu.RLock()
	defer f.mem.mu.RUnlock()
	if err := f.check("stat", true, true); err != nil {
		return 0, err
	}
	return f.node.live.size, nil
}

func (f *memFile) Close() error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.check("close", true, true); err != nil {
		return err
	}
	f.closed = true
	f.node.handles--
	f.mem.release(f.node)
	return nil
}

package segment

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"

	"weir/segment/internal/mmap"
	"weir/segment/vfs"
)

const (
	flushEntries     = 256       // pending entries that are worth a write: one page
	entryFileStep    = 16 << 10  // bytes; an index file grows by doubling from here
	entryFileMaxStep = 256 << 10 // bytes; and by this at most
)

// entryFile is a file of 16-byte entries in order, appended by one writer and
// searched by many readers. Entries wait in memory until a page of them is
// full, so that an append to the log costs no write here; readers look there
// too. The file does not exist before its first page: an idle partition has none.
type entryFile struct {
	fs       vfs.FS
	path     string
	readOnly bool // never write: entries stay in memory

	mu      sync.RWMutex
	file    vfs.File    // nil until there is a file
	size    int64       // of the file in bytes, preallocated space included
	written int         // entries in the file
	pending []byte      // the entries after those
	resting int         // so many of pending are in the file, which is closed
	synced  bool        // those are on disk
	region  mmap.Region // of the whole file; nil while that is empty
}

// open opens the file if it is there and trusts all whole entries in it.
func (e *entryFile) open() error {
	flag := os.O_RDWR
	if e.readOnly {
		flag = os.O_RDONLY
	}
	f, err := e.fs.OpenFile(e.path, flag, filePerm)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	size, err := f.Size()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if size > 0 && size <= flushEntries*entryBytes && size%entryBytes == 0 {
		e.pending = make([]byte, size)
		_, err := f.ReadAt(e.pending, 0)
		if errors.Is(err, io.EOF) {
			err = nil // with all of it
		}
		e.resting = int(size / entryBytes)
		return errors.Join(err, f.Close())
	}
	e.file, e.size, e.written = f, size, int(size/entryBytes)
	return e.remapLocked()
}

// wakeLocked opens a file that rests, which is about to change.
func (e *entryFile) wakeLocked() error {
	if e.resting == 0 {
		return nil
	}
	f, err := e.fs.OpenFile(e.path, os.O_RDWR, filePerm)
	if err != nil {
		return err
	}
	e.file, e.size, e.written = f, int64(e.resting*entryBytes), e.resting
	e.pending, e.resting = e.pending[e.resting*entryBytes:], 0
	return e.remapLocked()
}

func (e *entryFile) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.unmapLocked()
	if e.file != nil {
		err = errors.Join(err, e.file.Close())
	}
	e.file, e.size, e.written, e.pending, e.resting, e.synced = nil, 0, 0, nil, 0, false
	return err
}

// remapLocked maps the whole file.
func (e *entryFile) remapLocked() error {
	if err := e.unmapLocked(); err != nil || e.size < entryBytes {
		return err
	}
	r, err := mmap.Open(e.file, e.size, mmap.ModeMap)
	if err != nil {
		return err
	}
	e.region = r
	return nil
}

func (e *entryFile) unmapLocked() error {
	r := e.region
	e.region = nil
	if r == nil {
		return nil
	}
	return r.Close()
}

func (e *entryFile) count() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.countLocked()
}

func (e *entryFile) countLocked() int { return e.written + len(e.pending)/entryBytes }

// reading is a view of an entryFile for the time of one search.
type reading struct {
	e       *entryFile
	file    []byte // the entries in the file, if there is a map
	release func()
}

// readLocked opens a view. Without a map each entry is read by itself, since a
// search needs few of them.
func (e *entryFile) readLocked() (reading, error) {
	r := reading{e: e}
	if e.written == 0 || e.region == nil || e.region.Mode() == mmap.ModeCopy {
		return r, nil
	}
	var err error
	r.file, r.release, err = e.region.View(0, e.written*entryBytes)
	return r, err
}

func (r *reading) done() {
	if r.release != nil {
		r.release()
	}
}

// at copies entry i.
func (r *reading) at(i int) (b [entryBytes]byte, err error) {
	at := i * entryBytes
	switch {
	case i >= r.e.written:
		copy(b[:], r.e.pending[at-r.e.written*entryBytes:])
	case r.file != nil:
		copy(b[:], r.file[at:])
	default:
		v, release, err := r.e.region.View(int64(at), entryBytes)
		if err != nil {
			return b, err
		}
		copy(b[:], v)
		release()
	}
	return b, nil
}

// key names a field that does not fall along the entries.
type key struct{ at, bytes int }

var (
	keyOffset    = key{0, 4}
	keyPosition  = key{4, 4}
	keyRaftIndex = key{8, 4}

	keyTimestamp    = key{0, 8}
	keyTimePosition = key{8, 4}
)

func (k key) of(b [entryBytes]byte) int64 {
	if k.bytes == 8 {
		return int64(binary.BigEndian.Uint64(b[k.at:]))
	}
	return int64(binary.BigEndian.Uint32(b[k.at:]))
}

// floor finds the last entry whose k is at most target, by halving. i is -1
// when there is none.
func (e *entryFile) floor(k key, target int64) (b [entryBytes]byte, i int, err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	r, err := e.readLocked()
	if err != nil {
		return b, -1, err
	}
	defer r.done()
	lo, hi := 0, e.countLocked()
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		c, err := r.at(mid)
		if err != nil {
			return b, -1, err
		}
		if k.of(c) > target {
			hi = mid
		} else {
			lo, b = mid+1, c
		}
	}
	return b, lo - 1, nil
}

// countBelow counts the entries whose position lies below limit. Entries of
// zeros, the space reserved ahead, end the file.
func (e *entryFile) countBelow(position key, limit int64) (int, error) {
	lo, hi := 0, e.count()
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		b, err := e.nth(mid)
		if err != nil {
			return 0, err
		}
		if p := position.of(b); p == 0 || p >= limit {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo, nil
}

// nth reads entry i.
func (e *entryFile) nth(i int) (b [entryBytes]byte, err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	r := reading{e: e}
	return r.at(i)
}

// walk shows the entries from i on until visit says false.
func (e *entryFile) walk(i int, visit func(b [entryBytes]byte) bool) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	r, err := e.readLocked()
	if err != nil {
		return err
	}
	defer r.done()
	for n := e.countLocked(); i < n; i++ {
		b, err := r.at(i)
		if err != nil {
			return err
		}
		if !visit(b) {
			return nil
		}
	}
	return nil
}

// add appends one entry to those in memory. A page of them is written; if that
// fails they stay in memory, where they are as good, and the next page tries again.
func (e *entryFile) add(b []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pending = append(e.pending, b...)
	if len(e.pending)%(flushEntries*entryBytes) == 0 {
		_ = e.flushLocked()
	}
}

// flush writes what is in memory. It is not durable on return.
func (e *entryFile) flush() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.flushLocked()
}

func (e *entryFile) flushLocked() error {
	if len(e.pending) == e.resting*entryBytes || e.readOnly {
		return nil
	}
	if err := e.wakeLocked(); err != nil {
		return err
	}
	if e.file == nil {
		f, err := e.fs.OpenFile(e.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, filePerm)
		if err != nil {
			return err
		}
		e.file, e.size = f, 0
	}
	at := int64(e.written * entryBytes)
	if err := e.growLocked(at + int64(len(e.pending))); err != nil {
		return err
	}
	if _, err := e.file.WriteAt(e.pending, at); err != nil {
		return err
	}
	e.written += len(e.pending) / entryBytes
	e.pending = e.pending[:0]
	return nil
}

// growLocked reserves space in steps, so that the map is renewed seldom.
func (e *entryFile) growLocked(need int64) error {
	if need <= e.size {
		return nil
	}
	to := max(need, e.size+min(max(e.size, entryFileStep), entryFileMaxStep))
	if err := e.file.Preallocate(e.size, to-e.size); err != nil {
		return err
	}
	e.size = to
	return e.remapLocked()
}

// cut keeps the first n entries. What goes from the file is durably gone on
// return, so that later entries never mix with it.
func (e *entryFile) cut(n int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n < e.resting && !e.readOnly {
		if err := e.wakeLocked(); err != nil {
			return err
		}
	}
	if n >= e.written {
		e.pending = e.pending[:min(len(e.pending), (n-e.written)*entryBytes)]
		return nil
	}
	e.pending = nil
	if e.readOnly {
		e.written = n
		return nil
	}
	if err := e.unmapLocked(); err != nil { // a file never shrinks under its map
		return err
	}
	if err := e.file.Truncate(int64(n * entryBytes)); err != nil {
		return errors.Join(err, e.remapLocked())
	}
	e.written, e.size = n, int64(n*entryBytes)
	return errors.Join(syncFile(e.file), e.remapLocked())
}

// finish writes everything, cuts the preallocated tail and syncs.
func (e *entryFile) finish() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.readOnly {
		return nil
	}
	if err := errors.Join(e.wakeLocked(), e.flushLocked()); err != nil || e.file == nil {
		return err
	}
	exact := int64(e.written * entryBytes)
	if exact < e.size {
		if err := e.unmapLocked(); err != nil {
			return err
		}
		if err := e.file.Truncate(exact); err != nil {
			return errors.Join(err, e.remapLocked())
		}
		e.size = exact
		if err := e.remapLocked(); err != nil {
			return err
		}
	}
	return syncFile(e.file)
}

// sync makes what has been written durable.
func (e *entryFile) sync() error {
	e.mu.Lock()
	f, rests := e.file, e.resting > 0 && !e.synced
	e.mu.Unlock()
	if rests {
		return e.syncResting()
	}
	if f == nil {
		return nil
	}
	return syncFile(f)
}

// syncResting does not know whether what the file had when it was opened is on disk, and has it so, once. It rests on.
func (e *entryFile) syncResting() error {
	f, err := e.fs.OpenFile(e.path, os.O_RDWR, filePerm)
	if err != nil {
		return err
	}
	if err := errors.Join(syncFile(f), f.Close()); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.synced = true
	return nil
}

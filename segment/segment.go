// Package segment keeps one stretch of a partition: a `.log` file of record
// batches and Raft frames, and two indexes into it. FORMAT.md has the bytes.
//
// One writer appends, seals and truncates; the caller sees to it that it is
// one. Everything else may run beside the writer, from any goroutine.
package segment

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"weir/segment/vfs"
)

// Config says where segments live.
type Config struct {
	FS  vfs.FS
	Dir string
	// ReadOnly segments never change a byte; what an index lacks is kept in memory.
	ReadOnly bool
	// Uses counts reads of all segments that share it, which gives each its age
	// since the last one.
	Uses *atomic.Int64
	// Opened is called, if set, after a sealed segment has opened its files, so
	// that the owner can close those of others. It holds no lock.
	Opened func(*Segment)
}

// Segment is one segment, active or sealed. A sealed one opens its files at
// first use.
type Segment struct {
	fs       vfs.FS
	dir      string
	base     int64
	readOnly bool
	uses     *atomic.Int64
	opened   func(*Segment)

	lastUse atomic.Int64
	sealed  atomic.Bool
	files   atomic.Pointer[files]  // nil while closed
	header  atomic.Pointer[Header] // nil until the files have been open once, or a swap has told it

	mu      sync.Mutex // guards opening and closing; taken before the locks of the index
	dropped bool
	remake  bool // the index was found bad: make it again at the next open

	tail tail   // where the segment ends, and the last frames before that
	w    writer // the writer's alone
}

// files is what an open segment holds, counted: the segment itself has one
// hold, each reader another, and the last to let go closes.
type files struct {
	log    vfs.File
	index  *index
	header Header
	holds  atomic.Int32
}

// tryAcquire takes a hold unless the last one is gone.
func (f *files) tryAcquire() bool {
	for {
		n := f.holds.Load()
		if n == 0 {
			return false
		}
		if f.holds.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (f *files) release() error {
	if f.holds.Add(-1) > 0 {
		return nil
	}
	return errors.Join(f.index.close(), f.log.Close())
}

func newSegment(cfg Config, base int64) *Segment {
	return &Segment{
		fs: cfg.FS, dir: cfg.Dir, base: base, readOnly: cfg.ReadOnly,
		uses: cfg.Uses, opened: cfg.Opened,
	}
}

// OpenSealed returns a sealed segment whose `.log` file has sizeBytes, without
// touching the disk.
func OpenSealed(cfg Config, base, sizeBytes int64) *Segment {
	s := newSegment(cfg, base)
	s.sealed.Store(true)
	s.tail.state.Position = sizeBytes
	return s
}

// BaseOffset names the segment.
func (s *Segment) BaseOffset() int64 { return s.base }

// Path is the path of the `.log` file.
func (s *Segment) Path() string { return path(s.dir, s.base, logSuffix) }

// Sealed reports whether the segment takes no more appends.
func (s *Segment) Sealed() bool { return s.sealed.Load() }

// SizeBytes is the valid length of the `.log` file.
func (s *Segment) SizeBytes() int64 {
	s.tail.mu.Lock()
	defer s.tail.mu.Unlock()
	return s.tail.state.Position
}

// Header returns the segment header. A sealed segment is opened for it once.
func (s *Segment) Header() (Header, error) {
	if err := s.know(); err != nil {
		return Header{}, err
	}
	return *s.header.Load(), nil
}

// End returns where the segment ends. A sealed segment is opened for it once;
// the epoch of its end may be -1, not known.
func (s *Segment) End() (State, error) {
	if err := s.know(); err != nil {
		return State{}, err
	}
	return s.tail.end(), nil
}

// Start returns the state before the segment's first frame.
func (s *Segment) Start() (State, error) {
	h, err := s.Header()
	return h.start(), err
}

// know sees to it that header and end have been read.
func (s *Segment) know() error {
	if s.header.Load() != nil {
		return nil
	}
	f, err := s.acquire()
	if err != nil {
		return err
	}
	return f.release()
}

// acquire takes a hold on the files and opens them if need be. It returns
// ErrDropped for a deleted segment and os.ErrClosed for a closed one.
func (s *Segment) acquire() (*files, error) {
	if s.uses != nil {
		s.lastUse.Store(s.uses.Add(1))
	}
	for {
		if f := s.files.Load(); f != nil && f.tryAcquire() {
			return f, nil
		}
		if err := s.open(); err != nil {
			return nil, err
		}
	}
}

// open opens the files of a sealed segment.
func (s *Segment) open() error {
	s.mu.Lock()
	if s.files.Load() != nil {
		s.mu.Unlock()
		return nil // another reader was faster
	}
	err := s.openLocked()
	s.mu.Unlock()
	if err == nil && s.opened != nil {
		s.opened(s)
	}
	return err
}

func (s *Segment) openLocked() error {
	if s.dropped {
		return ErrDropped
	}
	if !s.sealed.Load() {
		return os.ErrClosed
	}
	f, end, err := s.openSealed()
	if err != nil {
		return err
	}
	f.holds.Store(1)
	if s.header.Swap(&f.header) == nil {
		s.tail.reset(end)
	}
	s.files.Store(f)
	return nil
}

// LastUse orders segments by their last read; ok is false when the segment
// holds no files.
func (s *Segment) LastUse() (use int64, ok bool) {
	return s.lastUse.Load(), s.files.Load() != nil
}

// Release closes the files of a sealed segment until the next use. Readers keep
// theirs to the end.
func (s *Segment) Release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sealed.Load() {
		return nil
	}
	return s.closeFilesLocked()
}

// Dropped says that Drop, Swap or Close has taken the segment away.
func (s *Segment) Dropped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// Close lets go of the files. It makes nothing durable.
func (s *Segment) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = true
	return s.closeFilesLocked()
}

func (s *Segment) closeFilesLocked() error {
	f := s.files.Swap(nil)
	if f == nil {
		return nil
	}
	s.remake = s.remake || f.index.bad.Load()
	return f.release()
}

// openLog opens the `.log` file and reads its header. torn is true when the
// file is too short for one.
func (s *Segment) openLog() (f vfs.File, size int64, head []byte, err error) {
	flag := os.O_RDWR
	if s.readOnly {
		flag = os.O_RDONLY
	}
	f, err = s.fs.OpenFile(s.Path(), flag, filePerm)
	if err != nil {
		return nil, 0, nil, err
	}
	if size, err = f.Size(); err == nil && size >= HeaderBytes {
		head = make([]byte, HeaderBytes)
		_, err = f.ReadAt(head, 0)
	}
	if err != nil {
		return nil, 0, nil, errors.Join(err, f.Close())
	}
	return f, size, head, nil
}

// checkHeader reads the header found in the file.
func (s *Segment) checkHeader(head []byte) (Header, error) {
	h, err := ParseHeader(head)
	var version *VersionError
	switch {
	case errors.As(err, &version):
		return h, &VersionError{Path: s.Path(), Version: version.Version}
	case err != nil:
		return h, s.corrupt(0, s.base, err.Error())
	case h.BaseOffset != s.base:
		return h, s.corrupt(0, s.base, "header of another segment")
	}
	return h, nil
}

func (s *Segment) corrupt(position, offset int64, reason string) error {
	return &CorruptError{Path: s.Path(), Position: position, Offset: offset, Reason: reason}
}

// openSealed opens the files of a sealed segment, and makes the index again
// when it does not end as sealing leaves it.
func (s *Segment) openSealed() (*files, State, error) {
	log, size, head, err := s.openLog()
	if err != nil {
		return nil, State{}, err
	}
	f := &files{log: log}
	end, err := s.openSealedIndex(f, size, head)
	if err != nil {
		if f.index != nil {
			err = errors.Join(err, f.index.close())
		}
		return nil, State{}, errors.Join(err, log.Close())
	}
	return f, end, nil
}

func (s *Segment) openSealedIndex(f *files, size int64, head []byte) (State, error) {
	h, err := s.checkHeader(head)
	if err != nil {
		return State{}, err
	}
	f.header, f.index = h, newIndex(s.fs, s.dir, h, s.readOnly)
	if !s.remake {
		if err := f.index.open(); err != nil {
			return State{}, err
		}
		end, ok, err := f.index.sealedEnd(size)
		if err != nil || ok {
			end.Epoch = -1
			return end, err
		}
		if err := f.index.close(); err != nil {
			return State{}, err
		}
	}
	end, err := s.remakeIndex(f, size)
	if err == nil {
		s.remake = false
	}
	return end, err
}

// remakeIndex fills the index from the frames of a sealed log file. On a full disk it is in memory, as far as it
// found no room, until the files are closed.
func (s *Segment) remakeIndex(f *files, size int64) (State, error) {
	if !s.readOnly {
		if err := errors.Join(Remove(s.fs, f.index.offsets.path), Remove(s.fs, f.index.times.path)); err != nil {
			return State{}, err
		}
	}
	end := f.header.start()
	if err := s.observeFrames(f, end, size, func(fr Frame) { end.add(fr) }); err != nil {
		return State{}, err
	}
	return end, f.index.sealIfRoom(end)
}

// observeFrames walks the frames from a state to a position, where the last one
// must end, and shows them to the index, which must be as it was at that
// state, and to visit.
func (s *Segment) observeFrames(f *files, from State, position int64, visit func(Frame)) error {
	c := s.cursor(f, from, position, walkBytes)
	defer c.close()
	for {
		before := c.state
		frame, ok, err := c.next()
		if err != nil || !ok {
			return err
		}
		f.index.observe(before, frame)
		if visit != nil {
			visit(frame)
		}
	}
}

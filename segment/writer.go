package segment

import (
	"errors"
	"os"
)

const (
	// An active file grows by doubling from preallocateMin, by preallocateMax
	// at most, so that a thousand idle partitions take little room and a busy
	// one seldom asks for more.
	preallocateMin = 64 << 10
	preallocateMax = 32 << 20
)

// writer is the state that only the writer touches.
type writer struct {
	files     *files
	allocated int64 // size of the `.log` file
	// dirty is set while bytes of a failed write may lie past the valid length.
	dirty bool
}

// Create makes the files of an empty active segment. The header is durable on
// return, the name only after the caller has synced the folder. A file left by
// an attempt that failed is replaced.
func Create(cfg Config, h Header) (*Segment, error) {
	s := newSegment(cfg, h.BaseOffset)
	for _, suffix := range []string{indexSuffix, timeSuffix} {
		if err := Remove(s.fs, path(s.dir, s.base, suffix)); err != nil {
			return nil, err
		}
	}
	log, err := s.fs.OpenFile(s.Path(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, filePerm)
	if err != nil {
		return nil, err
	}
	_, err = log.WriteAt(AppendHeader(nil, h), 0)
	if err == nil {
		err = syncFile(log)
	}
	if err != nil {
		return nil, errors.Join(err, log.Close(), Remove(s.fs, s.Path()))
	}
	f := &files{log: log, header: h, index: newIndex(s.fs, s.dir, h, false)}
	s.activate(f, h.start(), HeaderBytes)
	return s, nil
}

// activate makes the segment one that is written to, ending at end.
func (s *Segment) activate(f *files, end State, allocated int64) {
	f.holds.Store(1)
	s.w = writer{files: f, allocated: allocated}
	s.tail.reset(end)
	s.sealed.Store(false)
	s.header.Store(&f.header)
	s.files.Store(f)
}

// Room reports whether frames of n bytes in all, with offsets below next and
// raft indexes below nextRaft, can go into this segment.
func (s *Segment) Room(n, next int64, nextRaft uint64) bool {
	return s.w.files.header.room(s.tail.end().Position, n, next, nextRaft)
}

// CreatedMillis is when the active segment was created, in unix milliseconds.
func (s *Segment) CreatedMillis() int64 { return s.w.files.header.CreatedMillis }

// Append writes frames at the end. bufs are their bytes, one each, and each frame
// fits the one before: the caller has counted from End. All become
// visible to readers at once, and none is durable before Sync. After an error
// the segment is as before and takes further appends. growTo bounds how far
// ahead of need space is reserved.
func (s *Segment) Append(bufs [][]byte, frames []Frame, growTo int64) error {
	before := s.tail.end()
	end := before
	for _, f := range frames {
		end.add(f)
	}
	if err := s.reserve(before.Position, end.Position, growTo); err != nil {
		return err
	}
	if err := s.write(bufs, before.Position); err != nil {
		s.w.dirty = true
		// What went in must not be found by a recovery. Where this fails
		// too, the next append has to get it done first.
		_ = s.clean(before.Position)
		return err
	}
	state := before
	for _, f := range frames {
		s.w.files.index.observe(state, f)
		state.add(f)
	}
	s.tail.publish(bufs, frames, end)
	return nil
}

func (s *Segment) write(bufs [][]byte, position int64) error {
	var err error
	if len(bufs) == 1 {
		_, err = s.w.files.log.WriteAt(bufs[0], position)
	} else {
		_, err = s.w.files.log.WritevAt(bufs, position)
	}
	return err
}

// clean cuts the file to its valid length after a failed write.
func (s *Segment) clean(position int64) error {
	if !s.w.dirty {
		return nil
	}
	if err := s.w.files.log.Truncate(position); err != nil {
		return err
	}
	s.w.allocated, s.w.dirty = position, false
	return nil
}

// reserve sees to it that the file has room up to need.
func (s *Segment) reserve(position, need, growTo int64) error {
	if err := s.clean(position); err != nil {
		return err
	}
	have := s.w.allocated
	if need <= have {
		return nil
	}
	want := max(need, min(have+min(max(have, preallocateMin), preallocateMax), growTo))
	err := s.w.files.log.Preallocate(have, want-have)
	if err != nil && want > need {
		want = need // a disk that is nearly full may still have what is needed
		err = s.w.files.log.Preallocate(have, want-have)
	}
	if err != nil {
		return err
	}
	s.w.allocated = want
	return nil
}

// Sync makes everything appended before the call durable. An error is final:
// see vfs.File. It may run beside the writer.
func (s *Segment) Sync() error {
	f, err := s.acquire()
	if err != nil {
		return err
	}
	return errors.Join(syncFile(f.log), f.release())
}

// SyncIndex makes the index entries of everything appended before the call
// durable, so that a recovery point can stand on them, and counts those below
// the position of the state given. It may run beside the writer.
func (s *Segment) SyncIndex(at State) (offsets, times int, err error) {
	f, err := s.acquire()
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.release()) }()
	if err := errors.Join(f.index.flush(), f.index.sync()); err != nil {
		return 0, 0, err
	}
	_, i, err := f.index.offsets.floor(keyPosition, at.Position-1)
	if err != nil {
		return 0, 0, err
	}
	_, j, err := f.index.times.floor(keyTimePosition, at.Position-1)
	return i + 1, j + 1, err
}

// Trim writes the index and cuts the space reserved ahead, all durable on
// return, without sealing: what a clean close leaves.
func (s *Segment) Trim() error {
	end := s.tail.end()
	s.w.dirty = s.w.dirty || s.w.allocated > end.Position
	if err := s.clean(end.Position); err != nil {
		return err
	}
	if err := s.mendIndex(end); err != nil {
		return err
	}
	if err := s.w.files.index.finish(); err != nil {
		return err
	}
	return syncFile(s.w.files.log)
}

// mendIndex makes an index again in which a reader has met a bad entry. Readers
// beside it find fewer entries for a while, and walk further.
func (s *Segment) mendIndex(end State) error {
	if !s.w.files.index.bad.Load() {
		return nil
	}
	return s.refillIndex(s.w.files, end.Position)
}

// Seal ends the segment: no spare room, complete indexes, everything durable on
// return. After an error it is still the active one.
func (s *Segment) Seal() error {
	end := s.tail.end()
	s.w.dirty = s.w.dirty || s.w.allocated > end.Position
	if err := s.clean(end.Position); err != nil {
		return err
	}
	if err := syncFile(s.w.files.log); err != nil {
		return err
	}
	if err := s.mendIndex(end); err != nil {
		return err
	}
	if err := s.w.files.index.seal(end); err != nil {
		return err
	}
	s.tail.reset(end)
	s.sealed.Store(true)
	return nil
}

// TruncateSuffix removes everything at and above to, which is a state the
// segment once had (see Before), and makes it the active one again. It is
// durable on return. Readers must have been kept from what goes by the caller;
// one that still reads there finds its range cut short.
func (s *Segment) TruncateSuffix(to State) error {
	f, err := s.unseal()
	if err != nil {
		return err
	}
	s.tail.reset(to)
	s.w = writer{files: f, dirty: true}
	err = s.clean(to.Position)
	if err == nil {
		err = syncFile(f.log)
	}
	if err == nil {
		err = f.index.cutAt(to.Position)
	}
	if errors.Is(err, errBadIndex) {
		err = s.refillIndex(f, to.Position)
	}
	return err
}

// unseal opens the files for good.
func (s *Segment) unseal() (*files, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files.Load() == nil {
		if err := s.openLocked(); err != nil {
			return nil, err
		}
	}
	s.sealed.Store(false)
	return s.files.Load(), nil
}

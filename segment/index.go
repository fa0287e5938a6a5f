package segment

import (
	"errors"
	"sync/atomic"

	"weir/segment/vfs"
)

// index is the two index files of a segment with the rule that fills them.
// observe, cut and seal are the writer's; lookups run beside it.
type index struct {
	header  Header
	offsets entryFile
	times   entryFile
	rule    rule          // writer only
	bad     atomic.Bool   // an entry was met that is not what the writer wrote
	cuts    atomic.Uint64 // odd while entries are taken away
}

func newIndex(fsys vfs.FS, dir string, h Header, readOnly bool) *index {
	return &index{
		header:  h,
		offsets: entryFile{fs: fsys, path: path(dir, h.BaseOffset, indexSuffix), readOnly: readOnly},
		times:   entryFile{fs: fsys, path: path(dir, h.BaseOffset, timeSuffix), readOnly: readOnly},
		rule:    newRule(h),
	}
}

func (x *index) open() error  { return errors.Join(x.offsets.open(), x.times.open()) }
func (x *index) close() error { return errors.Join(x.offsets.close(), x.times.close()) }
func (x *index) sync() error  { return errors.Join(x.offsets.sync(), x.times.sync()) }
func (x *index) flush() error { return errors.Join(x.offsets.flush(), x.times.flush()) }

// finish leaves both files complete, without spare room, and synced.
func (x *index) finish() error { return errors.Join(x.offsets.finish(), x.times.finish()) }

// observe takes the next frame of the log.
func (x *index) observe(before State, f Frame) {
	o, t, hasOffset, hasTime := x.rule.observe(before, f)
	if !hasOffset {
		return
	}
	var b [entryBytes]byte
	x.offsets.add(o.append(b[:0]))
	if hasTime {
		x.times.add(t.append(b[:0]))
	}
}

// counts tells how many entries there are of each.
func (x *index) counts() (offsets, times int) { return x.offsets.count(), x.times.count() }

// seal adds the closing entries and makes everything durable. After an error
// the index is as before, with some of it perhaps written.
func (x *index) seal(end State) error {
	offsets, times := x.counts()
	x.addClosing(end)
	if err := x.finish(); err != nil {
		return errors.Join(err, x.offsets.cut(offsets), x.times.cut(times))
	}
	return nil
}

// sealIfRoom is seal for readers: what the disk has no room for stays in memory, where it serves them as well.
func (x *index) sealIfRoom(end State) error {
	x.addClosing(end)
	err := x.finish()
	var syncErr *SyncError
	if vfs.IsNoSpace(err) && !errors.As(err, &syncErr) {
		return nil
	}
	return err
}

func (x *index) addClosing(end State) {
	o, t := x.rule.sealing(end)
	var b [entryBytes]byte
	x.offsets.add(o.append(b[:0]))
	x.times.add(t.append(b[:0]))
}

// cutAt drops the entries at and above position and sets the rule to go on
// from there. What goes is durably gone on return.
func (x *index) cutAt(position int64) error {
	_, i, err := x.offsets.floor(keyPosition, position-1)
	if err != nil {
		return err
	}
	_, j, err := x.times.floor(keyTimePosition, position-1)
	if err != nil {
		return err
	}
	return x.keep(i+1, j+1)
}

// keep cuts to the first entries and sets the rule to go on after them.
func (x *index) keep(offsets, times int) error {
	x.cuts.Add(1)
	err := errors.Join(x.offsets.cut(offsets), x.times.cut(times))
	x.cuts.Add(1)
	if err != nil {
		return err
	}
	x.rule = newRule(x.header)
	x.rule.offsets, x.rule.times = offsets, times
	if offsets > 0 {
		b, err := x.offsets.nth(offsets - 1)
		if err != nil {
			return err
		}
		o, ok := parseOffsetEntry(b[:], offsets-1)
		if !ok {
			return errBadIndex
		}
		x.rule.last = int64(o.position)
	}
	if times > 0 {
		b, err := x.times.nth(times - 1)
		if err != nil {
			return err
		}
		t, ok := parseTimeEntry(b[:], times-1)
		if !ok {
			return errBadIndex
		}
		x.rule.lastTime = t
	}
	return nil
}

// errBadIndex says that an entry is not what the writer wrote. It never leaves
// the package: the frames are walked instead.
var errBadIndex = errors.New("segment: bad index entry")

// lookup finds the last entry whose k is at most target. i is -1 and the entry
// the one that the segment's first frame would have when there is none.
func (x *index) lookup(k key, target int64) (o offsetEntry, i int, err error) {
	b, i, err := x.offsets.floor(k, target)
	if err != nil || i < 0 {
		return offsetEntry{position: HeaderBytes}, -1, err
	}
	o, ok := parseOffsetEntry(b[:], i)
	if !ok {
		x.bad.Store(true)
		return offsetEntry{}, -1, errBadIndex
	}
	return o, i, nil
}

// firstRaft finds the first raft frame among the entries from i on that lie
// below position end.
func (x *index) firstRaft(i int, end int64) (o offsetEntry, found bool, err error) {
	bad := false
	err = x.offsets.walk(i, func(b [entryBytes]byte) bool {
		e, ok := parseOffsetEntry(b[:], i)
		i++
		if bad = !ok; bad || int64(e.position) >= end {
			return false
		}
		found = e.flags&flagRaft != 0
		o = e
		return !found
	})
	if bad {
		x.bad.Store(true)
		return o, false, errBadIndex
	}
	return o, found, err
}

// timeFloor gives a position below which no batch has a timestamp ≥ ts.
func (x *index) timeFloor(ts int64) (position int64, err error) {
	if ts <= 0 {
		return HeaderBytes, nil // and ts-1 may not exist
	}
	b, i, err := x.times.floor(keyTimestamp, ts-1)
	if err != nil || i < 0 {
		return HeaderBytes, err
	}
	t, ok := parseTimeEntry(b[:], i)
	if !ok {
		x.bad.Store(true)
		return 0, errBadIndex
	}
	return int64(t.position), nil
}

// sealedEnd reads the closing entries and checks them against the size of the
// log file. ok is false when the index must be made again.
func (x *index) sealedEnd(logBytes int64) (end State, ok bool, err error) {
	n, m := x.counts()
	if n == 0 || m == 0 {
		return State{}, false, nil
	}
	b, err := x.offsets.nth(n - 1)
	if err != nil {
		return State{}, false, err
	}
	c, err := x.times.nth(m - 1)
	if err != nil {
		return State{}, false, err
	}
	o, okOffset := parseOffsetEntry(b[:], n-1)
	t, okTime := parseTimeEntry(c[:], m-1)
	if !okOffset || !okTime || o.flags&flagEnd == 0 || int64(o.position) != logBytes || o.position != t.position {
		return State{}, false, nil
	}
	return State{
		Position:      logBytes,
		NextOffset:    x.header.BaseOffset + int64(o.relativeOffset),
		NextRaftIndex: x.header.BaseRaftIndex + uint64(o.relativeRaftIndex),
		MaxTimestamp:  t.maxTimestamp,
	}, true, nil
}

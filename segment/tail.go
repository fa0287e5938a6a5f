package segment

import (
	"sort"
	"sync"

	"weir/protocol/recordbatch"
)

// recentFrames is how many of the last frames are remembered, so that readers
// at the end of the log find their place without index or file. The ring grows to
// that from fewRecentFrames: a thousand idle partitions have written little.
const (
	recentFrames    = 64
	fewRecentFrames = 8
)

// tail is where a segment ends: written by the writer, read by all.
type tail struct {
	mu     sync.Mutex // held for a few loads and stores only
	state  State
	recent []recentFrame // ring, nil until the first append
	first  int           // of the oldest frame in recent
	count  int
}

type recentFrame struct {
	position, end      int64
	offset, nextOffset int64 // equal for a raft frame
	raftIndex          uint64
	standIn            bool
	head               [minHeadBytes]byte // of the frame, or all of a shorter one and zeros
}

func (t *tail) end() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// reset forgets the frames and sets the end.
func (t *tail) reset(end State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = end
	t.recent, t.first, t.count = nil, 0, 0
}

// publish makes frames visible, of which bufs are the bytes; end is the state
// after the last one.
func (t *tail) publish(bufs [][]byte, frames []Frame, end State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grow(len(frames))
	for i, f := range frames {
		r := &t.recent[(t.first+t.count)%len(t.recent)]
		*r = recentFrame{position: f.Position, end: f.End(), offset: f.Offset, nextOffset: f.NextOffset, raftIndex: f.RaftIndex, standIn: f.Removed > 0}
		copy(r.head[:], bufs[i])
		if t.count < len(t.recent) {
			t.count++
		} else {
			t.first = (t.first + 1) % len(t.recent)
		}
	}
	t.state = end
}

// grow makes room for more frames, as far as the ring may grow.
func (t *tail) grow(more int) {
	size := max(len(t.recent), fewRecentFrames)
	for size < t.count+more && size < recentFrames {
		size *= 2
	}
	if size == len(t.recent) {
		return
	}
	ring := make([]recentFrame, size)
	for i := range t.count {
		ring[i] = *t.at(i)
	}
	t.recent, t.first = ring, 0
}

func (t *tail) at(i int) *recentFrame { return &t.recent[(t.first+i)%len(t.recent)] }

// head gives the first bytes of the frame of a raft index; ok is false when it is
// not among those remembered.
func (t *tail) head(raftIndex uint64) (b [minHeadBytes]byte, f Frame, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if raftIndex >= t.state.NextRaftIndex {
		return b, f, false
	}
	i := t.before(raftIndex)
	if i < 0 {
		return b, f, false
	}
	return t.at(i).head, t.at(i).frame(), true
}

// before is the last frame that begins at or below a raft index, -1 for none.
func (t *tail) before(raftIndex uint64) int {
	return sort.Search(t.count, func(i int) bool { return t.at(i).raftIndex > raftIndex }) - 1
}

// visit shows the frames from that of a raft index on until add says false. known
// is false, and nothing shown, when the first is not among those remembered.
func (t *tail) visit(raftIndex uint64, add func(Frame) bool) (known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.before(raftIndex)
	if i < 0 || raftIndex >= t.state.NextRaftIndex {
		return false
	}
	for i < t.count && add(t.at(i).frame()) {
		i++
	}
	return true
}

func (r *recentFrame) frame() Frame {
	f, _ := parseFrame(r.head[:], r.position)
	f.RaftIndex = r.raftIndex
	return f
}

// thinned says that compaction, of whoever sent it, has taken records out of a batch.
func (r *recentFrame) thinned() bool {
	h, err := recordbatch.ParseHeader(r.head[:])
	return err == nil && h.RecordCount <= h.LastOffsetDelta
}

// find answers a read from memory. known is false when the offset lies before
// the frames remembered, in a stand-in, with which no range begins, or amid a batch
// that may have lost all records from there on. r has no file yet.
func (t *tail) find(q query) (r Range, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.count - 1
	for i >= 0 && (t.at(i).offset > q.offset || t.at(i).offset == t.at(i).nextOffset) {
		i--
	}
	if i < 0 {
		return Range{}, false
	}
	first := t.at(i)
	r = Range{FirstOffset: first.offset, NextOffset: first.offset, Position: first.position}
	if q.offset >= first.nextOffset {
		return r, true // the end of the segment
	}
	if first.standIn || first.offset < q.offset && first.thinned() {
		return Range{}, false
	}
	for ; i < t.count; i++ {
		f := t.at(i)
		if f.offset == f.nextOffset || f.nextOffset > q.limit {
			break
		}
		if f.end-r.Position > int64(q.maxBytes) && (f != first || !q.minOne) {
			break
		}
		r.Bytes, r.NextOffset = int(f.end-r.Position), f.nextOffset
	}
	return r, true
}

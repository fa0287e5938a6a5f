package log

import (
	"errors"
	"math"

	"weir/protocol/recordbatch"
	"weir/segment"
)

// rewriting is one segment of a pass.
type rewriting struct {
	*pass
	segment *segment.Segment
	copied  *segment.Rewrite // nil while nothing differs from the original
	run     run
	frame   []byte // reused: a batch that has changed
	standIn []byte // reused
	retain  []bool // reused: which records of a batch stay
}

// run is removed entries side by side that have no stand-in in the copy yet.
type run struct {
	entries int64 // 0: there is none
	before  segment.State
	base    int64
	next    int64
	epoch   int32
}

// rewrite compacts one segment. One in which nothing changes is not written.
func (p *pass) rewrite(s *segment.Segment) error {
	r := rewriting{pass: p, segment: s}
	removed := p.result.Records
	if err := r.fill(); err != nil {
		p.result.Records = removed
		if r.copied != nil {
			err = errors.Join(err, r.copied.Discard())
		}
		return p.l.failIfSync(err)
	}
	if r.copied == nil {
		return nil
	}
	before, after := s.SizeBytes(), r.copied.SizeBytes()
	if err := p.swap(s, r.copied); err != nil {
		p.result.Records = removed
		return err
	}
	p.result.Segments++
	p.result.BytesBefore += before
	p.result.BytesAfter += after
	return nil
}

// fill makes the copy, if there is to be one.
func (r *rewriting) fill() error {
	for c, err := range r.segment.Contents(r.segment.BaseOffset()) {
		if err == nil {
			err = r.check(c.Bytes)
		}
		if err == nil {
			err = r.add(c)
		}
		if err != nil {
			return err
		}
	}
	if err := r.endRun(); err != nil || r.copied == nil {
		return err
	}
	return r.copied.Finish()
}

// add takes the next frame of the original.
func (r *rewriting) add(c segment.Content) error {
	if c.Kind.Raft() || c.Offset >= r.end {
		return r.same(c)
	}
	h, err := recordbatch.ParseHeader(c.Data)
	if err != nil {
		return err
	}
	if c.Removed > 0 {
		return r.addStandIn(c, h)
	}
	if h.IsControl() {
		return r.addMarker(c, h)
	}
	kept, tombstones, err := r.pick(c, h)
	if err != nil {
		return err
	}
	if kept > 0 && h.IsTransactional() {
		r.live[h.ProducerID] = true
	}
	if _, has := h.DeleteHorizon(); tombstones && !has {
		h = h.WithDeleteHorizon(r.horizon())
	} else if kept == len(r.retain) {
		return r.same(c)
	}
	if kept == 0 && c.NextOffset == r.logEnd {
		return r.same(c) // without a record at its end nobody reads the log to its end
	}
	r.result.Records += int64(len(r.retain) - kept)
	if kept > 0 {
		r.frame, err = recordbatch.AppendRetained(r.frame[:0], c.Data, h, func(place int) bool { return r.retain[place] })
		if err != nil {
			return err
		}
		return r.instead(c)
	}
	if r.keeps(h) {
		h.Attributes, h.BaseTimestamp, h.MaxTimestamp = 0, 1, -1
		r.frame = recordbatch.AppendEmpty(r.frame[:0], h)
		return r.instead(c)
	}
	return r.remove(c, 1)
}

// addMarker decides about the end of a transaction. It stays as long as there are records that
// it ends, and then for as long as a tombstone: who has read those has to meet it.
func (r *rewriting) addMarker(c segment.Content, h recordbatch.Header) (err error) {
	live := r.live[h.ProducerID]
	delete(r.live, h.ProducerID)
	horizon, has := h.DeleteHorizon()
	switch {
	case live || r.keeps(h) || c.NextOffset == r.logEnd || has && r.now < horizon:
		return r.same(c)
	case has:
		r.result.Records++
		return r.remove(c, 1)
	}
	r.frame, err = recordbatch.AppendRetained(r.frame[:0], c.Data, h.WithDeleteHorizon(r.horizon()), func(int) bool { return true })
	if err != nil {
		return err
	}
	return r.instead(c)
}

// keeps says whether a batch leaves its header behind for its producer.
func (p *pass) keeps(h recordbatch.Header) bool { return h.ProducerID >= 0 && p.judge.KeepsHeader(h) }

// aborted says whether a batch is of a transaction that was aborted.
func (p *pass) aborted(h recordbatch.Header) bool {
	return h.IsTransactional() && p.judge.Aborted(h)
}

// addStandIn takes what an earlier pass has left.
func (r *rewriting) addStandIn(c segment.Content, h recordbatch.Header) error {
	switch {
	case r.keeps(h):
		return r.same(c)
	case h.ProducerID >= 0:
		return r.remove(c, int64(c.Removed))
	}
	return r.extend(c, int64(c.Removed))
}

// pick decides about each record of a batch, in retain, counts those that stay
// and says whether there are tombstones among them.
func (r *rewriting) pick(c segment.Content, h recordbatch.Header) (kept int, tombstones bool, err error) {
	horizon, has := h.DeleteHorizon()
	buried := has && r.now >= horizon // every tombstone in it has been seen long enough
	aborted := r.aborted(h)
	r.retain = r.retain[:0]
	for record, err := range recordbatch.Records(c.Data, math.MaxInt) {
		if err != nil {
			return 0, false, err
		}
		stays := record.Key != nil && !(record.Value == nil && buried) && !aborted
		if stays {
			last, ok := r.keys.last(record.Key)
			stays = !ok || last <= record.Offset
		}
		if stays {
			kept++
			tombstones = tombstones || record.Value == nil
		}
		r.retain = append(r.retain, stays)
	}
	return kept, tombstones, nil
}

// horizon is when tombstones that are met now may go.
func (r *rewriting) horizon() int64 {
	if r.now > math.MaxInt64-r.DeleteRetentionMillis {
		return math.MaxInt64
	}
	return r.now + r.DeleteRetentionMillis
}

// same has the copy take the frame as it is.
func (r *rewriting) same(c segment.Content) error {
	if err := r.endRun(); err != nil || r.copied == nil {
		return err
	}
	return r.copied.Append(c.Data)
}

// instead has the copy take r.frame in the frame's place.
func (r *rewriting) instead(c segment.Content) error {
	err := r.endRun()
	if err == nil {
		err = r.differ(c.Before)
	}
	if err != nil {
		return err
	}
	return r.copied.Append(r.frame)
}

// remove leaves the frame, of n entries, out of the copy.
func (r *rewriting) remove(c segment.Content, n int64) error {
	if err := r.extend(c, n); err != nil {
		return err
	}
	return r.differ(r.run.before)
}

// differ begins the copy, unless there is one, from where it differs.
func (r *rewriting) differ(from segment.State) (err error) {
	if r.copied == nil {
		r.meter.Plan(from.Position)
		r.copied, err = r.segment.Rewrite(from, r.moved)
	}
	return err
}

// extend adds the frame, of n entries, to the run.
func (r *rewriting) extend(c segment.Content, n int64) error {
	if r.run.entries > 0 && (c.Epoch != r.run.epoch || c.NextOffset-1-r.run.base > math.MaxInt32 || r.run.entries+n > math.MaxInt32) {
		if err := r.endRun(); err != nil {
			return err
		}
	}
	if r.run.entries == 0 {
		r.run = run{before: c.Before, base: c.Offset, epoch: c.Epoch}
	}
	r.run.entries += n
	r.run.next = c.NextOffset
	return nil
}

// endRun puts the run's stand-in into the copy. As long as there is none, the run
// is made of stand-ins only, and they will be taken over as they are.
func (r *rewriting) endRun() error {
	run := r.run
	r.run.entries = 0
	if run.entries == 0 || r.copied == nil {
		return nil
	}
	r.standIn = segment.AppendStandIn(r.standIn[:0], run.base, run.next, run.epoch, int32(run.entries))
	return r.copied.Append(r.standIn)
}

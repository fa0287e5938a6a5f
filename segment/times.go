package segment

import "errors"

// FirstAtOrAfter returns the first batch from position on whose largest
// timestamp is ts (unix milliseconds) or more and which ends at or below limit;
// ok is false when there is none. Start with position 0; to go on after a
// batch, give its End.
func (s *Segment) FirstAtOrAfter(ts, position, limit int64) (batch Frame, ok bool, err error) {
	f, err := s.acquire()
	if err != nil {
		return Frame{}, false, err
	}
	defer func() { err = errors.Join(err, f.release()) }()
	from, err := s.seekTime(f, ts, position)
	if err != nil {
		return Frame{}, false, err
	}
	c := s.cursor(f, from, s.tail.end().Position, walkBytes)
	defer c.close()
	for c.state.NextOffset < limit {
		frame, ok, err := c.next()
		if err != nil || !ok || frame.NextOffset > limit {
			return Frame{}, false, err
		}
		if frame.Kind == KindBatch && frame.Removed == 0 && frame.MaxTimestamp >= ts && frame.Position >= position {
			return frame, true, nil
		}
	}
	return Frame{}, false, nil
}

// seekTime gives a state before the first frame at or above position with a
// timestamp of ts or more.
func (s *Segment) seekTime(f *files, ts, position int64) (State, error) {
	floor, err := f.index.timeFloor(ts)
	if errors.Is(err, errBadIndex) {
		floor, err = HeaderBytes, nil
	}
	if err != nil {
		return State{}, err
	}
	return s.seek(f, keyPosition, max(floor, position))
}

// MaxTimestamp returns the largest timestamp of the batches that end at or
// below limit, -1 for none.
func (s *Segment) MaxTimestamp(limit int64) (ts int64, err error) {
	f, err := s.acquire()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.release()) }()
	end := s.tail.end()
	if limit >= end.NextOffset {
		return end.MaxTimestamp, nil
	}
	from, err := s.seekMax(f, limit)
	if err != nil {
		return 0, err
	}
	c := s.cursor(f, from, end.Position, walkBytes)
	defer c.close()
	for c.state.NextOffset < limit {
		frame, ok, err := c.peek()
		if err != nil || !ok || frame.NextOffset > limit {
			return c.state.MaxTimestamp, err
		}
		c.state.add(frame)
	}
	return c.state.MaxTimestamp, nil
}

// seekMax gives a state at or below limit that knows its largest timestamp.
func (s *Segment) seekMax(f *files, limit int64) (State, error) {
	below, err := s.seek(f, keyOffset, limit-s.base)
	if err != nil {
		return State{}, err
	}
	b, i, err := f.index.times.floor(keyTimePosition, below.Position)
	if err != nil || i < 0 {
		return f.header.start(), err
	}
	t, ok := parseTimeEntry(b[:], i)
	if !ok {
		f.index.bad.Store(true)
		return f.header.start(), nil
	}
	state, err := s.seek(f, keyPosition, int64(t.position))
	if err != nil || state.Position != int64(t.position) {
		return f.header.start(), err
	}
	state.MaxTimestamp = t.maxTimestamp
	return state, nil
}

// FirstTimestamp is the largest timestamp of the segment's first batch, from the one that holds offset on, that has
// one, by which its age is told, as Kafka does; -1 when there is none. What compaction has emptied has none.
func (s *Segment) FirstTimestamp(offset int64) (ts int64, err error) {
	f, err := s.acquire()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.release()) }()
	end := s.tail.end()
	if end.MaxTimestamp < 0 {
		return noTimestamp, nil
	}
	from := f.header.start()
	if offset > s.base {
		if from, err = s.seek(f, keyOffset, offset-s.base); err != nil {
			return noTimestamp, err
		}
	}
	c := s.cursor(f, from, end.Position, lookupBytes)
	defer c.close()
	for {
		frame, ok, err := c.seekOffset(offset)
		if err != nil || !ok {
			return noTimestamp, err
		}
		if frame.MaxTimestamp >= 0 {
			return frame.MaxTimestamp, nil
		}
		c.state.add(frame)
	}
}

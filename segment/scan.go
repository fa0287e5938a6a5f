package segment

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// scanBytes is how much a scan reads at once. Frames may be larger: their CRC
// is computed in pieces, so a scan's memory does not depend on the data.
const scanBytes = 256 << 10

// minRunWork is what looking at one place costs at least, in bytes checked.
const minRunWork = 1 << 10

// scanner reads frames that are not known to be there and checks all of each.
type scanner struct {
	log   io.ReaderAt
	size  int64 // of the file
	state State // before the next frame
	buf   []byte
	at    int64 // position of buf
	n     int
}

func newScanner(log io.ReaderAt, size int64, from State) *scanner {
	return &scanner{log: log, size: size, state: from, buf: make([]byte, scanBytes)}
}

// next returns the next frame if it is whole and fits. Otherwise reason says
// what is wrong, or is empty at the end of the file. err is an error of reading.
func (s *scanner) next() (f Frame, reason string, err error) {
	if s.state.Position == s.size {
		return Frame{}, "", nil
	}
	f, reason, err = s.frameAt(s.state.Position)
	if reason == "" && err == nil {
		reason = s.state.fits(f)
	}
	if reason != "" || err != nil {
		return Frame{}, reason, err
	}
	f.RaftIndex = s.state.NextRaftIndex
	s.state.add(f)
	return f, "", nil
}

// frameAt reads and checks the frame at position by itself.
func (s *scanner) frameAt(position int64) (f Frame, reason string, err error) {
	head, err := s.bytes(position, minHeadBytes)
	if err != nil {
		return Frame{}, "", err
	}
	f, reason = parseFrame(head, position)
	switch {
	case reason != "":
		return f, reason, nil
	case f.End() > s.size:
		return f, "frame goes past the end of the file", nil
	}
	want := binary.BigEndian.Uint32(head[17:])
	got, err := s.checksum(position+prefixBytes, f.End())
	if err == nil && got != want {
		reason = "CRC does not match"
	}
	return f, reason, err
}

func (s *scanner) checksum(from, to int64) (uint32, error) {
	crc := uint32(0)
	for from < to {
		b, err := s.bytes(from, 1)
		if err != nil {
			return 0, err
		}
		b = b[:min(int64(len(b)), to-from)]
		crc = crc32.Update(crc, castagnoli, b)
		from += int64(len(b))
	}
	return crc, nil
}

// bytes returns what the buffer holds from position on, at least n bytes of it
// unless the file ends before that. They are valid until the next call.
func (s *scanner) bytes(position int64, n int) ([]byte, error) {
	if position < s.at || position+int64(n) > s.at+int64(s.n) {
		got, err := s.log.ReadAt(s.buf[:min(int64(len(s.buf)), s.size-position)], position)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		s.at, s.n = position, got
		if got == 0 {
			return nil, io.ErrUnexpectedEOF // the file shrinks while it is read
		}
	}
	return s.buf[position-s.at : s.n], nil
}

// lastData returns the position one past the last byte from position on that is
// not zero, or position.
func (s *scanner) lastData(position int64) (int64, error) {
	last := position
	for position < s.size {
		b, err := s.bytes(position, 1)
		if err != nil {
			return 0, err
		}
		for i := len(b) - 1; i >= 0; i-- {
			if b[i] != 0 {
				last = position + int64(i) + 1
				break
			}
		}
		position += int64(len(b))
	}
	return last, nil
}

// later looks for a run of whole frames after a bad one at the state's
// position: a run that reaches the end of the data, lastData, proves that the
// bad frame is damage in the middle and not an append cut short. A run inside
// the bad frame, such as a batch that somebody sent as a record's value, ends
// before that. found is its position. The work is bounded by a multiple of the
// bytes looked at; when the bound is hit, damage is assumed.
func (s *scanner) later(lastData int64) (found int64, ok bool, err error) {
	const workFactor, workFree = 8, 1 << 20
	budget := (lastData-s.state.Position)*workFactor + workFree
	for p := s.state.Position + 1; p+prefixBytes <= lastData; p++ {
		head, err := s.bytes(p, minHeadBytes)
		if err != nil {
			return 0, false, err
		}
		if !s.plausible(head, p) {
			continue
		}
		end, work, err := s.run(p)
		if err != nil {
			return 0, false, err
		}
		budget -= work
		if end >= lastData || budget < 0 {
			return p, true, nil
		}
	}
	return 0, false, nil
}

// plausible is the cheap part of the check: could a later frame begin so?
func (s *scanner) plausible(head []byte, position int64) bool {
	if len(head) < prefixBytes || head[16] != 2 && head[16] != ownMagic {
		return false
	}
	f, reason := parseFrame(head, position)
	return reason == "" && f.End() <= s.size && f.Offset >= s.state.NextOffset && f.Epoch >= s.state.Epoch
}

// run follows whole frames from position on and returns where they end and how
// many bytes were checked.
func (s *scanner) run(position int64) (end, work int64, err error) {
	end = position
	var at *State
	for end < s.size {
		f, reason, err := s.frameAt(end)
		if err != nil {
			return 0, 0, err
		}
		work += max(min(f.Bytes, s.size-end), minRunWork)
		if reason != "" || at != nil && (f.Offset != at.NextOffset || f.Epoch < at.Epoch) {
			break
		}
		at = &State{NextOffset: f.NextOffset, Epoch: f.Epoch}
		end = f.End()
	}
	return end, work, nil
}

package recordbatch

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"sync"
)

// DefaultMaxDecodedBytes is what a batch may decompress to when the caller does
// not say; a batch of no codec is bounded by its own size.
const DefaultMaxDecodedBytes = 16 << 20

// MaxRecordHeaders bounds the headers of one record. Kafka has no such limit;
// without one a small compressed record decodes into millions of them.
const MaxRecordHeaders = 1 << 16

// windowBytes is how much decompressed data is held at a time.
const windowBytes = 32 << 10

var (
	errTooMuch = errors.New("decompressed records pass the limit")
	errShort   = errors.New("records end too early")
)

// scanner walks records, either over all of their bytes (source is nil) or over
// a window on what a source decompresses.
type scanner struct {
	buf       []byte
	pos, end  int
	discarded int // bytes that went by before buf[0]
	source    source
	window    *[]byte // the pool's, buf at first
	limit     int     // of decompressed bytes
	whole     bool
}

// span is a range of the scanner's buf; size is -1 for null.
type span struct {
	pos, size int
}

// fields is one record as found by the scanner. The spans hold until the next
// record, and with a source only if the scanner keeps records whole.
type fields struct {
	timestampDelta int64
	offsetDelta    int32
	key, value     span
	headers        int
	headersPos     int
}

// windows recycles the buffers of scanners with a source.
var windows = sync.Pool{New: func() any { b := make([]byte, windowBytes); return &b }}

// open starts on the records of a batch of codec c; whole makes every record
// contiguous in buf. release has to be called when open succeeds.
func (s *scanner) open(records []byte, c Codec, limit int, whole bool) error {
	if c == CodecNone {
		s.buf, s.end = records, len(records)
		return nil
	}
	if !c.Known() {
		return &UnsupportedCodecError{Codec: c}
	}
	if limit <= 0 {
		limit = DefaultMaxDecodedBytes
	}
	s.limit, s.whole = limit, whole
	s.source = sources[c].Get().(source)
	s.window = windows.Get().(*[]byte)
	s.buf = *s.window
	if err := s.source.reset(records, limit); err != nil {
		s.release(c)
		return s.failure(err)
	}
	return nil
}

// release gives source and window back, but not what was made for a record that
// is larger than the window.
func (s *scanner) release(c Codec) {
	if s.source == nil {
		return
	}
	// The error, if any, is that of the input before.
	_ = s.source.reset(nil, 0)
	sources[c].Put(s.source)
	windows.Put(s.window)
	s.source, s.window, s.buf = nil, nil, nil
}

func (s *scanner) failure(err error) error {
	switch {
	case errors.Is(err, errTooMuch):
		return &TooLargeError{SizeBytes: s.limit + 1, MaxBytes: s.limit, Decoded: true}
	case errors.Is(err, errShort):
		return invalidf("records end at byte %d, before the record count is reached", s.discarded+s.end)
	default:
		return invalidf("records do not decompress: %v", err)
	}
}

// offset is the number of record bytes before the position.
func (s *scanner) offset() int { return s.discarded + s.pos }

// more reads until n bytes are there or, with errShort, all that is left. Positions
// found before no longer hold.
func (s *scanner) more(n int) error {
	if s.source == nil {
		return errShort
	}
	copy(s.buf, s.buf[s.pos:s.end])
	s.discarded += s.pos
	s.end -= s.pos
	s.pos = 0
	if n > len(s.buf) {
		if n > s.limit-s.discarded {
			return errTooMuch
		}
		grown := make([]byte, max(n, 2*len(s.buf)))
		copy(grown, s.buf[:s.end])
		s.buf = grown
	}
	for idle := 0; s.end < n; {
		read, err := s.source.Read(s.buf[s.end:])
		s.end += read
		switch {
		case s.discarded+s.end > s.limit:
			return errTooMuch
		case err == io.EOF && s.end < n:
			return errShort
		case err != nil && err != io.EOF:
			return err
		case read > 0:
			idle = 0
		default:
			if idle++; idle > 100 {
				return io.ErrNoProgress
			}
		}
	}
	return nil
}

// atEnd reports whether nothing follows; it also makes the source check what it
// has at its end, such as a checksum.
func (s *scanner) atEnd() (bool, error) {
	if s.pos < s.end {
		return false, nil
	}
	switch err := s.more(1); err {
	case nil:
		return false, nil
	case errShort:
		return true, nil
	default:
		return false, err
	}
}

// varint reads a zigzag varint of up to 64 bits.
func (s *scanner) varint() (int64, error) {
	if s.pos < s.end && s.buf[s.pos] < 0x80 {
		v := s.buf[s.pos]
		s.pos++
		return int64(v>>1) ^ -int64(v&1), nil
	}
	v, n := binary.Varint(s.buf[s.pos:s.end])
	if n == 0 {
		// Fewer bytes than a varint can have may be all that is left.
		if err := s.more(binary.MaxVarintLen64); err != nil && err != errShort {
			return 0, err
		}
		v, n = binary.Varint(s.buf[s.pos:s.end])
	}
	switch {
	case n > 0:
		s.pos += n
		return v, nil
	case n == 0:
		return 0, errShort
	default:
		return 0, errors.New("varint has more than 64 bits")
	}
}

// varint32 reads a varint that has to fit 32 bits.
func (s *scanner) varint32() (int, error) {
	v, err := s.varint()
	if err == nil && (v < math.MinInt32 || v > math.MaxInt32) {
		err = errors.New("varint has more than 32 bits")
	}
	return int(v), err
}

// skip passes n bytes, reading them away if they are not in the window.
func (s *scanner) skip(n int) error {
	for n > s.end-s.pos {
		n -= s.end - s.pos
		s.pos = s.end
		if err := s.more(1); err != nil {
			return err
		}
	}
	s.pos += n
	return nil
}

package wire

import (
	"encoding/binary"
	"io"
)

const (
	sizePrefixBytes  = 4
	fixedHeaderBytes = 8  // API key, version, correlation id
	minFrameBytes    = 10 // the same and a null client id
	maxFrameBytes    = 256 << 20

	// readBufferBytes is what an idle connection keeps for its next request.
	// Most requests other than Produce fit, so that they cost one read.
	readBufferBytes = 512

	// A frame gets firstStepBytes on its word, or as much as the connection has
	// lately delivered in one frame, up to maxTrustBytes; from there its memory
	// doubles as bytes arrive.
	// The largest that is trusted is well above a batch of the default largest
	// size with its header: growing at its end would copy all of it.
	firstStepBytes = 16 << 10
	maxTrustBytes  = largestClassBytes
)

// frameHost is what the frame reader asks of its connection.
type frameHost interface {
	waiting()                        // the next read waits for a new request
	started()                        // the first byte of a request is here
	received(n int)                  // n bytes were read from the socket
	limit(key int16) int             // bytes of a frame of this API; <= 0: unknown API
	admit(size int) error            // waits until the connection may have one more request
	reserve(l *lease, n int64) error // waits for room in the budget
}

// frameReader cuts requests out of a byte stream. It takes memory as bytes
// arrive, never on the word of a size field.
type frameReader struct {
	src        io.Reader
	arena      *arena
	trust      int // bytes, see firstStepBytes
	start, end int // unread part of buf
	buf        [readBufferBytes]byte
}

// next reads one frame. The request it returns has one reference and its
// header not yet parsed.
//
// Errors: io.EOF when the peer closed between two frames; io.ErrUnexpectedEOF
// when it closed within one; *FrameError, *ForeignProtocolError; errors of
// the source and the host.
func (f *frameReader) next(h frameHost) (*Request, error) {
	if f.start == f.end {
		h.waiting()
		if err := f.fill(h); err != nil {
			return nil, err
		}
	}
	h.started()
	if err := f.need(h, sizePrefixBytes); err != nil {
		return nil, err
	}
	size := int64(int32(binary.BigEndian.Uint32(f.buf[f.start:])))
	if err := f.checkSize(size); err != nil {
		return nil, err
	}
	if err := f.need(h, sizePrefixBytes+fixedHeaderBytes); err != nil {
		return nil, err
	}
	limit := h.limit(int16(binary.BigEndian.Uint16(f.buf[f.start+sizePrefixBytes:])))
	if limit <= 0 {
		return nil, &FrameError{Reason: "unknown API key", SizeBytes: size}
	}
	if size > int64(limit) {
		return nil, &FrameError{Reason: "too large for its API", SizeBytes: size, LimitBytes: int64(limit)}
	}
	if err := h.admit(int(size)); err != nil {
		return nil, err
	}
	f.start += sizePrefixBytes
	r := f.arena.newRequest()
	r.frameSize = int(size)
	if err := f.body(h, r); err != nil {
		r.Release()
		return nil, err
	}
	f.trust = max(r.frameSize, f.trust-f.trust/8)
	return r, nil
}

// checkSize refuses what no API may send, and says so when the four bytes are
// the start of another protocol.
func (f *frameReader) checkSize(size int64) error {
	switch {
	case size < 0:
		return &FrameError{Reason: "negative size", SizeBytes: size}
	case size > maxFrameBytes:
		if p := foreignProtocol([sizePrefixBytes]byte(f.buf[f.start:])); p != "" {
			return &ForeignProtocolError{Protocol: p}
		}
		return &FrameError{Reason: "too large", SizeBytes: size, LimitBytes: maxFrameBytes}
	case size < minFrameBytes:
		return &FrameError{Reason: "too short for a request header", SizeBytes: size}
	}
	return nil
}

// foreignProtocol names the protocol whose opening these bytes are. Read as a
// size they all stand for more than maxFrameBytes.
func foreignProtocol(first [sizePrefixBytes]byte) string {
	if first[0] == 0x16 && first[1] == 0x03 {
		return "TLS"
	}
	switch string(first[:]) {
	case "GET ", "POST", "PUT ", "HEAD", "DELE", "OPTI", "PATC", "CONN", "TRAC", "PRI ":
		return "HTTP"
	}
	return ""
}

// body fills the frame of r: first from the read buffer, then straight from
// the source.
func (f *frameReader) body(h frameHost, r *Request) error {
	have := 0
	for have < r.frameSize {
		if r.frame == nil || have == len(r.frame.b) {
			if err := f.grow(h, r, have); err != nil {
				return err
			}
		}
		room := r.frame.b[have:min(len(r.frame.b), r.frameSize)]
		// A short rest goes through the read buffer, which takes what is
		// pipelined behind it in the same read.
		if f.start == f.end && len(room) < readBufferBytes/2 {
			if err := f.fill(h); err != nil {
				return unexpected(err)
			}
		}
		if f.start < f.end {
			n := copy(room, f.buf[f.start:f.end])
			f.start += n
			have += n
			continue
		}
		n, err := f.read(h, r.frame.b[have:min(len(r.frame.b), r.frameSize+readBufferBytes)])
		if over := have + n - r.frameSize; over > 0 { // the start of the next request, for which there was room
			f.start, f.end = 0, copy(f.buf[:], r.frame.b[r.frameSize:have+n])
			n -= over
		}
		have += n
		if err != nil && have < r.frameSize {
			return unexpected(err)
		}
	}
	return nil
}

// grow gives r its first step of memory or doubles it, keeping have bytes.
func (f *frameReader) grow(h frameHost, r *Request, have int) error {
	step := 2 * have
	if have == 0 {
		step = max(firstStepBytes, min(f.trust, maxTrustBytes))
	}
	step = min(step, r.frameSize)
	_, capacity := classOf(step)
	if err := h.reserve(&r.lease, int64(capacity)); err != nil {
		return err
	}
	grown := getBuffer(step)
	if old := r.frame; old != nil {
		copy(grown.b, old.b[:have])
		putBuffer(old)
		f.arena.budget.give(&r.lease, int64(len(old.b)))
	}
	r.frame = grown
	return nil
}

// need reads until n bytes of the current request are in the read buffer.
func (f *frameReader) need(h frameHost, n int) error {
	for f.end-f.start < n {
		if f.start+n > len(f.buf) {
			f.end = copy(f.buf[:], f.buf[f.start:f.end])
			f.start = 0
		}
		got, err := f.read(h, f.buf[f.end:])
		f.end += got
		if err != nil && got == 0 {
			return unexpected(err)
		}
	}
	return nil
}

// fill reads once into the empty read buffer.
func (f *frameReader) fill(h frameHost) error {
	f.start, f.end = 0, 0
	n, err := f.read(h, f.buf[:])
	f.end = n
	if n > 0 {
		return nil // an error comes back with the next read
	}
	return err
}

func (f *frameReader) read(h frameHost, b []byte) (int, error) {
	n, err := f.src.Read(b)
	if n > 0 {
		h.received(n)
	} else if err == nil {
		err = io.ErrNoProgress
	}
	return n, err
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

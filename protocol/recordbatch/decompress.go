package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// source decompresses the records of one batch after another. Sources are
// pooled: their windows are by far the most costly part of a small batch.
type source interface {
	io.Reader
	// reset starts on new input, of which no reference may be kept after
	// reset(nil). limit is how many bytes the reader will ask for at most.
	reset(src []byte, limit int) error
}

var sources = [...]sync.Pool{
	CodecGzip:   {New: func() any { return &gzipSource{} }},
	CodecSnappy: {New: func() any { return &snappySource{} }},
	CodecLZ4:    {New: func() any { return &lz4Source{} }},
	CodecZstd:   {New: func() any { return &zstdSource{} }},
}

var (
	errSnappy = errors.New("broken snappy data")
	errLZ4    = errors.New("not an lz4 frame of version 1 with independent blocks")
)

// gzipSource reads one gzip member or several in a row.
type gzipSource struct {
	in bytes.Reader
	r  gzip.Reader
}

func (g *gzipSource) reset(src []byte, _ int) error {
	g.in.Reset(src)
	if src == nil {
		return nil
	}
	return g.r.Reset(&g.in)
}

func (g *gzipSource) Read(p []byte) (int, error) { return g.r.Read(p) }

// lz4Source reads lz4 frames on the caller's goroutine. What Java's reader refuses is refused here too,
// since a stored batch has to be readable by every consumer.
type lz4Source struct {
	in bytes.Reader
	r  *lz4.Reader
}

const (
	lz4Magic           = 0x184D2204
	lz4MinBytes        = 7
	lz4VersionMask     = 0xC0
	lz4Version1        = 0x40
	lz4IndependentFlag = 0x20
)

func (l *lz4Source) reset(src []byte, _ int) error {
	if l.r == nil {
		l.r = lz4.NewReader(nil)
	}
	l.in.Reset(src)
	l.r.Reset(&l.in)
	if src == nil {
		return nil
	}
	if len(src) < lz4MinBytes || binary.LittleEndian.Uint32(src) != lz4Magic ||
		src[4]&lz4VersionMask != lz4Version1 || src[4]&lz4IndependentFlag == 0 {
		return errLZ4
	}
	return nil
}

func (l *lz4Source) Read(p []byte) (int, error) { return l.r.Read(p) }

// zstdWindowBytes bounds the history a zstd frame may ask for. Frames of the
// highest levels announce up to 128 MiB whatever their content is; their window
// is lowered, so they fail only if they really refer back that far.
const zstdWindowBytes = 8 << 20

// zstdSource reads zstd frames on the caller's goroutine.
type zstdSource struct {
	in zstdInput
	d  *zstd.Decoder
}

func (z *zstdSource) reset(src []byte, _ int) (err error) {
	if z.d == nil {
		z.d, err = zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindowBytes), zstd.WithDecodeBuffersBelow(0))
		if err != nil {
			return err
		}
	}
	z.in.reset(src)
	if src == nil {
		return z.d.Reset(nil)
	}
	return z.d.Reset(&z.in)
}

func (z *zstdSource) Read(p []byte) (int, error) { return z.d.Read(p) }

// zstdInput is the compressed bytes with the window of the first frame lowered
// to zstdWindowBytes; the bytes themselves stay as they are.
type zstdInput struct {
	head [zstdHeadBytes]byte
	src  []byte
	pos  int
}

const (
	zstdMagic         = 0xFD2FB528
	zstdHeadBytes     = 6 // magic, frame header descriptor, window descriptor
	zstdSingleSegment = 0x20
	// zstdWindowCode describes zstdWindowBytes: 2^(10+13), no eighths added.
	zstdWindowCode = 13 << 3
)

func (z *zstdInput) reset(src []byte) {
	z.src, z.pos = src, 0
	n := copy(z.head[:], src)
	if n == zstdHeadBytes && binary.LittleEndian.Uint32(src) == zstdMagic &&
		src[4]&zstdSingleSegment == 0 && src[5] > zstdWindowCode {
		z.head[5] = zstdWindowCode
	}
}

func (z *zstdInput) Read(p []byte) (int, error) {
	if z.pos >= len(z.src) {
		return 0, io.EOF
	}
	n := 0
	if head := min(zstdHeadBytes, len(z.src)); z.pos < head {
		n = copy(p, z.head[z.pos:head])
	} else {
		n = copy(p, z.src[z.pos:])
	}
	z.pos += n
	return n, nil
}

// snappySource reads one bare snappy block, or blocks in the xerial framing, each
// behind its size.
type snappySource struct {
	src    []byte
	framed bool
	limit  int
	buf    []byte // room for one decoded block
	block  []byte // what is left of it to read
}

// maxSnappyRatio bounds what a snappy block can decode to: its best element makes
// 64 bytes out of 3. keepSnappyBytes is the largest buffer worth keeping.
const (
	maxSnappyRatio  = 22
	keepSnappyBytes = 1 << 20
)

func (s *snappySource) reset(src []byte, limit int) error {
	s.src, s.block, s.limit = src, nil, limit
	s.framed = len(src) >= len(xerialHeader) && bytes.Equal(src[:8], xerialHeader[:8])
	if s.framed {
		s.src = src[len(xerialHeader):]
	}
	if cap(s.buf) > keepSnappyBytes {
		s.buf = nil
	}
	return nil
}

func (s *snappySource) Read(p []byte) (int, error) {
	for len(s.block) == 0 {
		if len(s.src) == 0 {
			return 0, io.EOF
		}
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.block)
	s.block = s.block[n:]
	return n, nil
}

// next decodes the next block, but none that is larger than the reader may ask for.
func (s *snappySource) next() error {
	in := s.src
	s.src = nil
	if s.framed {
		if len(in) < 4 {
			return errSnappy
		}
		n := binary.BigEndian.Uint32(in)
		if uint64(n) > uint64(len(in)-4) {
			return errSnappy
		}
		in, s.src = in[4:4+n], in[4+n:]
	}
	size, err := snappy.DecodedLen(in)
	if err != nil || size > maxSnappyRatio*len(in) {
		return errSnappy
	}
	if size > s.limit {
		return errTooMuch
	}
	if size > cap(s.buf) {
		s.buf = make([]byte, max(size, xerialBlockBytes))
	}
	s.block, err = snappy.DecodeStrict(s.buf[:0], in)
	return err
}

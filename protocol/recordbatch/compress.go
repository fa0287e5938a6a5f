package recordbatch

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// xerialHeader opens the framing that Java clients wrap around snappy blocks:
// a magic, then version 1 and lowest compatible version 1.
var xerialHeader = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}

const xerialBlockBytes = 32 << 10

// Compression is a codec with its level, in the codec's own numbers; snappy has
// none. DefaultLevel stands for the codec's default.
type Compression struct {
	Codec Codec
	Level int
}

// DefaultLevel is below every codec's range.
const DefaultLevel = math.MinInt32

// appendCompressed appends records, compressed, to dst. Snappy comes in the
// xerial framing, which every client reads.
func appendCompressed(dst []byte, c Compression, records []byte) ([]byte, error) {
	if c.Codec == CodecNone {
		return dst, &UnsupportedCodecError{Codec: c.Codec}
	}
	out := bytes.NewBuffer(dst)
	if err := compress(out, c, bytes.NewReader(records)); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

// compress writes what src holds, as it comes: neither it nor the result is in memory as a whole.
func compress(out io.Writer, c Compression, src io.Reader) error {
	w, err := compressor(out, c)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, src); err != nil {
		return err
	}
	return w.Close()
}

func compressor(out io.Writer, c Compression) (io.WriteCloser, error) {
	set := c.Level != DefaultLevel
	switch c.Codec {
	case CodecNone:
		return plainWriter{out}, nil
	case CodecSnappy:
		_, err := out.Write(xerialHeader)
		return &xerialWriter{out: out}, err
	case CodecGzip:
		if !set {
			c.Level = gzip.DefaultCompression
		}
		return gzip.NewWriterLevel(out, c.Level)
	case CodecLZ4:
		w := lz4.NewWriter(out)
		options := []lz4.Option{lz4.BlockSizeOption(lz4.Block64Kb), lz4.ConcurrencyOption(1)}
		if set {
			options = append(options, lz4.CompressionLevelOption(lz4Levels[min(max(c.Level, 1), len(lz4Levels))-1]))
		}
		return w, w.Apply(options...)
	case CodecZstd:
		options := []zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(512 << 10)}
		if set {
			options = append(options, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(c.Level)))
		}
		return zstd.NewWriter(out, options...)
	}
	return nil, &UnsupportedCodecError{Codec: c.Codec}
}

// lz4Levels are the library's; a level above them is the highest.
var lz4Levels = [...]lz4.CompressionLevel{
	lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4, lz4.Level5, lz4.Level6, lz4.Level7, lz4.Level8, lz4.Level9,
}

type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

// xerialWriter writes blocks of xerialBlockBytes, and in the end what is left.
type xerialWriter struct {
	out   io.Writer
	block []byte // not yet written
	buf   []byte // reused
}

func (x *xerialWriter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		more := min(len(p)-n, xerialBlockBytes-len(x.block))
		x.block = append(x.block, p[n:n+more]...)
		if n += more; len(x.block) < xerialBlockBytes {
			break
		}
		if err := x.Close(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Close writes the block that has begun.
func (x *xerialWriter) Close() error {
	if len(x.block) == 0 {
		return nil
	}
	if x.buf == nil {
		x.buf = make([]byte, 4+snappy.MaxEncodedLen(xerialBlockBytes))
	}
	encoded := snappy.Encode(x.buf[4:], x.block)
	binary.BigEndian.PutUint32(x.buf, uint32(len(encoded)))
	x.block = x.block[:0]
	_, err := x.out.Write(x.buf[:4+len(encoded)])
	return err
}

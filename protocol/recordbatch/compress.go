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
	switch c.Codec {
	case CodecSnappy:
		return appendXerial(dst, records), nil
	case CodecGzip, CodecLZ4, CodecZstd:
	default:
		return dst, &UnsupportedCodecError{Codec: c.Codec}
	}
	out := bytes.NewBuffer(dst)
	w, err := compressor(out, c)
	if err != nil {
		return dst, err
	}
	if _, err := w.Write(records); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

func compressor(out io.Writer, c Compression) (io.WriteCloser, error) {
	set := c.Level != DefaultLevel
	switch c.Codec {
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
	default:
		options := []zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(512 << 10)}
		if set {
			options = append(options, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(c.Level)))
		}
		return zstd.NewWriter(out, options...)
	}
}

// lz4Levels are the library's; a level above them is the highest.
var lz4Levels = [...]lz4.CompressionLevel{
	lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4, lz4.Level5, lz4.Level6, lz4.Level7, lz4.Level8, lz4.Level9,
}

func appendXerial(dst, records []byte) []byte {
	dst = append(dst, xerialHeader...)
	for len(records) > 0 {
		n := min(len(records), xerialBlockBytes)
		block := snappy.Encode(nil, records[:n])
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(block)))
		dst = append(dst, block...)
		records = records[n:]
	}
	return dst
}

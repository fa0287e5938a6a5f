package recordbatch

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// xerialHeader opens the framing that Java clients wrap around snappy blocks:
// a magic, then version 1 and lowest compatible version 1.
var xerialHeader = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}

const xerialBlockBytes = 32 << 10

// appendCompressed appends records, compressed with codec, to dst. Snappy comes
// in the xerial framing, which every client reads.
func appendCompressed(dst []byte, codec Codec, records []byte) ([]byte, error) {
	switch codec {
	case CodecSnappy:
		return appendXerial(dst, records), nil
	case CodecGzip, CodecLZ4, CodecZstd:
	default:
		return dst, &UnsupportedCodecError{Codec: codec}
	}
	out := bytes.NewBuffer(dst)
	w, err := compressor(out, codec)
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

func compressor(out io.Writer, codec Codec) (io.WriteCloser, error) {
	switch codec {
	case CodecGzip:
		return gzip.NewWriter(out), nil
	case CodecLZ4:
		w := lz4.NewWriter(out)
		return w, w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ConcurrencyOption(1))
	default:
		return zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(512<<10))
	}
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

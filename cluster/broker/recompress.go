package broker

import (
	"weir/cluster/config"
	"weir/protocol/recordbatch"
)

// compressionOf reads compression.type and its level; false when batches stay
// as they came.
func compressionOf(c config.Compression) (recordbatch.Compression, bool) {
	switch c.Type {
	case "uncompressed":
		return recordbatch.Compression{Codec: recordbatch.CodecNone}, true
	case "gzip":
		return recordbatch.Compression{Codec: recordbatch.CodecGzip, Level: c.GzipLevel}, true
	case "snappy":
		return recordbatch.Compression{Codec: recordbatch.CodecSnappy}, true
	case "lz4":
		return recordbatch.Compression{Codec: recordbatch.CodecLZ4, Level: c.LZ4Level}, true
	case "zstd":
		return recordbatch.Compression{Codec: recordbatch.CodecZstd, Level: c.ZstdLevel}, true
	}
	return recordbatch.Compression{}, false
}

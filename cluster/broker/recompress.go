package broker

import "weir/protocol/recordbatch"

// topicCodec reads compression.type; false when batches stay as they came.
func topicCodec(name string) (recordbatch.Codec, bool) {
	switch name {
	case "uncompressed":
		return recordbatch.CodecNone, true
	case "gzip":
		return recordbatch.CodecGzip, true
	case "snappy":
		return recordbatch.CodecSnappy, true
	case "lz4":
		return recordbatch.CodecLZ4, true
	case "zstd":
		return recordbatch.CodecZstd, true
	}
	return 0, false
}

package broker

import (
	"bytes"
	"slices"
	"strings"

	"weir/protocol/recordbatch"
)

// recompress stores a batch in the codec that its topic asks for
// (compression.type other than producer). All of the header but what the codec
// changes stays: offsets, timestamps, producer and sequence.
func recompress(batch []byte, h recordbatch.Header, codec recordbatch.Codec, maxDecoded int) ([]byte, recordbatch.Header, error) {
	records := make([]recordbatch.Record, 0, min(int(h.RecordCount), 1024))
	for r, err := range recordbatch.Records(batch, maxDecoded) {
		if err != nil {
			return nil, h, err
		}
		records = append(records, clone(r))
	}
	out, err := recordbatch.AppendBatch(nil, h, codec, records)
	if err != nil {
		return nil, h, err
	}
	h, err = recordbatch.ParseHeader(out)
	return out, h, err
}

// clone copies what lives only until the next step of the walk.
func clone(r recordbatch.Record) recordbatch.Record {
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		r.Headers[i].Key = strings.Clone(r.Headers[i].Key)
		r.Headers[i].Value = bytes.Clone(r.Headers[i].Value)
	}
	return r
}

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

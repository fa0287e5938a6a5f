package recordbatch

import "fmt"

// Codec is the compression of a batch's records, as in the attributes.
type Codec int8

// The codecs of magic 2.
const (
	CodecNone Codec = iota
	CodecGzip
	CodecSnappy
	CodecLZ4
	CodecZstd
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// String is the codec's name in Kafka's configuration.
func (c Codec) String() string {
	if c.Known() {
		return codecNames[c]
	}
	return fmt.Sprintf("unknown(%d)", int8(c))
}

// Known reports whether c is a codec of magic 2.
func (c Codec) Known() bool { return c >= CodecNone && c <= CodecZstd }

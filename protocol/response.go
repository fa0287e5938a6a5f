package protocol

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// AppendResponseHeader appends the header of a response to h, without a size
// prefix: the correlation id and, in flexible versions, an empty tag section.
// ApiVersions never has the tags, since a client that sends a version we do not
// know must be able to read the answer (KIP-511).
func AppendResponseHeader(dst []byte, h RequestHeader) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.CorrelationID))
	if h.Key != KeyApiVersions && flexible(h.Key, h.Version) {
		dst = append(dst, 0)
	}
	return dst
}

// AppendResponse appends header and body of the response to h, without a size
// prefix. resp is encoded in its own version, which may be another than that of
// h only for ApiVersions (an UNSUPPORTED_VERSION answer is always version 0).
func AppendResponse(dst []byte, h RequestHeader, resp kmsg.Response) []byte {
	return resp.AppendTo(AppendResponseHeader(dst, h))
}

package protocol

import (
	"encoding/binary"
	"fmt"
)

// RequestHeader is what precedes every request's body, in header version 1 or,
// for flexible versions, 2 (KIP-482). A null client id is "".
type RequestHeader struct {
	Key           int16
	Version       int16
	CorrelationID int32
	ClientID      string
}

// UnknownAPIError says that a request's key is not served.
type UnknownAPIError struct {
	Key int16
}

func (e *UnknownAPIError) Error() string { return fmt.Sprintf("api key %d is not served", e.Key) }

// UnsupportedVersionError says that a request's version is not served. For
// ApiVersions the answer is an error body of version 0 (KIP-511) with the
// correlation id of the header that came with the error; for every other API the
// connection is to be closed, since no error body is defined.
type UnsupportedVersionError struct {
	API     API
	Version int16
}

func (e *UnsupportedVersionError) Error() string {
	return fmt.Sprintf("%s version %d is not served, want %d to %d", e.API.Name, e.Version, e.API.Floor, e.API.Max)
}

// MalformedError says that a frame is not the message its header announces.
type MalformedError struct {
	Reason string
}

func (e *MalformedError) Error() string { return e.Reason }

func malformedf(format string, args ...any) error {
	return &MalformedError{Reason: fmt.Sprintf(format, args...)}
}

// requestPrefixBytes is the part of a header that is the same in all versions:
// key, version, correlation id.
const requestPrefixBytes = 8

// ParseRequestHeader splits a frame, without its size prefix, into header and
// body; body aliases frame, the client id is copied. The errors are
// *MalformedError, *UnknownAPIError and *UnsupportedVersionError; with the last
// two, key, version and correlation id of the header are filled in and nothing
// after them was looked at.
func ParseRequestHeader(frame []byte) (h RequestHeader, body []byte, err error) {
	if len(frame) < requestPrefixBytes {
		return h, nil, malformedf("request has %d bytes, want at least %d", len(frame), requestPrefixBytes)
	}
	h.Key = int16(binary.BigEndian.Uint16(frame))
	h.Version = int16(binary.BigEndian.Uint16(frame[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(frame[4:]))
	api, ok := Lookup(h.Key)
	if !ok {
		return h, nil, &UnknownAPIError{Key: h.Key}
	}
	if !api.Serves(h.Version) {
		return h, nil, &UnsupportedVersionError{API: api, Version: h.Version}
	}
	// The client id is a nullable string with a 2-byte length even where the
	// rest of the message is flexible.
	r := reader{src: frame, pos: requestPrefixBytes}
	n, err := r.int16()
	if err != nil || n < -1 {
		return h, nil, malformedf("client id has length %d with %d bytes left", n, r.left())
	}
	if n > 0 {
		id, err := r.take(int(n))
		if err != nil {
			return h, nil, err
		}
		h.ClientID = string(id)
	}
	if flexible(h.Key, h.Version) {
		if err := r.skipTags(); err != nil {
			return h, nil, err
		}
	}
	return h, frame[r.pos:], nil
}

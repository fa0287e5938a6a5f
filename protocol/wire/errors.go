package wire

import (
	"errors"
	"fmt"
)

// ErrServerClosed is returned by Serve after Shutdown or Close, and is the
// cause of the contexts that Close ends.
var ErrServerClosed = errors.New("wire: server closed")

// ErrPeerClosed is the cause of a connection's context when the peer has
// closed its side between two requests.
var ErrPeerClosed = errors.New("wire: peer closed the connection")

// Reasons for which the server itself ends a connection.
var (
	errIdleTimeout  = errors.New("wire: no request within the idle timeout")
	errReadTimeout  = errors.New("wire: request not complete within the read timeout")
	errWriteTimeout = errors.New("wire: peer took no byte of a response within the write timeout")
	errDraining     = errors.New("wire: server is shutting down")
	errNoReply      = errors.New("wire: handler returned no reply")
)

// FrameError reports a frame that is refused by its first bytes, before any
// memory is taken for it.
type FrameError struct {
	Reason     string
	SizeBytes  int64 // size field as sent
	LimitBytes int64 // 0 where no limit was involved
}

func (e *FrameError) Error() string {
	if e.LimitBytes > 0 {
		return fmt.Sprintf("wire: frame of %d bytes: %s (limit %d bytes)", e.SizeBytes, e.Reason, e.LimitBytes)
	}
	return fmt.Sprintf("wire: frame of %d bytes: %s", e.SizeBytes, e.Reason)
}

// ForeignProtocolError reports first bytes that belong to another protocol.
type ForeignProtocolError struct {
	Protocol string // "TLS" or "HTTP"
}

func (e *ForeignProtocolError) Error() string {
	return "wire: first bytes are " + e.Protocol + ", not a Kafka request: this port speaks the plain Kafka protocol"
}

// ShortFileError reports a file part that ended before its promised length.
// The size of the response is already on the wire, so the connection closes.
type ShortFileError struct {
	Position    int64 // position in the file at which no more bytes were found
	MissedBytes int64
}

func (e *ShortFileError) Error() string {
	return fmt.Sprintf("wire: file part ends at position %d, %d bytes short", e.Position, e.MissedBytes)
}

// ResponseSizeError reports a response that the 32-bit size field cannot carry.
type ResponseSizeError struct {
	SizeBytes int64
}

func (e *ResponseSizeError) Error() string {
	return fmt.Sprintf("wire: response of %d bytes does not fit the size field", e.SizeBytes)
}

// panicError is what a recovered panic closes a connection with.
type panicError struct {
	value any
}

func (e *panicError) Error() string { return fmt.Sprintf("wire: panic: %v", e.value) }

package transport

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrClosed: this transport is closed.
	ErrClosed = errors.New("transport is closed")
	// ErrGroupClosed: the group's handle is closed, here or, inside a *RemoteError, at the peer.
	ErrGroupClosed = errors.New("group is closed")
	// ErrGroupOpen: the group has a handle already.
	ErrGroupOpen = errors.New("group is open already")
	// ErrUnknownGroup, inside a *RemoteError: the peer has no such group open. Nothing happened there.
	ErrUnknownGroup = errors.New("no such group")
	// ErrUnknownService, inside a *RemoteError: the peer has no handler for the service. Nothing happened
	// there.
	ErrUnknownService = errors.New("no such service")
	// ErrBusy: a queue is full, here or, inside a *RemoteError, at the peer. Nothing happened there.
	ErrBusy = errors.New("queue is full")
	// ErrMalformed: bytes from a peer do not mean anything; inside a *RemoteError, the peer says so of
	// ours. Nothing happened there.
	ErrMalformed = errors.New("malformed message")
	// ErrAddress: not an address as Address makes them.
	ErrAddress = errors.New("not the address of a replica")
)

// RemoteError is an error that the peer answered with. Err is one of this package's, or nil when it came
// from the peer's raft or handler.
type RemoteError struct {
	Node int32
	Text string
	Err  error
}

func (e *RemoteError) Error() string { return fmt.Sprintf("node %d: %s", e.Node, e.Text) }
func (e *RemoteError) Unwrap() error { return e.Err }

// UnreachableError: there is no connection to the peer, or it broke before the answer came, in which
// case whether the request was carried out is not known.
type UnreachableError struct {
	Node    int32
	Err     error
	NotSent bool // there was no connection: the request never left
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("node %d is unreachable: %v", e.Node, e.Err)
}
func (e *UnreachableError) Unwrap() error { return e.Err }

// TimeoutError: the peer did not answer in time. Whether the request was carried out is not known, unless
// Stage is before "answer".
type TimeoutError struct {
	Node  int32
	After time.Duration
	Stage string // what was waited for: "connection", "room", "turn", "answer"
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("node %d: no %s within %v", e.Node, e.Stage, e.After)
}

// Timeout makes it a net.Error's kind of timeout.
func (e *TimeoutError) Timeout() bool { return true }

// IdentityError: who answered, or who called, is not who was expected: another cluster, another node, the
// node with another data directory (a wiped node under its old name), or no Weir node at all. It comes
// inside an *UnreachableError.
type IdentityError struct{ Reason string }

func (e *IdentityError) Error() string { return "handshake refused: " + e.Reason }

// FrameTooLargeError: the request is above the limit and nothing of it was sent.
type FrameTooLargeError struct{ Bytes, Limit int64 }

func (e *FrameTooLargeError) Error() string {
	return fmt.Sprintf("request of %d bytes is above the limit of %d", e.Bytes, e.Limit)
}

package controller

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

var (
	// ErrClosed: the controller was closed, or has stopped after a failure.
	ErrClosed = errors.New("controller is closed")
	// ErrBusy: the proposal was not begun in time, because the disk or the group is slow. Nothing
	// happened.
	ErrBusy = errors.New("controller is busy: the proposal was not begun in time")
	// ErrNotSent is wrapped by a Call whose request never left this broker.
	ErrNotSent = errors.New("the request was not sent")
	// ErrSkipped: the command was committed, and this broker got a snapshot in place of the entry,
	// so it never saw the result.
	ErrSkipped = errors.New("a snapshot took the place of the proposal")
	// ErrNoSuccessor: there is no voter to hand leadership over to, or it was tried in this term.
	ErrNoSuccessor = errors.New("controller has nobody to hand over to")
	// ErrEmpty: the data directory is not new, but there is no controller state in it. Going on
	// would make a cluster that has forgotten its topics.
	ErrEmpty = errors.New("controller state is missing from a data directory that is not new")
)

// NotLeaderError: another broker leads the group. Nothing happened.
type NotLeaderError struct {
	Leader int32 // node id; meaningful when Known
	Known  bool
}

func (e *NotLeaderError) Error() string {
	if !e.Known {
		return "this broker is not the controller, and no other is known to be"
	}
	return fmt.Sprintf("this broker is not the controller: broker %d is", e.Leader)
}

// UnknownOutcomeError: the command was proposed, and whether it will be applied is not known.
// Look at the image before proposing it again.
type UnknownOutcomeError struct{ Err error }

func (e *UnknownOutcomeError) Error() string {
	return "outcome of the proposal is unknown: " + e.Err.Error()
}

func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// JoinRefusedError: the cluster does not take this broker's registration.
type JoinRefusedError struct {
	Taken  bool // the id belongs to a broker with another directory that is not fenced
	Reason string
}

func (e *JoinRefusedError) Error() string { return "registration refused: " + e.Reason }

// CorruptError: the controller's files are damaged. Nothing in them was repaired, dropped or replaced.
type CorruptError struct {
	Path   string
	Reason string
	Err    error // may be nil
}

func (e *CorruptError) Error() string {
	msg := fmt.Sprintf("controller state is corrupt: %s: %s", e.Path, e.Reason)
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

func (e *CorruptError) Unwrap() error { return e.Err }

// mapError turns the library's errors into this package's.
func (c *Controller) mapError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		leader, known := c.Leader()
		return &NotLeaderError{Leader: leader, Known: known}
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return ErrBusy
	case errors.Is(err, raft.ErrRaftShutdown):
		return &UnknownOutcomeError{Err: ErrClosed}
	}
	return &UnknownOutcomeError{Err: err}
}

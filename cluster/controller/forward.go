package controller

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"weir/cluster/metadata"
)

// A request is: forwardVersion (1 byte), whether a member that does not lead may pass it on
// (1 byte), entry. An answer is: forwardVersion, status (1 byte), what the status says.
const (
	forwardVersion = 1
	forwardHeader  = 2

	statusCommitted = 0 // index (8 bytes), refusal (1 byte), its text
	statusNotLeader = 1 // whether the leader is known (1 byte), its node (4 bytes)
	statusBusy      = 2
	statusClosed    = 3 // or too late to begin
	statusUnknown   = 4 // text
	statusMalformed = 5 // text

	refusalNone  = 0
	refusalTaken = 1 // BrokerIDTakenError
	refusalOther = 2
)

// MaxRequestBytes is the longest request of Forward; answers and signs of life are below 64 KiB.
const MaxRequestBytes = forwardHeader + entryHeader + metadata.MaxCommandBytes

// MalformedError: what one broker sent, the other cannot read, because one of the two is newer.
// Nothing happened.
type MalformedError struct{ Reason string }

func (e *MalformedError) Error() string { return "request between controllers: " + e.Reason }

// forward has another broker submit the entry. relay lets it pass the entry on to the leader.
func (c *Controller) forward(ctx context.Context, call func(ctx context.Context, request []byte) ([]byte, error), entry []byte, relay bool) (committed, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.calls, cancel)()
	request := make([]byte, 0, forwardHeader+len(entry))
	request = append(append(request, forwardVersion, flag(relay)), entry...)
	answer, err := call(ctx, request)
	switch {
	case errors.Is(err, ErrNotSent):
		return committed{}, &NotLeaderError{}
	case err != nil && c.calls.Err() != nil:
		return committed{}, &UnknownOutcomeError{Err: ErrClosed}
	case err != nil:
		return committed{}, &UnknownOutcomeError{Err: err}
	}
	return decodeAnswer(answer)
}

// HandleForward submits what Propose or Register of another broker sends. The answer is for the
// sender; it says all there is to say, so the error is always nil but for a request that is not one.
func (c *Controller) HandleForward(ctx context.Context, from int32, request []byte) ([]byte, error) {
	if len(request) < forwardHeader || request[0] != forwardVersion {
		return nil, &MalformedError{Reason: "not a proposal of a version that this broker reads"}
	}
	done, err := c.handle(ctx, from, request[1] == 1, request[forwardHeader:])
	return encodeAnswer(done, err), nil
}

func (c *Controller) handle(ctx context.Context, from int32, relay bool, entry []byte) (committed, error) {
	// What is in the log stops every broker that cannot read it.
	if id, command, err := decodeEntry(entry); err != nil || id == (proposalID{}) {
		return committed{}, &MalformedError{Reason: "entry without an id"}
	} else if _, err := metadata.DecodeCommand(command); err != nil {
		return committed{}, &MalformedError{Reason: err.Error()}
	}
	t, err := c.begin(ctx)
	if err != nil {
		return committed{}, err
	}
	defer t.release()
	if c.raft.State() == raft.Leader {
		return c.apply(ctx, t, entry)
	}
	leader, known := c.Leader()
	if !relay || !known || leader == from || leader == c.config.NodeID || c.config.Forward == nil {
		return committed{}, &NotLeaderError{Leader: leader, Known: known}
	}
	return c.forward(ctx, func(ctx context.Context, request []byte) ([]byte, error) {
		return c.config.Forward(ctx, leader, request)
	}, entry, false)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func encodeAnswer(done committed, err error) []byte {
	var notLeader *NotLeaderError
	var malformed *MalformedError
	var unknown *UnknownOutcomeError
	switch {
	case err == nil:
		b := binary.BigEndian.AppendUint64([]byte{forwardVersion, statusCommitted}, done.index)
		if done.refusal == nil {
			return append(b, refusalNone)
		}
		refused, kind := joinRefused(done.refusal), byte(refusalOther) // also one that this broker was answered with
		if refused.Taken {
			kind = refusalTaken
		}
		return append(append(b, kind), refused.Reason...)
	case errors.As(err, &notLeader):
		return binary.BigEndian.AppendUint32([]byte{forwardVersion, statusNotLeader, flag(notLeader.Known)}, uint32(notLeader.Leader))
	case errors.As(err, &malformed):
		return append([]byte{forwardVersion, statusMalformed}, malformed.Reason...)
	case err == ErrBusy:
		return []byte{forwardVersion, statusBusy}
	case errors.As(err, &unknown):
		return append([]byte{forwardVersion, statusUnknown}, unknown.Err.Error()...)
	}
	return []byte{forwardVersion, statusClosed} // ErrClosed, or the context ended before it was begun
}

// decodeAnswer takes an answer that it cannot read for an unknown outcome. ErrClosed is the other
// broker's: to this one it is no leader.
func decodeAnswer(b []byte) (committed, error) {
	if len(b) < 2 || b[0] != forwardVersion {
		return committed{}, unreadable(b)
	}
	status, rest := b[1], b[2:]
	switch {
	case status == statusCommitted && len(rest) >= 9:
		done := committed{index: binary.BigEndian.Uint64(rest)}
		if rest[8] != refusalNone {
			done.refusal = &JoinRefusedError{Taken: rest[8] == refusalTaken, Reason: string(rest[9:])}
		}
		return done, nil
	case status == statusNotLeader && len(rest) == 5:
		return committed{}, &NotLeaderError{Known: rest[0] == 1, Leader: int32(binary.BigEndian.Uint32(rest[1:]))}
	case status == statusBusy:
		return committed{}, ErrBusy
	case status == statusClosed:
		return committed{}, &NotLeaderError{}
	case status == statusMalformed:
		return committed{}, &MalformedError{Reason: string(rest)}
	case status == statusUnknown:
		return committed{}, &UnknownOutcomeError{Err: errors.New(string(rest))}
	}
	return committed{}, unreadable(b)
}

func unreadable(b []byte) error {
	return &UnknownOutcomeError{Err: fmt.Errorf("answer of %d bytes from another controller cannot be read", len(b))}
}

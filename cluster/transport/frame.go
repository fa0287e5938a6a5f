package transport

import (
	"encoding/binary"
	"fmt"
)

// A frame is a header of 13 bytes and a body:
//
//	length  uint32  of the body
//	kind    uint8
//	id      uint64  pairs a request with its answer, on one connection
//
// Requests go from the side that dialled, answers come back, in any order. The body of a request to a
// group begins with the GroupID, so that it can be refused before its bytes are taken in; the body of an
// answer begins with a status.
const (
	frameHeaderBytes = 4 + 1 + 8
	groupIDBytes     = len(GroupID{})
)

type frameKind uint8

const (
	kindAppend     frameKind = 1
	kindVote       frameKind = 2
	kindPreVote    frameKind = 3
	kindTimeoutNow frameKind = 4
	kindSnapshot   frameKind = 5 // the header alone; chunks follow after kindGo
	kindHeartbeats frameKind = 6
	kindCall       frameKind = 7
	kindPing       frameKind = 8
	kindPulse      frameKind = 9

	kindAnswer           frameKind = 16
	kindHeartbeatAnswers frameKind = 17
	kindPong             frameKind = 18
	kindGo               frameKind = 19 // the snapshot may be streamed
)

// status says how a request went.
type status uint8

const (
	statusOK             status = 0
	statusConfirmed      status = 1 // of a heartbeat: the body is the term alone
	statusError          status = 2 // the body is the text of raft's or the handler's error; so below
	statusMalformed      status = 3
	statusUnknownGroup   status = 4
	statusGroupClosed    status = 5
	statusBusy           status = 6
	statusUnknownService status = 7
)

// refusals are the errors of this package that travel.
var refusals = map[status]error{
	statusMalformed:      ErrMalformed,
	statusUnknownGroup:   ErrUnknownGroup,
	statusGroupClosed:    ErrGroupClosed,
	statusBusy:           ErrBusy,
	statusUnknownService: ErrUnknownService,
}

type frameHeader struct {
	kind   frameKind
	length int64 // of the body, bytes
	id     uint64
}

func parseFrameHeader(b []byte) frameHeader {
	return frameHeader{
		length: int64(binary.BigEndian.Uint32(b)),
		kind:   frameKind(b[4]),
		id:     binary.BigEndian.Uint64(b[5:]),
	}
}

// beginFrame leaves room for the length and the id, which endFrame fills in.
func beginFrame(b []byte, kind frameKind) []byte {
	return append(b, 0, 0, 0, 0, byte(kind), 0, 0, 0, 0, 0, 0, 0, 0)
}

// endFrame completes the frame that makes up the whole of b and moreBytes that follow it elsewhere.
func endFrame(b []byte, id uint64, moreBytes int64) {
	binary.BigEndian.PutUint32(b, uint32(int64(len(b)-frameHeaderBytes)+moreBytes))
	binary.BigEndian.PutUint64(b[5:], id)
}

// answerError turns a status that is no success, and its text, into an error.
func answerError(node int32, s status, text []byte) error {
	e := &RemoteError{Node: node, Text: string(text), Err: refusals[s]}
	if e.Err != nil && len(text) == 0 {
		e.Text = e.Err.Error()
	}
	if e.Err == nil && s != statusError {
		return fmt.Errorf("%w: status %d", ErrMalformed, s)
	}
	return e
}

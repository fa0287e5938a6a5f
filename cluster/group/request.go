package group

import (
	"time"

	"weir/cluster/group/assignor"
)

// Ticket names a request that may be answered later. 0 is none.
type Ticket uint64

// Protocol is one way of sharing out partitions that a member can take part in.
type Protocol struct {
	Name     string
	Metadata []byte // opaque; "consumer" groups have a subscription in it
}

// JoinRequest asks for membership in the next generation. The group keeps its slices.
type JoinRequest struct {
	Ticket       Ticket
	MemberID     string // empty: a newcomer
	NewMemberID  string // what a newcomer is to be called
	InstanceID   string // empty: not a static member
	ClientID     string
	ClientHost   string
	Session      time.Duration
	Rebalance    time.Duration
	ProtocolType string
	Protocols    []Protocol // best first

	RequireKnownID bool // the client can take an id and come again with it (KIP-394)
	SkipAssignment bool // the client can lead without assigning (KIP-814)
}

// JoinAnswer answers a JoinRequest.
type JoinAnswer struct {
	Err            error
	MemberID       string
	Generation     int32
	ProtocolType   string
	Protocol       string
	Leader         string
	SkipAssignment bool
	Members        []Joined // told to the leader only
}

// Joined is a member as its leader sees it.
type Joined struct {
	MemberID, InstanceID string
	Metadata             []byte
}

// SyncRequest asks for the member's assignment, and brings all of them if it leads.
type SyncRequest struct {
	Ticket       Ticket
	MemberID     string
	InstanceID   string
	Generation   int32
	ProtocolType *string // nil: not said
	Protocol     *string // nil: not said
	Assignments  map[string][]byte
}

// SyncAnswer answers a SyncRequest.
type SyncAnswer struct {
	Err          error
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// Leaver names a member that leaves, by its id, its instance id (an administrator's way), or both.
type Leaver struct{ MemberID, InstanceID string }

// BeatAnswer answers a heartbeat of the consumer protocol.
type BeatAnswer struct {
	Err        error
	MemberID   string
	Epoch      int32
	Assignment assignor.Assignment // nil: as told before
}

// Answer is the answer to one request: Join, Sync or Beat is set.
type Answer struct {
	Ticket Ticket
	Join   *JoinAnswer
	Sync   *SyncAnswer
	Beat   *BeatAnswer
}

// Write is what is to be made durable, in the order of the writes of a group, and then
// reported by Stored: a group of the classic protocol as a whole, or what has changed of one of the
// consumer protocol, all or nothing.
type Write struct {
	Number   uint64
	Snapshot Snapshot
	Facts    []Fact // nil: Snapshot is written
}

// Output is what an input asks of the caller.
type Output struct {
	Answers []Answer
	Write   *Write // nil: nothing
	Match   bool   // there is a regular expression that was not matched yet
}

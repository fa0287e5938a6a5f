package group

import (
	"bytes"
	"slices"
	"time"
)

// member is one member of a classic group.
type member struct {
	id, instance         string // instance: empty, or that of a static member
	clientID, clientHost string
	session, rebalance   time.Duration
	protocols            []Protocol
	assignment           []byte
	order                uint64 // of joining
	formerID             string // of a static member that has come back: its id before

	fresh     bool // has not been told yet that it is a member
	anonymous bool // fresh, and does not know its id
	synced    bool // has asked for its assignment of this generation
	skip      bool // can lead without assigning

	join, sync Ticket    // parked requests; 0: none
	storing    uint64    // number of the write that the parked join waits for; 0: it waits for the rebalance
	deadline   time.Time // when it counts as gone; zero: it does not
}

// memberBytes is about what a member takes in memory beside its strings and metadata.
const memberBytes = 512

func (m *member) bytes() int64 {
	n := memberBytes + len(m.id) + len(m.instance) + len(m.clientID) + len(m.clientHost) + len(m.assignment)
	return int64(n + protocolBytes(m.protocols))
}

// recordBytes is at most what the member takes in a Snapshot that is stored, assignment aside.
func (m *member) recordBytes() int {
	return memberRecordBytes + len(m.id) + len(m.instance) + len(m.clientID) + len(m.clientHost) + largest(m.protocols)
}

// memberRecordBytes is room for the lengths and numbers of a stored member.
const memberRecordBytes = 64

func largest(protocols []Protocol) (bytes int) {
	for _, p := range protocols {
		bytes = max(bytes, len(p.Metadata))
	}
	return bytes
}

// protocolOverhead is about what a protocol takes beside its name and metadata.
const protocolOverhead = 64

func protocolBytes(protocols []Protocol) (n int) {
	for _, p := range protocols {
		n += protocolOverhead + len(p.Name) + len(p.Metadata)
	}
	return n
}

// metadata is what the member says about a protocol, nil when it does not know it.
func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

func (m *member) knows(protocol string) bool {
	return slices.ContainsFunc(m.protocols, func(p Protocol) bool { return p.Name == protocol })
}

// says tells whether the member's protocols are these, in this order.
func (m *member) says(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}

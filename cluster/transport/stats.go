package transport

import "sync/atomic"

// Stats counts since Open.
type Stats struct {
	Dials               uint64 // handshakes of ours that succeeded
	HandshakesRefused   uint64 // of strangers, by us
	RequestsRefused     uint64 // of peers, by us: malformed, unknown, or no room
	FramesSent          uint64 // requests and answers
	EntriesBytesSent    uint64 // frames of entries
	HeartbeatsSent      uint64
	HeartbeatFramesSent uint64
	HeartbeatsConfirmed uint64 // answered by us without waiting for raft
	HeartbeatsQueued    uint64 // handed to raft
}

type counters struct {
	dials, handshakesRefused, requestsRefused, framesSent, entriesBytesSent    atomic.Uint64
	heartbeatsSent, heartbeatFramesSent, heartbeatsConfirmed, heartbeatsQueued atomic.Uint64
}

// Stats is a copy of the counters.
func (t *Transport) Stats() Stats {
	c := &t.counters
	return Stats{
		Dials: c.dials.Load(), HandshakesRefused: c.handshakesRefused.Load(), RequestsRefused: c.requestsRefused.Load(),
		FramesSent: c.framesSent.Load(), EntriesBytesSent: c.entriesBytesSent.Load(),
		HeartbeatsSent: c.heartbeatsSent.Load(), HeartbeatFramesSent: c.heartbeatFramesSent.Load(),
		HeartbeatsConfirmed: c.heartbeatsConfirmed.Load(), HeartbeatsQueued: c.heartbeatsQueued.Load(),
	}
}

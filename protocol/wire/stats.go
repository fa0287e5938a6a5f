package wire

import (
	"sync/atomic"
	"time"

	"weir/protocol"
	"weir/protocol/histogram"
)

// Stats are the counters of one server. They may be read at any time and are
// not a snapshot: each is exact, but two of them may be from different moments.
type Stats struct {
	ConnectionsOpen     atomic.Int64
	ConnectionsTotal    atomic.Int64 // accepted and served, since the start
	ConnectionsRejected atomic.Int64 // accepted over a limit and closed

	Requests      atomic.Int64 // handed to the handler
	RequestsHeld  atomic.Int64 // request objects not yet released: zero when nothing is under way
	InFlightBytes atomic.Int64 // frame memory taken from the budget
	BytesIn       atomic.Int64 // bytes of TLS connections count decrypted
	BytesOut      atomic.Int64

	HandlerPanics atomic.Int64

	apis [maxAPIKey + 1]*APIStats // set once; nil: not served
}

// maxAPIKey is above every key that Kafka has given away.
const maxAPIKey = 127

// Stage is a part of the time that a request takes.
type Stage int

const (
	StageHandle Stage = iota // from the complete frame until Handle has returned
	StageQueue               // until the replies before it have been written
	StageAwait               // in Await: for work that takes its time, for a disk, other brokers, records
	StageSend                // until the socket has taken the response
	stages
)

// String is a word for the stage.
func (s Stage) String() string { return [stages]string{"handle", "queue", "await", "send"}[s] }

// Stages lists all.
func Stages() []Stage { return []Stage{StageHandle, StageQueue, StageAwait, StageSend} }

// APIStats is how long the requests of one API took.
type APIStats struct {
	Total  histogram.Histogram // from the complete frame to the end of the reply, written or not
	stages [stages]histogram.Histogram
}

// Stage is how long they spent in one stage. Those of which nothing was written were not in StageSend.
func (a *APIStats) Stage(s Stage) *histogram.Histogram { return &a.stages[s] }

// API is what is counted for an API, nil for one that is not served.
func (s *Stats) API(key int16) *APIStats {
	if key < 0 || key > maxAPIKey {
		return nil
	}
	return s.apis[key]
}

func (s *Stats) init() {
	for _, api := range protocol.APIs() {
		s.apis[api.Key] = new(APIStats)
	}
}

// timing is when a request came to the ends of its stages, in time since the server's start.
type timing struct{ arrived, handled time.Duration }

// count notes a request that has been answered. sent is false when nothing was written.
func (s *Stats) count(key int16, t timing, begun, awaited, ended time.Duration, sent bool) {
	a := s.API(key)
	if a == nil {
		return
	}
	a.stages[StageHandle].Observe(t.handled - t.arrived)
	a.stages[StageQueue].Observe(begun - t.handled)
	a.stages[StageAwait].Observe(awaited - begun)
	if sent {
		a.stages[StageSend].Observe(ended - awaited)
	}
	a.Total.Observe(ended - t.arrived)
}

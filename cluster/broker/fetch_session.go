package broker

// Fetch sessions (KIP-227): the broker remembers which partitions a client
// reads, so that it need not name them all in each request, nor be answered
// for those where nothing happened.

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/metadata"
	"weir/protocol"
)

const (
	sessionless  = 0  // session id of a full fetch that is not remembered
	epochInitial = 0  // session epoch that asks for a new session
	epochFinal   = -1 // session epoch that asks for none, or ends one

	// sessionIdle is how long a session must have rested before another may
	// take its slot.
	sessionIdle = 2 * time.Minute
	// maxSessionWeight is how many partitions all sessions remember together;
	// a client over it stays without a session. One under a name that is
	// longer than any topic's counts for more, as what it takes does.
	maxSessionWeight = 200_000
	// maxFetchPartitions is how many partitions one request may read.
	maxFetchPartitions = 10_000
)

// partKey names a partition as the client did: by topic id from v13 on, by
// name before.
type partKey struct {
	name      string
	id        [16]byte
	partition int32
}

func (k partKey) weight() int { return 1 + len(k.name)/(metadata.MaxTopicNameBytes+1) }

// fetchPart is what a client wants of one partition, and, in a session, what
// it was last told.
type fetchPart struct {
	partKey
	offset       int64
	maxBytes     int32
	leaderEpoch  int32 // the client's; -1 asks for no check
	lastEpoch    int32 // epoch of the last record the client holds; -1 none
	told         bool  // an answer for this partition has been sent
	toldHigh     int64 // high watermark in it
	toldLogStart int64
}

func (p *fetchPart) update(in *kmsg.FetchRequestTopicPartition) {
	p.offset, p.maxBytes = in.FetchOffset, in.PartitionMaxBytes
	p.leaderEpoch, p.lastEpoch = in.CurrentLeaderEpoch, in.LastFetchedEpoch
}

// fetchSession is one client's. Its requests come one after the other on one
// connection; mu guards against a client that does otherwise.
type fetchSession struct {
	id     int32
	useIDs bool

	mu       sync.Mutex
	epoch    int32 // of the next request
	parts    []*fetchPart
	byKey    map[partKey]*fetchPart
	weight   int // of parts
	lastUsed time.Time

	counted int // of weight, in fetchSessions.weight; guarded by fetchSessions.mu
}

// fetchSessions holds at most slots sessions.
type fetchSessions struct {
	slots int
	now   func() time.Time

	mu     sync.Mutex // guards byID, weight and fetchSession.counted; before fetchSession.mu
	byID   map[int32]*fetchSession
	weight int // of all sessions in byID
}

func newFetchSessions(slots int, now func() time.Time) *fetchSessions {
	return &fetchSessions{slots: slots, now: now, byID: make(map[int32]*fetchSession)}
}

// fetchScope is what one request reads, in the order to serve it in. The
// parts are the request's own copies; origin leads back into the session.
type fetchScope struct {
	session     *fetchSession // nil without one
	incremental bool          // leave out partitions where nothing changed
	parts       []scopePart
}

type scopePart struct {
	fetchPart
	origin *fetchPart
}

func scopeParts(parts []*fetchPart) []scopePart {
	copies := make([]scopePart, len(parts))
	for i, p := range parts {
		copies[i] = scopePart{fetchPart: *p, origin: p}
	}
	return copies
}

// sessionID is what the answer carries.
func (s fetchScope) sessionID() int32 {
	if s.session == nil {
		return sessionless
	}
	return s.session.id
}

// open finds out what a request reads. A code other than None is for the top
// of the answer: FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH or
// FETCH_SESSION_TOPIC_ID_ERROR; the client then starts a new session.
func (s *fetchSessions) open(req *kmsg.FetchRequest) (fetchScope, protocol.ErrorCode) {
	if req.Version < 7 || req.SessionEpoch == epochFinal || req.SessionEpoch == epochInitial {
		if req.SessionID != sessionless {
			s.remove(req.SessionID)
		}
		parts, byKey := requestedParts(req)
		if len(parts) > maxFetchPartitions {
			return fetchScope{}, protocol.CodeInvalidRequest
		}
		scope := fetchScope{parts: scopeParts(parts)}
		if req.Version >= 7 && req.SessionEpoch == epochInitial && len(parts) > 0 {
			scope.session = s.create(parts, byKey, req.Version >= 13)
		}
		return scope, protocol.CodeNone
	}
	s.mu.Lock()
	session := s.byID[req.SessionID]
	s.mu.Unlock()
	if session == nil {
		return fetchScope{}, protocol.CodeFetchSessionIDNotFound
	}
	parts, weight, code := session.next(req, s.now())
	switch {
	case code != protocol.CodeNone:
		return fetchScope{}, code
	case len(parts) > maxFetchPartitions:
		s.remove(session.id)
		return fetchScope{}, protocol.CodeInvalidRequest
	case !s.count(session, weight):
		s.remove(session.id)
		return fetchScope{}, protocol.CodeFetchSessionIDNotFound
	}
	if len(parts) == 0 {
		s.remove(session.id)
		return fetchScope{incremental: true}, protocol.CodeNone
	}
	return fetchScope{session: session, incremental: true, parts: parts}, protocol.CodeNone
}

// next takes the session to its next epoch and returns what is read in it, and
// what all of that weighs.
func (f *fetchSession) next(req *kmsg.FetchRequest, now time.Time) (parts []scopePart, weight int, code protocol.ErrorCode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch != req.SessionEpoch {
		return nil, 0, protocol.CodeInvalidFetchSessionEpoch
	}
	if f.useIDs != (req.Version >= 13) {
		return nil, 0, protocol.CodeFetchSessionTopicIDError
	}
	f.epoch = nextSessionEpoch(f.epoch)
	f.lastUsed = now
	f.apply(req)
	return scopeParts(f.parts), f.weight, protocol.CodeNone
}

// requestedParts lists what the request names, once each; the last word
// about a partition counts.
func requestedParts(req *kmsg.FetchRequest) ([]*fetchPart, map[partKey]*fetchPart) {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	store := make([]fetchPart, 0, n) // one allocation for all
	parts := make([]*fetchPart, 0, n)
	byKey := make(map[partKey]*fetchPart, n)
	eachRequested(req, func(k partKey, in *kmsg.FetchRequestTopicPartition) {
		p := byKey[k]
		if p == nil {
			store = append(store, fetchPart{partKey: k})
			p = &store[len(store)-1]
			byKey[k] = p
			parts = append(parts, p)
		}
		p.update(in)
	})
	return parts, byKey
}

func eachRequested(req *kmsg.FetchRequest, f func(partKey, *kmsg.FetchRequestTopicPartition)) {
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			f(partKey{name: t.Topic, id: t.TopicID, partition: t.Partitions[j].Partition}, &t.Partitions[j])
		}
	}
}

// apply adds, changes and forgets as an incremental request says.
func (f *fetchSession) apply(req *kmsg.FetchRequest) {
	eachRequested(req, func(k partKey, in *kmsg.FetchRequestTopicPartition) {
		p := f.byKey[k]
		if p == nil {
			p = &fetchPart{partKey: k}
			f.byKey[k] = p
			f.parts = append(f.parts, p)
			f.weight += k.weight()
		}
		p.update(in)
	})
	forgotten := false
	for i := range req.ForgottenTopics {
		t := &req.ForgottenTopics[i]
		for _, partition := range t.Partitions {
			k := partKey{name: t.Topic, id: t.TopicID, partition: partition}
			if f.byKey[k] != nil {
				delete(f.byKey, k)
				f.weight -= k.weight()
				forgotten = true
			}
		}
	}
	if forgotten {
		kept := f.parts[:0]
		for _, p := range f.parts {
			if f.byKey[p.partKey] == p {
				kept = append(kept, p)
			}
		}
		clear(f.parts[len(kept):])
		f.parts = kept
	}
}

// answered notes what the client is being told of each partition, and moves
// those that gave data behind those that gave none, so that one busy
// partition does not starve the rest. gave tells the two apart.
func (f *fetchSession) answered(scope *fetchScope, gave func(i int) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	moved := make(map[*fetchPart]bool)
	for i := range scope.parts {
		p := &scope.parts[i]
		if p.told {
			p.origin.told, p.origin.toldHigh, p.origin.toldLogStart = true, p.toldHigh, p.toldLogStart
		}
		if gave(i) {
			moved[p.origin] = true
		}
	}
	if len(moved) == 0 || len(moved) == len(f.parts) {
		return
	}
	rest := make([]*fetchPart, 0, len(f.parts))
	var back []*fetchPart
	for _, p := range f.parts {
		if moved[p] {
			back = append(back, p)
		} else {
			rest = append(rest, p)
		}
	}
	f.parts = append(rest, back...)
}

// create makes a session, or returns nil when there is no room: the client
// then goes on without one, as KIP-227 has it.
func (s *fetchSessions) create(parts []*fetchPart, byKey map[partKey]*fetchPart, useIDs bool) *fetchSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byID) >= s.slots && !s.evict() {
		return nil
	}
	weight := 0
	for _, p := range parts {
		weight += p.weight()
	}
	if s.weight+weight > maxSessionWeight {
		return nil
	}
	id := int32(0)
	for id == sessionless || s.byID[id] != nil {
		id = rand.Int32N(math.MaxInt32)
	}
	f := &fetchSession{
		id: id, useIDs: useIDs, epoch: nextSessionEpoch(epochInitial), lastUsed: s.now(),
		parts: append([]*fetchPart(nil), parts...), byKey: byKey, weight: weight, counted: weight,
	}
	s.byID[id] = f
	s.weight += weight
	return f
}

// evict frees the slot of a session that has rested long enough.
func (s *fetchSessions) evict() bool {
	limit := s.now().Add(-sessionIdle)
	for _, f := range s.byID {
		f.mu.Lock()
		idle := f.lastUsed.Before(limit)
		f.mu.Unlock()
		if idle {
			delete(s.byID, f.id)
			s.weight -= f.counted
			return true
		}
	}
	return false
}

// remove ends a session; one that is not there is no error (KIP-227).
func (s *fetchSessions) remove(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.byID[id]; f != nil {
		delete(s.byID, id)
		s.weight -= f.counted
	}
}

// count notes what a session weighs now and says whether there is room for
// that. One that has ended meanwhile no longer counts.
func (s *fetchSessions) count(f *fetchSession, weight int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[f.id] != f {
		return true
	}
	more := weight - f.counted
	s.weight += more
	f.counted = weight
	return more <= 0 || s.weight <= maxSessionWeight
}

func nextSessionEpoch(e int32) int32 {
	if e == math.MaxInt32 {
		return 1
	}
	return e + 1
}

package broker

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// want is one partition of topic "t" in a request.
type want struct {
	partition int32
	offset    int64
}

func fetchRequest(version int16, id, epoch int32, wants []want, forget ...int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.SessionID, req.SessionEpoch = version, id, epoch
	if len(wants) > 0 {
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = "t"
		for _, w := range wants {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.FetchOffset = w.partition, w.offset
			topic.Partitions = append(topic.Partitions, p)
		}
		req.Topics = append(req.Topics, topic)
	}
	if len(forget) > 0 {
		topic := kmsg.NewFetchRequestForgottenTopic()
		topic.Topic, topic.Partitions = "t", forget
		req.ForgottenTopics = append(req.ForgottenTopics, topic)
	}
	return req
}

func scopeWants(s fetchScope) []want {
	var got []want
	for _, p := range s.parts {
		got = append(got, want{p.partition, p.offset})
	}
	return got
}

func expectWants(t *testing.T, s fetchScope, expected ...want) {
	t.Helper()
	got := scopeWants(s)
	if len(got) != len(expected) {
		t.Fatalf("got %v, want %v", got, expected)
	}
	for i := range got {
		if got[i] != expected[i] {
			t.Fatalf("got %v, want %v", got, expected)
		}
	}
}

func mustOpen(t *testing.T, s *fetchSessions, req *kmsg.FetchRequest) fetchScope {
	t.Helper()
	scope, code := s.open(req)
	if code != protocol.CodeNone {
		t.Fatalf("open: %v", code)
	}
	return scope
}

// TestFetchSession walks one session through its life (KIP-227).
func TestFetchSession(t *testing.T) {
	s := newFetchSessions(10, time.Now)
	full := mustOpen(t, s, fetchRequest(12, 0, 0, []want{{0, 5}, {1, 6}, {2, 7}}))
	id := full.sessionID()
	if id == sessionless || full.incremental {
		t.Fatalf("a new session: id %d, incremental %v", id, full.incremental)
	}
	same := mustOpen(t, s, fetchRequest(12, id, 1, nil))
	expectWants(t, same, want{0, 5}, want{1, 6}, want{2, 7})
	if !same.incremental {
		t.Error("the second fetch of a session is incremental")
	}
	changed := mustOpen(t, s, fetchRequest(12, id, 2, []want{{1, 60}, {3, 8}}, 0))
	expectWants(t, changed, want{1, 60}, want{2, 7}, want{3, 8})

	if _, code := s.open(fetchRequest(12, id, 2, nil)); code != protocol.CodeInvalidFetchSessionEpoch {
		t.Errorf("an epoch again: got %v", code)
	}
	if _, code := s.open(fetchRequest(12, id+1, 3, nil)); code != protocol.CodeFetchSessionIDNotFound {
		t.Errorf("another id: got %v", code)
	}
	if _, code := s.open(fetchRequest(13, id, 3, nil)); code != protocol.CodeFetchSessionTopicIDError {
		t.Errorf("ids in a session of names: got %v", code)
	}
	mustOpen(t, s, fetchRequest(12, id, 3, nil, 1, 2, 3)) // forgets all that is left
	if _, code := s.open(fetchRequest(12, id, 4, nil)); code != protocol.CodeFetchSessionIDNotFound {
		t.Errorf("an empty session ends: got %v", code)
	}
	if s.weight != 0 || len(s.byID) != 0 {
		t.Errorf("left over: %d partitions in %d sessions", s.weight, len(s.byID))
	}
}

func TestFetchSessionEnds(t *testing.T) {
	s := newFetchSessions(10, time.Now)
	id := mustOpen(t, s, fetchRequest(12, 0, 0, []want{{0, 0}})).sessionID()
	final := mustOpen(t, s, fetchRequest(12, id, epochFinal, []want{{0, 0}}))
	expectWants(t, final, want{0, 0})
	if final.sessionID() != sessionless || len(s.byID) != 0 {
		t.Error("epoch -1 ends the session and is answered without one")
	}
	id = mustOpen(t, s, fetchRequest(12, 0, 0, []want{{0, 0}})).sessionID()
	again := mustOpen(t, s, fetchRequest(12, id, 0, []want{{0, 0}}))
	if again.sessionID() == id || len(s.byID) != 1 {
		t.Error("epoch 0 with an id ends that session and begins another")
	}
}

// TestFetchSessionSlots: one more than the slots gets no session; a session
// that rested gives its slot up.
func TestFetchSessionSlots(t *testing.T) {
	now := time.Unix(0, 0)
	s := newFetchSessions(2, func() time.Time { return now })
	for range 2 {
		if mustOpen(t, s, fetchRequest(12, 0, 0, []want{{0, 0}})).sessionID() == sessionless {
			t.Fatal("no session within the slots")
		}
	}
	if mustOpen(t, s, fetchRequest(12, 0, 0, []want{{0, 0}})).sessionID() != sessionless {
		t.Error("one more than the slots got a session")
	}
	now = now.Add(sessionIdle + time.Second)
	if mustOpen(t, s, fetchRequest(12, 0, 0, []want{{0, 0}})).sessionID() == sessionless {
		t.Error("a session that rested did not give its slot up")
	}
	if len(s.byID) != 2 || s.weight != 2 {
		t.Errorf("%d sessions with %d partitions, want 2 and 2", len(s.byID), s.weight)
	}
}

// TestFetchSessionFair: what gave data goes to the end of the line.
func TestFetchSessionFair(t *testing.T) {
	s := newFetchSessions(10, time.Now)
	scope := mustOpen(t, s, fetchRequest(12, 0, 0, []want{{0, 0}, {1, 0}, {2, 0}}))
	scope.session.answered(&scope, func(i int) bool { return scope.parts[i].partition == 0 })
	scope = mustOpen(t, s, fetchRequest(12, scope.sessionID(), 1, nil))
	expectWants(t, scope, want{1, 0}, want{2, 0}, want{0, 0})
}

func TestFetchSessionEpochWraps(t *testing.T) {
	if got := nextSessionEpoch(1<<31 - 1); got != 1 {
		t.Errorf("after the largest epoch: got %d, want 1", got)
	}
}

func TestFetchSessionNamesTwice(t *testing.T) {
	s := newFetchSessions(10, time.Now)
	expectWants(t, mustOpen(t, s, fetchRequest(12, 0, 0, []want{{0, 1}, {0, 2}})), want{0, 2})
}

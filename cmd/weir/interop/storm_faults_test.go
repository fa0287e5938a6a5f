//go:build interop

package interop

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// How many of a hundred produce requests have which fate, and how late an answer is at most.
const (
	swallowedPercent, tornPercent, latePercent = 8, 4, 4
	latest                                     = 200 * time.Millisecond
)

// turnEvery is how many produce requests lie between a kill and the start that follows, and the next kill.
const turnEvery = 250

// batchID is a batch as its producer numbers it: a retry has the same.
type batchID struct {
	partition     int32
	producer      int64
	epoch         int16
	firstSequence int32
}

const notStored = -1

// storm oversees proxies: it draws the fates of a cluster's produce requests, and knows what brokers have said to each batch. Fates come
// from a seed, by the request's place among all.
type storm struct {
	turns chan struct{} // a broker is to be killed, or the killed one to be started

	mu       sync.Mutex // guards the rest
	random   *rand.Rand
	requests int
	fates    [late + 1]int
	batches  map[batchID]int64 // base offset of what has been forwarded, notStored until a broker gives one
	retried  int               // batches that were forwarded once more
	repeated int               // batches that a broker has given the same base offset once more
	refused  map[int16]int     // batches by error code
	kills    int
	trouble  []string
}

func newStorm(seed uint64) *storm {
	return &storm{
		turns: make(chan struct{}, 1), random: rand.New(rand.NewPCG(seed, 0)),
		batches: map[batchID]int64{}, refused: map[int16]int{},
	}
}

// asks draws the fate of a produce request, and notes its batches.
func (s *storm) asks(r *request) error {
	if kmsg.Key(r.key) != kmsg.Produce {
		return nil
	}
	var produce kmsg.ProduceRequest
	if err := r.decode(&produce); err != nil {
		return err
	}
	for _, topic := range produce.Topics {
		for _, part := range topic.Partitions {
			var batch kmsg.RecordBatch
			if err := batch.UnsafeReadFrom(part.Records); err != nil {
				return err
			}
			r.batches = append(r.batches, batchID{part.Partition, batch.ProducerID, batch.ProducerEpoch, batch.FirstSequence})
		}
	}
	if r.fate, r.drawn = s.draw(); r.fate != torn {
		s.forwarded(r.batches)
	}
	return nil
}

// answers notes what is said of the batches.
func (s *storm) answers(r *request, answer []byte) error {
	if kmsg.Key(r.key) != kmsg.Produce {
		return nil
	}
	var produced kmsg.ProduceResponse
	if err := r.decodeAnswer(answer, &produced); err != nil {
		return err
	}
	s.answered(r.batches, &produced)
	return nil
}

// draw is the next request's fate, and a number for it in [0, 1).
func (s *storm) draw() (fate, float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests++; s.requests%turnEvery == 0 {
		select {
		case s.turns <- struct{}{}:
		default: // the last turn is not over
		}
	}
	f, percent := passes, s.random.IntN(100)
	switch {
	case percent < swallowedPercent:
		f = swallowed
	case percent < swallowedPercent+tornPercent:
		f = torn
	case percent < swallowedPercent+tornPercent+latePercent:
		f = late
	}
	s.fates[f]++
	return f, s.random.Float64()
}

// forwarded notes what a broker is given.
func (s *storm) forwarded(ids []batchID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if _, again := s.batches[id]; again {
			s.retried++
		} else {
			s.batches[id] = notStored
		}
	}
}

// answered notes what a broker says of the batches of a request: the same base offset whenever it stores one, or says
// that it has.
func (s *storm) answered(ids []batchID, answer *kmsg.ProduceResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, topic := range answer.Topics {
		for _, p := range topic.Partitions {
			i := slices.IndexFunc(ids, func(id batchID) bool { return id.partition == p.Partition })
			switch {
			case i < 0:
				s.trouble = append(s.trouble, fmt.Sprintf("an answer for partition %d, which was not in the request", p.Partition))
			case p.ErrorCode != 0:
				s.refused[p.ErrorCode]++
			case s.batches[ids[i]] == notStored:
				s.batches[ids[i]] = p.BaseOffset
			case s.batches[ids[i]] == p.BaseOffset:
				s.repeated++
			default:
				s.trouble = append(s.trouble, fmt.Sprintf("batch %+v is at offset %d, and at %d", ids[i], s.batches[ids[i]], p.BaseOffset))
			}
		}
	}
}

// wants wants it to have been one, and nothing that a broker has said to be wrong.
func (s *storm) wants(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, trouble := range s.trouble {
		t.Error(trouble)
	}
	if least := 30; s.fates[swallowed] < least || s.fates[torn] < least/2 || s.repeated < least || s.kills < 2 {
		t.Error("that was no storm")
	}
}

func (s *storm) complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = append(s.trouble, fmt.Sprintf(format, args...))
}

func (s *storm) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var refused []string
	for _, code := range slices.Sorted(maps.Keys(s.refused)) {
		refused = append(refused, fmt.Sprintf("%s %d", kerr.TypedErrorForCode(code).Message, s.refused[code]))
	}
	return fmt.Sprintf("%d batches in %d produce requests: %d answers swallowed, %d requests torn, %d answers late, %d brokers killed; "+
		"%d times a batch was sent again, of which %d were there already; refused: %s",
		len(s.batches), s.requests, s.fates[swallowed], s.fates[torn], s.fates[late], s.kills, s.retried, s.repeated, strings.Join(refused, ", "))
}

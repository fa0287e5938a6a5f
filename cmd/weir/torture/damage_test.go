//go:build torture

package torture

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/torture/history"
)

func consumeFromStart(to topic) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{to.name: {0: kgo.NewOffset().At(0)}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepRetryableFetchErrors(),
		kgo.FetchMaxWait(200 * time.Millisecond),
	}
}

// scene is a killed broker with two topics of one partition each, whose
// records are all acknowledged.
type scene struct {
	t             *testing.T
	b             *broker
	l             *load
	victim, other *filler
	id            [16]byte // of the victim
}

const sceneRecords = 200

func newScene(t *testing.T, sets []string, configs ...string) *scene {
	t.Helper()
	s := &scene{t: t, b: newBroker(t, filepath.Join(t.TempDir(), "data"), sets...)}
	s.b.start()
	topics := []topic{{name: "victim", number: 1, partitions: 1}, {name: "other", number: 2, partitions: 1}}
	for _, to := range topics {
		s.b.createTopic(to.name, 1, configs...)
	}
	s.id = s.b.topicID("victim")
	s.l = &load{t: t, b: s.b, topics: topics}
	s.victim, s.other = newFiller(s.l, 1, topics[0], 1<<10), newFiller(s.l, 2, topics[1], 1<<10)
	for range sceneRecords {
		for _, f := range []*filler{s.victim, s.other} {
			if err := f.put(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// judge wants everything to be there, and one more record to be taken.
func (s *scene) judge() {
	s.t.Helper()
	s.victim.resumes("after a restart")
	now := &load{t: s.t, b: s.b, topics: s.l.topics}
	now.record.Add(s.l.record.Events()...)
	now.judge()
}

// TestTornTail leaves parts of one more append behind the last record of a
// killed broker: the next start cuts them, says so, and loses nothing.
func TestTornTail(t *testing.T) {
	s := newScene(t, nil)
	for name, torn := range map[string]func(frame []byte) []byte{
		"one byte":             func(f []byte) []byte { return f[7:8] },
		"less than a header":   func(f []byte) []byte { return f[:40] },
		"half":                 func(f []byte) []byte { return f[:len(f)/2] },
		"all but the last":     func(f []byte) []byte { return f[:len(f)-1] },
		"head, zeros, no tail": func(f []byte) []byte { clear(f[100:]); return f },
	} {
		s.b.kill()
		files := segmentFiles(t, s.b, s.id)
		last := files[len(files)-1]
		said := len(s.b.said())
		last.tear(torn)
		s.b.start()
		if log := s.b.said()[said:]; !containsLine(log, "recovered", last.path, "cut_bytes") {
			t.Errorf("%s: no report of what was cut:\n%s", name, log)
		}
		s.judge()
	}
}

const (
	refused  = "refused at the start"
	atReader = "error at the reader"
	silence  = "silence"
	harmless = "harmless"
)

// TestFlippedBits flips one bit at a time in the files of a killed broker.
// Where the start looks at all bytes again, past the recovery point, it
// refuses the partition and names it; of what had been synced before that, no
// reader takes a bad byte for a record. The other partition never suffers.
func TestFlippedBits(t *testing.T) {
	for _, c := range []struct {
		name    string
		sets    []string
		configs []string
		flips   int
		want    []string
	}{
		// The recovery point stays at the start of so little data.
		{"past the recovery point", nil, nil, 10, []string{refused}},
		// It moves with each look of retention, and with each new segment.
		{"below the recovery point", []string{"log.retention.check.interval.ms=100"}, nil, 10, []string{refused, atReader}},
		{"in sealed segments", nil, []string{"segment.bytes", "16384"}, 20, []string{refused, atReader}},
	} {
		t.Run(c.name, func(t *testing.T) {
			outcomes := flipBits(t, newScene(t, c.sets, c.configs...), c.flips)
			t.Logf("outcomes: %v", outcomes)
			for outcome := range outcomes {
				if !slices.Contains(c.want, outcome) {
					t.Errorf("outcomes %v, want only %q", outcomes, c.want)
				}
			}
		})
	}
}

func flipBits(t *testing.T, s *scene, flips int) (outcomes map[string]int) {
	rng := rand.New(rand.NewPCG(seed(t), 0))
	outcomes = map[string]int{}
	for range flips {
		s.b.kill()
		files := segmentFiles(t, s.b, s.id)
		f := files[rng.IntN(max(1, len(files)-1))]
		position := f.checked(rng)
		bit := byte(1) << rng.IntN(8)
		f.b[position] ^= bit
		f.save()
		outcomes[s.damaged(f, position)]++
		s.b.kill()
		now, err := os.ReadFile(f.path) // a leadership has begun meanwhile, which may be behind a recovery point by now
		if err != nil {
			t.Fatal(err)
		}
		if len(now) <= position {
			t.Fatalf("bit flipped at position %d of %s: the file has been cut to %d bytes", position, filepath.Base(f.path), len(now))
		}
		now[position] ^= bit
		f.b = now
		f.save()
		s.b.start()
		s.judge()
	}
	return outcomes
}

// damaged starts the broker on damaged files and says what became of it.
func (s *scene) damaged(f *segmentFile, position int) (outcome string) {
	s.t.Helper()
	said := len(s.b.said())
	s.b.start()
	if err := s.other.put(); err != nil {
		s.t.Errorf("the other partition suffers: %v", err)
	}
	sent := int64(s.victim.n)
	events, err := s.l.tryReading(s.victim.topic, sent, 3*time.Second)
	known := &load{t: s.t, b: s.b, topics: s.l.topics}
	known.record.Add(s.l.record.Events()...)
	known.record.Add(events...)
	for _, v := range history.Check(known.record.Events()).Violations {
		if v.Anomaly != history.Lost && v.Anomaly != history.Unread {
			s.t.Errorf("bit flipped at position %d of %s: served: %v", position, filepath.Base(f.path), v)
		}
	}
	log := s.b.said()[said:]
	switch {
	case containsLine(log, "is offline", "victim"):
		if len(events) > 0 {
			s.t.Errorf("bit flipped at position %d: offline, and %d records were read", position, len(events))
		}
		return refused
	case err != nil:
		s.t.Logf("bit flipped at position %d: %d records, then %v", position, len(events), err)
		return atReader
	case int64(len(events)) < sent:
		s.t.Logf("bit flipped at position %d: %d of %d records were read, without an error", position, len(events), sent)
		return silence
	}
	return harmless
}

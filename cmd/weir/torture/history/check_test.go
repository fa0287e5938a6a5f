package history

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// good is a small history in which every promise is kept: two producers, two
// partitions, one record that was sent without an answer, one consumer.
func good() []Event {
	return []Event{
		{Op: Send, Value: NewValue(1, 1), Sum: 11, Idempotent: true},
		{Op: Send, Value: NewValue(1, 2), Sum: 12, Idempotent: true},
		{Op: Send, Value: NewValue(2, 1), Sum: 21, Partition: 1},
		{Op: Ack, Value: NewValue(1, 1), Offset: 0},
		{Op: Ack, Value: NewValue(1, 2), Offset: 1},
		{Op: Poll, Process: 9, Value: NewValue(1, 1), Sum: 11, Offset: 0},
		{Op: Send, Value: NewValue(1, 3), Sum: 13, Idempotent: true},
		{Op: Poll, Process: 9, Value: NewValue(1, 2), Sum: 12, Offset: 1},
		{Op: Ack, Value: NewValue(2, 1), Offset: 0, Partition: 1},
		{Op: Ack, Value: NewValue(1, 3), Offset: 2},
		{Op: Send, Value: NewValue(1, 4), Sum: 14, Idempotent: true},
		{Op: Bounds, Offset: 0, End: 4},
		{Op: Bounds, Partition: 1, Offset: 0, End: 1},
		{Op: Final, Value: NewValue(1, 1), Sum: 11, Offset: 0},
		{Op: Final, Value: NewValue(2, 1), Sum: 21, Offset: 0, Partition: 1},
		{Op: Final, Value: NewValue(1, 2), Sum: 12, Offset: 1},
		{Op: Final, Value: NewValue(1, 3), Sum: 13, Offset: 2},
		{Op: Final, Value: NewValue(1, 4), Sum: 14, Offset: 3},
	}
}

func kinds(r Report) (found []Anomaly) {
	for _, v := range r.Violations {
		if !slices.Contains(found, v.Anomaly) {
			found = append(found, v.Anomaly)
		}
	}
	return found
}

func TestGoodHistory(t *testing.T) {
	r := Check(good())
	if r.Total != 0 {
		t.Fatalf("a good history: %v", r.Violations)
	}
	if r.Sent != 5 || r.Acked != 4 || r.Polled != 2 || r.Final != 5 || r.Duplicates != 0 {
		t.Errorf("counted %+v", r)
	}
}

// TestBadHistories: each kind of broken promise is found under its name.
func TestBadHistories(t *testing.T) {
	index := func(events []Event, op Op, value uint64) int {
		return slices.IndexFunc(events, func(e Event) bool { return e.Op == op && e.Value == value })
	}
	for _, c := range []struct {
		name string
		want Anomaly
		do   func(e []Event) []Event
	}{
		{"the last acknowledged record is gone", Lost, func(e []Event) []Event {
			e[index(e, Bounds, 0)].End = 2
			return e[:len(e)-2]
		}},
		{"a partition was not read in the end", Lost, func(e []Event) []Event {
			e = slices.Delete(e, 14, 15)
			return slices.Delete(e, 12, 13)
		}},
		{"a record that was read and never acknowledged is gone", Unread, func(e []Event) []Event {
			poll := Event{Op: Poll, Process: 8, Value: NewValue(1, 4), Sum: 14, Offset: 3}
			e[index(e, Bounds, 0)].End = 3
			return slices.Insert(e[:len(e)-1], 11, poll)
		}},
		{"other bytes in the end", Changed, func(e []Event) []Event {
			e[index(e, Final, NewValue(1, 2))].Sum++
			return e
		}},
		{"other bytes in a poll", Changed, func(e []Event) []Event {
			e[index(e, Poll, NewValue(1, 2))].Sum++
			return e
		}},
		{"another record at the offset", Changed, func(e []Event) []Event {
			i := index(e, Final, NewValue(1, 3))
			e[i].Value, e[i].Sum = NewValue(1, 4), 14
			return e[:len(e)-1]
		}},
		{"in another partition", Changed, func(e []Event) []Event {
			e[index(e, Final, NewValue(2, 1))] = Event{Op: Final, Partition: 1, Value: NewValue(1, 4), Sum: 14}
			return e
		}},
		{"a record that nobody sent", Invented, func(e []Event) []Event {
			e[index(e, Final, NewValue(1, 4))].Value = NewValue(7, 7)
			return e
		}},
		{"a record that is known to have failed", Invented, func(e []Event) []Event {
			return slices.Insert(e, 11, Event{Op: Fail, Value: NewValue(1, 4)})
		}},
		{"twice, of an idempotent producer", Duplicate, func(e []Event) []Event {
			e[index(e, Bounds, 0)].End = 5
			return append(e, Event{Op: Final, Value: NewValue(1, 4), Sum: 14, Offset: 4})
		}},
		{"acknowledged at two offsets", Lost, func(e []Event) []Event {
			return slices.Insert(e, 11, Event{Op: Ack, Value: NewValue(1, 4), Offset: 9})
		}},
		{"the log start has moved by itself", Lost, func(e []Event) []Event {
			e[index(e, Bounds, 0)].Offset = 1
			return slices.Delete(e, 13, 14)
		}},
		{"the log start has moved further than was asked", Lost, func(e []Event) []Event {
			e[index(e, Bounds, 0)].Offset = 2
			e = slices.Delete(e, 15, 16)
			return slices.Insert(slices.Delete(e, 13, 14), 11, Event{Op: Delete, Offset: 1})
		}},
		{"two records exchanged", Reordered, func(e []Event) []Event {
			i, j := index(e, Final, NewValue(1, 3)), index(e, Final, NewValue(1, 4))
			e[i].Value, e[j].Value, e[i].Sum, e[j].Sum = e[j].Value, e[i].Value, 14, 13
			e[index(e, Ack, NewValue(1, 3))].Offset = 3
			return e
		}},
		{"sent later, and yet before", Stale, func(e []Event) []Event {
			e[index(e, Ack, NewValue(1, 3))].Offset = 0
			return e
		}},
		{"an offset left out in the middle", Hole, func(e []Event) []Event {
			return slices.Delete(e, 16, 17)
		}},
		{"an offset left out at the end", Hole, func(e []Event) []Event {
			return e[:len(e)-1]
		}},
		{"a consumer goes back", Rewind, func(e []Event) []Event {
			return slices.Insert(e, 8, e[index(e, Poll, NewValue(1, 1))])
		}},
		{"a consumer is not shown an offset", Skip, func(e []Event) []Event {
			e[index(e, Poll, NewValue(1, 2))] = Event{Op: Poll, Process: 9, Value: NewValue(1, 3), Sum: 13, Offset: 2}
			return e
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Check(c.do(good()))
			if !slices.Contains(kinds(r), c.want) {
				t.Errorf("got %v, want %s among them", r.Violations, c.want)
			}
		})
	}
}

// TestAllowed: what looks odd and breaks no promise.
func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(e []Event) []Event
	}{
		{"a second copy of a plain producer", func(e []Event) []Event {
			e[12].End = 2
			return append(e, Event{Op: Final, Partition: 1, Value: NewValue(2, 1), Sum: 21, Offset: 1})
		}},
		{"an unanswered record that is not there", func(e []Event) []Event {
			e[11].End = 3
			return e[:len(e)-1]
		}},
		{"records deleted from below", func(e []Event) []Event {
			e[11].Offset = 1
			return slices.Insert(slices.Delete(e, 13, 14), 11, Event{Op: Delete, Offset: 1})
		}},
		{"records not deleted as far as was asked", func(e []Event) []Event {
			return slices.Insert(e, 11, Event{Op: Delete, Offset: 1})
		}},
		{"another consumer begins in the middle", func(e []Event) []Event {
			return slices.Insert(e, 11, Event{Op: Poll, Process: 5, Value: NewValue(1, 3), Sum: 13, Offset: 2})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := Check(c.do(good())); r.Total != 0 {
				t.Errorf("got %v", r.Violations)
			}
		})
	}
}

// generated is a good history drawn at random: idempotent producers, records
// acknowledged some time after they were stored, one consumer a partition.
func generated(rng *rand.Rand) []Event {
	const partitions = 3
	var events, finals []Event
	var logs [partitions][]Event
	var unanswered []Event
	sequence := map[int]uint64{}
	for range 100 {
		producer, p := rng.IntN(4), rng.Int32N(partitions)
		sequence[producer]++
		e := Event{Op: Send, Process: producer, Partition: p, Value: NewValue(producer, sequence[producer]), Sum: rng.Uint64(), Idempotent: true}
		events = append(events, e)
		e.Op, e.Idempotent, e.Offset = Ack, false, int64(len(logs[p]))
		logs[p] = append(logs[p], e)
		unanswered = append(unanswered, e)
		for rng.IntN(3) == 0 && len(unanswered) > 0 {
			events = append(events, unanswered[0])
			unanswered = unanswered[1:]
		}
	}
	for p, records := range logs {
		events = append(events, Event{Op: Bounds, Partition: int32(p), End: int64(len(records))})
		for _, e := range records {
			e.Op, e.Process = Poll, 100
			events = append(events, e)
			e.Op = Final
			finals = append(finals, e)
		}
	}
	return append(events, finals...)
}

// TestWeakAcks: what a leader alone has acknowledged may be lost with it, and another
// record may lie in its place. It is counted, once.
func TestWeakAcks(t *testing.T) {
	events := good()
	events = slices.Insert(events, 3,
		Event{Op: Send, Value: NewValue(3, 1), Sum: 31}, Event{Op: Ack, Value: NewValue(3, 1), Offset: 0, Weak: true},
		Event{Op: Send, Value: NewValue(3, 2), Sum: 32, Partition: 1}, Event{Op: Ack, Value: NewValue(3, 2), Offset: 1, Partition: 1, Weak: true})
	if r := Check(events); r.Total != 0 || r.WeakLost != 2 {
		t.Errorf("%d lost with their leader, want 2: %v", r.WeakLost, r.Violations)
	}
	events = append(good(), Event{Op: Ack, Value: NewValue(1, 4), Offset: 3, Weak: true})
	if r := Check(events); r.Total != 0 || r.WeakLost != 0 {
		t.Errorf("%d lost with their leader, want none: %v", r.WeakLost, r.Violations)
	}
}

// TestMutations: good histories pass, and one event of the final reading or
// of a consumer that is dropped, moved, doubled or changed is found out.
func TestMutations(t *testing.T) {
	const rounds = 1000
	missed := 0
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 1))
		events := generated(rng)
		if r := Check(events); r.Total != 0 {
			t.Fatalf("seed %d: a good history: %v", seed, r.Violations)
		}
		i := rng.IntN(len(events))
		for events[i].Op != Final && events[i].Op != Poll {
			i = rng.IntN(len(events))
		}
		switch rng.IntN(4) {
		case 0:
			// Dropping the last poll of a partition is no offence.
			for events[i].Op != Final {
				i = rng.IntN(len(events))
			}
			events = slices.Delete(events, i, i+1)
		case 1:
			events = slices.Insert(events, i, events[i])
		case 2:
			events[i].Sum++
		default:
			events[i].Offset++
		}
		if Check(events).Total == 0 {
			missed++
			t.Errorf("seed %d: a mutation of event %d (%+v) was not found", seed, i, events[i])
		}
	}
	if missed > 0 {
		t.Errorf("%d of %d mutations were missed", missed, rounds)
	}
}

func TestWriteRead(t *testing.T) {
	var b bytes.Buffer
	events := generated(rand.New(rand.NewPCG(1, 2)))
	if err := Write(&b, events); err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(b.Bytes(), []byte("\n")); lines != len(events) {
		t.Errorf("%d lines for %d events", lines, len(events))
	}
	got, err := Read(&b)
	if err != nil || !reflect.DeepEqual(got, events) {
		t.Errorf("read %d events, %v; wrote %d", len(got), err, len(events))
	}
	if _, err := Read(bytes.NewBufferString("{\"op\":\"send\"}\n{")); err == nil {
		t.Error("half a line was taken")
	}
}

func TestViolationsAreBounded(t *testing.T) {
	var r Recorder
	for i := range int64(10 * maxViolations) {
		r.Add(Event{Op: Ack, Value: NewValue(1, uint64(i)), Offset: i})
	}
	got := Check(r.Events())
	if len(got.Violations) != maxViolations || got.Total < 10*maxViolations {
		t.Errorf("kept %d of %d", len(got.Violations), got.Total)
	}
}

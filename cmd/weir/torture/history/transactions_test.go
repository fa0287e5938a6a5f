package history

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Partitions of the history of a transaction's test: what is read, and where is written.
const input, outA, outB = 0, 1, 2

// goodTransactions is a history in which every promise is kept. Process 1 commits, aborts, and asks for a commit without
// hearing of it; then process 2 takes its transactional id and goes on. Process 9 follows the outputs.
func goodTransactions() []Event {
	t11, t12, t13, t21 := NewValue(1, 1), NewValue(1, 2), NewValue(1, 3), NewValue(2, 1)
	out := func(process int, n uint64, p int32, txn uint64) Event {
		return Event{Op: Send, Process: process, Partition: p, Value: NewValue(process, n), Sum: uint64(process)*10 + n, Txn: txn}
	}
	at := func(op Op, e Event, offset int64) Event {
		e.Op, e.Offset, e.Txn = op, offset, 0
		if op != Ack {
			e.Process = 9
		}
		return e
	}
	take := func(txn uint64, offset int64) Event {
		return Event{Op: Take, Txn: txn, Partition: input, Offset: offset}
	}
	end := func(op Op, txn uint64) Event { return Event{Op: op, Txn: txn} }
	stable := func(p int32, offset int64) Event { return Event{Op: Stable, Process: 9, Partition: p, Offset: offset} }
	var events []Event
	for i := range uint64(4) {
		e := Event{Op: Send, Process: 5, Partition: input, Value: NewValue(5, i+1), Sum: i}
		ack := e
		ack.Op, ack.Offset = Ack, int64(i)
		events = append(events, e, ack)
	}
	a1, b1, a2, a3, b3 := out(1, 1, outA, t11), out(1, 2, outB, t11), out(1, 3, outA, t12), out(1, 4, outA, t13), out(1, 5, outB, t13)
	a4, b4 := out(2, 1, outA, t21), out(2, 2, outB, t21)
	events = append(events,
		Event{Op: Claim, Process: 1, ID: 7}, Event{Op: Claimed, Process: 1},
		take(t11, 0), take(t11, 1), a1, b1, at(Ack, a1, 0), at(Ack, b1, 0), end(Commit, t11), end(Committed, t11), // markers at 1 and 1
		take(t12, 2), a2, at(Ack, a2, 2), // and its marker at 3
		stable(outA, 2), at(Poll, a1, 0),
		end(Abort, t12), end(Aborted, t12),
		take(t13, 2), a3, b3, at(Ack, a3, 4), at(Ack, b3, 2), end(Commit, t13), // markers at 5 and 3
		Event{Op: Claim, Process: 2, ID: 7}, Event{Op: Claimed, Process: 2},
		take(t21, 3), a4, b4, at(Ack, b4, 4), end(Commit, t21), end(Committed, t21), // a4 at 6, markers at 7 and 5
		stable(outA, 8), at(Poll, a3, 4), at(Poll, a4, 6),
		stable(outB, 6), at(Poll, b1, 0), at(Poll, b3, 2), at(Poll, b4, 4),
		Event{Op: Position, Partition: input, Offset: 4},
		Event{Op: Bounds, Partition: input, End: 4},
		Event{Op: Bounds, Partition: outA, End: 8, Holes: true},
		Event{Op: Bounds, Partition: outB, End: 6, Holes: true},
	)
	for i := range uint64(4) {
		events = append(events, Event{Op: Final, Partition: input, Value: NewValue(5, i+1), Sum: i, Offset: int64(i)})
	}
	marker := func(p int32, offset int64) Event { return Event{Op: Marker, Partition: p, Offset: offset} }
	return append(events,
		at(Final, a1, 0), marker(outA, 1), marker(outA, 3), at(Final, a3, 4), marker(outA, 5), at(Final, a4, 6), marker(outA, 7),
		at(Final, b1, 0), marker(outB, 1), at(Final, b3, 2), marker(outB, 3), at(Final, b4, 4), marker(outB, 5),
	)
}

// find is the place of the event of a record, at that of a transaction.
func find(events []Event, op Op, value uint64) int {
	return slices.IndexFunc(events, func(e Event) bool { return e.Op == op && e.Value == value })
}

func findEnd(events []Event, op Op, txn uint64) int {
	return slices.IndexFunc(events, func(e Event) bool { return e.Op == op && e.Txn == txn })
}

func without(events []Event, drop func(Event) bool) []Event { return slices.DeleteFunc(events, drop) }

// unseen takes a record out of what was read.
func unseen(events []Event, value uint64) []Event {
	return without(events, func(e Event) bool { return (e.Op == Poll || e.Op == Final) && e.Value == value })
}

func TestGoodTransactions(t *testing.T) {
	r := Check(goodTransactions())
	if r.Total != 0 {
		t.Fatalf("a good history: %v", r.Violations)
	}
	if r.Committed != 2 || r.Aborted != 1 || r.Unknown != 1 || r.UnknownCount != 1 {
		t.Errorf("counted %+v", r)
	}
}

// TestBadTransactions: each kind of broken promise is found under its name.
func TestBadTransactions(t *testing.T) {
	t11, t13, t21 := NewValue(1, 1), NewValue(1, 3), NewValue(2, 1)
	for _, c := range []struct {
		name string
		want Anomaly
		do   func(e []Event) []Event
	}{
		{"a record of an aborted transaction in the end", AbortedRead, func(e []Event) []Event {
			return slices.Insert(e, find(e, Final, NewValue(1, 1))+2, Event{Op: Final, Partition: outA, Value: NewValue(1, 3), Sum: 13, Offset: 2})
		}},
		{"a consumer is shown a record of an aborted transaction", AbortedRead, func(e []Event) []Event {
			return slices.Insert(e, find(e, Poll, NewValue(1, 4)), Event{Op: Poll, Process: 9, Partition: outA, Value: NewValue(1, 3), Sum: 13, Offset: 2})
		}},
		{"nobody asked for the commit of what is read", AbortedRead, func(e []Event) []Event {
			return without(e, func(e Event) bool { return e.Op == Commit && e.Txn == t13 })
		}},
		{"a committed transaction is not there", Lost, func(e []Event) []Event {
			return unseen(unseen(e, NewValue(2, 1)), NewValue(2, 2))
		}},
		{"a committed transaction is there by half", Partial, func(e []Event) []Event { return unseen(e, NewValue(2, 1)) }},
		{"a transaction of unknown outcome is there by half", Partial, func(e []Event) []Event { return unseen(e, NewValue(1, 5)) }},
		{"the group's offset is not committed with it", Partial, func(e []Event) []Event {
			e[slices.IndexFunc(e, func(e Event) bool { return e.Op == Position })].Offset = 3
			return e
		}},
		{"the group's offset is committed without it", Untaken, func(e []Event) []Event {
			return unseen(unseen(e, NewValue(1, 4)), NewValue(1, 5))
		}},
		{"two transactions have taken the same", Retaken, func(e []Event) []Event {
			i := findEnd(e, Take, t21)
			return slices.Insert(e, i, Event{Op: Take, Txn: t21, Partition: input, Offset: 2})
		}},
		{"shown while open", OpenRead, func(e []Event) []Event {
			poll := e[find(e, Poll, NewValue(1, 1))]
			e = without(e, func(e Event) bool { return e.Op == Poll && e.Value == NewValue(1, 1) })
			return slices.Insert(e, findEnd(e, Commit, t11), poll)
		}},
		{"shown above the last stable offset", OpenRead, func(e []Event) []Event {
			e[slices.IndexFunc(e, func(e Event) bool { return e.Op == Stable && e.Offset == 8 })].Offset = 6
			return e
		}},
		{"the last stable offset passes an open transaction", Unstable, func(e []Event) []Event {
			e[slices.IndexFunc(e, func(e Event) bool { return e.Op == Stable })].Offset = 3
			return e
		}},
		{"the last stable offset passes what the next one aborts", Unstable, func(e []Event) []Event {
			i := find(e, Ack, NewValue(1, 4))
			e = without(e, func(e Event) bool { return e.Op == Commit && e.Txn == t13 })
			return slices.Insert(e, i+1, Event{Op: Stable, Process: 9, Partition: outA, Offset: 5})
		}},
		{"the last stable offset passes one of a process that has claimed alone", Unstable, func(e []Event) []Event {
			return slices.Insert(e, findEnd(e, Commit, t21), Event{Op: Stable, Process: 9, Partition: outB, Offset: 5})
		}},
		{"the last stable offset goes back", Rewind, func(e []Event) []Event {
			i := slices.IndexFunc(e, func(e Event) bool { return e.Op == Stable })
			return slices.Insert(e, i+2, Event{Op: Stable, Process: 9, Partition: outA, Offset: 1})
		}},
		{"a fenced process commits", Zombie, func(e []Event) []Event {
			i := findEnd(e, Commit, t13)
			commit := e[i]
			e = slices.Delete(e, i, i+1)
			return slices.Insert(e, findEnd(e, Take, t21), commit)
		}},
		{"twice", Duplicate, func(e []Event) []Event {
			i := find(e, Final, NewValue(1, 4))
			x := e[i]
			x.Offset = 5
			e[i+1] = x
			return e
		}},
		{"out of order", Reordered, func(e []Event) []Event {
			i, j := find(e, Final, NewValue(2, 2)), find(e, Final, NewValue(1, 2))
			e[find(e, Send, NewValue(2, 2))].Txn = t11 // one process has both
			e[i].Value, e[j].Value = NewValue(1, 2), NewValue(1, 5)
			return e
		}},
		{"a consumer is not shown a record", Skip, func(e []Event) []Event {
			return without(e, func(e Event) bool { return e.Op == Poll && e.Value == NewValue(1, 5) })
		}},
		{"a consumer goes back", Rewind, func(e []Event) []Event {
			i := find(e, Poll, NewValue(2, 1))
			return slices.Insert(e, i+1, e[i-1])
		}},
		{"the final reading ends early", Hole, func(e []Event) []Event { return e[:len(e)-1] }},
		{"a hole where no transaction is", Hole, func(e []Event) []Event {
			return without(e, func(e Event) bool { return e.Op == Final && e.Value == NewValue(5, 2) })
		}},
		{"what is acknowledged of a committed transaction lies elsewhere", Lost, func(e []Event) []Event {
			e[find(e, Ack, NewValue(2, 2))].Offset = 5
			return e
		}},
		{"an aborted one is committed", AbortedRead, func(e []Event) []Event {
			e[findEnd(e, Committed, t21)].Op = Aborted
			return e
		}},
		{"the offset of an aborted one counts", Untaken, func(e []Event) []Event {
			return without(e, func(e Event) bool { return e.Op == Take && e.Txn == t13 })
		}},
		{"what was acknowledged in an aborted one is another's", Changed, func(e []Event) []Event {
			e[slices.IndexFunc(e, func(e Event) bool { return e.Op == Ack && e.Value == NewValue(1, 3) })].Offset = 4
			return e
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Check(c.do(goodTransactions()))
			if !slices.Contains(kinds(r), c.want) {
				t.Errorf("got %v, want %s among them", r.Violations, c.want)
			}
		})
	}
}

// TestAllowedTransactions: what looks odd and breaks no promise.
func TestAllowedTransactions(t *testing.T) {
	t13, t21 := NewValue(1, 3), NewValue(2, 1)
	for _, c := range []struct {
		name string
		do   func(e []Event) []Event
	}{
		{"one of unknown outcome is not there, and the next has taken the same", func(e []Event) []Event {
			e = unseen(unseen(e, NewValue(1, 4)), NewValue(1, 5))
			return slices.Insert(e, findEnd(e, Take, t21), Event{Op: Take, Txn: t21, Partition: input, Offset: 2})
		}},
		{"the process that is fenced asks for a commit, and is refused", func(e []Event) []Event {
			e = unseen(unseen(e, NewValue(1, 4)), NewValue(1, 5))
			i := findEnd(e, Commit, t13)
			commit := e[i]
			e = slices.Delete(e, i, i+1)
			e = slices.Insert(e, findEnd(e, Take, t21), commit)
			return slices.Insert(e, findEnd(e, Take, t21), Event{Op: Take, Txn: t21, Partition: input, Offset: 2})
		}},
		{"the last stable offset passes one that another's claim may have aborted", func(e []Event) []Event {
			e = unseen(unseen(e, NewValue(1, 4)), NewValue(1, 5))
			e = without(e, func(e Event) bool { return e.Op == Commit && e.Txn == t13 })
			i := slices.IndexFunc(e, func(e Event) bool { return e.Op == Claim && e.Process == 2 })
			e = slices.Insert(e, i+1, Event{Op: Stable, Process: 9, Partition: outA, Offset: 6})
			return slices.Insert(e, findEnd(e, Take, t21), Event{Op: Take, Txn: t21, Partition: input, Offset: 2})
		}},
		{"the last stable offset passes one that may be aborted by a claim whose process has died", func(e []Event) []Event {
			i := findEnd(e, Commit, t21)
			e = slices.Insert(e, i, Event{Op: Stable, Process: 9, Partition: outB, Offset: 5})
			i = slices.IndexFunc(e, func(e Event) bool { return e.Op == Claim && e.Process == 2 })
			return slices.Insert(e, i, Event{Op: Claim, Process: 3, ID: 7})
		}},
		{"a group that has not come to the end", func(e []Event) []Event {
			e[slices.IndexFunc(e, func(e Event) bool { return e.Op == Position })].Offset = 3
			return without(unseen(unseen(e, NewValue(2, 1)), NewValue(2, 2)), func(e Event) bool { return e.Txn == t21 && (e.Op == Committed || e.Op == Commit) })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := Check(c.do(goodTransactions())); r.Total != 0 {
				t.Errorf("got %v", r.Violations)
			}
		})
	}
}

// chain draws a good history: processes that take records of one partition, in order, and write one for each into others, in
// transactions of which some are aborted, and some never heard of again; then another process takes over.
type chain struct {
	rng      *rand.Rand
	events   []Event
	logs     [2][]Event // what counts, and markers
	ends     [2]int64
	process  int
	txn, n   uint64
	position int64
}

func newChain(rng *rand.Rand) *chain {
	c := &chain{rng: rng, process: 1}
	c.claim()
	for c.position < 60 {
		c.transaction()
	}
	finals := []Event{{Op: Position, Partition: 0, Offset: c.position}, {Op: Bounds, Partition: 0, End: 60}}
	for i := range int64(60) {
		value := NewValue(1000, uint64(i))
		c.events = append(c.events, Event{Op: Send, Process: 1000, Value: value, Sum: uint64(i)})
		finals = append(finals, Event{Op: Final, Value: value, Sum: uint64(i), Offset: i})
	}
	for p, log := range c.logs {
		partition := int32(p + 1)
		finals = append(finals, Event{Op: Bounds, Partition: partition, End: c.ends[p], Holes: true})
		c.events = append(c.events, Event{Op: Stable, Process: 2000, Partition: partition, Offset: c.ends[p]})
		for _, e := range log {
			finals = append(finals, e)
			if e.Op == Final {
				e.Op, e.Process = Poll, 2000
				c.events = append(c.events, e)
			}
		}
	}
	c.events = append(c.events, finals...)
	return c
}

func (c *chain) claim() {
	c.events = append(c.events, Event{Op: Claim, Process: c.process, ID: 1}, Event{Op: Claimed, Process: c.process})
}

func (c *chain) transaction() {
	c.txn++
	name := NewValue(c.process, c.txn)
	size := min(1+c.rng.Int64N(4), 60-c.position)
	outcome := c.rng.IntN(10) // 0, 1: aborted, 2: asked for and not answered, 3: died before that
	counts := outcome > 3 || outcome == 2 && c.rng.IntN(2) == 0
	begun := [2]bool{}
	for i := range size {
		c.n++
		p := c.rng.IntN(2)
		e := Event{Op: Send, Process: c.process, Partition: int32(p + 1), Value: NewValue(c.process, c.n), Sum: c.rng.Uint64(), Txn: name}
		ack := e
		ack.Op, ack.Offset, ack.Txn = Ack, c.ends[p], 0
		c.events = append(c.events, Event{Op: Take, Txn: name, Offset: c.position + i}, e, ack)
		if counts {
			ack.Op = Final
			c.logs[p] = append(c.logs[p], ack)
		}
		c.ends[p]++
		begun[p] = true
	}
	for p := range begun {
		if begun[p] {
			c.logs[p] = append(c.logs[p], Event{Op: Marker, Partition: int32(p + 1), Offset: c.ends[p]})
			c.ends[p]++
		}
	}
	if counts {
		c.position += size
	}
	switch {
	case outcome < 2:
		c.events = append(c.events, Event{Op: Abort, Txn: name}, Event{Op: Aborted, Txn: name})
	case outcome > 3:
		c.events = append(c.events, Event{Op: Commit, Txn: name}, Event{Op: Committed, Txn: name})
	default:
		if outcome == 2 {
			c.events = append(c.events, Event{Op: Commit, Txn: name})
		}
		c.process++
		c.claim()
	}
}

// TestMutatedTransactions: good histories pass, and one event that is dropped, moved, doubled or changed is found out.
func TestMutatedTransactions(t *testing.T) {
	const rounds = 1000
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 2))
		events := newChain(rng).events
		if r := Check(events); r.Total != 0 {
			t.Fatalf("seed %d: a good history: %v", seed, r.Violations)
		}
		pick := func(ops ...Op) int {
			for {
				if i := rng.IntN(len(events)); slices.Contains(ops, events[i].Op) {
					return i
				}
			}
		}
		var was Event
		var what string
		switch rng.IntN(6) {
		case 0:
			what = "a record is not there in the end"
			i := pick(Final)
			was, events = events[i], slices.Delete(events, i, i+1)
		case 1:
			what = "twice"
			i := pick(Final, Poll)
			was, events = events[i], slices.Insert(events, i, events[i])
		case 2:
			what = "other bytes"
			i := pick(Final, Poll)
			was = events[i]
			events[i].Sum++
		case 3:
			what = "one further"
			i := pick(Final, Poll)
			was = events[i]
			events[i].Offset++
		case 4:
			what = "an acknowledged commit was an abort"
			i := pick(Committed)
			was = events[i]
			events[i].Op = Aborted
		case 5:
			what = "a commit was never asked for, nor answered"
			i := pick(Committed)
			was = events[i]
			events = without(events, func(e Event) bool { return (e.Op == Commit || e.Op == Committed) && e.Txn == was.Txn })
		}
		if Check(events).Total == 0 {
			t.Errorf("seed %d: %s (%+v): not found", seed, what, was)
		}
	}
}

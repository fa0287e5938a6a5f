package history

import "fmt"

// Anomaly is a kind of broken promise.
type Anomaly string

const (
	Lost      Anomaly = "lost"      // acknowledged, and not there in the end
	Unread    Anomaly = "unread"    // a consumer was shown it, and it is not there in the end
	Changed   Anomaly = "changed"   // an offset or a record has other bytes than before
	Invented  Anomaly = "invented"  // nobody sent it, or its send is known to have failed
	Duplicate Anomaly = "duplicate" // at two offsets in spite of idempotence
	Reordered Anomaly = "reordered" // a producer's records stand in another order than sent
	Stale     Anomaly = "stale"     // sent after another was acknowledged, and lies before it
	Hole      Anomaly = "hole"      // an offset between start and end holds nothing
	Rewind    Anomaly = "rewind"    // a consumer went back
	Skip      Anomaly = "skip"      // a consumer was not shown an offset

	// Of transactions. Lost is also one whose commit was acknowledged, and of which nothing is there.

	AbortedRead Anomaly = "aborted read" // of a transaction that was aborted, or whose commit nobody asked for
	OpenRead    Anomaly = "open read"    // of a transaction that was open then: above the last stable offset
	Unstable    Anomaly = "unstable"     // a last stable offset above the first record of an open transaction
	Partial     Anomaly = "partial"      // a transaction of which a part counts: records, or offsets
	Zombie      Anomaly = "zombie"       // a transaction counts that was committed after its process was fenced
	Retaken     Anomaly = "retaken"      // two transactions that count have taken the same record
	Untaken     Anomaly = "untaken"      // a group is past a record that no transaction that counts has taken
)

// Violation is one promise broken.
type Violation struct {
	Anomaly   Anomaly
	Partition int32
	Offset    int64
	Value     uint64
	Detail    string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: partition %d, offset %d, producer %d, record %d: %s",
		v.Anomaly, v.Partition, v.Offset, Producer(v.Value), Sequence(v.Value), v.Detail)
}

// Report is the verdict over a history.
type Report struct {
	Violations []Violation // the first ones, at most maxViolations
	Total      int         // of all violations

	Sent, Acked, Polled, Final int // events
	Duplicates                 int // second copies where they are allowed
	WeakLost                   int // weakly acknowledged, and not there in the end

	// Transactions by their outcome; of those that are unknown, some count in the end.
	Committed, Aborted, Unknown, UnknownCount int
}

// maxViolations is how many are kept: one bug breaks thousands of promises.
const maxViolations = 50

// Check judges a history in time and memory that grow with its length alone.
// The final reading has to cover every partition that was written.
func Check(events []Event) Report {
	c := checker{
		sends: make(map[uint64]send, len(events)/3), finals: map[int32]*final{}, seen: map[place]sighting{},
		orders: map[line]uint64{}, positions: map[line]int64{}, highest: map[int32]int64{}, deleted: map[int32]int64{},
		txn: newTransactions(),
	}
	for _, e := range events { // what is needed before anything can be judged
		switch e.Op {
		case Send:
			c.sends[e.Value] = send{partition: e.Partition, sum: e.Sum, idempotent: e.Idempotent || e.Txn != 0, txn: e.Txn, offset: -1}
		case Fail:
			s := c.sends[e.Value]
			s.failed = true
			c.sends[e.Value] = s
		case Delete:
			c.deleted[e.Partition] = max(c.deleted[e.Partition], e.Offset)
		case Bounds:
			c.finals[e.Partition] = &final{start: e.Offset, end: e.End, next: e.Offset, holes: e.Holes}
		}
	}
	for _, e := range events {
		c.event(e)
	}
	for p, f := range c.finals {
		if asked := c.deleted[p]; f.start > asked {
			c.violate(Lost, Event{Partition: p, Offset: asked}, "the log starts at %d", f.start)
		}
		if f.next < f.end {
			c.violate(Hole, Event{Partition: p, Offset: f.next}, "the final reading ends before the end, %d", f.end)
		}
	}
	for _, e := range events { // against the final reading, now that it is whole
		switch e.Op {
		case Ack:
			switch t := c.of(e); {
			case e.Weak:
				c.weaklyKept(e)
			case t == nil || t.counts():
				c.kept(e, Lost)
			}
		case Poll:
			c.kept(e, Unread)
			c.followCommitted(e)
			c.mayBeRead(e)
		case Final:
			c.mayBeRead(e)
		}
	}
	c.judgeTransactions(events)
	return c.report
}

type place struct {
	partition int32
	offset    int64
}

// line is one process in one partition.
type line struct {
	process   int
	partition int32
}

type send struct {
	partition  int32
	sum        uint64
	idempotent bool
	failed     bool
	txn        uint64
	before     int64 // highest offset acknowledged in the partition when it was sent
	offset     int64 // where the final reading first met it, -1
}

type sighting struct {
	value uint64
	final bool
	rank  int // among the records of the partition in the final reading
}

type final struct {
	start, end, next int64
	holes            bool
	records          int
}

type checker struct {
	report    Report
	sends     map[uint64]send
	finals    map[int32]*final
	seen      map[place]sighting
	orders    map[line]uint64 // sequence last met of a producer, plus one
	positions map[line]int64  // offset a consumer is to be shown next
	highest   map[int32]int64 // offset after the highest acknowledged one
	deleted   map[int32]int64 // offset below which records were to go
	txn       transactions
}

func (c *checker) violate(a Anomaly, e Event, format string, args ...any) {
	c.report.Total++
	if len(c.report.Violations) < maxViolations {
		c.report.Violations = append(c.report.Violations,
			Violation{Anomaly: a, Partition: e.Partition, Offset: e.Offset, Value: e.Value, Detail: fmt.Sprintf(format, args...)})
	}
}

func (c *checker) event(e Event) {
	switch e.Op {
	case Send:
		c.report.Sent++
		s := c.sends[e.Value]
		s.before = c.highest[e.Partition]
		c.sends[e.Value] = s
		if e.Txn != 0 {
			c.begun(e.Txn).sends++
		}
	case Claim, Claimed, Commit, Abort, Committed, Aborted, Take, Stable, Position:
		c.transactionEvent(e)
	case Ack:
		c.report.Acked++
		c.ackedIn(e)
		if e.Weak {
			return
		}
		c.meet(e)
		if s := c.sends[e.Value]; e.Offset < s.before {
			c.violate(Stale, e, "when it was sent, offset %d had been acknowledged", s.before-1)
		}
		c.highest[e.Partition] = max(c.highest[e.Partition], e.Offset+1)
	case Poll:
		c.report.Polled++
		c.meet(e)
		c.follow(e)
		c.readIn(e)
	case Final:
		c.report.Final++
		c.meet(e)
		c.last(e)
	case Marker:
		c.advance(e)
	}
}

// meet holds a record at an offset against everything known of both.
func (c *checker) meet(e Event) {
	s, sent := c.sends[e.Value]
	switch {
	case !sent:
		c.violate(Invented, e, "nobody sent it")
		return
	case s.failed:
		c.violate(Invented, e, "its producer was told that it is not in the log")
	case s.partition != e.Partition:
		c.violate(Changed, e, "sent to partition %d", s.partition)
	case e.Op != Ack && s.sum != e.Sum:
		c.violate(Changed, e, "the bytes have checksum %x, were sent with %x", e.Sum, s.sum)
	}
	at := place{e.Partition, e.Offset}
	if old, ok := c.seen[at]; ok && old.value != e.Value {
		c.violate(Changed, e, "the offset held record %d of producer %d before", Sequence(old.value), Producer(old.value))
	}
	c.seen[at] = sighting{value: e.Value, final: c.seen[at].final || e.Op == Final, rank: c.seen[at].rank}
}

// follow checks that a consumer is shown every offset, in order.
func (c *checker) follow(e Event) {
	l := line{e.Process, e.Partition}
	want, begun := c.positions[l]
	switch {
	case begun && e.Offset < want:
		c.violate(Rewind, e, "consumer %d was at %d", e.Process, want)
	case begun && e.Offset > want && !c.holes(e.Partition):
		c.violate(Skip, e, "consumer %d was at %d", e.Process, want)
	}
	c.positions[l] = e.Offset + 1
}

// last checks the final reading itself: dense, in the producers' order, and
// each record once where that was promised.
func (c *checker) last(e Event) {
	f := c.advance(e)
	f.records++
	at := place{e.Partition, e.Offset}
	was := c.seen[at]
	was.rank = f.records
	c.seen[at] = was
	s, sent := c.sends[e.Value]
	if !sent {
		return
	}
	if s.offset >= 0 {
		if s.idempotent {
			c.violate(Duplicate, e, "also at offset %d", s.offset)
		}
		c.report.Duplicates++
		return
	}
	s.offset = e.Offset
	c.sends[e.Value] = s
	c.visible(s)
	l := line{Producer(e.Value), e.Partition}
	if after := c.orders[l]; Sequence(e.Value) < after {
		c.violate(Reordered, e, "it follows record %d", after-1)
	} else {
		c.orders[l] = Sequence(e.Value) + 1
	}
}

// advance has the final reading come to an offset.
func (c *checker) advance(e Event) *final {
	f := c.finals[e.Partition]
	if f == nil {
		f = &final{next: e.Offset, end: e.Offset}
		c.finals[e.Partition] = f
	}
	if e.Offset < f.next || e.Offset > f.next && !f.holes {
		c.violate(Hole, e, "the final reading was at %d", f.next)
	}
	f.next = e.Offset + 1
	return f
}

// holes says whether offsets of a partition may hold nothing that is read.
func (c *checker) holes(partition int32) bool {
	f := c.finals[partition]
	return f != nil && f.holes
}

// kept checks that what an event tells of is in the final reading, at its
// offset, unless the log has been cut from below since, as was asked.
func (c *checker) kept(e Event, a Anomaly) {
	f := c.finals[e.Partition]
	switch {
	case f == nil:
		c.violate(a, e, "its partition was not read in the end")
	case e.Offset >= f.start && !c.seen[place{e.Partition, e.Offset}].final:
		c.violate(a, e, "the final reading, [%d, %d), has nothing there", f.start, f.end)
	}
}

// weaklyKept counts what a leader alone has acknowledged and took with it.
func (c *checker) weaklyKept(e Event) {
	if f := c.finals[e.Partition]; f != nil && e.Offset < f.start {
		return
	}
	if s := c.seen[place{e.Partition, e.Offset}]; !s.final || s.value != e.Value {
		c.report.WeakLost++
	}
}

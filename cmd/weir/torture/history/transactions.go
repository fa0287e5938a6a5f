package history

import "slices"

// transactions is what the checker knows of them.
type transactions struct {
	byName   map[uint64]*transaction
	order    []*transaction // in which they were first heard of
	claims   claims
	open     map[int]*transaction   // by process: the one that nobody can have ended yet
	told     map[line]int64         // the last stable offset that a consumer was last told
	stable   map[int32]int64        // the highest that any consumer of the partition was told
	shown    map[line]int           // the rank of the record that a consumer was last shown
	taken    map[place]*transaction // by a transaction that counts
	position map[int32]int64
}

// transaction is one of a process.
type transaction struct {
	name           uint64
	sends, visible int // records; in the final reading
	takes          []place
	first          map[int32]int64 // by partition: its lowest offset that was acknowledged while it was open
	asked          bool            // for its commit
	zombie         bool            // and that after its process was fenced
	committed      bool            // as was told
	aborted        bool
}

// counts says whether readers see it.
func (t *transaction) counts() bool { return t.committed || t.visible > 0 }

// claims is who may write for which transactional id.
type claims struct {
	id        map[int]int   // by process
	pending   map[int]int   // by id: claims without an answer; they may still come to pass
	answered  map[int][]int // by id: processes whose claims were answered, and that are not fenced
	before    map[int][]int // by process: who was answered before it claimed
	fenced    map[int]bool  // processes
	contested map[int]bool  // processes that somebody else's claim may have fenced
}

func newTransactions() transactions {
	return transactions{
		byName: map[uint64]*transaction{}, open: map[int]*transaction{}, told: map[line]int64{}, stable: map[int32]int64{},
		shown: map[line]int{}, taken: map[place]*transaction{}, position: map[int32]int64{},
		claims: claims{
			id: map[int]int{}, pending: map[int]int{}, answered: map[int][]int{}, before: map[int][]int{}, fenced: map[int]bool{}, contested: map[int]bool{},
		},
	}
}

// of is the transaction that the record of an event belongs to, nil for none.
func (c *checker) of(e Event) *transaction { return c.txn.byName[c.sends[e.Value].txn] }

// begun is a transaction by its name, which may be new.
func (c *checker) begun(name uint64) *transaction {
	t := c.txn.byName[name]
	if t == nil {
		t = &transaction{name: name, first: map[int32]int64{}}
		c.txn.byName[name] = t
		c.txn.order = append(c.txn.order, t)
		if process := Producer(name); !c.txn.claims.contested[process] {
			c.txn.open[process] = t
		}
	}
	return t
}

// transactionEvent notes an event that is of transactions alone.
func (c *checker) transactionEvent(e Event) {
	switch e.Op {
	case Claim:
		c.claim(e)
	case Claimed:
		c.txn.claims.answer(e.Process)
	case Take:
		t := c.begun(e.Txn)
		t.takes = append(t.takes, place{e.Partition, e.Offset})
	case Commit:
		t := c.begun(e.Txn)
		t.asked, t.zombie = true, c.txn.claims.fenced[Producer(e.Txn)]
		c.ending(Producer(e.Txn))
	case Abort:
		c.ending(Producer(e.Txn))
	case Committed:
		c.begun(e.Txn).committed = true
	case Aborted:
		c.begun(e.Txn).aborted = true
	case Stable:
		l := line{e.Process, e.Partition}
		if was := c.txn.told[l]; e.Offset < was {
			c.violate(Rewind, e, "consumer %d was told of a last stable offset of %d before", e.Process, was)
		}
		c.txn.told[l] = e.Offset
		c.txn.stable[e.Partition] = max(c.txn.stable[e.Partition], e.Offset)
	case Position:
		c.txn.position[e.Partition] = e.Offset
	}
}

// claim has all others of the transactional id be contested, and their transactions be aborted at any moment.
func (c *checker) claim(e Event) {
	x := &c.txn.claims
	for _, other := range x.answered[e.ID] {
		x.contested[other] = true
		c.ending(other)
	}
	// A claim whose process has died without an answer may be late.
	x.contested[e.Process] = x.pending[e.ID] > 0
	x.id[e.Process], x.before[e.Process] = e.ID, slices.Clone(x.answered[e.ID])
	x.pending[e.ID]++
}

// answer fences who was answered before the process claimed.
func (x *claims) answer(process int) {
	id := x.id[process]
	x.pending[id]--
	for _, other := range x.before[process] {
		x.fenced[other] = true
	}
	x.answered[id] = append(slices.DeleteFunc(x.answered[id], func(p int) bool { return x.fenced[p] }), process)
	delete(x.before, process)
}

// ending is called at the last moment at which the transaction of a process is surely open.
func (c *checker) ending(process int) {
	t := c.txn.open[process]
	if t == nil {
		return
	}
	delete(c.txn.open, process)
	for p, first := range t.first {
		if told := c.txn.stable[p]; told > first {
			c.violate(Unstable, Event{Partition: p, Offset: first, Value: t.name}, "a consumer was told of a last stable offset of %d while transaction %d was open", told, Sequence(t.name))
		}
	}
}

// ackedIn notes where records of an open transaction lie.
func (c *checker) ackedIn(e Event) {
	t := c.of(e)
	if t == nil || c.txn.open[Producer(t.name)] != t {
		return
	}
	if first, ok := t.first[e.Partition]; !ok || e.Offset < first {
		t.first[e.Partition] = e.Offset
	}
}

// readIn checks that what a consumer is shown is stable.
func (c *checker) readIn(e Event) {
	if told, ok := c.txn.told[line{e.Process, e.Partition}]; ok && e.Offset >= told {
		c.violate(OpenRead, e, "consumer %d was told of a last stable offset of %d", e.Process, told)
	}
	if t := c.of(e); t != nil && !t.asked {
		c.violate(OpenRead, e, "consumer %d is shown a record of transaction %d before its commit is asked for", e.Process, Sequence(t.name))
	}
}

// followCommitted checks that a consumer is shown every record that counts, where offsets may hold none.
func (c *checker) followCommitted(e Event) {
	if !c.holes(e.Partition) {
		return
	}
	l := line{e.Process, e.Partition}
	rank, was := c.seen[place{e.Partition, e.Offset}].rank, c.txn.shown[l]
	if was > 0 && rank > was+1 {
		c.violate(Skip, e, "consumer %d was not shown %d records before it", e.Process, rank-was-1)
	}
	c.txn.shown[l] = rank
}

// visible notes that the final reading has met a record.
func (c *checker) visible(s send) {
	if t := c.txn.byName[s.txn]; t != nil {
		t.visible++
	}
}

// mayBeRead checks that the transaction of a record that was read has been committed, as far as is known.
func (c *checker) mayBeRead(e Event) {
	switch t := c.of(e); {
	case t == nil:
	case t.aborted:
		c.violate(AbortedRead, e, "transaction %d was aborted", Sequence(t.name))
	case !t.asked:
		c.violate(AbortedRead, e, "nobody asked for the commit of transaction %d", Sequence(t.name))
	}
}

// judgeTransactions checks that each transaction is there as a whole or not at all, and its offsets with it.
func (c *checker) judgeTransactions(events []Event) {
	for _, t := range c.txn.order {
		c.judge(t)
	}
	for _, e := range events {
		position, read := c.txn.position[e.Partition]
		if e.Op == Final && read && e.Offset < position && c.txn.taken[place{e.Partition, e.Offset}] == nil {
			c.violate(Untaken, e, "the group is at %d, and no transaction that counts has taken it", position)
		}
	}
}

func (c *checker) judge(t *transaction) {
	e := Event{Value: t.name}
	switch {
	case t.committed:
		c.report.Committed++
	case t.aborted || !t.asked:
		c.report.Aborted++
	default:
		c.report.Unknown++
	}
	if !t.counts() {
		return
	}
	if t.asked && !t.committed && !t.aborted {
		c.report.UnknownCount++
	}
	switch {
	case t.visible == 0 && t.sends > 0:
		c.violate(Lost, e, "transaction %d was committed, and none of its %d records is there", Sequence(t.name), t.sends)
	case t.visible < t.sends:
		c.violate(Partial, e, "of transaction %d there are %d records of %d", Sequence(t.name), t.visible, t.sends)
	}
	if t.zombie {
		c.violate(Zombie, e, "transaction %d counts, and its process had been fenced before it was committed", Sequence(t.name))
	}
	for _, at := range t.takes {
		e := Event{Value: t.name, Partition: at.partition, Offset: at.offset}
		if other := c.txn.taken[at]; other != nil {
			c.violate(Retaken, e, "by transaction %d of process %d, too", Sequence(other.name), Producer(other.name))
		}
		c.txn.taken[at] = t
		if position, read := c.txn.position[at.partition]; read && at.offset >= position {
			c.violate(Partial, e, "the records of transaction %d are there, and its group is at %d", Sequence(t.name), position)
		}
	}
}

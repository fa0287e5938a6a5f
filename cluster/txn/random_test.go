package txn_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/cluster/txn"
	"weir/cluster/txn/record"
)

// client is one that believes to be a producer; several share the transactional id.
type client struct {
	is      txn.Producer
	version int16
	asked   *txn.EndRequest // sent, and not answered yet
}

// world has clients ask one transaction, whose coordinator dies now and then. The log is all that is ever stored.
type world struct {
	t           *testing.T
	r           *rand.Rand
	now         time.Time
	fresh       int64
	transaction *txn.Transaction
	log         []txn.Snapshot
	clients     []*client
	inputs      []string
}

// TestRandom: whatever clients do, lose and repeat, and wherever the coordinator dies, what is stored keeps to
// the rules (checkWrite), and another coordinator knows what this one knew.
func TestRandom(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := &world{t: t, r: r, now: time.UnixMilli(1_000_000), fresh: 1, transaction: txn.New()}
		for range 3 {
			w.clients = append(w.clients, &client{is: txn.NoProducer, version: 2 * int16(r.IntN(2))})
		}
		for range 400 {
			w.step()
			if t.Failed() {
				t.Fatalf("seed %d, after:\n%s", seed, strings.Join(w.inputs, "\n"))
			}
		}
	}
}

func (w *world) step() {
	c := w.clients[w.r.IntN(len(w.clients))]
	before := w.transaction.Snapshot()
	var step txn.Step
	who := c.is
	what := ""
	switch n := w.r.IntN(20); {
	case n < 3:
		what, step = "init", w.init(c)
	case n < 9:
		p := txn.Partition{Topic: "t", Index: int32(w.r.IntN(3))}
		what, step = "add", w.transaction.Add(w.now, c.is, c.version, []txn.Partition{p})
	case n < 14:
		what, step = "end", w.end(c)
	case n < 17:
		what, who, step = "done", txn.NoProducer, w.transaction.Complete(w.now)
	case n < 18:
		w.now = w.now.Add(time.Duration(w.r.IntN(90)) * time.Second)
		what, who, step = "expire", txn.NoProducer, w.transaction.Expire(w.now)
	default:
		what, who = "crash", txn.NoProducer
		w.crash()
	}
	w.inputs = append(w.inputs, fmt.Sprintf("%s by %v of %d: %+v", what, who, c.version, step))
	if step.Write == nil {
		w.answer(c, what, step)
		return
	}
	w.checkWrite(what, who, before, *step.Write)
	switch w.r.IntN(10) {
	case 0: // it dies before it is stored
		w.crash()
	case 1: // it dies after, and before the answer
		w.log = append(w.log, *step.Write)
		w.crash()
	case 2:
		w.transaction.Failed()
	default:
		w.log = append(w.log, *step.Write)
		w.transaction.Stored()
		if w.r.IntN(5) > 0 { // else the answer is lost
			w.answer(c, what, step)
		}
	}
}

// answer has a client hear.
func (w *world) answer(c *client, what string, step txn.Step) {
	switch {
	case step.Err == nil && what == "init":
		c.is, c.asked = step.Producer, nil
	case step.Err == nil && what == "end":
		if w.transaction.Snapshot().State == txn.CompleteCommit && !c.asked.Commit || w.transaction.Snapshot().State == txn.CompleteAbort && c.asked.Commit {
			w.t.Errorf("told of commit %t in %v", c.asked.Commit, w.transaction.Snapshot().State)
		}
		c.is, c.asked = step.Producer, nil
	case !errors.Is(step.Err, txn.ErrConcurrent):
		c.asked = nil
	}
	if c.is.Epoch == 32767 {
		w.t.Errorf("%v is given to a client", c.is)
	}
}

func (w *world) init(c *client) txn.Step {
	r := txn.InitRequest{Timeout: timeout, Expected: txn.NoProducer, FreshID: txn.NoID}
	if w.r.IntN(2) == 0 {
		r.Expected = c.is
	}
	step := w.transaction.Init(w.now, r)
	if errors.Is(step.Err, txn.ErrNeedID) {
		r.FreshID, w.fresh = w.fresh, w.fresh+1
		step = w.transaction.Init(w.now, r)
	}
	return step
}

func (w *world) end(c *client) txn.Step {
	if c.asked == nil { // else it asks again
		c.asked = &txn.EndRequest{Producer: c.is, Commit: w.r.IntN(2) == 0, Version: c.version, FreshID: txn.NoID}
	}
	r := *c.asked
	step := w.transaction.End(w.now, r)
	if errors.Is(step.Err, txn.ErrNeedID) {
		r.FreshID, w.fresh = w.fresh, w.fresh+1
		step = w.transaction.End(w.now, r)
	}
	return step
}

// crash has another coordinator go on. It reads what is stored, to which a new epoch is close, now and then, to the last.
func (w *world) crash() {
	was := w.transaction.Snapshot()
	if len(w.log) == 0 {
		w.transaction = txn.New()
		return
	}
	last := w.log[len(w.log)-1]
	read, err := record.ParseValue(record.Value(&last))
	if err != nil {
		w.t.Errorf("%+v cannot be read: %v", last, err)
		return
	}
	if len(read.Partitions) == 0 {
		read.Partitions = last.Partitions // nil, or none
	}
	if !reflect.DeepEqual(read, last) {
		w.t.Errorf("read %+v, written %+v", read, last)
	}
	if n := len(w.log); n > 1 && !reflect.DeepEqual(was, last) && !reflect.DeepEqual(was, w.log[n-2]) {
		w.t.Errorf("stored %+v, known %+v", last, was)
	}
	w.transaction = txn.Restore(read)
}

// follows are the states that may come after each.
var follows = map[txn.State][]txn.State{
	txn.Empty:          {txn.Empty, txn.Ongoing, txn.CompleteAbort},
	txn.Ongoing:        {txn.Ongoing, txn.PrepareCommit, txn.PrepareAbort},
	txn.PrepareCommit:  {txn.CompleteCommit},
	txn.PrepareAbort:   {txn.CompleteAbort},
	txn.CompleteCommit: {txn.Empty, txn.Ongoing, txn.CompleteAbort},
	txn.CompleteAbort:  {txn.Empty, txn.Ongoing, txn.CompleteAbort},
}

// checkWrite: states follow each other, so that nothing is committed after it was decided to abort it, and the other
// way round; epochs never go back; who is not the producer changes nothing, but by becoming it; partitions go only
// when all have their markers.
func (w *world) checkWrite(what string, who txn.Producer, a, b txn.Snapshot) {
	if a.Producer != txn.NoProducer && !slices.Contains(follows[a.State], b.State) {
		w.t.Errorf("%s: %v after %v", what, b.State, a.State)
	}
	if b.Producer.ID < a.Producer.ID || b.Producer.ID == a.Producer.ID && b.Producer.Epoch < a.Producer.Epoch {
		w.t.Errorf("%s: producer %v after %v", what, b.Producer, a.Producer)
	}
	if (what == "add" || what == "end") && who != a.Producer && w.asked(who) != a.Producer {
		w.t.Errorf("%s by %v changes what is %v's", what, who, a.Producer)
	}
	if b.State.Preparing() && !slices.Equal(a.Partitions, b.Partitions) {
		w.t.Errorf("%s: markers for %v, of the transaction are %v", what, b.Partitions, a.Partitions)
	}
	if b.State.Preparing() && (what == "init" || what == "expire") && (b.State != txn.PrepareAbort || b.Producer.Epoch != a.Producer.Epoch+1) {
		w.t.Errorf("%s: %v of %v does not fence %v", what, b.State, b.Producer, a.Producer)
	}
}

// asked is under whom a client that is p has sent what it repeats.
func (w *world) asked(p txn.Producer) txn.Producer {
	for _, c := range w.clients {
		if c.is == p && c.asked != nil {
			return c.asked.Producer
		}
	}
	return p
}

// TestLastEpochs: who has used up the epochs of a producer id gets another, under every way to the next epoch, and
// whoever asks again gets the same.
func TestLastEpochs(t *testing.T) {
	now := time.UnixMilli(1)
	last := txn.Producer{ID: 1, Epoch: 32766}
	at := func(state txn.State) *txn.Transaction {
		return txn.Restore(txn.Snapshot{Producer: last, Last: txn.NoProducer, NextID: txn.NoID, State: state, Timeout: timeout, Started: 0})
	}
	want := txn.Producer{ID: 9}

	x := at(txn.Empty)
	if step := x.Init(now, txn.InitRequest{Expected: last, FreshID: txn.NoID}); !errors.Is(step.Err, txn.ErrNeedID) || step.Write != nil {
		t.Errorf("init without an id: %+v", step)
	}
	if step := x.Init(now, txn.InitRequest{Expected: last, FreshID: 9}); step.Producer != want {
		t.Errorf("init: %+v", step)
	}
	x.Stored()
	if step := x.Init(now, txn.InitRequest{Expected: last, FreshID: txn.NoID}); step.Producer != want || step.Err != nil {
		t.Errorf("init again: %+v", step)
	}

	x = at(txn.Ongoing)
	end := txn.EndRequest{Producer: last, Commit: true, Version: 2, FreshID: txn.NoID}
	if step := x.End(now, end); !errors.Is(step.Err, txn.ErrNeedID) || step.Write != nil {
		t.Errorf("end without an id: %+v", step)
	}
	end.FreshID = 9
	step := x.End(now, end)
	if step.Producer != want || step.Write == nil || step.Write.Producer != (txn.Producer{ID: 1, Epoch: 32767}) {
		t.Errorf("end: %+v", step)
	}
	x.Stored()
	// The client goes on under the id that it was told, though markers are on their way.
	for what, err := range map[string]error{
		"add":    x.Add(now, want, 2, []txn.Partition{{Topic: "t"}}).Err,
		"verify": x.Verify(want, txn.Partition{Topic: "t"}),
		"end":    x.End(now, txn.EndRequest{Producer: want, Version: 2, FreshID: txn.NoID}).Err,
		"init":   x.Init(now, txn.InitRequest{Timeout: timeout, Expected: want, FreshID: txn.NoID}).Err,
	} {
		if !errors.Is(err, txn.ErrConcurrent) {
			t.Errorf("%s under the next id: %v", what, err)
		}
	}
	if step := x.Add(now, txn.Producer{ID: 9, Epoch: 1}, 2, nil); !errors.Is(step.Err, txn.ErrUnknownProducer) {
		t.Errorf("add under another epoch of the next id: %v", step.Err)
	}
	x.Complete(now)
	x.Stored()
	if step := x.End(now, end); step.Producer != want || step.Err != nil {
		t.Errorf("end again: %+v", step)
	}
	if got := x.Snapshot().Producer; got != want {
		t.Errorf("afterwards the producer is %v", got)
	}

	x = at(txn.Ongoing) // fenced by itself: the epoch above is for its markers only
	x.Init(now, txn.InitRequest{Expected: last, FreshID: txn.NoID})
	x.Stored()
	x.Complete(now)
	x.Stored()
	// No client is taken for the producer of the markers: its transaction could not be ended.
	marker := txn.Producer{ID: 1, Epoch: 32767}
	for what, err := range map[string]error{
		"add":    x.Add(now, marker, 0, []txn.Partition{{Topic: "t"}}).Err,
		"verify": x.Verify(marker, txn.Partition{Topic: "t"}),
		"end":    x.End(now, txn.EndRequest{Producer: marker, Version: 2, FreshID: 9}).Err,
		"init":   x.Init(now, txn.InitRequest{Timeout: timeout, Expected: marker, FreshID: 9}).Err,
	} {
		if !errors.Is(err, txn.ErrFenced) {
			t.Errorf("%s under the epoch of the markers: %v", what, err)
		}
	}
	if step := x.Init(now, txn.InitRequest{Expected: last, FreshID: 9}); step.Producer != want {
		t.Errorf("init after a fence: %+v", step)
	}
}

// TestBounds: a transaction takes so many partitions and no more.
func TestBounds(t *testing.T) {
	now := time.UnixMilli(1)
	x := txn.New()
	x.Init(now, txn.InitRequest{Timeout: timeout, Expected: txn.NoProducer, FreshID: 1})
	x.Stored()
	many := make([]txn.Partition, txn.MaxPartitions)
	for i := range many {
		many[i] = txn.Partition{Topic: "t", Index: int32(i)}
	}
	if step := x.Add(now, txn.Producer{ID: 1}, 0, many); step.Err != nil {
		t.Errorf("%d partitions: %v", len(many), step.Err)
	}
	x.Stored()
	if step := x.Add(now, txn.Producer{ID: 1}, 0, []txn.Partition{{Topic: "u"}}); !errors.Is(step.Err, txn.ErrTooManyPartitions) {
		t.Errorf("one more: %v", step.Err)
	}
	x = txn.New()
	x.Init(now, txn.InitRequest{Timeout: timeout, Expected: txn.NoProducer, FreshID: 1})
	x.Stored()
	long := make([]txn.Partition, 3000)
	for i := range long {
		long[i] = txn.Partition{Topic: fmt.Sprintf("%0249d", i)}
	}
	if step := x.Add(now, txn.Producer{ID: 1}, 0, long); !errors.Is(step.Err, txn.ErrTooManyPartitions) {
		t.Errorf("3,000 long names: %v", step.Err)
	}
}

// TestForgettable: an id is forgotten when nothing has happened to it for long, and never with something open.
func TestForgettable(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	x := txn.New()
	x.Init(now, txn.InitRequest{Timeout: timeout, Expected: txn.NoProducer, FreshID: 1})
	if x.Stored(); x.Forgettable(now) || !x.Forgettable(now.Add(time.Second)) {
		t.Error("an idle one")
	}
	x.Add(now, txn.Producer{ID: 1}, 0, []txn.Partition{{Topic: "t"}})
	if x.Forgettable(now.Add(time.Hour)) {
		t.Error("one that is being written is forgotten")
	}
	if x.Stored(); x.Forgettable(now.Add(time.Hour)) {
		t.Error("one that is open is forgotten")
	}
	x.End(now, txn.EndRequest{Producer: txn.Producer{ID: 1}, FreshID: txn.NoID})
	if x.Stored(); x.Forgettable(now.Add(time.Hour)) {
		t.Error("one with markers on their way is forgotten")
	}
}

//go:build torture

package torture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// ledgers is what the transactions of TestCoordinatorKilledInEveryState write to.
var ledgers = topic{name: "ledgers", number: 15, partitions: 6}

// moment is one in the life of a transaction.
type moment struct {
	name  string
	state string // of the transaction
	only  int    // the version of transactions that has it, 0 for both
	steps []string
}

var moments = []moment{
	{name: "claimed", state: "Empty"},
	{name: "added", state: "Ongoing", only: 1, steps: []string{"add"}},
	{name: "produced", state: "Ongoing", steps: []string{"add", "produce"}},
	{name: "with offsets", state: "Ongoing", steps: []string{"add", "produce", "offset"}},
	{name: "commit decided", state: "PrepareCommit", steps: []string{"add", "produce", "offset", "commit"}},
	{name: "abort decided", state: "PrepareAbort", steps: []string{"add", "produce", "offset", "abort"}},
	{name: "committed", state: "CompleteCommit", steps: []string{"add", "produce", "offset", "commit"}},
	{name: "aborted", state: "CompleteAbort", steps: []string{"add", "produce", "offset", "abort"}},
}

// life is a transactional id whose coordinator is killed at a moment.
type life struct {
	teller
	moment
	partitions []int32 // that its transactions write to
	written    []string
	txn        int64 // which one it is in
	// What the answer to the end was, and to whom.
	before, after identity
}

type identity struct {
	producer int64
	epoch    int16
}

func (x *teller) identity() identity { return identity{x.producer, x.epoch} }

// states is one cluster, and what is to be read of it in the end.
type states struct {
	c       *trio
	want    map[string]bool  // values of committed transactions
	offsets map[string]int64 // by group
	killed  map[string]int
}

// begin has a client begin its next transaction, and take some steps of it.
func (s *states) begin(l *life, steps ...string) {
	s.c.t.Helper()
	l.txn++
	l.written = nil
	for _, step := range steps {
		var err error
		switch {
		case step == "add" && l.version == 1:
			err = l.add(ledgers, l.partitions...)
		case step == "produce":
			for _, p := range l.partitions {
				value := fmt.Sprintf("%s, transaction %d, partition %d", l.id, l.txn, p)
				l.written = append(l.written, value)
				err = errors.Join(err, l.produce(ledgers, p, value))
			}
		case step == "offset":
			err = l.offset(ledgers, l.txn)
		}
		if err != nil {
			s.c.t.Fatalf("%s, transaction %d: %s: %v", l.id, l.txn, step, err)
		}
	}
}

// end has a client end its transaction, and notes what is to be read.
func (s *states) end(l *life, commit bool) {
	s.c.t.Helper()
	l.before = l.identity()
	producer, epoch, err := l.finish(commit)
	if err != nil {
		s.c.t.Fatalf("%s, transaction %d: end: %v", l.id, l.txn, err)
	}
	l.is(producer, epoch)
	l.after = l.identity()
	if commit {
		s.counts(l)
	}
}

// counts notes that the transaction is to be read.
func (s *states) counts(l *life) {
	for _, v := range l.written {
		s.want[v] = true
	}
	if slices.Contains(l.steps, "offset") || l.txn > 1 {
		s.offsets[l.id] = l.txn
	}
}

// births makes a transactional id for every moment and version, all with one coordinator.
func (s *states) births(round, coordinator int, partitions []int32) (all []*life) {
	s.c.t.Helper()
	for version := 1; version <= 2; version++ {
		for _, m := range moments {
			if m.only != 0 && m.only != version {
				continue
			}
			l := &life{moment: m, partitions: partitions, teller: teller{c: s.c, version: version}}
			for n := 0; ; n++ {
				l.id = fmt.Sprintf("round %d, version %d, %s, %d", round, version, m.name, n)
				if s.c.coordinatorOf(ofTransactions, l.id) == coordinator {
					break
				}
			}
			all = append(all, l)
		}
	}
	return all
}

// stageFor finds a broker that coordinates, another one that leads a partition of the topic, and a partition that
// this one does not lead.
func (s *states) stageFor() (coordinator, leader int, partitions []int32) {
	s.c.t.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(50 * time.Millisecond) {
		s.c.admin("leaders as preferred", func(ctx context.Context, a *kadm.Client) error {
			_, err := a.ElectLeaders(ctx, kadm.ElectPreferredReplica, nil)
			return err
		})
		coordinator = s.c.leader(coordination[0], int32(s.c.rng.IntN(int(coordination[0].partitions))))
		leads := map[int][]int32{}
		for p := range ledgers.partitions {
			i := s.c.leader(ledgers, p)
			leads[i] = append(leads[i], p)
		}
		leader = s.c.other(coordinator)
		if len(leads[leader]) > 0 && len(leads[leader]) < int(ledgers.partitions) {
			for p := range ledgers.partitions {
				if !slices.Contains(leads[leader], p) {
					return coordinator, leader, []int32{p, leads[leader][0]}
				}
			}
		}
	}
	s.c.t.Fatal("one broker leads everything")
	return 0, 0, nil
}

// round brings a transaction to each moment, kills the coordinator of all, and has their clients go on.
func (s *states) round(n int) {
	c := s.c
	c.t.Helper()
	coordinator, leader, partitions := s.stageFor()
	all := s.births(n, coordinator, partitions)
	decided := func(l *life) bool { return l.state == "PrepareCommit" || l.state == "PrepareAbort" }
	for _, l := range all {
		l.claim()
		if len(l.steps) > 0 {
			s.begin(l, l.steps...)
		}
		if last := len(l.steps) - 1; !decided(l) && last >= 0 && (l.steps[last] == "commit" || l.steps[last] == "abort") {
			s.end(l, l.steps[last] == "commit")
			l.reach(l.state)
		}
	}
	// Of two markers one comes to its partition, and the other is under way.
	c.net.cut(coordinator, leader)
	c.net.cut(leader, coordinator)
	for _, l := range all {
		if decided(l) {
			s.end(l, l.state == "PrepareCommit")
		}
	}
	for _, l := range all {
		if is := l.seen(); is != l.state {
			c.t.Fatalf("%s is in state %s, want %s", l.id, is, l.state)
		}
		s.killed[fmt.Sprintf("%s of version %d", l.state, l.version)]++
	}
	c.kill(coordinator)
	c.moment(time.Second)
	c.net.heal() // what the dead one has sent may come now
	for i, l := range all {
		s.goOn(l, (n+i)%3)
	}
	c.heal()
	for _, l := range all {
		s.takeOver(l)
	}
	c.t.Logf("broker %d, which coordinated %d transactional ids, is dead, and all have gone on", coordinator+1, len(all))
}

// goOn has the client of a transactional id go on with the next coordinator, and the transaction end by what was decided; if
// nothing was, then in one of three ways.
func (s *states) goOn(l *life, how int) {
	s.c.t.Helper()
	switch l.state {
	case "Empty":
	case "Ongoing":
		switch how {
		case 0, 1:
			s.end(l, how == 0)
		default:
			l.claim() // by another one, which has it aborted
		}
	default:
		s.askAgain(l)
	}
	s.offsetOf(l.id)
	s.begin(l, "add", "produce", "offset")
	s.lateEnd(l)
	s.end(l, true)
}

// askAgain has a client ask for an end of which it has the answer already, and for the other one.
func (s *states) askAgain(l *life) {
	s.c.t.Helper()
	commit := l.state == "PrepareCommit" || l.state == "CompleteCommit"
	again := l.teller
	again.is(l.before.producer, l.before.epoch)
	producer, epoch, err := again.finish(commit)
	if got := (identity{producer, epoch}); err != nil || got != l.after {
		s.c.t.Errorf("%s asks for its end again, and is answered %v, %v, want %v", l.id, got, err, l.after)
	}
	if _, _, err := again.finish(!commit); err == nil {
		s.c.t.Errorf("%s has ended both ways", l.id)
	}
	want := map[bool]string{true: "CompleteCommit", false: "CompleteAbort"}[commit]
	if is := l.seen(); is != want {
		s.c.t.Errorf("%s has ended in %s, want %s", l.id, is, want)
	}
}

// lateEnd has the request that ended the transaction before come once more, while the next is open. Version 1 cannot
// tell one transaction from the other.
func (s *states) lateEnd(l *life) {
	s.c.t.Helper()
	if l.version == 1 || l.before == (identity{}) || l.before == l.identity() {
		return
	}
	late := l.teller
	late.is(l.before.producer, l.before.epoch)
	for _, commit := range []bool{true, false} {
		if _, _, err := late.finish(commit); err == nil {
			s.c.t.Errorf("%s: what was late of the transaction before has ended the next one", l.id)
		}
	}
}

// takeOver has another client take the id. The first one is refused everything, also while the other has a transaction open.
func (s *states) takeOver(l *life) {
	s.c.t.Helper()
	zombie := l.teller
	l.claim()
	s.refused(l, zombie)
	s.begin(l, "add", "produce", "offset")
	s.refused(l, zombie)
	s.end(l, true)
}

// refused wants a client that is fenced to be told so, whatever it tries.
func (s *states) refused(l *life, zombie teller) {
	s.c.t.Helper()
	tried := map[string]error{
		"produce": zombie.produce(ledgers, l.partitions[0], l.id+", of a zombie"),
		"offset":  zombie.offsetOnly(ledgers, 1000),
	}
	if l.version == 1 {
		tried["add"] = zombie.add(ledgers, l.partitions[0])
	}
	_, _, tried["commit"] = zombie.finish(true)
	_, _, tried["abort"] = zombie.finish(false)
	for what, err := range tried {
		if !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) {
			s.c.t.Errorf("a zombie of %s tries to %s, and is answered: %v", l.id, what, err)
		}
	}
}

// judge compares what is read with what was committed.
func (s *states) judge() {
	s.c.t.Helper()
	s.c.nothingOpen(ledgers)
	got := map[string]int{}
	for _, r := range s.c.committed(ledgers) {
		if !r.Attrs.IsControl() {
			got[string(r.Value)]++
		}
	}
	for v := range s.want {
		if got[v] != 1 {
			s.c.t.Errorf("%q was committed, and is read %d times", v, got[v])
		}
	}
	for v := range got {
		if !s.want[v] {
			s.c.t.Errorf("%q was not committed, and is read", v)
		}
	}
	for group := range s.offsets {
		s.offsetOf(group)
	}
}

// offsetOf wants a group to be where the transactions that are committed have it, and nowhere if there was none.
func (s *states) offsetOf(group string) {
	s.c.t.Helper()
	want, at := int64(-1), int64(-1)
	if offset, ok := s.offsets[group]; ok {
		want = offset
	}
	s.c.admin("offsets of "+group, func(ctx context.Context, a *kadm.Client) error {
		r, err := a.FetchOffsets(kadm.RequireStable(ctx), group)
		if committed, ok := r.Lookup(ledgers.name, 0); ok {
			at = committed.At
		}
		return errors.Join(err, r.Error())
	})
	if at != want {
		s.c.t.Errorf("the group of %s is at %d, want %d", group, at, want)
	}
}

// TestCoordinatorKilledInEveryState kills the coordinator of transactions in each state that one can be in. Each is committed or aborted
// as a whole, the next one works, and who is fenced can do nothing.
func TestCoordinatorKilledInEveryState(t *testing.T) {
	c := newTrio(t, newProxies(t), "offsets.topic.num.partitions=4", "transaction.state.log.num.partitions=4")
	c.allVote()
	c.createTopic(ledgers)
	s := &states{c: c, want: map[string]bool{}, offsets: map[string]int64{}, killed: map[string]int{}}
	first := &life{teller: teller{c: c, version: 2, id: "first"}, partitions: []int32{0}}
	first.claim() // makes the topic
	for n := range setting(t, "WEIR_TORTURE_TXN_COORDINATORS", 3) {
		s.round(n)
	}
	s.judge()
	t.Logf("%d records of committed transactions; coordinators killed by state: %v", len(s.want), s.killed)
	for i, b := range c.brokers {
		c.stop(i)
		for _, line := range b.complaints() {
			t.Errorf("broker %d said: %s", i+1, line)
		}
	}
}
